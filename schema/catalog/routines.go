package catalog

// readRoutines: facts definition (the whole CREATE OR REPLACE), comment. Functions that a range type made belong to it.
func (r *reader) readRoutines() error {
	return r.each(`
		SELECT p.oid, n.nspname, p.proname, quote_ident(p.proname) || '(' || oidvectortypes(p.proargtypes) || ')', p.prokind::text,
			pg_get_functiondef(p.oid), coalesce(d.description, '')
		FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
		LEFT JOIN pg_description d ON d.classoid = 'pg_proc'::regclass AND d.objoid = p.oid AND d.objsubid = 0
		WHERE n.nspname = ANY($1) AND p.prokind <> 'a'
		AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype IN ('e', 'i'))`,
		[]any{r.schemas}, func(scan func(...any) error) error {
			var oid uint32
			var schema, plain, name, kind, definition, comment string
			if err := scan(&oid, &schema, &plain, &name, &kind, &definition, &comment); err != nil {
				return err
			}
			k := Key{Kind: Function, Schema: schema, Name: name}
			if kind == "p" {
				k.Kind = Procedure
			}
			if r.scope.excludes(schema, plain) {
				r.leave(k.String())
			} else {
				r.put(ref{"pg_proc", oid, 0}, k).set(FactDefinition, definition).set(FactComment, comment)
			}
			return nil
		})
}
