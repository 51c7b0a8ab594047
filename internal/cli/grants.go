package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
)

func (a *app) grantsCommand() *cobra.Command {
	var role string
	cmd := &cobra.Command{
		Use: "grants", GroupID: "keep", Short: "Print the SQL that gives a role exactly what this file's jobs need", Args: noArgs,
		Long: `Print the SQL that gives a role exactly what this file's jobs need; it changes nothing. Run what it prints as an
administrator, once the schema has been applied:

    pgtender grants --role tender | psql "$ADMIN_URL"`,
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
	cmd.Flags().StringVar(&role, "role", "pgtender", "the role that the jobs run as (`name`)")
	return cmd
}

// grants lists the statements, each with the reason beside it. Objects that do not exist yet are
// named in a comment, never left out.
func grants(ctx context.Context, pool *pgxpool.Pool, env *config.Env, role string) ([]string, error) {
	server, err := pg.Preflight(ctx, pool)
	if err != nil {
		return nil, err
	}
	g := granter{role: pg.Ident(role)}
	g.add("-- What the jobs of %s need in database %q. Run it as an administrator.", orNone(env.File), server.Database)
	g.add("GRANT CONNECT, TEMPORARY ON DATABASE %s TO %s; -- TEMPORARY: concurrent refreshes", pg.Ident(server.Database), g.role)
	g.add("CREATE SCHEMA IF NOT EXISTS pgtender AUTHORIZATION %s; -- run ledger, journals", g.role)
	for _, schema := range env.Schemas {
		g.add("GRANT USAGE, CREATE ON SCHEMA %s TO %s; -- CREATE: new partitions", pg.Ident(schema), g.role)
	}
	g.add("GRANT pg_monitor TO %s; -- health checks: other users' sessions, settings, replication", g.role)

	owners, err := readOwners(ctx, pool, ownedTables(env))
	if err != nil {
		return nil, err
	}
	g.addOwners(owners, ownedTables(env))
	views, err := readOwners(ctx, pool, viewTables(env))
	if err != nil {
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
		g.add("ALTER ROLE %s CREATEDB; -- drift and apply: scratch databases; needless when env.dev names a server for them", g.role)
	}
	for _, job := range env.Jobs {
		g.add("-- job %q (%s): grant what its own SQL touches: %s", job.Name, job.Pos, oneLine(job.SQL))
	}
	for _, check := range env.Checks {
		g.add("-- check %q (%s): grant SELECT on what it reads: %s", check.Name, check.Pos, oneLine(check.SQL))
	}
	return g.lines, nil
}

type granter struct {
	role  string
	lines []string
}

func (g *granter) add(format string, args ...any) {
	g.lines = append(g.lines, fmt.Sprintf(format, args...))
}

// addOwners makes the role a member of the tables' owners: PostgreSQL lets nobody else attach, detach or alter.
func (g *granter) addOwners(owners map[config.Table]string, tables []config.Table) {
	byOwner := map[string][]string{}
	for _, t := range tables {
		if owner, ok := owners[t]; ok {
			byOwner[owner] = append(byOwner[owner], t.String())
		} else {
			g.add("-- %s does not exist yet: run `pgtender apply`, then `pgtender grants` again", t)
		}
	}
	var names []string
	for owner := range byOwner {
		names = append(names, owner)
	}
	slices.Sort(names)
	for _, owner := range names {
		if pg.Ident(owner) == g.role {
			continue
		}
		g.add("GRANT %s TO %s; -- the owner of %s: only an owner may attach and detach partitions",
			pg.Ident(owner), g.role, strings.Join(byOwner[owner], ", "))
	}
}

// ownedTables are the tables whose partitions the jobs make and move, sorted, each once.
func ownedTables(env *config.Env) []config.Table {
	var out []config.Table
	for _, p := range env.Partitions {
		out = append(out, p.Table)
	}
	for _, a := range env.Archives {
		out = append(out, a.Table, a.Into)
	}
	return sortTables(out)
}

func viewTables(env *config.Env) []config.Table {
	var out []config.Table
	for _, r := range env.Refreshes {
		out = append(out, r.View)
	}
	return sortTables(out)
}

func sortTables(tables []config.Table) []config.Table {
	slices.SortFunc(tables, func(a, b config.Table) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(tables)
}

// readOwners says who owns each table or view that exists.
func readOwners(ctx context.Context, q pg.Querier, tables []config.Table) (map[config.Table]string, error) {
	var schemas, names []string
	for _, t := range tables {
		schemas, names = append(schemas, t.Schema), append(names, t.Name)
	}
	rows, err := q.Query(ctx, `
		SELECT n.nspname, c.relname, pg_get_userbyid(c.relowner)
		FROM unnest($1::text[], $2::text[]) AS w(nspname, relname)
		JOIN pg_namespace n ON n.nspname = w.nspname
		JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.relname`, schemas, names)
	if err != nil {
		return nil, fmt.Errorf("read the owners of the policies' tables: %w", err)
	}
	owners := map[config.Table]string{}
	var t config.Table
	var owner string
	_, err = pgx.ForEachRow(rows, []any{&t.Schema, &t.Name, &owner}, func() error {
		owners[t] = owner
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
