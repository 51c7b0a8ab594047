package catalog

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
)

// Privileges are those that the sources declare of one object. The privileges of objects of which the sources say nothing are not compared.
type Privileges struct {
	Key   Key
	Facts []Fact // FactPrivileges, and one PrefixPrivileges for each grantee
}

// DeclaredPrivileges lists the objects of a snapshot of which privileges are declared, for a Scope.
func DeclaredPrivileges(s *Snapshot) []Privileges {
	var out []Privileges
	for _, o := range s.Objects {
		if o.Fact(FactPrivileges) != "" {
			out = append(out, Privileges{o.Key, slices.DeleteFunc(slices.Clone(o.Facts), func(f Fact) bool { return !isPrivilege(f.Name) })})
		}
	}
	return out
}

// ForgetPrivileges takes the privileges off an object if they are these and no others.
func (o *Object) ForgetPrivileges(p Privileges) {
	is := func(f Fact) bool { return isPrivilege(f.Name) }
	if slices.Equal(p.Facts, slices.DeleteFunc(slices.Clone(o.Facts), func(f Fact) bool { return !is(f) })) {
		o.Facts = slices.DeleteFunc(o.Facts, is)
	}
}

func isPrivilege(fact string) bool {
	return fact == FactPrivileges || strings.HasPrefix(fact, PrefixPrivileges)
}

// asDeclared is what the scope says of the object's privileges.
func (r *reader) asDeclared(k Key) (Privileges, bool) {
	i, ok := slices.BinarySearchFunc(r.scope.Privileges, k, func(p Privileges, k Key) int { return CompareKeys(p.Key, k) })
	if !ok {
		return Privileges{}, false
	}
	return r.scope.Privileges[i], true
}

// aclSQL lists each object with an ACL of its own and all objects that are asked for by name, with one row for each privilege: who has it,
// which, whether it may be passed on, and who gave it if that is not the owner. Owners have theirs without being given them.
const aclSQL = `
	WITH object AS (
		SELECT 'pg_class' AS class, c.oid, 'r'::"char" AS kind, c.relowner AS owner, c.relacl AS acl, NULL::aclitem[] AS initial, '' AS part,
			EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL AND NOT a.attisdropped) AS more
		FROM pg_class c WHERE c.oid = ANY($1::oid[]) AND c.relkind <> 'S'
		UNION ALL
		SELECT 'pg_class', c.oid, 's', c.relowner, c.relacl, NULL, '', false FROM pg_class c WHERE c.oid = ANY($1::oid[]) AND c.relkind = 'S'
		UNION ALL
		SELECT 'pg_proc', p.oid, 'f', p.proowner, p.proacl, NULL, '', false FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = ANY($2)
		UNION ALL
		SELECT 'pg_type', t.oid, 'T', t.typowner, t.typacl, NULL, '', false FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE n.nspname = ANY($2)
			AND (t.typtype IN ('e', 'd', 'r') OR t.typtype = 'c' AND t.typrelid IN (SELECT c.oid FROM pg_class c WHERE c.relkind = 'c'))
		UNION ALL
		SELECT 'pg_namespace', n.oid, 'n', n.nspowner, n.nspacl, i.initprivs, '', false FROM pg_namespace n
		LEFT JOIN pg_init_privs i ON i.classoid = 'pg_namespace'::regclass AND i.objoid = n.oid AND i.objsubid = 0 WHERE n.nspname = ANY($2)
	), grants AS (
		SELECT class, oid, kind, owner, acl IS DISTINCT FROM initial OR more AS said, coalesce(acl, acldefault(kind, owner)) AS acl, part FROM object
		UNION ALL
		SELECT 'pg_class', a.attrelid, 'c', c.relowner, true, a.attacl, format(' (%I)', a.attname)
		FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE a.attrelid = ANY($1::oid[]) AND a.attacl IS NOT NULL AND NOT a.attisdropped
	)
	SELECT class, g.oid, said, CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END, x.grantee = owner,
		array_agg(x.privilege_type || part || CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
			|| CASE WHEN x.grantor = owner OR x.grantee = owner THEN '' ELSE ' GRANTED BY ' || quote_ident(pg_get_userbyid(x.grantor)) END),
		ARRAY(SELECT d.privilege_type FROM aclexplode(CASE WHEN kind <> 'c' THEN acldefault(kind, owner) END) d WHERE d.grantee = x.grantee)
	FROM grants g, LATERAL (SELECT * FROM aclexplode(g.acl) UNION ALL SELECT owner, owner, '', false) x
	WHERE said OR $3
	GROUP BY 1, 2, 3, 4, 5, 7, x.grantee, kind, owner`

// readPrivileges: facts privileges ("compared") and privileges of each grantee, of schemas, types, relations (with those of their columns) and
// routines: where the scope is of a declaration, of all with an ACL of their own; else of those that the scope names.
func (r *reader) readPrivileges() error {
	if !r.scope.Declaring && len(r.scope.Privileges) == 0 {
		return nil
	}
	if err := r.readDefaultPrivileges(); err != nil {
		return err
	}
	found := map[Key]map[string][]string{}
	err := r.each(aclSQL, []any{r.oids("rpvmS"), r.schemas, !r.scope.Declaring}, func(scan func(...any) error) error {
		var at ref
		var said, owner bool
		var grantee string
		var rights, builtin []string
		if err := scan(&at.class, &at.object, &said, &grantee, &owner, &rights, &builtin); err != nil {
			return err
		}
		k, ok := r.refs[at]
		if !ok {
			return nil
		}
		declared, named := r.asDeclared(k)
		if !r.scope.Declaring && !named || r.scope.Declaring && !said {
			return nil
		}
		if found[k] == nil {
			found[k] = map[string][]string{}
		}
		rights = slices.DeleteFunc(rights, func(s string) bool { return s == "" })
		if owner {
			rights = r.ofOwner(k, declared, grantee, rights, builtin)
		}
		if len(rights) > 0 {
			found[k][grantee] = append(found[k][grantee], rights...)
		}
		return nil
	})
	for k, grantees := range found {
		r.compare(k)
		o := r.objects[k].set(FactPrivileges, "compared")
		for grantee, rights := range grantees {
			slices.Sort(rights)
			o.set(PrefixPrivileges+grantee, strings.Join(slices.Compact(rights), ", "))
		}
	}
	return err
}

// ofOwner is what counts as given to the owner: what is declared of that role, if it has it. In a declaration the owner is whoever
// loads it; what that role denies itself cannot be declared.
func (r *reader) ofOwner(k Key, declared Privileges, owner string, rights, builtin []string) []string {
	if r.scope.Declaring {
		for _, right := range builtin {
			if !slices.Contains(rights, right) {
				r.unmanage("revoked right of the owner", strings.ToLower(right)+" on "+k.String(), "")
			}
		}
		return nil
	}
	for _, f := range declared.Facts {
		if f.Name != PrefixPrivileges+owner {
			continue
		}
		wanted := splitPrivileges(f.Value)
		lacks := slices.ContainsFunc(wanted, func(w string) bool {
			w = strings.TrimSuffix(w, " WITH GRANT OPTION")
			whole, _, _ := strings.Cut(w, " (")
			return !slices.Contains(rights, w) && !slices.Contains(rights, whole)
		})
		if !lacks {
			return wanted
		}
		return rights
	}
	return nil
}

// splitPrivileges splits a fact's value; column names are quoted by the server where they hold anything odd.
func splitPrivileges(value string) []string {
	var out []string
	start := 0
	for i := 0; i < len(value); i++ {
		switch {
		case value[i] == '"':
			i += opaque(value[i:]) - 1
		case strings.HasPrefix(value[i:], ", "):
			out, start = append(out, value[start:i]), i+2
		}
	}
	return append(out, value[start:])
}

// defaultACLSQL lists the default privileges of the managed schemas, and of all. Those of the session's own role are named as of nobody.
const defaultACLSQL = `
	SELECT pg_get_userbyid(d.defaclrole), coalesce(n.nspname, ''), CASE WHEN d.defaclrole = me.oid THEN '' ELSE quote_ident(pg_get_userbyid(d.defaclrole)) END,
		CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' ELSE 'LARGE OBJECTS' END,
		ARRAY(SELECT CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END || '=' ||
				string_agg(x.privilege_type || CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END, ', ' ORDER BY x.privilege_type COLLATE "C")
			FROM aclexplode(d.defaclacl) x WHERE x.grantee <> d.defaclrole GROUP BY x.grantee)
	FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace, (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user) me
	WHERE d.defaclnamespace = 0 OR n.nspname = ANY($1)`

// readDefaultPrivileges: facts privileges and privileges of each grantee.
func (r *reader) readDefaultPrivileges() error {
	return r.each(defaultACLSQL, []any{r.schemas}, func(scan func(...any) error) error {
		var name, schema, role, objects string
		var grants []string
		if err := scan(&name, &schema, &role, &objects, &grants); err != nil {
			return err
		}
		k := Key{Kind: DefaultPrivileges, Schema: schema, Name: DefaultPrivilegesName(role, objects)}
		for _, g := range grants {
			grantee, _ := cutGrant(g)
			r.defaultGrantees = append(r.defaultGrantees, grantee)
		}
		if _, named := r.asDeclared(k); !named && !r.scope.Declaring {
			return nil
		}
		o := &Object{Key: k}
		r.objects[k] = o
		where := ""
		if schema != "" {
			where = " in schema " + schema
		}
		r.compared["\x00of role "+name+where+" on "+strings.ToLower(objects)] = true
		o.set(FactPrivileges, "compared")
		if schema != "" {
			o.Needs = append(o.Needs, Key{Kind: Schema, Name: schema})
		}
		for _, g := range grants {
			grantee, rights := cutGrant(g)
			o.set(PrefixPrivileges+grantee, rights)
		}
		return nil
	})
}

// cutGrant splits grantee=rights; a quoted grantee may hold the sign.
func cutGrant(s string) (grantee, rights string) {
	if strings.HasPrefix(s, `"`) {
		n := opaque(s)
		return s[:n], s[n+1:]
	}
	grantee, rights, _ = strings.Cut(s, "=")
	return grantee, rights
}

// DefaultPrivilegesName is the name in the key of the default privileges of a role, quoted as the server does or empty for the session's own,
// on the objects that ALTER DEFAULT PRIVILEGES names so.
func DefaultPrivilegesName(role, objects string) string {
	if role == "" {
		return "on " + objects
	}
	return "of " + role + " on " + objects
}

// readRoles lists the roles that can be given privileges.
func (r *reader) readRoles() error {
	if len(r.scope.Privileges) == 0 {
		return nil
	}
	return r.each("SELECT quote_ident(rolname) FROM pg_roles ORDER BY 1", nil, func(scan func(...any) error) error {
		var role string
		err := scan(&role)
		r.roles = append(r.roles, role)
		return err
	})
}

// compare notes that the object's privileges are compared, by schema and name as readUnmanaged has them.
func (r *reader) compare(k Key) {
	name := k.Name
	switch {
	case k.Kind == Schema:
		name = "schema " + name
	case isRoutine(k.Kind):
		name = BareName(k) + arguments(k)
	}
	r.compared[k.Schema+"\x00"+name] = true
}

// ForeignPrivileges lists the ACLs of what the system or an extension made, one line each, sorted. No privileges on it are managed.
func ForeignPrivileges(ctx context.Context, q pg.Querier) ([]string, error) {
	one := func(class, acl, namespace, name string) string {
		return `SELECT format('%I.%I', n.nspname, x.` + name + `) || ' ' || x.` + acl + `::text FROM ` + class + ` x JOIN pg_namespace n ON n.oid = x.` + namespace + `
			WHERE x.` + acl + ` IS NOT NULL AND (n.nspname IN ('pg_catalog', 'information_schema') OR NOT ` + notMember(class, "x.oid") + `)`
	}
	rows, err := q.Query(ctx, one("pg_class", "relacl", "relnamespace", "relname")+" UNION "+one("pg_proc", "proacl", "pronamespace", "proname")+
		" UNION "+one("pg_type", "typacl", "typnamespace", "typname")+" ORDER BY 1", pgx.QueryExecModeExec)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
