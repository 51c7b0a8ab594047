package checks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/devpg"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/internal/state"
)

// full is an env with every kind of policy, whose objects fill makes.
func full(t *testing.T) *config.Env {
	t.Helper()
	env := viewsEnv(t)
	env.Partitions = eventsEnv(t).Partitions
	env.Archives = []config.Archive{{Table: public("events"), Into: public("events_archive"), Partitioned: true, Interval: config.Day,
		After: interval(t, "30 days"), Schedule: schedule(t, "@daily")}}
	limit := 10.0
	env.Checks = []config.SQLCheck{{Name: "mine", SQL: "SELECT count(*) FROM public.mine", Warning: &limit}}
	return env
}

var fill = []string{eventsDDL, days(-2, 21), "CREATE TABLE public.events_rest PARTITION OF public.events DEFAULT", "CREATE TABLE public.mine ()",
	"CREATE MATERIALIZED VIEW public.mv AS SELECT 1 AS id", "CREATE UNIQUE INDEX ON public.mv (id)",
	"INSERT INTO pgtender.refresh_state (view_schema, view_name, view_oid, checked_at) VALUES ('public', 'mv', 'public.mv'::regclass, now())"}

func allChecks(t *testing.T, env *config.Env) []Check {
	t.Helper()
	all, err := All(env, Sources{Drift: func() Drift { return Drift{At: time.Now()} }})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestNoCheckBlocksOnLockedTables(t *testing.T) {
	b := newBench(t, fill...)
	b.exec(faulty...)
	_, end := b.session("DO $$ DECLARE t text; BEGIN FOR t IN SELECT c.oid::regclass FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') LOOP "+
		"EXECUTE 'LOCK TABLE ' || t || ' IN ACCESS EXCLUSIVE MODE'; END LOOP; END $$",
		"REFRESH MATERIALIZED VIEW public.mv", "ALTER INDEX public.mv_id_idx SET (fillfactor = 50)", "ALTER SEQUENCE public.small MAXVALUE 101")
	defer end()
	all := allChecks(t, full(t))
	results := NewCollector(Options{Pool: b.pool, Checks: all, Parallel: 1}).Once(t.Context())
	found := map[string]bool{}
	for _, r := range results { // they are answered while the locks are held
		if (r.Err != nil) != (r.Check == "mine") {
			t.Errorf("%s: %v", r.Check, r.Err)
		}
		found[r.Check] = slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Value > 0 })
	}
	if len(results) != len(all) || len(all) != len(config.BuiltinChecks())+1 { // and its own
		t.Errorf("%d results of %d checks; pgtender has %d", len(results), len(all), len(config.BuiltinChecks()))
	}
	for _, check := range []string{"invalid_index", "not_valid", "not_enforced", "foreign_key_index", "duplicate_index", "disabled_trigger", "unlogged_table",
		"sequence_use", "never_analyzed", "partition_gaps", "matview_populated"} {
		if !found[check] {
			t.Errorf("%s does not look at the locked table", check)
		}
	}
}

// faulty is a table with something for every check of tables to look at.
var faulty = []string{"CREATE TABLE public.other (id int PRIMARY KEY)", "CREATE SEQUENCE public.small MAXVALUE 100", "SELECT setval('public.small', 99)", "CREATE SEQUENCE public.near MAXVALUE 100", "SELECT setval('public.near', 99)",
	"CREATE UNLOGGED TABLE public.faulty (a int, b int CHECK (b > 0) NOT ENFORCED, c int REFERENCES public.other) WITH (autovacuum_enabled = off)",
	"INSERT INTO public.faulty (a) SELECT generate_series(1, 5000)", "VACUUM public.faulty", "ALTER TABLE public.faulty ADD CHECK (a > 0) NOT VALID",
	"CREATE INDEX one ON public.faulty (a)", "CREATE INDEX two ON public.faulty (a)", "CREATE INDEX broken ON public.faulty (b)",
	"UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'public.broken'::regclass",
	"CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'", "CREATE TRIGGER off BEFORE INSERT ON public.faulty EXECUTE FUNCTION public.f()",
	"ALTER TABLE public.faulty DISABLE TRIGGER off",
	"DO $$ BEGIN EXECUTE 'DROP TABLE ' || (SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'public.events'::regclass ORDER BY inhrelid OFFSET 5 LIMIT 1); END $$"}

// A name can hold anything: what is to be typed stays one word, in a shell and in SQL.
func TestRemediesQuoteNames(t *testing.T) {
	const odd = `we"ird 'na$me`
	statements := slices.Concat(fill, faulty, []string{"DROP MATERIALIZED VIEW public.mv", "CREATE MATERIALIZED VIEW public.mv AS SELECT 1 AS id WITH NO DATA",
		"TRUNCATE pgtender.refresh_state", "INSERT INTO public.events_rest (at) VALUES (now() + interval '300 days')",
		"INSERT INTO pgtender.run (job, target, trigger, started_at, finished_at, outcome, error) SELECT job, 'public.' || x, 'manual', now() - interval '9 days', now(), 'failure', 'no' " +
			"FROM unnest(ARRAY['archive', 'partition', 'refresh'], ARRAY['events', 'events', 'mv']) u (job, x)"})
	b := newBench(t, statements...)
	env := full(t)
	for _, name := range []string{"events", "mv", "faulty", "other", "small"} {
		kind := map[string]string{"mv": "MATERIALIZED VIEW", "small": "SEQUENCE"}[name]
		b.exec("ALTER " + cmp.Or(kind, "TABLE") + " " + pg.Ident("public", name) + " RENAME TO " + pg.Ident(name+odd))
		b.exec("UPDATE pgtender.run SET target = target || " + pg.Literal(odd) + " WHERE target = 'public." + name + "'")
	}
	env.Partitions[0].Table.Name += odd
	env.Archives[0].Table.Name += odd
	env.Archives[0].After = interval(t, "1 day")
	env.Refreshes[0].View.Name += odd
	env.Checks = nil
	remedies := 0
	for _, r := range NewCollector(Options{Pool: b.pool, Checks: allChecks(t, env)}).Once(t.Context()) {
		if r.Err != nil {
			t.Errorf("%s: %v", r.Check, r.Err)
		}
		for _, f := range r.Findings {
			for line := range strings.SplitSeq(f.Remedy, "\n") {
				rest := line
				for _, quoted := range []string{`we""ird 'na$me`, `we"ird '\''na$me`, `we"ird ''na$me`} {
					remedies += strings.Count(rest, quoted)
					rest = strings.ReplaceAll(rest, quoted, "")
				}
				if strings.Contains(rest, "ird ") {
					t.Errorf("%s: the name is not quoted in %q", r.Check, line)
				}
				if _, word, ok := strings.Cut(rest, " --table "); ok && !strings.HasPrefix(word, "'") {
					t.Errorf("%s: a shell takes it apart: %q", r.Check, line)
				}
			}
		}
	}
	if remedies < 8 {
		t.Errorf("only %d remedies name anything", remedies)
	}
}

func TestBundleSharesAReadingAndItsFailure(t *testing.T) {
	b := newBench(t, fill...)
	env := full(t)
	r := &readings{env: env}
	env.Archives = append(env.Archives, config.Archive{Table: public("rows"), Column: "at", After: interval(t, "1 year"), Schedule: schedule(t, "@daily")})
	b.exec("CREATE TABLE public.rows (at timestamptz)", "CREATE INDEX ON public.rows (at)")
	all := []Check{partitionRunway(r, defaults("partition_runway")), archiveLag(r, defaults("archive_lag")), partitionGaps(r), longTransaction(from(3600, 0))}
	c := NewCollector(Options{Pool: b.pool, Checks: all})
	for _, result := range c.Once(t.Context()) {
		if result.Err != nil || result.Status() != OK {
			t.Errorf("%+v", result)
		}
	}
	read := r.tx
	c.Once(t.Context())
	if r.tx == read {
		t.Error("a second round used the reading of the first")
	}
	_, end := b.session("LOCK TABLE pgtender.archived_partition")
	defer end()
	for _, result := range c.Once(t.Context()) {
		failed := result.Check == "archive_lag" || result.Check == "partition_gaps" // the one after it
		if (result.Err != nil) != failed {
			t.Errorf("%s: %v", result.Check, result.Err)
		}
		if result.Check == "partition_gaps" && !strings.Contains(result.Err.Error(), "check archive_lag, which is asked together with it, failed") {
			t.Errorf("%v", result.Err)
		}
	}
}

func TestDeadlineEndsACheck(t *testing.T) {
	b := newBench(t)
	slow := Check{Name: "slow", Every: time.Hour, Deadline: 200 * time.Millisecond, Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
		_, err := tx.Exec(ctx, "SET LOCAL statement_timeout = 0; SELECT pg_sleep(600)")
		return nil, err
	}}
	r := b.ask(slow)
	if r.Err == nil || !strings.Contains(r.Err.Error(), "no answer within 200ms") || r.Took > 3*time.Second || !r.At.IsZero() {
		t.Errorf("result: %+v", r)
	}
	slow.Run = func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
		_, err := tx.Exec(ctx, "SELECT pg_sleep(600)")
		return nil, err
	}
	if r := b.ask(slow); r.Err == nil || r.Took > 3*time.Second {
		t.Errorf("result: %+v", r)
	}
	odd := Check{Name: "odd", Memory: true, Deadline: time.Second, Run: func(context.Context, pgx.Tx) ([]Finding, error) { panic("odd") }}
	if r := b.ask(odd); r.Err == nil || !strings.Contains(r.Findings[0].Message, "check odd panicked: odd") {
		t.Errorf("a panic: %+v", r)
	}
	write := Check{Name: "write", Deadline: time.Second, Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
		_, err := tx.Exec(ctx, "CREATE TABLE public.nothing ()")
		return nil, err
	}}
	if r := b.ask(write); r.Err == nil || !strings.Contains(r.Err.Error(), "read-only transaction") {
		t.Errorf("a check wrote: %+v", r)
	}
	pgtest.Eventually(t, b.url, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database())")
}

func TestFailureDropsFindingsAndLetsTheAgeGrow(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zapcore.InfoLevel)
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	var fault error
	check := Check{Name: "one", Group: "g", Memory: true, Deadline: time.Second, Run: func(context.Context, pgx.Tx) ([]Finding, error) {
		return []Finding{{Object: "x", Value: 7}}, fault
	}}
	c := NewCollector(Options{Checks: []Check{check}, Now: func() time.Time { return now }, Log: zap.New(core)})
	if c.Ready() {
		t.Error("ready before the first try")
	}
	good := c.Once(t.Context())[0]
	if !c.Ready() || good.Findings[0].Value != 7 || !good.At.Equal(now) {
		t.Errorf("good: %+v", good)
	}
	now, fault = now.Add(time.Minute), errors.New("broken\nvery")
	for range 2 {
		bad := c.Once(t.Context())[0]
		if len(bad.Findings) != 1 || bad.Findings[0].Status != Unknown || bad.Findings[0].Object != "" || !bad.At.Equal(good.At) ||
			bad.Findings[0].Message != "the check failed: broken; very" {
			t.Errorf("bad: %+v", bad)
		}
	}
	fault = nil
	if again := c.Once(t.Context())[0]; again.Err != nil || !again.At.Equal(now) {
		t.Errorf("again: %+v", again)
	}
	var said []string
	for _, e := range logs.All() {
		said = append(said, e.Message)
	}
	if !slices.Equal(said, []string{"check fails", "check works again"}) {
		t.Errorf("the log says %q", said)
	}
}

// What was never there is no failure, and its coming no recovery; once it was there, its absence is one.
func TestWhatIsNotThereYetIsNoFailure(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	pool := pgtest.Pool(t, url)
	core, logs := observer.New(zapcore.InfoLevel)
	var drift Drift
	now := func() time.Time { return time.Unix(1e9, 0) }
	c := NewCollector(Options{Pool: pool, Log: zap.New(core), Checks: []Check{schemaApply(), archiveMissing(&config.Env{}), schemaDrift(now, func() Drift { return drift }, defaults("schema_drift"))}})
	for range 2 {
		for _, r := range c.Once(t.Context()) {
			f := r.Findings[0]
			if r.Check != "schema_drift" && (f.Status != Unknown || f.Message != "pgtender has not worked on this database yet" || f.Remedy != "pgtender run") {
				t.Errorf("%s: %+v", r.Check, f)
			}
		}
	}
	if err := state.Ensure(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	drift.At = now()
	for _, r := range c.Once(t.Context()) {
		if r.Err != nil {
			t.Errorf("%s: %v", r.Check, r.Err)
		}
	}
	if got := logs.All(); len(got) != 0 {
		t.Errorf("the log says %+v", got)
	}
	pgtest.Exec(t, url, "DROP SCHEMA pgtender CASCADE")
	c.Once(t.Context())
	if got := logs.FilterMessage("check fails").Len(); got != 2 {
		t.Errorf("%d failures in the log, want 2: %+v", got, logs.All())
	}
}

// That nothing is left running, TestMain sees.
func TestCollectorRunsInTheBackgroundAndStops(t *testing.T) {
	b := newBench(t)
	asked := make(chan string, 1000)
	var all []Check
	for i := range 4 {
		name := fmt.Sprint("c", i)
		all = append(all, Check{Name: name, Every: 10 * time.Millisecond, Deadline: time.Second, Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			_, err := tx.Exec(ctx, "SELECT 1")
			select {
			case asked <- name:
			default:
			}
			return nil, err
		}})
	}
	c := NewCollector(Options{Pool: b.pool, Checks: all})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	counts := map[string]int{}
	for slices.Min([]int{counts["c0"], counts["c1"], counts["c2"], counts["c3"]}) < 3 {
		counts[<-asked]++
	}
	if !c.Ready() || len(c.Results()) != 4 {
		t.Errorf("ready %v, results %+v", c.Ready(), c.Results())
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestNudgeBringsTheNextTryForward(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 100)
	check := func(name, group string) Check {
		return Check{Name: name, Group: group, Memory: true, Every: time.Hour, Deadline: time.Second, Run: func(context.Context, pgx.Tx) ([]Finding, error) {
			asked <- name
			return nil, nil
		}}
	}
	c := NewCollector(Options{Checks: []Check{check("a", "views"), check("b", "partitions")}})
	e := NewExporter(ExporterOptions{Collector: c})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	first := []string{<-asked, <-asked}
	slices.Sort(first)
	if !slices.Equal(first, []string{"a", "b"}) {
		t.Errorf("first round: %v", first)
	}
	e.Observe("refresh", "public.mv", "noop", time.Second) // changed nothing
	e.Observe("refresh", "public.mv", "success", time.Second)
	if name := <-asked; name != "a" {
		t.Errorf("after a refresh %s was asked", name)
	}
	e.Observe("archive", "public.events", "failure", time.Second)
	if name := <-asked; name != "b" {
		t.Errorf("after an archive run %s was asked", name)
	}
	e.Observe("drift", "", "success", time.Second)
	all := []string{<-asked, <-asked}
	slices.Sort(all)
	if !slices.Equal(all, []string{"a", "b"}) || len(asked) > 0 {
		t.Errorf("after an apply: %v and %d more", all, len(asked))
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestCollectorSurvivesTheServersStop(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t)
	b := &bench{t: t, url: server.URL("postgres")}
	b.pool = pgtest.Pool(t, b.url)
	all := []Check{ioSettings(), lockWaits(newWaiters(), from(60, 3600)), schemaDrift(time.Now, func() Drift { return Drift{At: time.Now()} }, defaults("schema_drift"))}
	for i := range all {
		all[i].Every = 20 * time.Millisecond
	}
	core, logs := observer.New(zapcore.InfoLevel)
	c := NewCollector(Options{Pool: b.pool, Checks: all, Log: zap.New(core)})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	until := func(what string, f func(r Result) bool) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			results := c.Results()
			if len(results) == len(all) && !slices.ContainsFunc(results, func(r Result) bool { return !f(r) }) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %+v", what, results)
			}
		}
	}
	until("all answer", func(r Result) bool { return r.Err == nil })
	if err := server.Down(t.Context(), devpg.Fast); err != nil {
		t.Fatal(err)
	}
	until("what needs the server fails", func(r Result) bool { return (r.Err != nil) == (r.Check != "schema_drift") })
	if err := server.Up(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	until("all answer again", func(r Result) bool { return r.Err == nil })
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for _, message := range []string{"the checks do not reach the server", "the checks reach the server again"} {
		if logs.FilterMessage(message).Len() == 0 {
			t.Errorf("the log does not say %q: %+v", message, logs.All())
		}
	}
	if away := logs.FilterMessage("check fails"); away.Len() > 0 {
		t.Errorf("the log speaks of single checks: %+v", away.All())
	}
}
