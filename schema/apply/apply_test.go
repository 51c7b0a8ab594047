package apply_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/schema/apply"
	"github.com/pgtender/pgtender/schema/catalog"
	"github.com/pgtender/pgtender/schema/plan"
)

func TestStalePlanChangesNothing(t *testing.T) {
	t.Parallel()
	d := open(t, "CREATE TABLE t (a int)", "CREATE TABLE t (a int, b int)")
	p := d.plan(t)
	exec(t, d.conn, "ALTER TABLE t ADD COLUMN c int")
	before := d.snapshot(t).Fingerprint()
	_, err := apply.Run(t.Context(), d.options(p))
	var stale *apply.StaleError
	if !errors.As(err, &stale) || stale.Sources {
		t.Fatalf("no StaleError but %v", err)
	}
	if d.snapshot(t).Fingerprint() != before {
		t.Error("the database was changed")
	}
}

func TestPlanOfOtherSourcesIsStale(t *testing.T) {
	t.Parallel()
	d := open(t, "CREATE TABLE t (a int)", "CREATE TABLE t (a int, b int)")
	o := d.options(d.plan(t))
	o.Declared = declare(t, "CREATE TABLE t (a int, c int)", d.scope)
	_, err := apply.Run(t.Context(), o)
	var stale *apply.StaleError
	if !errors.As(err, &stale) || !stale.Sources {
		t.Fatalf("no StaleError but %v", err)
	}
}

func TestAppliedPlanIsDoneAlready(t *testing.T) {
	t.Parallel()
	d := open(t, "", "CREATE TABLE t (a int)")
	p := d.plan(t)
	if report, err := apply.Run(t.Context(), d.options(p)); err != nil || report.Ran != 1 || report.Already {
		t.Fatalf("%+v, %v", report, err)
	}
	if report, err := apply.Run(t.Context(), d.options(p)); err != nil || report.Ran != 0 || !report.Already {
		t.Fatalf("again: %+v, %v", report, err)
	}
}

func TestHazardRefusalChangesNothing(t *testing.T) {
	t.Parallel()
	d := open(t, "CREATE TABLE t (a int, b int); CREATE TABLE u (n int); CREATE TABLE gone (a int)",
		"CREATE TABLE t (a int); CREATE TABLE u (n bigint); CREATE TABLE fresh (a int)")
	before := d.snapshot(t).Fingerprint()
	o := d.options(d.plan(t))
	o.AllowHazards = []plan.HazardName{plan.BreaksCode}
	_, err := apply.Run(t.Context(), o)
	var hazard *apply.HazardError
	if !errors.As(err, &hazard) {
		t.Fatalf("no HazardError but %v", err)
	}
	for _, want := range []string{"--allow-hazards data_loss,rewrite,breaks_code", "column public.t.b", "table public.gone", "Nothing was changed"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in the message:\n%v", want, err)
		}
	}
	if d.snapshot(t).Fingerprint() != before {
		t.Error("the schema was changed")
	}
	if value[bool](t, d.conn, "SELECT to_regnamespace('pgtender') IS NOT NULL") {
		t.Error("the schema pgtender was made")
	}
}

func TestSafeOnlyLeavesHazardsAndWhatHangsOnThem(t *testing.T) {
	t.Parallel()
	const old = `CREATE TABLE t (a int, gone int); CREATE VIEW v AS SELECT a FROM t; CREATE INDEX extra ON t (gone);
		CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'`
	const new = `CREATE TABLE t (a bigint, b int); CREATE VIEW v AS SELECT a FROM t; CREATE INDEX t_b ON t (b);
		CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2'`
	d := open(t, old, new)
	o := d.options(d.plan(t))
	o.AllowHazards, o.SafeOnly = nil, true
	report, err := apply.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]bool{}
	for _, s := range report.Left {
		left[s.Object.String()] = true
	}
	// v is dropped and made again only around the change of t.a, which is a rewrite.
	for _, object := range []string{"column public.t.a", "column public.t.gone", "view public.v"} {
		if !left[object] {
			t.Errorf("%s was not left: %v", object, left)
		}
	}
	if len(left) != 3 || report.Ran != 3 {
		t.Errorf("ran %d, left %v", report.Ran, left)
	}
	want := declare(t, `CREATE TABLE t (a int, gone int, b int); CREATE VIEW v AS SELECT a FROM t; CREATE INDEX extra ON t (gone); CREATE INDEX t_b ON t (b);
		CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2'`, d.scope)
	if diff := catalog.Diff(d.snapshot(t), want); len(diff) > 0 {
		t.Errorf("differs from what is safe: %v", diff)
	}
}

// A plan that forgets something, or that somebody undoes while it runs, must not end well.
func TestRemainingDifferenceIsAnError(t *testing.T) {
	t.Parallel()
	d := open(t, "CREATE TABLE t (a int)", "CREATE TABLE t (a int, b int); CREATE INDEX i ON t (a)")
	p := d.plan(t)
	p.Statements = p.Statements[:1]
	_, err := apply.Run(t.Context(), d.options(p))
	var verify *apply.VerifyError
	if !errors.As(err, &verify) || len(verify.Differences) != 1 || !strings.Contains(err.Error(), "index public.t.i: missing") {
		t.Fatalf("no VerifyError but %v", err)
	}
	if state := value[string](t, d.conn, "SELECT state FROM pgtender.applied_plan"); state != "failed" {
		t.Errorf("journal: %s", state)
	}
	if _, err := apply.Run(t.Context(), d.options(d.plan(t))); err != nil {
		t.Fatal(err)
	}
	d.mustEqual(t)
}

func TestJournal(t *testing.T) {
	t.Parallel()
	d := open(t, "CREATE TABLE t (a int)", "CREATE TABLE t (a int, b int); CREATE INDEX i ON t (a)")
	if _, err := apply.Run(t.Context(), d.options(d.plan(t))); err != nil {
		t.Fatal(err)
	}
	exec(t, d.conn, "UPDATE pgtender.applied_plan SET state = 'running', finished_at = NULL; DROP INDEX i") // as if it was killed
	p := d.plan(t)
	resumed := false
	o := d.options(p)
	o.Progress = func(e apply.Event) { resumed = resumed || e.Kind == apply.Resumed }
	if _, err := apply.Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if !resumed {
		t.Error("nobody was told that a plan was killed")
	}
	if got := value[string](t, d.conn, "SELECT string_agg(state, ',' ORDER BY id) FROM pgtender.applied_plan"); got != "abandoned,done" {
		t.Errorf("plans: %s", got)
	}
	if got := value[string](t, d.conn, `SELECT string_agg(format('%s %s %s', position, state, attempts), ',' ORDER BY plan_id, position) FROM pgtender.applied_statement`); got != "1 done 1,2 done 1,1 done 1" {
		t.Errorf("statements: %s", got)
	}
	if got := value[string](t, d.conn, "SELECT hash FROM pgtender.applied_plan ORDER BY id DESC LIMIT 1"); got != p.Hash() {
		t.Errorf("hash %s, plan has %s", got, p.Hash())
	}
}

// A plan that was killed after its last statement is not going on for ever.
func TestConcludeCompletesKilledPlans(t *testing.T) {
	t.Parallel()
	d := open(t, "CREATE TABLE t (a int);", "CREATE TABLE t (a int, b int);")
	if err := apply.Conclude(t.Context(), d.conn, "anything"); err != nil {
		t.Errorf("without a journal: %v", err)
	}
	p := d.plan(t)
	if _, err := apply.Run(t.Context(), d.options(p)); err != nil {
		t.Fatal(err)
	}
	journal := func() string {
		return value[string](t, d.conn, "SELECT concat_ws(' ', state, finished_at IS NOT NULL, error) FROM pgtender.applied_plan")
	}
	for fingerprint, want := range map[string]string{p.To: "done t", "another": "abandoned t it was killed; what it had not done was done otherwise, or is no longer declared"} {
		exec(t, d.conn, "UPDATE pgtender.applied_plan SET state = 'running', finished_at = NULL, error = NULL")
		other := pgtest.Session(t, d.url)
		if got := value[bool](t, other, fmt.Sprintf("SELECT pg_try_advisory_lock(%d)", pg.LockKey("apply"))); !got {
			t.Fatal("no lock")
		}
		if err := apply.Conclude(t.Context(), d.conn, fingerprint); err != nil || journal() != "running f" {
			t.Errorf("while another works: %s, %v", journal(), err)
		}
		exec(t, other, fmt.Sprintf("SELECT pg_advisory_unlock(%d)", pg.LockKey("apply")))
		if err := apply.Conclude(t.Context(), d.conn, fingerprint); err != nil || journal() != want {
			t.Errorf("%s, %v; want %s", journal(), err, want)
		}
	}
}

func TestFailureTellsWhatWasDone(t *testing.T) {
	t.Parallel()
	d := open(t, "CREATE TABLE t (a int, b int); INSERT INTO t VALUES (-1, 1), (-1, 2)", "CREATE TABLE t (a int CHECK (a > 0), b int, c int); CREATE UNIQUE INDEX i ON t (a)")
	p := d.plan(t)
	_, err := apply.Run(t.Context(), d.options(p))
	var partial *apply.PartialError
	if !errors.As(err, &partial) || pg.Code(err) != "23514" && pg.Code(err) != "23505" {
		t.Fatalf("no PartialError but %v", err)
	}
	for i, s := range p.Statements {
		if partial.Done[i] != (s.Tx == 1) {
			t.Errorf("statement %d (%s) done: %v", i+1, s.SQL, partial.Done[i])
		}
	}
	exec(t, d.conn, "UPDATE t SET a = b")
	if _, err := apply.Run(t.Context(), d.options(d.plan(t))); err != nil {
		t.Fatal(err)
	}
	d.mustEqual(t)
}

// An index build that fails leaves an invalid index, which the next run clears away.
func TestInvalidIndexIsRebuilt(t *testing.T) {
	t.Parallel()
	d := open(t, "CREATE TABLE t (a int); INSERT INTO t VALUES (1), (1)", "CREATE TABLE t (a int); CREATE UNIQUE INDEX i ON t (a)")
	if _, err := apply.Run(t.Context(), d.options(d.plan(t))); pg.Code(err) != "23505" {
		t.Fatalf("no violation but %v", err)
	}
	if value[bool](t, d.conn, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'public.i'::regclass") {
		t.Fatal("the index is valid")
	}
	exec(t, d.conn, "DELETE FROM t WHERE ctid = '(0,1)'")
	if _, err := apply.Run(t.Context(), d.options(d.plan(t))); err != nil {
		t.Fatal(err)
	}
	d.mustEqual(t)
}

// Partitions that a policy makes between plan and apply are no reason to refuse the plan, and get the index too.
func TestPartitionsAppear(t *testing.T) {
	t.Parallel()
	const old = "CREATE TABLE r (a int, at date) PARTITION BY RANGE (at); CREATE TABLE r_1 PARTITION OF r FOR VALUES FROM ('2024-01-01') TO ('2024-02-01')"
	d := open(t, old, "CREATE TABLE r (a int, at date) PARTITION BY RANGE (at); CREATE INDEX i ON r (a)")
	d.scope.Policies = []catalog.Key{catalog.TableKey("public", "r")}
	p := d.plan(t)
	exec(t, d.conn, "CREATE TABLE r_2 PARTITION OF r FOR VALUES FROM ('2024-02-01') TO ('2024-03-01')")
	o := d.options(p)
	remade := false
	o.Progress = func(e apply.Event) {
		remade = remade || e.Kind == apply.Remade
		if e.Kind == apply.Begun && e.Index == 1 { // behind the parent's own index
			exec(t, d.conn, "CREATE TABLE r_3 PARTITION OF r FOR VALUES FROM ('2024-03-01') TO ('2024-04-01')")
		}
	}
	if _, err := apply.Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if !remade {
		t.Error("the plan was not made again")
	}
	d.mustEqual(t)
	if n := value[int](t, d.conn, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'public.i'::regclass"); n != 3 {
		t.Errorf("%d partitions have the index", n)
	}
}

// What a killed run has built on a partition is found and used, not built again.
func TestBuiltPartitionIndexIsUsed(t *testing.T) {
	t.Parallel()
	d := open(t, "CREATE TABLE r (a int, at date) PARTITION BY RANGE (at); CREATE TABLE r_1 PARTITION OF r FOR VALUES FROM ('2024-01-01') TO ('2024-02-01')",
		"CREATE TABLE r (a int, at date) PARTITION BY RANGE (at); CREATE INDEX i ON r (a)")
	d.scope.Policies = []catalog.Key{catalog.TableKey("public", "r")}
	p := d.plan(t)
	for _, s := range p.Statements {
		if s.OutsideTx {
			exec(t, d.conn, strings.Replace(s.SQL, "CONCURRENTLY ", "", 1))
		}
	}
	skipped := false
	o := d.options(p)
	o.Progress = func(e apply.Event) { skipped = skipped || e.Kind == apply.Skipped }
	if _, err := apply.Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if !skipped {
		t.Error("the index was built again")
	}
	d.mustEqual(t)
}
