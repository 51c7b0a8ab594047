package refresh

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
)

// standsOnSQL gives the pairs (view, ancestor) among the named views, through plain views and other materialised views, and
// whether the ancestor is populated.
const standsOnSQL = `
WITH RECURSIVE named AS (
  SELECT c.oid, n.nspname, c.relname, c.relispopulated
    FROM unnest($1::text[], $2::text[]) AS w (nspname, relname)
    JOIN pg_namespace n ON n.nspname = w.nspname
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.relname AND c.relkind = 'm'
), stands_on (root, oid) AS (
  SELECT oid, oid FROM named
  UNION
  SELECT s.root, d.refobjid
    FROM stands_on s
    JOIN pg_rewrite r ON r.ev_class = s.oid
    JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                    AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class
)
SELECT c.nspname, c.relname, p.nspname, p.relname, p.relispopulated
  FROM stands_on s JOIN named c ON c.oid = s.root JOIN named p ON p.oid = s.oid
 WHERE s.root <> s.oid
 ORDER BY 1, 2, 3, 4`

// family is how views of policies stand on each other.
type family struct {
	ancestors map[config.Table][]config.Table // all of them, not only the nearest
	empty     map[config.Table]bool           // ancestors that were never populated
}

func readFamily(ctx context.Context, db pg.Querier, views []config.Table) (family, error) {
	schemas, names := make([]string, len(views)), make([]string, len(views))
	for i, v := range views {
		schemas[i], names[i] = v.Schema, v.Name
	}
	f := family{map[config.Table][]config.Table{}, map[config.Table]bool{}}
	rows, err := db.Query(ctx, standsOnSQL, schemas, names)
	if err == nil {
		var child, parent config.Table
		var populated bool
		_, err = pgx.ForEachRow(rows, []any{&child.Schema, &child.Name, &parent.Schema, &parent.Name, &populated}, func() error {
			f.ancestors[child] = append(f.ancestors[child], parent)
			f.empty[parent] = !populated
			return nil
		})
	}
	if err != nil {
		return family{}, fmt.Errorf("read which materialised views stand on which: %w", err)
	}
	return f, nil
}

// depth is how many views of policies lie below v, along the longest chain. PostgreSQL allows no cycle.
func (f family) depth(v config.Table) int {
	d := 0
	for _, a := range f.ancestors[v] {
		d = max(d, f.depth(a)+1)
	}
	return d
}

// unfilled are the ancestors of v that were never populated, those below first.
func (f family) unfilled(v config.Table) []config.Table {
	out := slices.DeleteFunc(slices.Clone(f.ancestors[v]), func(a config.Table) bool { return !f.empty[a] })
	slices.SortStableFunc(out, func(a, b config.Table) int { return f.depth(a) - f.depth(b) })
	return out
}

// Depths says for each view of a refresh policy how many views of policies lie below it, along the longest chain. Views
// that do not exist have none.
func Depths(ctx context.Context, db pg.Querier, env *config.Env) (map[config.Table]int, error) {
	views := viewsOf(env)
	f, err := readFamily(ctx, db, views)
	if err != nil {
		return nil, err
	}
	depths := map[config.Table]int{}
	for _, v := range views {
		depths[v] = f.depth(v)
	}
	return depths, nil
}

func viewsOf(env *config.Env) []config.Table {
	views := make([]config.Table, len(env.Views()))
	for i, policy := range env.Views() {
		views[i] = policy.View
	}
	return views
}
