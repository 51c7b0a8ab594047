package plan_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/schema/plan"
)

// TestClaims observes the plans that TestCases does not: of cases without a way back, and of those that take partitions in.
func TestClaims(t *testing.T) {
	t.Parallel()
	lab := newBenches(t)
	for _, dir := range caseDirs(t) {
		if !sampled(dir) {
			continue
		}
		oneway := exists(filepath.Join(dir, "oneway"))
		old, err := os.ReadFile(filepath.Join(dir, "old.sql"))
		if err != nil {
			t.Fatal(err)
		}
		if !oneway && !strings.Contains(string(old), "PARTITION OF") {
			continue
		}
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			c := openCase(t, dir, lab)
			if p := c.plan(t, c.live, c.declared); oneway || len(p.Partitions) > 0 {
				c.observe(t, p)
			}
		})
	}
}

// observe runs each statement of the plan in a transaction of its own and holds what the plan says of it against what
// the server does: the strongest lock on a relation that was there before, and whether a table is written again.
func (c *testCase) observe(t *testing.T, p *plan.Plan) {
	t.Helper()
	if _, err := c.db.Exec(t.Context(), `SET check_function_bodies = off; CREATE TEMP TABLE before AS
		SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name, c.relkind, pg_relation_filenode(c.oid) AS node FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema', 'pgtender')`); err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Statements {
		if s.OutsideTx {
			if _, err := c.db.Exec(t.Context(), s.SQL); err != nil {
				t.Fatalf("%s: %v", s.SQL, err)
			}
		} else {
			observe(t, c, s)
		}
		// An index that a statement built anew is another one under the same name; one that it dropped is gone, and what bears its name later is new.
		if _, err := c.db.Exec(t.Context(), `DELETE FROM before WHERE relkind = 'i' AND to_regclass(name) IS NULL AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = before.oid);
			UPDATE before b SET oid = to_regclass(name) WHERE relkind = 'i' AND to_regclass(name) IS NOT NULL AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = b.oid);
			UPDATE before b SET name = format('%I.%I', c.relnamespace::regnamespace, c.relname), node = pg_relation_filenode(c.oid) FROM pg_class c WHERE c.oid = b.oid`); err != nil {
			t.Fatal(err)
		}
	}
}

// The lock modes from weak to strong; those before SHARE UPDATE EXCLUSIVE hinder nobody but DDL and are not told.
var modes = []string{"AccessShareLock", "RowShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock", "ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"}

func observe(t *testing.T, c *testCase, s plan.Statement) {
	t.Helper()
	var strongest, rewritten, rebuilt []string
	err := pgx.BeginFunc(t.Context(), c.db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), s.SQL); err != nil {
			return err
		}
		return tx.QueryRow(t.Context(), `SELECT
			coalesce((SELECT array_agg(DISTINCT mode) FROM pg_locks JOIN before ON relation = oid WHERE pid = pg_backend_pid() AND locktype = 'relation' AND granted), '{}'),
			coalesce((SELECT array_agg(c.oid::regclass::text) FROM before b JOIN pg_class c ON c.oid = b.oid WHERE b.relkind IN ('r', 'm') AND pg_relation_filenode(c.oid) <> node), '{}'),
			coalesce((SELECT array_agg(c.oid::regclass::text) FROM before b JOIN pg_class c ON c.oid = to_regclass(b.name) WHERE b.relkind = 'i' AND pg_relation_filenode(c.oid) <> node), '{}')`).
			Scan(&strongest, &rewritten, &rebuilt)
	})
	if err != nil {
		t.Fatalf("%s: %v", s.SQL, err)
	}
	at := -1
	for _, m := range strongest {
		at = max(at, slices.Index(modes, m))
	}
	claimed, object, _ := strings.Cut(s.Lock, " on ")
	got := "none"
	if at >= slices.Index(modes, "ShareUpdateExclusiveLock") {
		got = words(modes[at])
	}
	if claimed == "ACCESS SHARE" || strings.HasPrefix(s.SQL, "ALTER INDEX ") && strings.Contains(s.SQL, " ATTACH PARTITION ") { // the index is new, though in use already
		claimed = "none"
	}
	if index, ok := strings.CutPrefix(object, "index "); ok && got == "none" { // what the plan has made nobody waits for
		known := false
		if err := c.db.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM before WHERE name = $1)", index).Scan(&known); err != nil {
			t.Fatal(err)
		}
		if !known {
			claimed = "none"
		}
	}
	if got != claimed {
		t.Errorf("%s\n claims %q, takes %q", s.SQL, s.Lock, got)
	}
	hazard := func(name plan.HazardName) bool {
		return slices.ContainsFunc(s.Hazards, func(h plan.Hazard) bool { return h.Name == name })
	}
	if strings.Contains(s.SQL, " USING INDEX ") { // it was built by an earlier statement, and takes the name of the one before it
		rebuilt = nil
	}
	if len(rebuilt) > 0 && !hazard(plan.Rewrite) && !hazard(plan.LongLock) {
		t.Errorf("%s\n builds %v anew and does not say so", s.SQL, rebuilt)
	}
	says := hazard(plan.Rewrite)
	if says != (len(rewritten) > 0) {
		t.Errorf("%s\n claims to rewrite: %v, rewrote: %v", s.SQL, says, rewritten)
	}
}

// words turns AccessExclusiveLock into ACCESS EXCLUSIVE.
func words(mode string) string {
	var out strings.Builder
	for i, r := range strings.TrimSuffix(mode, "Lock") {
		if r >= 'A' && r <= 'Z' && i > 0 {
			out.WriteByte(' ')
		}
		out.WriteRune(r)
	}
	return strings.ToUpper(out.String())
}
