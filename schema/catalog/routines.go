package catalog

// readRoutines: facts definition (the whole CREATE OR REPLACE), comment. Functions that a range type made belong to it.
func (r *reader) readRoutines() error {
	return r.each(`
		SELECT p.oid, n.nspname, p.proname, quote_ident(p.proname) || '(' || oidvectortypes(p.proargtypes) || ')', p.prokind::text,
			CASE WHEN p.prokind = 'a' THEN '' ELSE pg_get_functiondef(p.oid) END, coalesce(d.description, '')
		FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
		LEFT JOIN pg_description d ON d.classoid = 'pg_proc'::regclass AND d.objoid = p.oid AND d.objsubid = 0
		WHERE n.nspname = ANY($1)
		AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype IN ('e', 'i'))`,
		[]any{r.schemas}, func(scan func(...any) error) error {
			var oid uint32
			var schema, plain, name, kind, definition, comment string
			if err := scan(&oid, &schema, &plain, &name, &kind, &definition, &comment); err != nil {
				return err
			}
			k := Key{Kind: Function, Schema: schema, Name: name}
			switch kind {
			case "p":
				k.Kind = Procedure
			case "a":
				k.Kind = "aggregate"
			}
			switch {
			case r.scope.excludes(schema, plain):
				r.leave(k.String())
			case kind == "a":
				r.unmanage("aggregate", qualified(schema, name), "")
			default:
				r.put(ref{"pg_proc", oid, 0}, k).set(FactDefinition, definition).set(FactComment, comment)
			}
			return nil
		})
}
