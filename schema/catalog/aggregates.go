package catalog

// readAggregates: facts definition (the whole CREATE AGGREGATE), comment. An ordered-set one is named with its ORDER BY, as DROP AGGREGATE names it.
func (r *reader) readAggregates() error {
	// Functions are named without arguments, as CREATE AGGREGATE finds them by the types it knows.
	return r.each(`
		SELECT p.oid, n.nspname, p.proname, quote_ident(p.proname) || '(' || CASE WHEN a.aggkind <> 'n' THEN pg_get_function_identity_arguments(p.oid)
				WHEN p.pronargs = 0 THEN '*' ELSE oidvectortypes(p.proargtypes) END || ')', coalesce(d.description, ''),
			format('CREATE AGGREGATE %I.%I(%s) (SFUNC = %s, STYPE = %s', n.nspname, p.proname,
				CASE p.pronargs WHEN 0 THEN '*' ELSE pg_get_function_arguments(p.oid) END, f.names[1], format_type(a.aggtranstype, NULL))
			|| coalesce(', FINALFUNC = ' || f.names[2], '')
			|| CASE WHEN a.aggfinalextra THEN ', FINALFUNC_EXTRA' ELSE '' END
			|| CASE WHEN a.aggfinalmodify = CASE a.aggkind WHEN 'n' THEN 'r' ELSE 'w' END THEN ''
				ELSE ', FINALFUNC_MODIFY = ' || CASE a.aggfinalmodify WHEN 's' THEN 'SHAREABLE' WHEN 'r' THEN 'READ_ONLY' ELSE 'READ_WRITE' END END
			|| CASE WHEN a.aggtransspace = 0 THEN '' ELSE ', SSPACE = ' || a.aggtransspace END
			|| coalesce(', COMBINEFUNC = ' || f.names[3], '') || coalesce(', SERIALFUNC = ' || f.names[4], '') || coalesce(', DESERIALFUNC = ' || f.names[5], '')
			|| coalesce(', INITCOND = ' || quote_literal(a.agginitval), '')
			|| coalesce(', MSFUNC = ' || f.names[6], '') || coalesce(', MINVFUNC = ' || f.names[7], '')
			|| CASE WHEN a.aggmtranstype = 0 THEN '' ELSE ', MSTYPE = ' || format_type(a.aggmtranstype, NULL) END
			|| CASE WHEN a.aggmtransspace = 0 THEN '' ELSE ', MSSPACE = ' || a.aggmtransspace END
			|| coalesce(', MFINALFUNC = ' || f.names[8], '')
			|| CASE WHEN a.aggmfinalextra THEN ', MFINALFUNC_EXTRA' ELSE '' END
			|| CASE WHEN a.aggmtranstype = 0 OR a.aggmfinalmodify = 'r' THEN '' ELSE ', MFINALFUNC_MODIFY = ' || CASE a.aggmfinalmodify WHEN 's' THEN 'SHAREABLE' ELSE 'READ_WRITE' END END
			|| coalesce(', MINITCOND = ' || quote_literal(a.aggminitval), '')
			|| CASE WHEN a.aggsortop = 0 THEN '' ELSE (SELECT format(', SORTOP = OPERATOR(%I.%s)', x.nspname, o.oprname) FROM pg_operator o JOIN pg_namespace x ON x.oid = o.oprnamespace WHERE o.oid = a.aggsortop) END
			|| CASE p.proparallel WHEN 's' THEN ', PARALLEL = SAFE' WHEN 'r' THEN ', PARALLEL = RESTRICTED' ELSE '' END
			|| CASE a.aggkind WHEN 'h' THEN ', HYPOTHETICAL' ELSE '' END || ')',
			format_type(p.prorettype, NULL)
		FROM pg_aggregate a JOIN pg_proc p ON p.oid = a.aggfnoid JOIN pg_namespace n ON n.oid = p.pronamespace
		CROSS JOIN LATERAL (SELECT array_agg(quote_ident(x.nspname) || '.' || quote_ident(y.proname) ORDER BY u.i) AS names
			FROM unnest(ARRAY[a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn]::oid[]) WITH ORDINALITY u(oid, i)
			LEFT JOIN pg_proc y ON y.oid = u.oid LEFT JOIN pg_namespace x ON x.oid = y.pronamespace) f
		LEFT JOIN pg_description d ON d.classoid = 'pg_proc'::regclass AND d.objoid = p.oid AND d.objsubid = 0
		WHERE n.nspname = ANY($1) AND `+notMember("pg_proc", "p.oid"),
		[]any{r.schemas}, func(scan func(...any) error) error {
			var oid uint32
			var schema, plain, name, comment, definition, result string
			if err := scan(&oid, &schema, &plain, &name, &comment, &definition, &result); err != nil {
				return err
			}
			k := Key{Kind: Aggregate, Schema: schema, Name: name}
			if r.scope.excludes(schema, plain) {
				r.leave(k.String())
				return nil
			}
			o := r.put(ref{"pg_proc", oid, 0}, k).set(FactDefinition, definition).set(FactComment, comment)
			o.Notes.Columns = []string{result}
			return nil
		})
}

// readEventTriggers: facts definition (the whole CREATE EVENT TRIGGER), enabled, comment.
func (r *reader) readEventTriggers() error {
	return r.each(`
		SELECT v.oid, v.evtname, coalesce(d.description, ''),
			format('CREATE EVENT TRIGGER %I ON %s', v.evtname, v.evtevent)
			|| coalesce(' WHEN TAG IN (' || (SELECT string_agg(quote_literal(t), ', ' ORDER BY t) FROM unnest(v.evttags) t) || ')', '')
			|| format(' EXECUTE FUNCTION %I.%I()', n.nspname, p.proname),
			CASE v.evtenabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'replica' WHEN 'A' THEN 'always' ELSE '' END
		FROM pg_event_trigger v JOIN pg_proc p ON p.oid = v.evtfoid JOIN pg_namespace n ON n.oid = p.pronamespace
		LEFT JOIN pg_description d ON d.classoid = 'pg_event_trigger'::regclass AND d.objoid = v.oid AND d.objsubid = 0
		WHERE n.nspname = ANY($1) AND `+notMember("pg_event_trigger", "v.oid")+` AND `+notMember("pg_proc", "p.oid"),
		[]any{r.schemas}, func(scan func(...any) error) error {
			var oid uint32
			var name, comment, definition, enabled string
			if err := scan(&oid, &name, &comment, &definition, &enabled); err != nil {
				return err
			}
			r.put(ref{"pg_event_trigger", oid, 0}, Key{Kind: EventTrigger, Name: name}).
				set(FactDefinition, definition).set(FactEnabled, enabled).set(FactComment, comment)
			return nil
		})
}
