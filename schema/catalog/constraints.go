package catalog

// readConstraints: facts constraint type, definition (without the name), valid, enabled (of the triggers
// that enforce a foreign key), inherited, comment; and of those with an index its options, tablespace, clustered.
//
// NOT NULL constraints are objects too (the server catalogues them since 18, those of a primary key's columns
// as well), so their names and validity are compared. Rows that partitions and referenced partitions add are left out.
func (r *reader) readConstraints() error {
	return r.each(`
		SELECT k.oid, k.conrelid, k.conname, k.contype::text, pg_get_constraintdef(k.oid), k.convalidated AND coalesce(x.indisvalid, true),
			coalesce(tr.enabled, ''),
			CASE WHEN k.coninhcount = 0 THEN '' WHEN k.conislocal THEN 'merged' ELSE 'true' END,
			CASE WHEN k.contype IN ('p', 'u', 'x') THEN k.conindid ELSE 0::oid END,
			coalesce((SELECT string_agg(o, ', ' ORDER BY o COLLATE "C") FROM unnest(ic.reloptions) o), ''),
			coalesce(quote_ident(ts.spcname), ''), CASE WHEN x.indisclustered THEN 'true' ELSE '' END,
			coalesce(d.description, ''), coalesce(xd.description, '')
		FROM pg_constraint k
		LEFT JOIN (SELECT t.tgconstraint, CASE WHEN bool_and(t.tgenabled = 'D') THEN 'disabled' WHEN bool_and(t.tgenabled = 'A') THEN 'always'
			WHEN bool_and(t.tgenabled = 'R') THEN 'replica' WHEN bool_or(t.tgenabled <> 'O') THEN 'partly disabled' END AS enabled
			FROM pg_trigger t WHERE t.tgconstraint <> 0 AND t.tgisinternal GROUP BY 1) tr ON tr.tgconstraint = k.oid AND k.contype = 'f'
		LEFT JOIN pg_index x ON x.indexrelid = k.conindid AND k.contype IN ('p', 'u', 'x')
		LEFT JOIN pg_class ic ON ic.oid = x.indexrelid
		LEFT JOIN pg_tablespace ts ON ts.oid = ic.reltablespace
		LEFT JOIN pg_description d ON d.classoid = 'pg_constraint'::regclass AND d.objoid = k.oid AND d.objsubid = 0
		LEFT JOIN pg_description xd ON xd.classoid = 'pg_class'::regclass AND xd.objoid = ic.oid AND xd.objsubid = 0
		WHERE k.conrelid = ANY($1::oid[]) AND k.contype IN ('p', 'u', 'x', 'f', 'c', 'n') AND k.conparentid = 0`,
		[]any{r.oids("rp")}, func(scan func(...any) error) error {
			var oid, table, index uint32
			var name, kind, definition, enabled, inherited, options, tablespace, clustered, comment, indexComment string
			var valid bool
			if err := scan(&oid, &table, &name, &kind, &definition, &valid, &enabled, &inherited, &index, &options, &tablespace, &clustered, &comment, &indexComment); err != nil {
				return err
			}
			o := r.part(ref{"pg_constraint", oid, 0}, Constraint, table, name)
			if o == nil {
				return nil
			}
			if index != 0 {
				r.refs[ref{"pg_class", index, 0}] = o.Key
			}
			o.set(FactConstraintType, kind).set(FactDefinition, definition).set(FactValid, invalid(valid)).set(FactEnabled, enabled).
				set(FactInherited, inherited).set(FactOptions, options).set(FactTablespace, tablespace).set(FactClustered, clustered).
				set(FactComment, comment).set(FactIndexComment, indexComment)
			return nil
		})
}

func invalid(valid bool) string {
	if valid {
		return ""
	}
	return "false"
}

// readIndexes: facts definition (with its storage parameters), valid, tablespace, clustered, statistics target of
// column …, comment. A partition's indexes are not read.
func (r *reader) readIndexes() error {
	return r.each(`
		SELECT x.indexrelid, x.indrelid, c.relname, pg_get_indexdef(x.indexrelid), x.indisvalid AND x.indisready AND x.indislive,
			coalesce(quote_ident(ts.spcname), ''), CASE WHEN x.indisclustered THEN 'true' ELSE '' END, coalesce(d.description, ''),
			greatest(c.relpages, 0)::bigint * current_setting('block_size')::bigint,
			coalesce(st.numbers, '{}'), coalesce(st.targets, '{}')
		FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid
		LEFT JOIN pg_tablespace ts ON ts.oid = c.reltablespace
		LEFT JOIN pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = c.oid AND d.objsubid = 0
		LEFT JOIN (SELECT a.attrelid, array_agg(a.attnum::text) AS numbers, array_agg(a.attstattarget::text) AS targets
			FROM pg_attribute a WHERE a.attstattarget IS NOT NULL GROUP BY 1) st ON st.attrelid = x.indexrelid
		WHERE x.indrelid = ANY($1::oid[])
		AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = x.indexrelid AND k.conrelid = x.indrelid AND k.contype IN ('p', 'u', 'x'))`,
		[]any{r.oids("rpm")}, func(scan func(...any) error) error {
			var oid, table uint32
			var name, definition, tablespace, clustered, comment string
			var valid bool
			var bytes int64
			var numbers, targets []string
			if err := scan(&oid, &table, &name, &definition, &valid, &tablespace, &clustered, &comment, &bytes, &numbers, &targets); err != nil {
				return err
			}
			owner := r.rels[table]
			k := Key{Kind: Index, Schema: owner.schema, Table: owner.name, Name: name}
			if r.scope.excludes(k.Schema, k.Name) {
				r.leave(k.String())
				return nil
			}
			o := r.part(ref{"pg_class", oid, 0}, Index, table, name)
			if o == nil {
				return nil
			}
			o.Notes = Notes{Rows: r.objects[owner.key].Notes.Rows, Bytes: bytes}
			o.set(FactDefinition, definition).set(FactValid, invalid(valid)).set(FactTablespace, tablespace).
				set(FactClustered, clustered).set(FactComment, comment)
			for i, n := range numbers {
				o.set(PrefixStatTarget+n, targets[i])
			}
			return nil
		})
}
