package catalog

import "strings"

// unmanage files what is in a managed schema and cannot be compared.
func (r *reader) unmanage(kind, name, reason string) {
	r.unmanaged = append(r.unmanaged, Unmanaged{Kind: kind, Name: name, Reason: reason})
}

// outside files what cannot be compared and is no difference.
func (r *reader) outside(kind, name, reason string) {
	r.unmanaged = append(r.unmanaged, Unmanaged{Kind: kind, Name: name, Reason: reason, Outside: true})
}

// notMember is the condition that the object of the catalog at the OID expression belongs to no extension.
func notMember(class, oid string) string {
	return "NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '" + class + "'::regclass AND e.objid = " + oid + " AND e.deptype = 'e')"
}

// differs is the condition that an ACL says something else than the owner's own rights and PUBLIC's built-in ones.
func differs(acl, builtin string) string {
	return acl + ` IS NOT NULL AND (SELECT array_agg(x ORDER BY x::text) FROM unnest(` + acl + `) x)
		IS DISTINCT FROM (SELECT array_agg(x ORDER BY x::text) FROM unnest(` + builtin + `) x)`
}

// inSchemas are queries of (kind, schema, name) over the managed schemas' objects of kinds that are not compared. $1 is
// the schemas. Relations, routines and enums of such kinds are met where their like are read.
func inSchemas() []string {
	simple := func(kind, class, column, namespace string) string {
		return `SELECT '` + kind + `', n.nspname::text, x.` + column + `::text FROM ` + class + ` x JOIN pg_namespace n ON n.oid = x.` + namespace + `
			WHERE n.nspname = ANY($1) AND ` + notMember(class, "x.oid")
	}
	return []string{
		`SELECT CASE t.typtype WHEN 'r' THEN 'range type with a canonical function' WHEN 'b' THEN 'base type' ELSE 'shell type' END, n.nspname::text, t.typname::text
			FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_range g ON g.rngtypid = t.oid
			WHERE n.nspname = ANY($1) AND (t.typtype IN ('b', 'p') OR t.typtype = 'r' AND g.rngcanonical <> 0)
			AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid) AND ` + notMember("pg_type", "t.oid"),
		`SELECT 'operator', n.nspname::text, o.oprname || '(' || coalesce(format_type(nullif(o.oprleft, 0), NULL), 'NONE') || ', ' || format_type(o.oprright, NULL) || ')'
			FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE n.nspname = ANY($1) AND ` + notMember("pg_operator", "o.oid"),
		simple("operator class", "pg_opclass", "opcname", "opcnamespace"),
		simple("operator family", "pg_opfamily", "opfname", "opfnamespace"),
		simple("conversion", "pg_conversion", "conname", "connamespace"),
		simple("text search configuration", "pg_ts_config", "cfgname", "cfgnamespace"),
		simple("text search dictionary", "pg_ts_dict", "dictname", "dictnamespace"),
		simple("text search parser", "pg_ts_parser", "prsname", "prsnamespace"),
		simple("text search template", "pg_ts_template", "tmplname", "tmplnamespace"),
		`SELECT 'privileges', n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE n.nspname = ANY($1) AND c.relkind IN ('r', 'p', 'v', 'm', 'S') AND NOT c.relispartition AND ` +
			notMember("pg_class", "c.oid") + ` AND (` +
			differs("c.relacl", "acldefault(CASE c.relkind WHEN 'S' THEN 's'::\"char\" ELSE 'r'::\"char\" END, c.relowner)") + `
			OR c.oid IN (SELECT a.attrelid FROM pg_attribute a WHERE a.attacl IS NOT NULL AND NOT a.attisdropped))`,
		`SELECT 'privileges', n.nspname::text, p.proname || '(' || CASE WHEN EXISTS (SELECT FROM pg_aggregate g WHERE g.aggfnoid = p.oid AND g.aggkind <> 'n')
				THEN pg_get_function_identity_arguments(p.oid) ELSE oidvectortypes(p.proargtypes) END || ')' FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
			WHERE n.nspname = ANY($1) AND ` + notMember("pg_proc", "p.oid") + ` AND ` + differs("p.proacl", "acldefault('f', p.proowner)"),
		`SELECT 'privileges', n.nspname::text, t.typname::text FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
			WHERE n.nspname = ANY($1) AND ` + notMember("pg_type", "t.oid") + ` AND ` + differs("t.typacl", "acldefault('T', t.typowner)"),
	}
}

// databaseWide are queries of (kind, ”, name) over objects that live in no schema.
func databaseWide() []string {
	// OIDs below 16384 are initdb's. Source: FirstNormalObjectId in access/transam.h.
	own := func(class string) string { return "x.oid >= 16384 AND " + notMember(class, "x.oid") }
	return []string{
		`SELECT 'privileges', '', 'schema ' || n.nspname FROM pg_namespace n
			LEFT JOIN pg_init_privs i ON i.classoid = 'pg_namespace'::regclass AND i.objoid = n.oid AND i.objsubid = 0
			WHERE n.nspname = ANY($1) AND ` + notMember("pg_namespace", "n.oid") + ` AND ` + differs("n.nspacl", "coalesce(i.initprivs, acldefault('n', n.nspowner))"),
		`SELECT 'default privileges', '', 'of role ' || pg_get_userbyid(x.defaclrole) || coalesce(' in schema ' || n.nspname, '') || ' on ' ||
			CASE x.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions' WHEN 'T' THEN 'types'
				WHEN 'n' THEN 'schemas' ELSE 'large objects' END
			FROM pg_default_acl x LEFT JOIN pg_namespace n ON n.oid = x.defaclnamespace WHERE x.defaclnamespace = 0 OR n.nspname = ANY($1)`,
		`SELECT 'cast', '', format_type(x.castsource, NULL) || ' AS ' || format_type(x.casttarget, NULL) FROM pg_cast x WHERE ` + own("pg_cast") + `
			AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_cast'::regclass AND e.objid = x.oid AND e.deptype = 'i')`,
		`SELECT 'transform', '', 'for ' || format_type(x.trftype, NULL) || ' language ' || l.lanname
			FROM pg_transform x JOIN pg_language l ON l.oid = x.trflang WHERE ` + own("pg_transform"),
		`SELECT 'language', '', x.lanname::text FROM pg_language x WHERE ` + own("pg_language"),
		`SELECT 'access method', '', x.amname::text FROM pg_am x WHERE ` + own("pg_am"),
		`SELECT 'foreign-data wrapper', '', x.fdwname::text FROM pg_foreign_data_wrapper x WHERE ` + own("pg_foreign_data_wrapper"),
		`SELECT 'foreign server', '', x.srvname::text FROM pg_foreign_server x WHERE ` + own("pg_foreign_server"),
		`SELECT 'user mapping', '', usename || ' on ' || srvname FROM pg_user_mappings`,
		`SELECT 'event trigger', '', x.evtname::text FROM pg_event_trigger x WHERE ` + own("pg_event_trigger") + `
			AND NOT EXISTS (SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.oid = x.evtfoid AND n.nspname = ANY($1) AND ` + notMember("pg_proc", "p.oid") + ")",
		`SELECT 'publication', '', x.pubname::text FROM pg_publication x`,
		`SELECT 'subscription', '', x.subname::text FROM pg_subscription x WHERE x.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())`,
		`SELECT 'security label', '', coalesce(pg_describe_object(x.classoid, x.objoid, x.objsubid), '') || ' by ' || x.provider FROM pg_seclabel x`,
	}
}

// readUnmanaged lists, in one query, what is there of the kinds that nothing else reads.
func (r *reader) readUnmanaged() error {
	sql := strings.Join(append(inSchemas(), databaseWide()...), "\nUNION ALL\n")
	return r.each(sql, []any{r.schemas}, func(scan func(...any) error) error {
		var kind, schema, name string
		if err := scan(&kind, &schema, &name); err != nil {
			return err
		}
		plain, _, _ := strings.Cut(name, "(")
		switch {
		case strings.HasSuffix(kind, "privileges") && (r.scope.Declaring || r.compared[schema+"\x00"+name]): // compared
		case schema != "" && r.scope.excludes(schema, plain):
			r.leave(kind + " " + qualified(schema, name))
		case schema != "" && kind == "privileges":
			r.outside(kind, qualified(schema, name), "")
		case schema != "":
			r.unmanage(kind, qualified(schema, name), "")
		default:
			r.outside(kind, name, "database-wide")
		}
		return nil
	})
}
