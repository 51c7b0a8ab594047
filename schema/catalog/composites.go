package catalog

// readComposites: facts attributes, comment, comment on column of each attribute.
func (r *reader) readComposites() error {
	return r.each(`
		SELECT c.oid, c.reltype, coalesce(d.description, ''),
			coalesce(string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)) || CASE WHEN a.attcollation <> t.typcollation
				THEN (SELECT format(' COLLATE %I.%I', cn.nspname, co.collname) FROM pg_collation co JOIN pg_namespace cn ON cn.oid = co.collnamespace WHERE co.oid = a.attcollation)
				ELSE '' END, ', ' ORDER BY a.attnum), ''),
			coalesce(array_agg(a.attname::text ORDER BY a.attnum) FILTER (WHERE ad.description IS NOT NULL), '{}'),
			coalesce(array_agg(ad.description ORDER BY a.attnum) FILTER (WHERE ad.description IS NOT NULL), '{}')
		FROM pg_class c
		LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		LEFT JOIN pg_type t ON t.oid = a.atttypid
		LEFT JOIN pg_description d ON d.classoid = 'pg_type'::regclass AND d.objoid = c.reltype AND d.objsubid = 0
		LEFT JOIN pg_description ad ON ad.classoid = 'pg_class'::regclass AND ad.objoid = c.oid AND ad.objsubid = a.attnum
		WHERE c.oid = ANY($1::oid[]) GROUP BY c.oid, c.reltype, d.description`,
		[]any{r.oids("c")}, func(scan func(...any) error) error {
			var oid, typ uint32
			var comment, attributes string
			var commented, comments []string
			if err := scan(&oid, &typ, &comment, &attributes, &commented, &comments); err != nil {
				return err
			}
			o := r.objects[r.rels[oid].key].set(FactAttributes, attributes).set(FactComment, comment)
			for i, name := range commented {
				o.set(PrefixColumnComment+name, comments[i])
			}
			return nil
		})
}

// readRanges: facts definition (the whole CREATE TYPE), comment. One with a canonical function needs a shell type first, and is not managed.
func (r *reader) readRanges() error {
	return r.each(`
		SELECT t.oid, t.typarray, m.oid, m.typarray, n.nspname, t.typname, coalesce(d.description, ''),
			format('CREATE TYPE %I.%I AS RANGE (SUBTYPE = %s', n.nspname, t.typname, format_type(g.rngsubtype, NULL))
			|| CASE WHEN o.opcdefault AND (o.opcintype = g.rngsubtype) THEN '' ELSE (SELECT format(', SUBTYPE_OPCLASS = %I.%I', x.nspname, o.opcname) FROM pg_namespace x WHERE x.oid = o.opcnamespace) END
			|| CASE WHEN g.rngcollation = s.typcollation THEN '' ELSE (SELECT format(', COLLATION = %I.%I', x.nspname, c.collname) FROM pg_collation c JOIN pg_namespace x ON x.oid = c.collnamespace WHERE c.oid = g.rngcollation) END
			|| CASE WHEN g.rngsubdiff = 0 THEN '' ELSE (SELECT format(', SUBTYPE_DIFF = %I.%I', x.nspname, p.proname) FROM pg_proc p JOIN pg_namespace x ON x.oid = p.pronamespace WHERE p.oid = g.rngsubdiff) END
			|| format(', MULTIRANGE_TYPE_NAME = %I.%I)', mn.nspname, m.typname)
		FROM pg_range g JOIN pg_type t ON t.oid = g.rngtypid JOIN pg_namespace n ON n.oid = t.typnamespace
		JOIN pg_type s ON s.oid = g.rngsubtype JOIN pg_opclass o ON o.oid = g.rngsubopc
		JOIN pg_type m ON m.oid = g.rngmultitypid JOIN pg_namespace mn ON mn.oid = m.typnamespace
		LEFT JOIN pg_description d ON d.classoid = 'pg_type'::regclass AND d.objoid = t.oid AND d.objsubid = 0
		WHERE n.nspname = ANY($1) AND g.rngcanonical = 0 AND `+notMember("pg_type", "t.oid"),
		[]any{r.schemas}, func(scan func(...any) error) error {
			var oid, array, multi, multiArray uint32
			var schema, name, comment, definition string
			if err := scan(&oid, &array, &multi, &multiArray, &schema, &name, &comment, &definition); err != nil {
				return err
			}
			k := Key{Kind: Range, Schema: schema, Name: name}
			if r.scope.excludes(schema, name) {
				r.leave(k.String())
				return nil
			}
			r.put(ref{"pg_type", oid, 0}, k).set(FactDefinition, definition).set(FactComment, comment)
			for _, other := range []uint32{array, multi, multiArray} {
				r.refs[ref{"pg_type", other, 0}] = k
			}
			return nil
		})
}

// readCollations: facts definition (the whole CREATE COLLATION), comment.
func (r *reader) readCollations() error {
	return r.each(`
		SELECT c.oid, n.nspname, c.collname, coalesce(d.description, ''),
			format('CREATE COLLATION %I.%I (PROVIDER = %s', n.nspname, c.collname, CASE c.collprovider WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE 'libc' END)
			|| coalesce(', LOCALE = ' || quote_literal(c.colllocale), '')
			|| coalesce(', LC_COLLATE = ' || quote_literal(c.collcollate) || ', LC_CTYPE = ' || quote_literal(c.collctype), '')
			|| CASE WHEN c.collisdeterministic THEN '' ELSE ', DETERMINISTIC = false' END
			|| coalesce(', RULES = ' || quote_literal(c.collicurules), '') || ')'
		FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
		LEFT JOIN pg_description d ON d.classoid = 'pg_collation'::regclass AND d.objoid = c.oid AND d.objsubid = 0
		WHERE n.nspname = ANY($1) AND `+notMember("pg_collation", "c.oid"),
		[]any{r.schemas}, func(scan func(...any) error) error {
			var oid uint32
			var schema, name, comment, definition string
			if err := scan(&oid, &schema, &name, &comment, &definition); err != nil {
				return err
			}
			k := Key{Kind: Collation, Schema: schema, Name: name}
			if r.scope.excludes(schema, name) {
				r.leave(k.String())
				return nil
			}
			r.put(ref{"pg_collation", oid, 0}, k).set(FactDefinition, definition).set(FactComment, comment)
			return nil
		})
}
