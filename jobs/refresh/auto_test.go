package refresh

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/robfig/cron/v3"
	"golang.org/x/sync/errgroup"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/jobs"
)

func auto(view string) config.Refresh {
	p := policy(view)
	p.When = config.RefreshAuto
	return p
}

// refreshed runs and wants a refresh whose reason contains the text.
func (b *bench) refreshed(p config.Refresh, because string) jobs.Result {
	b.t.Helper()
	r := b.must(p)
	if r.Outcome == jobs.Skipped || !strings.Contains(r.Summary, "not skipped, because ") || !strings.Contains(r.Summary, because) {
		b.t.Errorf("%s: %s\nwant a refresh because: %s", r.Outcome, r.Summary, because)
	}
	return r
}

func (b *bench) skipped(p config.Refresh) {
	b.t.Helper()
	if r := b.must(p); r.Outcome != jobs.Skipped || !strings.Contains(r.Summary, "nothing that it reads has changed") {
		b.t.Errorf("%s: %s\nwant it skipped", r.Outcome, r.Summary)
	}
}

func TestUnchangedIsSkipped(t *testing.T) {
	b := newBench(t, things, "CREATE UNIQUE INDEX ON public.mv (id)")
	b.refreshed(auto("mv"), "pgtender has not refreshed it yet")
	b.skipped(auto("mv"))
	if got := b.one("SELECT (checked_at > refreshed_at AND run_id = 7 AND fingerprint IS NOT NULL AND counted_at IS NOT NULL)::text FROM pgtender.refresh_state"); got != "true" {
		t.Errorf("refresh_state: %s", got)
	}
	if got := b.one("SELECT string_agg(outcome, ' ' ORDER BY id) FROM pgtender.run"); got != "noop skipped" {
		t.Errorf("ledger: %s", got)
	}
	b.exec("INSERT INTO public.things VALUES (1000, 'x'), (1001, 'x'); UPDATE public.things SET v = 'y' WHERE id = 1")
	b.refreshed(auto("mv"), "public.things was written (rows: 2 inserted, 1 updated)")
	b.skipped(auto("mv"))
	b.exec("BEGIN; DELETE FROM public.things; ROLLBACK")
	b.refreshed(auto("mv"), "102 deleted") // counted though rolled back; needless, and harmless
	if r := b.must(policy("mv")); r.Outcome != jobs.Noop {
		t.Errorf("always: %+v", r)
	}
	b.refreshed(auto("mv"), "what it was made of was not noted") // by always
}

// Views with one schedule are looked at in the same instant. None of the runs takes the others for writers.
func TestViewsDueTogetherAreSkipped(t *testing.T) {
	views := []string{"mv", "mv2", "mv3"}
	b := newBench(t, things, "CREATE UNIQUE INDEX ON public.mv (id)", "CREATE MATERIALIZED VIEW public.mv2 AS SELECT id FROM public.things",
		"CREATE MATERIALIZED VIEW public.mv3 AS SELECT v, count(*) FROM public.things GROUP BY v", "CREATE UNIQUE INDEX ON public.mv2 (id)", "CREATE UNIQUE INDEX ON public.mv3 (v)")
	var tasks []jobs.Task
	for _, view := range views {
		b.refreshed(auto(view), "not refreshed it yet")
		// Ten seconds of patience: shorter than the server's timer, which clears up any doubt.
		tasks = append(tasks, Tasks(&config.Env{Refreshes: []config.Refresh{auto(view)}}, Options{Pool: b.pool, Doubt: 200 * time.Second})...)
	}
	for range 3 {
		var g errgroup.Group
		for i, task := range tasks {
			run := b.runOf(auto(views[i]), false)
			g.Go(func() error {
				r, err := task.Run(t.Context(), run)
				if err == nil && r.Outcome != jobs.Skipped {
					err = fmt.Errorf("%s %s: %s", task.Target, r.Outcome, r.Summary)
				}
				return err
			})
		}
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
	}
}

// What a plain glance at the counters would miss.
func TestChangesThatNoCounterShows(t *testing.T) {
	b := newBench(t, `CREATE TABLE public.p (k int, v int, doubled int GENERATED ALWAYS AS (v * 2) VIRTUAL) PARTITION BY RANGE (k);
		CREATE TABLE public.p0 PARTITION OF public.p FOR VALUES FROM (0) TO (10);
		CREATE TABLE public.p1 (k int, v int, doubled int GENERATED ALWAYS AS (v * 2) VIRTUAL);
		CREATE TABLE public.q (k int, pad int); CREATE VIEW public.pv AS SELECT k, doubled FROM public.p UNION ALL SELECT k, 0 FROM public.q;
		INSERT INTO public.p VALUES (1, 1); INSERT INTO public.p1 VALUES (11, 1); INSERT INTO public.q VALUES (1, 1)`,
		"CREATE MATERIALIZED VIEW public.mv AS SELECT row_number() OVER (ORDER BY k, doubled) AS n, k, doubled FROM public.pv", "CREATE UNIQUE INDEX ON public.mv (n)")
	b.refreshed(auto("mv"), "not refreshed it yet")
	for _, c := range []struct{ sql, because string }{
		{"ALTER TABLE public.p ATTACH PARTITION public.p1 FOR VALUES FROM (10) TO (20)", "public.p has other partitions"},
		{"ALTER TABLE public.p DETACH PARTITION public.p1", "public.p has other partitions"},
		{"TRUNCATE public.p0", "public.p has other partitions, files"},
		{"TRUNCATE public.q", "public.q has other partitions, files"},
		{"ALTER TABLE public.q ALTER pad TYPE bigint", "public.q has other"},
		{"VACUUM FULL public.q", "public.q has other"},
		{"ALTER TABLE public.p ALTER doubled SET EXPRESSION AS (v * 3)", "public.p has other"},
		{"CREATE OR REPLACE VIEW public.pv AS SELECT k, doubled FROM public.p", "the definition of public.pv changed"},
		{"SELECT pg_stat_reset_single_table_counters('public.p0'::regclass)", "statistics were reset"},
		{"SELECT pg_stat_reset()", "statistics were reset"},
	} {
		b.skipped(auto("mv"))
		b.exec(c.sql)
		b.refreshed(auto("mv"), c.because)
	}
	b.skipped(auto("mv"))
	b.exec("ALTER TABLE public.p0 ENABLE ROW LEVEL SECURITY")
	b.refreshed(auto("mv"), "public.p has other")
	b.refreshed(auto("mv"), "it cannot be proved needless: it reads public.p0, which has row security")
}

// What a view may do without being beyond proof, and what not.
func TestWhatCanBeProved(t *testing.T) {
	b := newBench(t, `CREATE TABLE public.t (id int, k int, v text, at timestamptz, d date, j jsonb, n numeric, a int[]);
		INSERT INTO public.t VALUES (1, 1, 'a', now(), '2026-01-01', '{"x": 1}', 1.5, '{1,2}');
		CREATE TYPE public.mood AS ENUM ('good', 'bad'); CREATE TYPE public.pair AS (x int, y int); CREATE DOMAIN public.positive AS int CHECK (VALUE > 0);
		CREATE TABLE public.odd (m public.mood, p public.pair, d public.positive); CREATE SEQUENCE public.seq;
		CREATE FUNCTION public.own(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';
		CREATE AGGREGATE public.own_sum(int) (sfunc = int4pl, stype = int);
		CREATE OPERATOR public.<<<< (leftarg = int, rightarg = int, function = int4lt);
		CREATE TABLE public.parent (id int); CREATE TABLE public.child () INHERITS (public.parent);
		CREATE TABLE public.secured (id int); ALTER TABLE public.secured ENABLE ROW LEVEL SECURITY;
		CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER far FOREIGN DATA WRAPPER nowhere; CREATE FOREIGN TABLE public.abroad (id int) SERVER far`)
	for _, query := range []string{
		"SELECT k, count(*), sum(n), avg(id), max(v), string_agg(v, ',' ORDER BY id), array_agg(id) FROM public.t GROUP BY GROUPING SETS ((k), ())",
		"SELECT DISTINCT ON (k) k, v, row_number() OVER (PARTITION BY k ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM public.t ORDER BY k, id LIMIT 10",
		"SELECT (j ->> 'x')::float8, j['x'], a[1], v COLLATE \"C\" AS c, coalesce(v, 'x') AS d, nullif(k, 1), greatest(id, k), CASE k WHEN 1 THEN 'a' ELSE v END AS e FROM public.t",
		"WITH RECURSIVE r (i) AS (SELECT id FROM public.t UNION ALL SELECT i + 1 FROM r WHERE i < 3) SELECT i FROM r",
		"SELECT date_trunc('day', at, 'UTC') AS day, at AT TIME ZONE 'UTC' AS local, d + 1 AS next, extract(year FROM d) AS y, at > '2026-01-01' AS late FROM public.t",
		"SELECT t.id, x.n FROM public.t LEFT JOIN LATERAL (SELECT count(*) AS n FROM public.parent p WHERE p.id = t.id) x ON true WHERE id IN (1, 2) AND EXISTS (SELECT FROM public.child) IS NOT TRUE",
		"SELECT m, m = 'good' AS is_good, (p).x, d, ROW(1, 2) = ROW(1, 3) AS no FROM public.odd",
		"SELECT g FROM generate_series(1, 3) g EXCEPT SELECT 2",
	} {
		b.exec("CREATE MATERIALIZED VIEW public.fine AS " + query)
		p := auto("fine")
		p.Concurrently = false
		b.must(p)
		b.skipped(p)
		b.exec("DROP MATERIALIZED VIEW public.fine")
	}
	for _, c := range []struct{ query, because string }{
		{"SELECT now() AS n", "it calls now(), which is STABLE"},
		{"SELECT random() AS n", "it calls random(), which is VOLATILE"},
		{"SELECT id FROM public.t WHERE d > current_date", "CURRENT_DATE"},
		{"SELECT current_user::text AS who", "CURRENT_USER"},
		{"SELECT date_trunc('day', at) AS d FROM public.t", "date_trunc('day', t, 'UTC')"},
		{"SELECT at::text FROM public.t", "it calls timestamptz_out(timestamp with time zone), which is STABLE"},
		{"SELECT v::date FROM (SELECT '2026-01-01'::text AS v FROM public.t) x", "it calls date_in(cstring), which is STABLE"},
		{"SELECT m::text FROM public.odd", "enum_out"},
		{"SELECT public.own(id) AS x FROM public.t", "it calls public.own(integer), which is not PostgreSQL's own"},
		{"SELECT public.own_sum(id) AS x FROM public.t", "public.own_sum(integer)"},
		{"SELECT id OPERATOR(public.<<<<) 3 AS x FROM public.t", "int4lt"},
		{"SELECT id::public.positive AS x FROM public.t", "domain"},
		{"SELECT count(*) AS n FROM pg_class", "it reads pg_class, a system catalog"},
		{"SELECT count(*) AS n FROM pg_stat_activity", "it calls pg_stat_get_activity(integer)"},
		{"SELECT count(*) AS n FROM pgtender.run", "which pgtender itself writes"},
		{"SELECT id FROM public.abroad", "a foreign table"},
		{"SELECT id FROM public.secured", "row security"},
		{"SELECT last_value FROM public.seq", "a sequence"},
		{"SELECT nextval('public.seq') AS n", "nextval(regclass), which is VOLATILE"},
		{"SELECT id FROM public.t TABLESAMPLE SYSTEM (50)", "TABLESAMPLE"},
		{"SELECT t AS whole FROM public.t", "whole row"},
		{"SELECT xmin::text AS x FROM public.t", "system columns"},
		{"SELECT json_object('a': id) AS j FROM public.t", "JSON"},
		{"SELECT x FROM public.t, XMLTABLE('/a' PASSING xmlparse(document '<a/>') COLUMNS x int PATH '.') ", "XML"},
		{"SELECT to_tsvector('english', v) AS x FROM public.t", "text search configuration"},
	} {
		b.exec("CREATE MATERIALIZED VIEW public.beyond AS " + c.query + " WITH NO DATA")
		var cannot string
		err := pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
			v, err := look(t.Context(), tx, policy("beyond").View)
			if err == nil {
				var found closure
				found, err = readClosure(t.Context(), tx, v.OID)
				cannot = found.cannot
			}
			return err
		})
		if err != nil || !strings.Contains(cannot, c.because) && c.query != "SELECT id OPERATOR(public.<<<<) 3 AS x FROM public.t" {
			t.Errorf("%s\ncannot be proved because %q, want %q; %v", c.query, cannot, c.because, err)
		}
		b.exec("DROP MATERIALIZED VIEW public.beyond")
	}
}

func TestViewBeyondProofIsRefreshedAndSaysWhy(t *testing.T) {
	b := newBench(t, "CREATE MATERIALIZED VIEW public.mv AS SELECT now() AS n", "CREATE UNIQUE INDEX ON public.mv (n)")
	b.must(auto("mv"))
	b.refreshed(auto("mv"), "it cannot be proved needless: it calls now(), which is STABLE")
	if got := b.one("SELECT detail ->> 'auto' FROM pgtender.refresh_state"); !strings.Contains(got, "now()") {
		t.Errorf("refresh_state: %s", got)
	}
	if _, err := b.run(t.Context(), b.pool, auto("mv"), true); err != nil {
		t.Fatal(err)
	}
	if said := strings.Join(b.said, "\n"); !strings.Contains(said, "not skipped, because it cannot be proved needless: it calls now()") {
		t.Errorf("dry run: %s", said)
	}
}

// The counters tell nothing while a session sleeps on what it has committed; the guard does.
func TestSleepingWriterIsInDoubt(t *testing.T) {
	b := newBench(t, things, "CREATE UNIQUE INDEX ON public.mv (id)")
	writer := pgtest.Session(t, b.url)
	write := func(sql string) {
		t.Helper()
		if _, err := writer.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	write("UPDATE public.things SET v = 'x' WHERE id = 1") // counted at once, as it is the first; the next within a second is not
	b.must(auto("mv"))
	write("UPDATE public.things SET v = 'y' WHERE id = 1")
	r := b.must(auto("mv"))
	if r.Outcome == jobs.Skipped || !strings.Contains(r.Summary, "may have committed what is not counted yet") && !strings.Contains(r.Summary, "was written") {
		t.Errorf("%s: %s", r.Outcome, r.Summary)
	}
	if got := b.one("SELECT v FROM public.mv WHERE id = 1"); got != "y" {
		t.Errorf("the view shows %s", got)
	}
	b.skipped(auto("mv")) // it sleeps as it did before the refresh
	if err := pg.Count(t.Context(), writer); err != nil {
		t.Fatal(err)
	}
	b.must(auto("mv"))
	b.skipped(auto("mv"))
	write("BEGIN; SELECT count(*) FROM public.things")
	b.refreshed(auto("mv"), "idle in transaction") // begun since: it may have committed something before
	b.skipped(auto("mv"))                          // the same transaction still
	write("INSERT INTO public.things VALUES (2000, 'late'); COMMIT")
	b.must(auto("mv"))
	if got := b.one("SELECT count(*)::text FROM public.mv WHERE id = 2000"); got != "1" {
		t.Error("a row of a long transaction is missing")
	}
}

func TestPreparedTransactionsAreInDoubt(t *testing.T) {
	b := newBench(t, things, "CREATE UNIQUE INDEX ON public.mv (id)")
	b.must(auto("mv"))
	b.exec("BEGIN; INSERT INTO public.things VALUES (3000, 'p'); PREPARE TRANSACTION 'refresh_test'")
	t.Cleanup(func() { _, _ = b.pool.Exec(context.Background(), "ROLLBACK PREPARED 'refresh_test'") })
	b.refreshed(auto("mv"), "prepared transactions")
	b.refreshed(auto("mv"), "prepared transactions")
	b.exec("COMMIT PREPARED 'refresh_test'")
	b.must(auto("mv"))
	if got := b.one("SELECT count(*)::text FROM public.mv WHERE id = 3000"); got != "1" {
		t.Error("the prepared row is missing")
	}
	b.skipped(auto("mv"))
}

func TestCountersThatCannotBeTrusted(t *testing.T) {
	b := newBench(t, things, "CREATE UNIQUE INDEX ON public.mv (id)")
	b.must(auto("mv"))
	b.exec("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET track_counts = off', current_database()); END $$")
	b.refreshed(auto("mv"), "track_counts is set for a role, a database")
	b.exec("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET track_counts', current_database()); END $$")
	b.must(auto("mv"))
	b.exec("CREATE FUNCTION public.quiet() RETURNS void LANGUAGE sql SET track_counts = off AS 'SELECT'")
	b.refreshed(auto("mv"), "a function sets track_counts")
	b.exec("DROP FUNCTION public.quiet()")
	b.must(auto("mv"))

	url := pgtest.Role(t, b.url, "GRANT MAINTAIN ON public.mv TO {role}", "GRANT USAGE ON SCHEMA pgtender TO {role}",
		"GRANT SELECT, INSERT, UPDATE ON pgtender.refresh_state, pgtender.run TO {role}")
	user := strings.SplitN(url, "@", 2)[0][len("postgres://"):]
	pool := pgtest.Pool(t, url)
	r, err := b.run(t.Context(), pool, auto("mv"), false)
	if err != nil || r.Outcome == jobs.Skipped || !strings.Contains(r.Summary, "GRANT pg_monitor TO "+user) {
		t.Errorf("%s: %s, %v", r.Outcome, r.Summary, err)
	}
	b.exec("GRANT pg_monitor TO " + user)
	for _, want := range []jobs.Outcome{jobs.Noop, jobs.Skipped} {
		if r, err = b.run(t.Context(), pool, auto("mv"), false); err != nil || r.Outcome != want {
			t.Errorf("%s: %s, %v", r.Outcome, r.Summary, err)
		}
	}
}

// A parameter's grants and a server's settings are everybody's.
func TestTrackCountsOfTheServer(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t)
	b := benchOn(t, pgtest.DatabaseOn(t, server), things, "CREATE UNIQUE INDEX ON public.mv (id)")
	b.must(auto("mv"))
	b.skipped(auto("mv"))
	b.exec("CREATE ROLE meddler", "GRANT SET ON PARAMETER track_counts TO meddler")
	b.refreshed(auto("mv"), "a role that is no superuser may set track_counts")
	b.exec("REVOKE SET ON PARAMETER track_counts FROM meddler")
	b.must(auto("mv"))
	b.skipped(auto("mv"))
	b.exec("ALTER SYSTEM SET track_counts = off", "SELECT pg_reload_conf()")
	pgtest.Eventually(t, b.url, "SELECT current_setting('track_counts') = 'off'")
	b.pool.Reset()
	b.refreshed(auto("mv"), "track_counts is off")
	b.exec("ALTER SYSTEM RESET track_counts", "SELECT pg_reload_conf()")
	pgtest.Eventually(t, b.url, "SELECT current_setting('track_counts') = 'on'")
	b.pool.Reset()
	b.must(auto("mv"))
	b.skipped(auto("mv"))
	reload := func(sql, want string) {
		t.Helper()
		b.exec(sql, "SELECT pg_reload_conf()")
		pgtest.Eventually(t, b.url, "SELECT current_setting('track_counts') = '"+want+"'")
	}
	reload("ALTER SYSTEM SET track_counts = off", "off")
	pgtest.Exec(t, b.url, "INSERT INTO public.things VALUES (6000, 'unseen')")
	reload("ALTER SYSTEM RESET track_counts", "on")
	b.pool.Reset()
	b.refreshed(auto("mv"), "settings were loaded anew")
	if got := b.one("SELECT count(*)::text FROM public.mv WHERE id = 6000"); got != "1" {
		t.Error("a row that was not counted is missing")
	}
	b.skipped(auto("mv"))
	busy := pgtest.Session(t, b.url)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = busy.Exec(context.Background(), "SELECT pg_sleep(600)")
	}()
	pgtest.Eventually(t, b.url, fmt.Sprintf("SELECT state = 'active' FROM pg_stat_activity WHERE pid = %d", busy.PgConn().PID()))
	b.exec("SELECT pg_reload_conf()")
	pgtest.Eventually(t, b.url, fmt.Sprintf("SELECT pg_conf_load_time() > query_start FROM pg_stat_activity WHERE pid = %d", busy.PgConn().PID()))
	b.pool.Reset()
	b.must(auto("mv"))
	b.refreshed(auto("mv"), "a statement began before the server loaded its settings")
	b.exec(fmt.Sprintf("SELECT pg_terminate_backend(%d, 10000)", busy.PgConn().PID()))
	<-done
	b.must(auto("mv"))
	b.skipped(auto("mv"))
	if err := server.Restart(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	b.pool.Reset()
	b.refreshed(auto("mv"), "the server was restarted")
}

func TestMaxStalenessForcesARefresh(t *testing.T) {
	b := newBench(t, things, "CREATE UNIQUE INDEX ON public.mv (id)")
	hourly, err := cron.ParseStandard("@every 10m")
	if err != nil {
		t.Fatal(err)
	}
	p := auto("mv")
	p.Schedule = config.Schedule{Schedule: hourly, Text: "@every 10m"}
	if p.MaxStaleness, err = config.ParseInterval("1 hour"); err != nil {
		t.Fatal(err)
	}
	b.must(p)
	b.skipped(p)
	b.exec("UPDATE pgtender.refresh_state SET refreshed_at = now() - interval '45 minutes'")
	b.skipped(p)
	b.exec("UPDATE pgtender.refresh_state SET refreshed_at = now() - interval '55 minutes'")
	b.refreshed(p, "would be older than max_staleness, 1 hour, before the next scheduled run")
	b.exec("UPDATE pgtender.refresh_state SET refreshed_at = now() - interval '2 hours'")
	b.refreshed(p, "its last refresh is 2h0m0s old, and max_staleness is 1 hour")
	b.skipped(p)
}

func TestViewMadeAnewOrEmptied(t *testing.T) {
	b := newBench(t, things, "CREATE UNIQUE INDEX ON public.mv (id)")
	b.must(auto("mv"))
	b.exec("DROP MATERIALIZED VIEW public.mv", "CREATE MATERIALIZED VIEW public.mv AS SELECT * FROM public.things WHERE id < 5", "CREATE UNIQUE INDEX ON public.mv (id)")
	b.refreshed(auto("mv"), "pgtender has not refreshed it yet")
	b.skipped(auto("mv"))
	b.exec("REFRESH MATERIALIZED VIEW public.mv WITH NO DATA")
	b.refreshed(auto("mv"), "it was never populated")
	b.skipped(auto("mv"))
}

// Three views on each other and writers at the bottom: after each run all three equal their queries.
func TestChainOfThree(t *testing.T) {
	b := newBench(t, "CREATE TABLE public.base (id int PRIMARY KEY, v int)", "INSERT INTO public.base SELECT i, i FROM generate_series(1, 50) i",
		"CREATE MATERIALIZED VIEW public.c_low AS SELECT id, v FROM public.base", "CREATE UNIQUE INDEX ON public.c_low (id)",
		"CREATE VIEW public.pv AS SELECT id % 5 AS g, sum(v) AS s FROM public.c_low GROUP BY id % 5",
		"CREATE MATERIALIZED VIEW public.b_middle AS SELECT g, s FROM public.pv", "CREATE UNIQUE INDEX ON public.b_middle (g)",
		"CREATE MATERIALIZED VIEW public.a_high AS SELECT count(*) AS n, sum(s) AS s FROM public.b_middle", "CREATE UNIQUE INDEX ON public.a_high (n)")
	env := &config.Env{Refreshes: []config.Refresh{auto("a_high"), auto("b_middle"), auto("c_low")}}
	depths, err := Depths(t.Context(), b.pool, env)
	if err != nil {
		t.Fatal(err)
	}
	tasks := Tasks(env, Options{Pool: b.pool, Depths: depths, Doubt: 4 * time.Second})
	writer := pgtest.Session(t, b.url)
	ctx, stop := context.WithCancel(t.Context())
	wrote := make(chan struct{})
	go func() { // one that goes on beside the runs
		defer close(wrote)
		busy, err := pg.Dedicated(ctx, b.url, "")
		if err != nil {
			return
		}
		defer busy.Close(context.WithoutCancel(ctx))
		for ctx.Err() == nil {
			_, _ = busy.Exec(ctx, "UPDATE public.base SET v = v WHERE id = 1")
			time.Sleep(20 * time.Millisecond)
		}
	}()
	outcomes := map[jobs.Outcome]int{}
	for round := range pgtest.Scaled(12, 300) {
		if round == 6 {
			stop()
			<-wrote
		}
		if round%3 != 2 {
			if _, err := writer.Exec(t.Context(), "UPDATE public.base SET v = v + 1 WHERE id = 7"); err != nil {
				t.Fatal(err)
			}
		}
		for _, task := range tasks {
			r, err := task.Run(t.Context(), b.runOf(auto(strings.TrimPrefix(task.Target, "public.")), false))
			if err != nil {
				t.Fatal(err)
			}
			outcomes[r.Outcome]++
		}
		if got := b.one(`SELECT ((SELECT md5(string_agg(x::text, ' ' ORDER BY id)) FROM public.base x) = (SELECT md5(string_agg(x::text, ' ' ORDER BY id)) FROM public.c_low x)
			AND NOT EXISTS ((TABLE public.pv EXCEPT TABLE public.b_middle) UNION ALL (TABLE public.b_middle EXCEPT TABLE public.pv))
			AND (SELECT (n, s)::text FROM public.a_high) = (SELECT (count(*), sum(s))::text FROM public.b_middle))::text`); got != "true" {
			t.Fatalf("round %d: a view differs from its query", round)
		}
	}
	stop()
	<-wrote
	if outcomes[jobs.Skipped] == 0 || outcomes[jobs.Success] == 0 {
		t.Errorf("outcomes %v, want refreshes and skips", outcomes)
	}
}

// A partition that is attached after the reading, seen by the refresh and detached again would leave no trace at the next look.
func TestWhatChangesBetweenReadingAndRefresh(t *testing.T) {
	b := newBench(t, `CREATE TABLE public.p (k int) PARTITION BY RANGE (k); CREATE TABLE public.p0 PARTITION OF public.p FOR VALUES FROM (0) TO (10);
		CREATE TABLE public.p1 (k int); INSERT INTO public.p1 VALUES (11)`,
		"CREATE MATERIALIZED VIEW public.mv AS SELECT k FROM public.p", "CREATE UNIQUE INDEX ON public.mv (k)")
	b.patience = pg.Patience{LockTimeout: 20 * time.Millisecond, Attempts: 5, Pause: time.Millisecond, MaxPause: time.Millisecond}
	holder := hold(t, b.url, "ANALYZE public.mv")
	run, attached := b.runOf(auto("mv"), false), false
	run.Say = func(string, ...any) { // its reading is done, and the view is locked
		if !attached {
			attached = true
			b.exec("ALTER TABLE public.p ATTACH PARTITION public.p1 FOR VALUES FROM (10) TO (20)")
			if err := holder.Rollback(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
	task := Tasks(&config.Env{Refreshes: []config.Refresh{auto("mv")}}, Options{Pool: b.pool, Patience: b.patience})[0]
	if _, err := task.Run(t.Context(), run); err != nil || !attached {
		t.Fatal(err, attached)
	}
	if got := b.one("SELECT count(*)::text FROM public.mv"); got != "1" {
		t.Fatalf("the view has %s rows: the refresh did not see the partition", got)
	}
	b.exec("ALTER TABLE public.p DETACH PARTITION public.p1")
	b.refreshed(auto("mv"), "what it stands on was changed while its last refresh began")
	if got := b.one("SELECT count(*)::text FROM public.mv"); got != "0" {
		t.Errorf("the view has %s rows", got)
	}
	b.skipped(auto("mv"))
}

// Readers that are in somebody's way and a session's death in the middle leave the view and the ledger as they were.
func TestKilledRefreshLeavesNothing(t *testing.T) {
	b := newBench(t, things, "CREATE UNIQUE INDEX ON public.mv (id)")
	b.must(auto("mv"))
	b.exec("INSERT INTO public.things VALUES (7000, 'k')")
	state := "SELECT (SELECT count(*) FROM public.mv) || ' ' || (SELECT md5(s::text) FROM pgtender.refresh_state s) || ' ' || (SELECT count(*) FROM pgtender.run)"
	before := b.one(state)
	run := b.runOf(auto("mv"), false)
	commit := run.Commit
	run.Commit = func(ctx context.Context, tx pgx.Tx, r jobs.Result) error {
		if err := commit(ctx, tx, r); err != nil {
			return err
		}
		b.exec("SELECT pg_terminate_backend(" + strconv.Itoa(int(tx.Conn().PgConn().PID())) + ", 5000)")
		return nil
	}
	task := Tasks(&config.Env{Refreshes: []config.Refresh{auto("mv")}}, Options{Pool: b.pool, Patience: pg.Gentle})[0]
	if _, err := task.Run(t.Context(), run); err == nil {
		t.Error("a refresh whose session was ended before its commit is called done")
	}
	if after := b.one(state); after != before {
		t.Errorf("before: %s\nafter:  %s", before, after)
	}
	b.must(auto("mv"))
	b.skipped(auto("mv"))
}
