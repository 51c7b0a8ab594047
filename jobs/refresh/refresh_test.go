package refresh

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/internal/state"
	"github.com/pgtender/pgtender/jobs"
)

// bench is one database with pgtender's schema, and what a run said and committed.
type bench struct {
	t         *testing.T
	url       string
	pool      *pgxpool.Pool
	patience  pg.Patience
	said      []string
	committed []jobs.Result
}

func newBench(t *testing.T, statements ...string) *bench {
	t.Helper()
	t.Parallel()
	return benchOn(t, pgtest.Database(t), statements...)
}

func benchOn(t *testing.T, url string, statements ...string) *bench {
	t.Helper()
	b := &bench{t: t, url: url}
	b.pool = pgtest.Pool(t, b.url)
	if err := state.Ensure(t.Context(), b.pool); err != nil {
		t.Fatal(err)
	}
	b.exec(statements...)
	return b
}

func (b *bench) exec(statements ...string) {
	b.t.Helper()
	pgtest.Exec(b.t, b.url, statements...)
}

func (b *bench) one(sql string) string {
	b.t.Helper()
	var s string
	if err := b.pool.QueryRow(context.Background(), sql).Scan(&s); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
	return s
}

func policy(view string) config.Refresh {
	return config.Refresh{View: config.Table{Schema: "public", Name: view}, When: config.RefreshAlways, Concurrently: true}
}

// run runs the task of one policy, with a Commit that writes a row as the ledger would.
func (b *bench) run(ctx context.Context, pool *pgxpool.Pool, p config.Refresh, dry bool) (jobs.Result, error) {
	b.t.Helper()
	env := &config.Env{Refreshes: []config.Refresh{p}}
	tasks := Tasks(env, Options{Pool: pool, Patience: b.patience, Doubt: 4 * time.Second})
	if len(tasks) != 1 || tasks[0].Target != p.View.String() {
		b.t.Fatalf("tasks: %+v", tasks)
	}
	return tasks[0].Run(ctx, b.runOf(p, dry))
}

// runOf is a run as the runner would make it.
func (b *bench) runOf(p config.Refresh, dry bool) *jobs.Run {
	b.said = nil
	return &jobs.Run{
		ID: 7, DryRun: dry,
		Say: func(format string, args ...any) { b.said = append(b.said, fmt.Sprintf(format, args...)) },
		Commit: func(ctx context.Context, tx pgx.Tx, r jobs.Result) error {
			b.committed = append(b.committed, r)
			_, err := tx.Exec(ctx, `INSERT INTO pgtender.run (job, target, trigger, outcome, finished_at, summary)
				VALUES ('refresh', $1, 'manual', $2, now(), $3)`, p.View.String(), string(r.Outcome), r.Summary)
			return err
		},
	}
}

func (b *bench) must(p config.Refresh) jobs.Result {
	b.t.Helper()
	r, err := b.run(b.t.Context(), b.pool, p, false)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// fails runs and wants an Error that contains each of the texts, and that nothing was committed.
func (b *bench) fails(pool *pgxpool.Pool, p config.Refresh, code string, texts ...string) {
	b.t.Helper()
	before := b.one("SELECT count(*)::text FROM pgtender.run")
	_, err := b.run(b.t.Context(), pool, p, false)
	var ours *Error
	if !errors.As(err, &ours) {
		b.t.Fatalf("error %v (%T), want an *Error", err, err)
	}
	if pg.Code(err) != code {
		b.t.Errorf("SQLSTATE %q, want %q: %v", pg.Code(err), code, err)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			b.t.Errorf("the error does not say %q:\n%v", text, err)
		}
	}
	if after := b.one("SELECT count(*)::text FROM pgtender.run"); after != before {
		b.t.Errorf("a failed refresh left a ledger row")
	}
}

const things = `CREATE TABLE public.things (id int PRIMARY KEY, v text);
	INSERT INTO public.things SELECT i, 'a' FROM generate_series(1, 100) i;
	CREATE MATERIALIZED VIEW public.mv AS SELECT * FROM public.things;`

func TestConcurrentRefreshCountsRowsAndWAL(t *testing.T) {
	b := newBench(t, things, "CREATE UNIQUE INDEX ON public.mv (id)",
		"UPDATE public.things SET v = 'b' WHERE id <= 10; INSERT INTO public.things VALUES (101, 'c'); DELETE FROM public.things WHERE id = 50")
	r := b.must(policy("mv"))
	if r.Outcome != jobs.Success || r.Detail["rows_inserted"] != int64(11) || r.Detail["rows_deleted"] != int64(11) || r.Detail["concurrently"] != true {
		t.Errorf("result %+v, want 11 rows in and 11 out, concurrently", r)
	}
	if wal, ok := r.Detail["wal_bytes"].(int64); !ok || wal < 100 {
		t.Errorf("wal_bytes is %v", r.Detail["wal_bytes"])
	}
	if kept := b.one("SELECT detail ->> 'wal_bytes' FROM pgtender.refresh_state"); kept != fmt.Sprint(r.Detail["wal_bytes"]) {
		t.Errorf("refresh_state has wal_bytes %s", kept)
	}
	if n := b.one("SELECT count(*)::text FROM ((TABLE public.mv EXCEPT TABLE public.things) UNION ALL (TABLE public.things EXCEPT TABLE public.mv)) x"); n != "0" {
		t.Errorf("%s rows differ after the refresh", n)
	}
	if got := b.one("SELECT outcome || ' ' || target FROM pgtender.run"); got != "success public.mv" {
		t.Errorf("ledger row %q", got)
	}
	if got := b.one("SELECT (checked_at IS NOT NULL AND refreshed_at = checked_at AND run_id = 7)::text FROM pgtender.refresh_state WHERE view_name = 'mv'"); got != "true" {
		t.Errorf("refresh_state: %s", got)
	}
	if r := b.must(policy("mv")); r.Outcome != jobs.Noop || r.Detail["rows_inserted"] != int64(0) {
		t.Errorf("second refresh: %+v, want noop", r)
	}
}

func TestNeverPopulatedIsFilledPlainlyFirst(t *testing.T) {
	b := newBench(t, "CREATE MATERIALIZED VIEW public.mv AS SELECT 1 AS id WITH NO DATA", "CREATE UNIQUE INDEX ON public.mv (id)")
	r := b.must(policy("mv"))
	if r.Detail["concurrently"] != false || !strings.Contains(r.Summary, "never populated") || !strings.Contains(r.Summary, ": 1 row") {
		t.Errorf("result %+v", r)
	}
	if r := b.must(policy("mv")); r.Detail["concurrently"] != true {
		t.Errorf("second refresh: %+v", r)
	}
}

func TestPolicyMayWantPlain(t *testing.T) {
	b := newBench(t, things)
	p := policy("mv")
	p.Concurrently = false
	if r := b.must(p); !strings.Contains(r.Summary, "concurrently = false") || r.Detail["rows_inserted"] != int64(100) {
		t.Errorf("result %+v", r)
	}
}

func TestAutoSaysWhyItRefreshed(t *testing.T) {
	b := newBench(t, things, "CREATE UNIQUE INDEX ON public.mv (id)")
	p := policy("mv")
	p.When = config.RefreshAuto
	if r := b.must(p); !strings.Contains(r.Summary, "not skipped, because pgtender has not refreshed it yet") {
		t.Errorf("summary %q", r.Summary)
	}
}

func TestNoUsableIndexNamesColumns(t *testing.T) {
	b := newBench(t, `CREATE MATERIALIZED VIEW public.mv AS
		SELECT m AS model_id, v AS version, m * 0.5::float8 AS score FROM generate_series(1, 5) m, generate_series(1, 4) v`,
		"CREATE UNIQUE INDEX partial ON public.mv (model_id, version) WHERE score > 0",
		"CREATE UNIQUE INDEX expr ON public.mv ((model_id * 100 + version))")
	b.fails(b.pool, policy("mv"), "", "no unique index", "expr (it is on an expression), partial (it has a WHERE)",
		`CREATE UNIQUE INDEX ON "public"."mv" ("model_id", "version");`, "concurrently = false")
	b.exec("CREATE UNIQUE INDEX ON public.mv (model_id, version)")
	b.must(policy("mv"))
}

func TestOneColumnIsEnoughOfAKey(t *testing.T) {
	b := newBench(t, things)
	b.fails(b.pool, policy("mv"), "", `("id");`)
}

func TestDuplicateKeyIsShown(t *testing.T) {
	b := newBench(t, `CREATE TABLE public.base (a int, b int)`, `CREATE MATERIALIZED VIEW public.mv AS SELECT * FROM public.base`,
		"CREATE UNIQUE INDEX ON public.mv (a)", "INSERT INTO public.base VALUES (1, 1), (1, 2)")
	b.fails(b.pool, policy("mv"), "23505", "Key (a)=(1)", "GROUP BY")
	b.exec("UPDATE public.base SET b = 1")
	b.fails(b.pool, policy("mv"), "21000", "(1,1)", "GROUP BY")
	plain := policy("mv")
	plain.Concurrently = false
	b.fails(b.pool, plain, "23505", "Key (a)=(1)", "GROUP BY")
	if got := b.one("SELECT relispopulated::text || (SELECT count(*) FROM public.mv) FROM pg_class WHERE relname = 'mv'"); got != "true0" {
		t.Errorf("the view is now %s", got)
	}
}

func TestPrivilegesAreNamed(t *testing.T) {
	b := newBench(t, "CREATE SCHEMA s", "CREATE TABLE s.base (id int PRIMARY KEY)", "CREATE MATERIALIZED VIEW s.mv AS SELECT * FROM s.base",
		"CREATE UNIQUE INDEX ON s.mv (id)")
	url := pgtest.Role(t, b.url)
	user := strings.TrimSuffix(strings.SplitN(url, "@", 2)[0][len("postgres://"):], ":")
	p := policy("mv")
	p.View.Schema = "s"
	pool := pgtest.Pool(t, url)
	b.fails(pool, p, "", `GRANT USAGE ON SCHEMA "s" TO "`+user+`";`)
	b.exec("GRANT USAGE ON SCHEMA s TO " + user)
	b.fails(pool, p, "", `GRANT MAINTAIN ON TABLE "s"."mv" TO "`+user+`";`)
	b.exec("GRANT MAINTAIN ON s.mv TO "+user, "GRANT USAGE ON SCHEMA pgtender TO "+user,
		"GRANT SELECT, INSERT, UPDATE ON pgtender.refresh_state, pgtender.run TO "+user)
	if _, err := b.run(t.Context(), pool, p, false); err != nil {
		t.Fatalf("MAINTAIN is enough, but: %v", err)
	}

	owner := strings.SplitN(pgtest.Role(t, b.url, "GRANT USAGE ON SCHEMA s TO {role}"), "@", 2)[0][len("postgres://"):]
	b.exec("GRANT CREATE ON SCHEMA s TO "+owner, "ALTER MATERIALIZED VIEW s.mv OWNER TO "+owner,
		"DO $$ BEGIN EXECUTE format('REVOKE TEMP ON DATABASE %I FROM PUBLIC', current_database()); END $$")
	b.fails(pool, p, "", `GRANT TEMPORARY ON DATABASE "`, `TO "`+owner+`";`)
	b.exec("DO $$ BEGIN EXECUTE format('GRANT TEMP ON DATABASE %I TO " + owner + "', current_database()); END $$")
	b.fails(pool, p, "42501", "permission denied for table base", "owner")
}

func TestStandsOnAnEmptyView(t *testing.T) {
	b := newBench(t, "CREATE MATERIALIZED VIEW public.low AS SELECT 1 AS id WITH NO DATA",
		"CREATE MATERIALIZED VIEW public.high AS SELECT * FROM public.low WITH NO DATA")
	b.fails(b.pool, policy("high"), "55000", `"low" has not been populated`, "refresh that one first")
}

func TestViewsBelowAreFilledFirst(t *testing.T) {
	b := newBench(t, "CREATE MATERIALIZED VIEW public.z_low AS SELECT 1 AS id WITH NO DATA",
		"CREATE MATERIALIZED VIEW public.a_middle AS SELECT * FROM public.z_low WITH NO DATA",
		"CREATE MATERIALIZED VIEW public.high AS SELECT * FROM public.a_middle WITH NO DATA")
	env := &config.Env{Refreshes: []config.Refresh{policy("high"), policy("a_middle"), policy("z_low")}}
	for _, task := range Tasks(env, Options{Pool: b.pool}) {
		if task.Target != "public.high" {
			continue
		}
		r, err := task.Run(t.Context(), b.runOf(policy("high"), false))
		if err != nil || !strings.Contains(r.Summary, "first filled public.z_low, public.a_middle") {
			t.Errorf("%+v, %v", r, err)
		}
	}
	if got := b.one("SELECT (SELECT count(*) FROM public.high)::text || (SELECT count(*) FROM pgtender.refresh_state)"); got != "13" {
		t.Errorf("filled: %s", got)
	}
	middle := policy("a_middle")
	middle.Concurrently = false
	r := b.must(middle)
	if strings.Contains(r.Summary, "first filled") {
		t.Errorf("what is filled is filled again: %s", r.Summary)
	}
}

func TestUnqualifiedNamesInFunctions(t *testing.T) {
	b := newBench(t, "CREATE TABLE public.base (id int)",
		"CREATE FUNCTION public.n() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM base); END'",
		"CREATE MATERIALIZED VIEW public.mv AS SELECT public.n() WITH NO DATA")
	b.fails(b.pool, policy("mv"), "42P01", "search_path")
}

func TestNoSuchViewAndNotAView(t *testing.T) {
	b := newBench(t, "CREATE TABLE public.plain ()")
	b.fails(b.pool, policy("nothing"), "", "refresh public.nothing: there is no such materialised view")
	b.fails(b.pool, policy("plain"), "", "it is a table, not a materialised view")
}

func TestReadOnlySession(t *testing.T) {
	b := newBench(t, things, "CREATE UNIQUE INDEX ON public.mv (id)")
	pool := pgtest.Pool(t, b.url+"&default_transaction_read_only=on")
	b.fails(pool, policy("mv"), "25006", "read-only")
}

func TestBusyNamesTheHolder(t *testing.T) {
	b := newBench(t, things, "CREATE UNIQUE INDEX ON public.mv (id)")
	b.patience = pg.Patience{LockTimeout: 20 * time.Millisecond, Attempts: 3, Pause: time.Millisecond, MaxPause: time.Millisecond}
	holder := hold(t, b.url, "LOCK TABLE public.things IN ACCESS EXCLUSIVE MODE")
	b.fails(b.pool, policy("mv"), "55P03", "gave up after 3 attempts", fmt.Sprintf("pid %d (postgres", holder.Conn().PgConn().PID()),
		"AccessExclusiveLock on public.things")
	if len(b.said) != 3 {
		t.Errorf("said %q, want a word for each attempt", b.said)
	}
	if err := holder.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.must(policy("mv"))
}

// hold opens a session that holds a lock until the returned transaction ends.
func hold(t *testing.T, url, sql string) pgx.Tx {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
	return tx
}

func TestCancelLeavesNothingBehind(t *testing.T) {
	b := newBench(t, "CREATE FUNCTION public.slow() RETURNS int LANGUAGE sql AS 'SELECT 1 FROM pg_catalog.pg_sleep(600)'",
		"CREATE MATERIALIZED VIEW public.slow_mv AS SELECT public.slow() AS id WITH NO DATA")
	running := "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'REFRESH%' AND wait_event = 'PgSleep' AND datname = current_database())"
	ctx, stop := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := b.run(ctx, b.pool, policy("slow_mv"), false)
		done <- err
	}()
	pgtest.Eventually(t, b.url, running)
	stop(errors.New("leadership was lost"))
	if err := <-done; err == nil || !strings.Contains(err.Error(), "leadership was lost") {
		t.Errorf("error %v", err)
	}
	pgtest.Eventually(t, b.url, "SELECT NOT ("+running[len("SELECT "):]+")")

	go func() {
		_, err := b.run(t.Context(), b.pool, policy("slow_mv"), false)
		done <- err
	}()
	pgtest.Eventually(t, b.url, running)
	b.exec("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'REFRESH%' AND wait_event = 'PgSleep' AND datname = current_database()")
	if err := <-done; pg.Code(err) != pg.QueryCanceled || !strings.Contains(err.Error(), "the next run tries again") {
		t.Errorf("error %v", err)
	}
	if got := b.one("SELECT relispopulated::text || (SELECT count(*) FROM pgtender.run) FROM pg_class WHERE relname = 'slow_mv'"); got != "false0" {
		t.Errorf("left behind: %s", got)
	}
}

func TestDryRunExplainsAndChangesNothing(t *testing.T) {
	b := newBench(t, things, "CREATE UNIQUE INDEX things_key ON public.mv (id)", "DELETE FROM public.things")
	p := policy("mv")
	p.When = config.RefreshAuto
	r, err := b.run(t.Context(), b.pool, p, true)
	if err != nil || r.Outcome != jobs.Noop {
		t.Fatalf("result %+v, %v", r, err)
	}
	said := strings.Join(b.said, "\n")
	for _, want := range []string{`REFRESH MATERIALIZED VIEW CONCURRENTLY "public"."mv";`, "things_key", "auto"} {
		if !strings.Contains(said, want) {
			t.Errorf("a dry run does not say %q:\n%s", want, said)
		}
	}
	if got := b.one("SELECT (SELECT count(*) FROM public.mv)::text || (SELECT count(*) FROM pgtender.refresh_state)"); got != "1000" {
		t.Errorf("a dry run changed something: %s", got)
	}
}

func TestViewsOnViewsRunInOrder(t *testing.T) {
	b := newBench(t, things, "CREATE UNIQUE INDEX ON public.mv (id)",
		"CREATE VIEW public.between AS SELECT id FROM public.mv",
		"CREATE MATERIALIZED VIEW public.a_high AS SELECT count(*) AS n FROM public.between", "CREATE UNIQUE INDEX ON public.a_high (n)",
		"CREATE MATERIALIZED VIEW public.a_higher AS SELECT n FROM public.a_high", "CREATE UNIQUE INDEX ON public.a_higher (n)",
		"INSERT INTO public.things VALUES (1000, 'x')")
	env := &config.Env{Refreshes: []config.Refresh{policy("a_higher"), policy("a_high"), policy("mv"), policy("missing")}}
	depths, err := Depths(t.Context(), b.pool, env)
	if err != nil {
		t.Fatal(err)
	}
	tasks := Tasks(env, Options{Pool: b.pool, Depths: depths})
	var order []string
	for _, task := range tasks {
		order = append(order, fmt.Sprintf("%d %s", task.Order, task.Target))
	}
	if got := strings.Join(order, ", "); got != "30 public.missing, 30 public.mv, 31 public.a_high, 32 public.a_higher" {
		t.Errorf("order: %s", got)
	}
	for _, p := range []string{"mv", "a_high", "a_higher"} {
		b.must(policy(p))
	}
	if n := b.one("SELECT n::text FROM public.a_higher"); n != "101" {
		t.Errorf("the highest view counts %s", n)
	}
}

func TestTwoRefreshersDoNoHarm(t *testing.T) {
	b := newBench(t, things, "CREATE UNIQUE INDEX ON public.mv (id)")
	other := &bench{t: t, url: b.url, pool: b.pool}
	errs := make(chan error, 2)
	for _, x := range []*bench{b, other} {
		go func() {
			for range 5 {
				if _, err := x.run(t.Context(), x.pool, policy("mv"), false); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := b.one("SELECT count(*)::text FROM pgtender.run"); n != "10" {
		t.Errorf("%s ledger rows, want 10", n)
	}
}
