package catalog

// readGrants notes what is lost when an object has to be dropped and made again: its owner, where that is not the
// present role, and its privileges, as the statements that give them back. They are no facts: privileges are not compared.
func (r *reader) readGrants() error {
	// One row for each grantee of each object; a row without a grantee tells the owner, and what PUBLIC is denied.
	return r.each(`
		WITH object AS (
			SELECT 'pg_class' AS class, c.oid, 0 AS sub, c.relowner AS owner, c.relacl AS acl, ''::text AS columns, false AS open,
				format('TABLE %I.%I', n.nspname, c.relname) AS target,
				format('%s %I.%I', CASE c.relkind WHEN 'v' THEN 'VIEW' ELSE 'MATERIALIZED VIEW' END, n.nspname, c.relname) AS owned
			FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY($1::oid[]) AND c.relkind IN ('v', 'm')
			UNION ALL
			SELECT 'pg_class', c.oid, a.attnum, c.relowner, a.attacl, format(' (%I)', a.attname), false, format('TABLE %I.%I', n.nspname, c.relname), ''
			FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE c.oid = ANY($1::oid[]) AND a.attacl IS NOT NULL AND NOT a.attisdropped
			UNION ALL
			SELECT 'pg_proc', p.oid, 0, p.proowner, p.proacl, '', p.proacl IS NOT NULL AND NOT EXISTS (SELECT FROM aclexplode(p.proacl) x WHERE x.grantee = 0),
				format('ROUTINE %I.%I(%s)', n.nspname, p.proname, oidvectortypes(p.proargtypes)),
				format('ROUTINE %I.%I(%s)', n.nspname, p.proname, oidvectortypes(p.proargtypes))
			FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = ANY($2)
			UNION ALL
			SELECT 'pg_type', t.oid, 0, t.typowner, t.typacl, '', t.typacl IS NOT NULL AND NOT EXISTS (SELECT FROM aclexplode(t.typacl) x WHERE x.grantee = 0),
				format('TYPE %I.%I', n.nspname, t.typname), format('TYPE %I.%I', n.nspname, t.typname)
			FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE n.nspname = ANY($2)
			AND (t.typtype IN ('e', 'r') OR t.typtype = 'c' AND t.typrelid IN (SELECT c.oid FROM pg_class c WHERE c.relkind = 'c'))
		)
		SELECT class, object.oid, sub, CASE WHEN owned = '' OR owner = me.oid THEN '' ELSE format('ALTER %s OWNER TO %I', owned, pg_get_userbyid(owner)) END,
			CASE WHEN open THEN format('REVOKE ALL ON %s FROM PUBLIC', target) ELSE '' END,
			ARRAY(SELECT format('GRANT %s ON %s TO %s%s', string_agg(x.privilege_type || columns, ', ' ORDER BY x.privilege_type), target,
					CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END, CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
				FROM aclexplode(acl) x WHERE x.grantee <> owner
				GROUP BY x.grantee, x.is_grantable ORDER BY x.grantee <> 0, pg_get_userbyid(x.grantee) COLLATE "C", x.is_grantable)
		FROM object, (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user) me
		WHERE owner <> me.oid OR acl IS NOT NULL ORDER BY class, object.oid, sub`,
		[]any{r.oids("rpvm"), r.schemas}, func(scan func(...any) error) error {
			var at ref
			var owner, revoke string
			var grants []string
			if err := scan(&at.class, &at.object, &at.sub, &owner, &revoke, &grants); err != nil {
				return err
			}
			k, ok := r.refs[at]
			if !ok && at.sub > 0 { // a view's column
				at.sub = 0
				k, ok = r.refs[at]
			}
			if !ok {
				return nil
			}
			notes := &r.objects[k].Notes
			for _, sql := range append([]string{owner, revoke}, grants...) {
				if sql != "" {
					notes.Restore = append(notes.Restore, sql)
				}
			}
			return nil
		})
}
