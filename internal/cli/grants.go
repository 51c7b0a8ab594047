package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/pgtender/pgtender/checks"
	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/jobs/asyncio"
)

func (a *app) grantsCommand() *cobra.Command {
	var role string
	cmd := &cobra.Command{
		Use: "grants", GroupID: "keep", Short: "Print the SQL that gives a role exactly what this file's jobs need", Args: noArgs,
		Long: `Print the SQL that gives a role exactly what this file's jobs need; it changes nothing. Run what it prints as an
administrator, once the schema has been applied:

    pgtender grants --role tender | psql "$ADMIN_URL"

Without --role it is for the role that the connection string names, or for "pgtender" when that one is a superuser.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			env, err := a.load()
			if err != nil {
				return err
			}
			pool, err := a.open(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer pool.Close()
			lines, err := grants(cmd.Context(), pool, env, role)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.stdout, strings.Join(lines, "\n"))
			return err
		},
	}
	cmd.Flags().StringVar(&role, "role", "", "the role that the jobs run as (`name`)")
	return cmd
}

// grants lists the statements, each with the reason beside it. Objects that do not exist yet are
// named in a comment, never left out.
func grants(ctx context.Context, pool *pgxpool.Pool, env *config.Env, role string) ([]string, error) {
	server, err := pg.Preflight(ctx, pool)
	if err != nil {
		return nil, err
	}
	seen, err := lookForGrants(ctx, pool, role)
	if err != nil {
		return nil, err
	}
	if err := cover(ctx, pool, env, nil); err != nil {
		return nil, err
	}
	g := granter{role: pg.Ident(seen.Role)}
	g.add("-- What the jobs of %s need in database %q. Run it as an administrator.", orNone(env.File), server.Database)
	if !seen.Exists {
		g.add("CREATE ROLE %s LOGIN; -- it is not there yet; give it a password, or another way to log in", g.role)
	}
	g.add("GRANT CONNECT ON DATABASE %s TO %s;", pg.Ident(server.Database), g.role)
	if seen.SchemaOwner == "" {
		g.add("CREATE SCHEMA pgtender AUTHORIZATION %s; -- run ledger, journals", g.role)
	} else if !seen.OwnsSchema {
		g.add("GRANT USAGE, CREATE ON SCHEMA pgtender TO %s; -- run ledger, journals, copies of rows that leave a DEFAULT partition; it belongs to %s", g.role, pg.Ident(seen.SchemaOwner))
		g.add("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pgtender TO %s;", g.role)
	}
	owners, err := readOwners(ctx, pool, ownedTables(env))
	if err != nil {
		return nil, err
	}
	for _, schema := range env.Schemas {
		if g.makes(schema, owners, ownedTables(env)) {
			g.add("GRANT USAGE, CREATE ON SCHEMA %s TO %s; -- CREATE: new partitions", pg.Ident(schema), g.role)
		} else {
			g.add("GRANT USAGE ON SCHEMA %s TO %s;", pg.Ident(schema), g.role)
		}
	}
	g.add("GRANT pg_monitor TO %s; -- health checks%s: other users' sessions, settings, replication", g.role, forAuto(env))
	for _, line := range checks.ConfigFileGrants(seen.Role) {
		g.add("%s -- health check config_files", line)
	}
	for _, schema := range env.Schemas {
		g.add("GRANT SELECT ON ALL SEQUENCES IN SCHEMA %s TO %s; -- health check sequence_use", pg.Ident(schema), g.role)
	}

	if env.IO != nil && env.IO.Mode == config.IOApply {
		for _, line := range asyncio.Grants(g.role) {
			g.add("%s", line)
		}
	}

	g.addOwners(owners, ownedTables(env), seen.Partitions)
	if err := g.addRows(ctx, pool, env); err != nil {
		return nil, err
	}
	views, err := readOwners(ctx, pool, viewTables(env))
	if err != nil {
		return nil, err
	}
	if err := g.addTemporary(ctx, pool, views); err != nil {
		return nil, err
	}
	for _, view := range viewTables(env) {
		if _, ok := views[view]; ok {
			g.add("GRANT MAINTAIN ON TABLE %s TO %s; -- refresh", pg.Ident(view.Schema, view.Name), g.role)
		} else {
			g.add("-- %s does not exist yet: run `pgtender apply`, then `pgtender grants` again", view)
		}
	}
	if env.DevURL == "" {
		g.add("ALTER ROLE %s CREATEDB; -- apply, and drift until an apply was made with these sources: scratch databases; needless when env.dev names a server for them", g.role)
	}
	for _, job := range env.Jobs {
		g.add("-- job %q (%s): grant what its own SQL touches: %s", job.Name, job.Pos, oneLine(job.SQL))
	}
	for _, check := range env.Checks {
		g.add("-- check %q (%s): grant SELECT on what it reads: %s", check.Name, check.Pos, oneLine(check.SQL))
	}
	return g.lines, nil
}

// forGrants is what the statements depend on besides the owners of the policies' objects.
type forGrants struct {
	Role        string // asked for, or chosen
	Exists      bool
	SchemaOwner string // of the schema pgtender; "": it is not there
	OwnsSchema  bool   // the role, by itself or as a member of the owner
	Partitions  map[config.Table][]config.Table
}

func lookForGrants(ctx context.Context, q pg.Querier, role string) (forGrants, error) {
	seen := forGrants{Partitions: map[config.Table][]config.Table{}}
	err := q.QueryRow(ctx, `
		SELECT w.role, r.oid IS NOT NULL, coalesce(pg_get_userbyid(n.nspowner), ''), coalesce(pg_has_role(r.oid, n.nspowner, 'USAGE'), false)
		FROM (SELECT coalesce(nullif($1, ''), (SELECT CASE WHEN rolsuper THEN 'pgtender' ELSE rolname END FROM pg_roles WHERE rolname = current_user))) AS w (role)
		LEFT JOIN pg_roles r ON r.rolname = w.role LEFT JOIN pg_namespace n ON n.nspname = 'pgtender'`, role).
		Scan(&seen.Role, &seen.Exists, &seen.SchemaOwner, &seen.OwnsSchema)
	if err != nil {
		return seen, fmt.Errorf("look at role and schema pgtender: %w", err)
	}
	rows, err := q.Query(ctx, `
		SELECT pn.nspname, p.relname, cn.nspname, c.relname
		FROM pg_class p JOIN pg_namespace pn ON pn.oid = p.relnamespace
		CROSS JOIN LATERAL pg_partition_tree(p.oid) t JOIN pg_class c ON c.oid = t.relid JOIN pg_namespace cn ON cn.oid = c.relnamespace
		WHERE p.relkind = 'p' AND t.level > 0 ORDER BY 1, 2, 3, 4`)
	if err != nil {
		return seen, fmt.Errorf("read the partitions: %w", err)
	}
	var parent, child config.Table
	_, err = pgx.ForEachRow(rows, []any{&parent.Schema, &parent.Name, &child.Schema, &child.Name}, func() error {
		seen.Partitions[parent] = append(seen.Partitions[parent], child)
		return nil
	})
	if err != nil {
		return seen, fmt.Errorf("read the partitions: %w", err)
	}
	return seen, nil
}

type granter struct {
	role  string
	lines []string
}

func (g *granter) add(format string, args ...any) {
	g.lines = append(g.lines, fmt.Sprintf(format, args...))
}

// makes reports whether the role itself needs CREATE in the schema: for partitions of its own tables, or of such as become its own or are
// not there yet. Of other tables it becomes a member of the owner, who must have CREATE.
func (g *granter) makes(schema string, owners map[config.Table]owner, tables []config.Table) bool {
	return slices.ContainsFunc(tables, func(t config.Table) bool {
		o, ok := owners[t]
		return t.Schema == schema && (!ok || o.Super || pg.Ident(o.Name) == g.role)
	})
}

// addOwners makes the role a member of the tables' owners: PostgreSQL lets nobody else attach, detach or alter. Of a
// superuser it must not become a member: it would be one.
func (g *granter) addOwners(owners map[config.Table]owner, tables []config.Table, partitions map[config.Table][]config.Table) {
	byOwner := map[string][]string{}
	lacking := map[[2]string][]string{}
	for _, t := range tables {
		o, ok := owners[t]
		switch {
		case !ok:
			g.add("-- %s does not exist yet: run `pgtender apply`, then `pgtender grants` again", t)
		case pg.Ident(o.Name) == g.role:
		case o.Super:
			for _, each := range append([]config.Table{t}, partitions[t]...) {
				g.add("ALTER TABLE %s OWNER TO %s; -- it belongs to %s, a superuser; only an owner may attach and detach partitions",
					pg.Ident(each.Schema, each.Name), g.role, pg.Ident(o.Name))
			}
		default:
			byOwner[o.Name] = append(byOwner[o.Name], t.String())
			if !o.Creates {
				k := [2]string{t.Schema, o.Name}
				lacking[k] = append(lacking[k], t.String())
			}
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(lacking), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		g.add("GRANT CREATE ON SCHEMA %s TO %s; -- a new partition of %s is given to that owner, who must have CREATE for it", pg.Ident(k[0]), pg.Ident(k[1]), strings.Join(lacking[k], ", "))
	}
	for _, owner := range slices.Sorted(maps.Keys(byOwner)) {
		g.add("GRANT %s TO %s; -- the owner of %s: only an owner may attach and detach partitions",
			pg.Ident(owner), g.role, strings.Join(byOwner[owner], ", "))
	}
}

// addRows gives what moving single rows needs: of tables that are not partitioned, and sight of the tables that point to those whose rows wait
// for them.
func (g *granter) addRows(ctx context.Context, q pg.Querier, env *config.Env) error {
	var plain, waiting []config.Table
	for _, a := range env.Archives {
		if !a.Partitioned {
			plain = append(plain, a.Table, a.Into)
		}
		if a.Referenced == config.ReferencedWait {
			waiting = append(waiting, a.Table)
		}
	}
	there, err := readOwners(ctx, q, plain)
	if err != nil {
		return err
	}
	for _, a := range env.Archives {
		if a.Partitioned {
			continue
		}
		rights := "SELECT, INSERT, DELETE"
		if a.Referenced == config.ReferencedWait {
			rights = "SELECT, INSERT, UPDATE, DELETE" // UPDATE: to hold rows while looking who points to them
		}
		for _, t := range []struct {
			config.Table
			rights, why string
		}{{a.Table, rights, "rows move out of it, and back by `archive restore`"}, {a.Into, "SELECT, INSERT, DELETE", "its archive"}} {
			if _, ok := there[t.Table]; ok {
				g.add("GRANT %s ON TABLE %s TO %s; -- %s", t.rights, pg.Ident(t.Schema, t.Name), g.role, t.why)
			} else {
				g.add("-- %s does not exist yet: run `pgtender apply`, then `pgtender grants` again", t.Table)
			}
		}
	}
	pointing, err := readPointing(ctx, q, waiting)
	if err != nil {
		return err
	}
	for _, t := range pointing {
		g.add("GRANT SELECT ON TABLE %s TO %s; -- rows that it points to are not archived", pg.Ident(t.Schema, t.Name), g.role)
	}
	return nil
}

// addTemporary gives the views' owners what a concurrent refresh, which runs as they, makes its temporary table with.
func (g *granter) addTemporary(ctx context.Context, q pg.Querier, views map[config.Table]owner) error {
	var owners []string
	for _, o := range views {
		owners = append(owners, o.Name)
	}
	rows, err := q.Query(ctx, `SELECT rolname, current_database() FROM pg_roles
		WHERE rolname = ANY ($1) AND NOT has_database_privilege(oid, current_database(), 'TEMPORARY') ORDER BY 1`, owners)
	if err != nil {
		return fmt.Errorf("look what the views' owners may do: %w", err)
	}
	var name, database string
	_, err = pgx.ForEachRow(rows, []any{&name, &database}, func() error {
		g.add("GRANT TEMPORARY ON DATABASE %s TO %s; -- concurrent refreshes, which PostgreSQL runs as the view's owner", pg.Ident(database), pg.Ident(name))
		return nil
	})
	if err != nil {
		return fmt.Errorf("look what the views' owners may do: %w", err)
	}
	return nil
}

// readPointing lists the tables with foreign keys to the given ones.
func readPointing(ctx context.Context, q pg.Querier, tables []config.Table) ([]config.Table, error) {
	var schemas, names []string
	for _, t := range tables {
		schemas, names = append(schemas, t.Schema), append(names, t.Name)
	}
	rows, err := q.Query(ctx, `
		SELECT DISTINCT n.nspname, c.relname FROM unnest($1::text[], $2::text[]) AS w(nspname, relname)
		JOIN pg_namespace wn ON wn.nspname = w.nspname JOIN pg_class wc ON wc.relnamespace = wn.oid AND wc.relname = w.relname
		JOIN pg_constraint k ON (k.confrelid = wc.oid OR k.confrelid IN (SELECT relid FROM pg_partition_ancestors(wc.oid))) AND k.contype = 'f' AND k.conparentid = 0
		JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY 1, 2`, schemas, names)
	if err == nil {
		var list []config.Table
		list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[config.Table])
		if err == nil {
			return list, nil
		}
	}
	return nil, fmt.Errorf("read which tables point to archived ones: %w", err)
}

// ownedTables are the tables whose partitions the jobs make and move, sorted, each once.
func ownedTables(env *config.Env) []config.Table {
	var out []config.Table
	for _, p := range env.Partitions {
		out = append(out, p.Table)
	}
	for _, a := range env.Archives {
		if a.Partitioned {
			out = append(out, a.Table, a.Into)
		}
	}
	return sortTables(out)
}

// forAuto names the other use of pg_monitor, if any view has it.
func forAuto(env *config.Env) string {
	if slices.ContainsFunc(env.Views(), func(r config.Refresh) bool { return r.When == config.RefreshAuto }) {
		return `, and refreshes with when = "auto", which without it are never skipped`
	}
	return ""
}

func viewTables(env *config.Env) []config.Table {
	var out []config.Table
	for _, r := range env.Views() {
		out = append(out, r.View)
	}
	return sortTables(out)
}

func sortTables(tables []config.Table) []config.Table {
	slices.SortFunc(tables, func(a, b config.Table) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(tables)
}

type owner struct {
	Name    string
	Super   bool
	Creates bool // may make tables in its table's schema
}

// readOwners says who owns each table or view that exists.
func readOwners(ctx context.Context, q pg.Querier, tables []config.Table) (map[config.Table]owner, error) {
	var schemas, names []string
	for _, t := range tables {
		schemas, names = append(schemas, t.Schema), append(names, t.Name)
	}
	rows, err := q.Query(ctx, `
		SELECT n.nspname, c.relname, o.rolname, o.rolsuper, has_schema_privilege(o.oid, n.oid, 'CREATE')
		FROM unnest($1::text[], $2::text[]) AS w(nspname, relname)
		JOIN pg_namespace n ON n.nspname = w.nspname
		JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.relname
		JOIN pg_roles o ON o.oid = c.relowner`, schemas, names)
	if err != nil {
		return nil, fmt.Errorf("read the owners of the policies' tables: %w", err)
	}
	owners := map[config.Table]owner{}
	var t config.Table
	var o owner
	_, err = pgx.ForEachRow(rows, []any{&t.Schema, &t.Name, &o.Name, &o.Super, &o.Creates}, func() error {
		owners[t] = o
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the owners of the policies' tables: %w", err)
	}
	return owners, nil
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func orNone(file string) string {
	if file == "" {
		return "the given flags"
	}
	return file
}
