package catalog

import "slices"

// readSchemas: facts comment.
func (r *reader) readSchemas() error {
	return r.each(`
		SELECT n.oid, n.nspname, coalesce(d.description, '')
		FROM pg_namespace n
		LEFT JOIN pg_description d ON d.classoid = 'pg_namespace'::regclass AND d.objoid = n.oid AND d.objsubid = 0
		WHERE n.nspname = ANY($1)
		AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_namespace'::regclass AND e.objid = n.oid AND e.deptype = 'e')`,
		[]any{r.schemas}, func(scan func(...any) error) error {
			var oid uint32
			var name, comment string
			if err := scan(&oid, &name, &comment); err != nil {
				return err
			}
			r.put(ref{"pg_namespace", oid, 0}, Key{Kind: Schema, Name: name}).set(FactComment, comment)
			return nil
		})
}

// readExtensions: facts version, schema, comment.
func (r *reader) readExtensions() error {
	return r.each(`
		SELECT x.oid, x.extname, n.nspname, x.extversion, coalesce(d.description, '')
		FROM pg_extension x JOIN pg_namespace n ON n.oid = x.extnamespace
		LEFT JOIN pg_description d ON d.classoid = 'pg_extension'::regclass AND d.objoid = x.oid AND d.objsubid = 0`,
		nil, func(scan func(...any) error) error {
			var oid uint32
			var name, schema, version, comment string
			if err := scan(&oid, &name, &schema, &version, &comment); err != nil {
				return err
			}
			if !r.scope.extension(name) || r.scope.excludes(schema, name) {
				r.leave("extension " + name)
				return nil
			}
			if slices.Contains(r.scope.AnyVersion, name) {
				version = ""
			}
			r.put(ref{"pg_extension", oid, 0}, Key{Kind: Extension, Name: name}).
				set(FactVersion, version).set(FactSchema, schema).set(FactComment, comment)
			return nil
		})
}

// readTypes reads enums (facts labels, comment) and domains (facts type, not null, default, collation,
// one "constraint …" each, comment).
func (r *reader) readTypes() error {
	return r.each(`
		SELECT t.oid, t.typarray, n.nspname, t.typname, t.typtype::text, coalesce(d.description, ''),
			CASE WHEN t.typtype = 'e' THEN (SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder)
				FROM pg_enum e WHERE e.enumtypid = t.oid) ELSE '' END,
			CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) ELSE '' END,
			CASE WHEN t.typtype = 'd' AND t.typnotnull THEN 'true' ELSE '' END,
			CASE WHEN t.typtype = 'd' THEN coalesce(pg_get_expr(t.typdefaultbin, 0), '') ELSE '' END,
			CASE WHEN t.typtype = 'd' AND t.typcollation <> b.typcollation
				THEN (SELECT format('%I.%I', cn.nspname, c.collname) FROM pg_collation c
					JOIN pg_namespace cn ON cn.oid = c.collnamespace WHERE c.oid = t.typcollation) ELSE '' END,
			ARRAY(SELECT k.conname::text FROM pg_constraint k WHERE k.contypid = t.oid ORDER BY k.conname),
			ARRAY(SELECT k.contype::text FROM pg_constraint k WHERE k.contypid = t.oid ORDER BY k.conname),
			ARRAY(SELECT pg_get_constraintdef(k.oid) FROM pg_constraint k WHERE k.contypid = t.oid ORDER BY k.conname),
			ARRAY(SELECT coalesce(kd.description, '') FROM pg_constraint k
				LEFT JOIN pg_description kd ON kd.classoid = 'pg_constraint'::regclass AND kd.objoid = k.oid
				WHERE k.contypid = t.oid ORDER BY k.conname),
			ARRAY(SELECT k.oid FROM pg_constraint k WHERE k.contypid = t.oid ORDER BY k.conname)
		FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
		LEFT JOIN pg_type b ON b.oid = t.typbasetype
		LEFT JOIN pg_description d ON d.classoid = 'pg_type'::regclass AND d.objoid = t.oid AND d.objsubid = 0
		WHERE t.typtype IN ('e', 'd') AND n.nspname = ANY($1)
		AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_type'::regclass AND e.objid = t.oid AND e.deptype = 'e')`,
		[]any{r.schemas}, r.readType)
}

func (r *reader) readType(scan func(...any) error) error {
	var oid, array uint32
	var schema, name, kind, comment, labels, base, notNull, deflt, collation string
	var conNames, conTypes, conDefs, conComments []string
	var conOIDs []uint32
	if err := scan(&oid, &array, &schema, &name, &kind, &comment, &labels, &base, &notNull, &deflt, &collation,
		&conNames, &conTypes, &conDefs, &conComments, &conOIDs); err != nil {
		return err
	}
	k := Key{Kind: Enum, Schema: schema, Name: name}
	if kind == "d" {
		k.Kind = Domain
	}
	if r.scope.excludes(schema, name) {
		r.leave(k.String())
		return nil
	}
	o := r.put(ref{"pg_type", oid, 0}, k).set(FactComment, comment).set(FactLabels, labels).set(FactType, base).
		set(FactNotNull, notNull).set(FactDefault, deflt).set(FactCollation, collation)
	r.refs[ref{"pg_type", array, 0}] = k
	for i, con := range conNames {
		r.refs[ref{"pg_constraint", conOIDs[i], 0}] = k
		if conTypes[i] == "n" {
			o.set(FactNotNullName, con)
		} else {
			o.set(PrefixConstraint+con, conDefs[i])
		}
		o.set(PrefixConstraintComment+con, conComments[i])
	}
	return nil
}
