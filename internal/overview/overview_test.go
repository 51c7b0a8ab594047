package overview

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/internal/state"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func table(name string) config.Table { return config.Table{Schema: "public", Name: name} }

// bench is a reader over a database with something of everything.
func bench(t *testing.T) (*Reader, string, *pgxpool.Pool) {
	t.Helper()
	url := pgtest.Database(t)
	pool, err := pg.Open(t.Context(), url, 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	if err := state.Ensure(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	pgtest.Exec(t, url, `
		CREATE TABLE public.t (at timestamptz NOT NULL, v text) PARTITION BY RANGE (at);
		CREATE TABLE public.t_old PARTITION OF public.t FOR VALUES FROM ('2020-01-01 00:00+00') TO ('2020-02-01 00:00+00');
		CREATE TABLE public.t_far PARTITION OF public.t FOR VALUES FROM ('2090-01-01 00:00+00') TO (MAXVALUE);
		CREATE TABLE public.t_default PARTITION OF public.t DEFAULT;
		CREATE TABLE public."t ""now""" PARTITION OF public.t FOR VALUES FROM ('2020-03-01 00:00+00') TO ('2080-01-01 00:00+00');
		CREATE INDEX ON public.t (at);
		INSERT INTO public.t SELECT '2020-01-01 00:00+00'::timestamptz + i * interval '1 hour', repeat('x', 100) FROM generate_series(1, 500) i;
		CREATE MATERIALIZED VIEW public.mv AS SELECT count(*) AS n FROM public.t;
		CREATE MATERIALIZED VIEW public.empty AS SELECT 1 AS one WITH NO DATA;`,
		"SELECT pg_stat_force_next_flush()", // or what ANALYZE counts is counted twice for a moment
		"ANALYZE public.t",
		`INSERT INTO pgtender.archived_partition (live_schema, live_table, archive_schema, archive_table, partition_schema, partition_name, kind, lower_at, upper_at, rows, rows_exact, bytes, gone_at, gone_how)
		VALUES ('public', 't', 'public', 't_archive', 'public', 't_1', 'partition', '2019-11-01 00:00+00', '2019-12-01 00:00+00', 10, true, 8192, NULL, NULL),
		       ('public', 't', 'public', 't_archive', 'public', 't_2', 'rows', '2019-12-01 00:00+00', '2020-01-01 00:00+00', 3, true, NULL, NULL, NULL),
		       ('public', 't', 'public', 't_archive', 'public', 't_2', 'rows', '2019-12-01 00:00+00', '2020-01-01 00:00+00', 4, true, NULL, NULL, NULL),
		       ('public', 't', 'public', 't_archive', 'public', 't_0', 'partition', '2019-10-01 00:00+00', '2019-11-01 00:00+00', 4, true, NULL, now(), 'restored'),
		       ('public', 'plain', 'public', 'plain_archive', 'public', 'p_1', 'rows', NULL, NULL, 9, false, NULL, NULL, NULL);
		INSERT INTO pgtender.run (job, target, trigger, started_at, finished_at, outcome, summary, error)
		SELECT 'archive', 'public.t', 'manual', now() - i * interval '1 hour', now() - i * interval '1 hour' + interval '2 seconds', 'success', repeat('y', 500), NULL FROM generate_series(40, 1, -1) i;
		INSERT INTO pgtender.run (job, trigger, started_at, finished_at, outcome, summary, error) VALUES ('own', 'manual', now(), now(), 'failure', 'half done', 'it broke');
		INSERT INTO pgtender.run (job, trigger) VALUES ('own', 'manual');
		INSERT INTO pgtender.refresh_state (view_schema, view_name, view_oid, refreshed_at, checked_at)
		SELECT 'public', 'mv', 'public.mv'::regclass::oid, '2026-01-01 00:00+00', '2026-01-02 00:00+00';
		INSERT INTO pgtender.setting_change (name, old_value, new_value, state, reason) VALUES ('io_workers', NULL, '6', 'begun', 'busy');
		INSERT INTO pgtender.applied_plan (hash, from_fingerprint, to_fingerprint, statements, state) VALUES ('h', 'a', 'b', 2, 'failed');
		INSERT INTO pgtender.applied_statement (plan_id, position, sql, state) SELECT id, n, 'x', CASE n WHEN 1 THEN 'done' ELSE 'failed' END FROM pgtender.applied_plan, generate_series(1, 2) n;`)
	env := &config.Env{Daemon: config.Daemon{Location: time.UTC},
		Partitions: []config.Partition{{Table: table("t"), Interval: config.Month, Ahead: 2}, {Table: table("absent"), Interval: config.Month}},
		Archives:   []config.Archive{{Table: table("t"), Into: table("t_archive"), Partitioned: true}, {Table: table("plain"), Into: table("plain_archive")}},
		Refreshes:  []config.Refresh{{View: table("mv")}, {View: table("absent")}, {View: table("empty")}}}
	r := NewReader(Options{Pool: pool, Env: env, Tasks: func() []Task { return []Task{{"archive", "public.t"}, {"own", ""}, {"never", ""}} }})
	return r, url, pool
}

func TestRead(t *testing.T) {
	r, _, _ := bench(t)
	r.Read(t.Context())
	got := r.Latest()
	for name, err := range map[string]error{"tables": got.Tables.Err, "runs": got.Runs.Err, "views": got.Views.Err, "settings": got.Settings.Err, "changes": got.Changes.Err, "plans": got.Plans.Err} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	day := func(y int, m time.Month) time.Time { return time.Date(y, m, 1, 0, 0, 0, 0, time.UTC) }
	if len(got.Tables.Value) != 3 {
		t.Fatalf("tables: %+v", got.Tables.Value)
	}
	first := got.Tables.Value[0]
	for i := range first.Pieces {
		p := &first.Pieces[i]
		if (p.Name == "public.t_old" && (p.Rows != 500 || p.Bytes < 500*100)) || (p.State == Current && p.Bytes < 0) {
			t.Errorf("sizes of %+v", p)
		}
		if p.State != Archived {
			p.Bytes, p.Rows = 0, 0
		}
		p.From, p.To = p.From.UTC(), p.To.UTC()
	}
	want := []Piece{
		{State: Archived, Name: "public.t_1", From: day(2019, 11), To: day(2019, 12), Rows: 10, Bytes: 8192, Exact: true},
		{State: Archived, Name: "public.t_2", From: day(2019, 12), To: day(2020, 1), Rows: 7, Bytes: -1, Exact: true},
		{State: Live, Name: "public.t_old", From: day(2020, 1), To: day(2020, 2)},
		{State: Hole, From: day(2020, 2), To: day(2020, 3)},
		{State: Current, Name: `public.t "now"`, From: day(2020, 3), To: day(2080, 1)},
		{State: Hole, From: day(2080, 1), To: day(2090, 1)},
		{State: Ahead, Name: "public.t_far", From: day(2090, 1)},
		{State: Default, Name: "public.t_default"},
	}
	if diff := cmp.Diff(want, first.Pieces); diff != "" {
		t.Errorf("pieces (-want +got):\n%s", diff)
	}
	if first.Into != table("t_archive") || got.Tables.Value[1].Problem == "" {
		t.Errorf("tables: %+v", got.Tables.Value)
	}
	if plain := got.Tables.Value[2]; len(plain.Pieces) != 1 || plain.Pieces[0].Rows != 9 || plain.Pieces[0].Exact || !plain.Pieces[0].From.IsZero() {
		t.Errorf("a plain table: %+v", plain)
	}
	archive, own := got.Runs.Value[Task{"archive", "public.t"}], got.Runs.Value[Task{"own", ""}]
	if len(archive) != runsEach || !archive[0].Started.After(archive[1].Started) || len(archive[0].Text) != textMax || archive[0].Finished.Sub(archive[0].Started) != 2*time.Second {
		t.Errorf("runs: %d, %+v", len(archive), archive[0])
	}
	if len(own) != 1 || own[0].Outcome != "failure" || own[0].Text != "it broke" {
		t.Errorf("runs: %+v", own)
	}
	if v := got.Views.Value; len(v) != 3 || !v[0].There || !v[0].Populated || !v[0].Same || !v[0].Checked.Equal(day(2026, 1).AddDate(0, 0, 1)) || v[1].There || !v[2].There || v[2].Populated {
		t.Errorf("views: %+v", v)
	}
	if !slices.ContainsFunc(got.Settings.Value, func(s Setting) bool {
		return s.Name == "io_combine_limit" && s.Value == "128kB" && s.Source != "" && s.Context == "user"
	}) {
		t.Errorf("settings: %+v", got.Settings.Value)
	}
	if c := got.Changes.Value; len(c) != 1 || c[0].Old != nil || *c[0].New != "6" || !c[0].Ended.IsZero() {
		t.Errorf("changes: %+v", c)
	}
	if p := got.Plans.Value; len(p) != 1 || p[0].Done != 1 || p[0].Statements != 2 || p[0].State != "failed" {
		t.Errorf("plans: %+v", p)
	}
}

// Partitions and views that somebody holds in the strongest lock are read as ever; of what cannot be read for a lock the last
// reading stays, and says from when it is.
func TestReadUnderLock(t *testing.T) {
	r, url, pool := bench(t)
	r.Read(t.Context())
	before := r.Latest()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), "BEGIN; LOCK TABLE public.t; REFRESH MATERIALIZED VIEW public.mv; LOCK TABLE pgtender.applied_plan"); err != nil {
		t.Fatal(err)
	}
	r.Read(t.Context())
	during := r.Latest()
	if during.Tables.Err != nil || !during.Tables.At.After(before.Tables.At) || during.Views.Err != nil {
		t.Errorf("tables: %v, views: %v", during.Tables.Err, during.Views.Err)
	}
	if during.Plans.Err == nil || !strings.Contains(during.Plans.Err.Error(), "applied plans") || !during.Plans.At.Equal(before.Plans.At) || len(during.Plans.Value) != 1 {
		t.Errorf("plans: %+v", during.Plans)
	}
	if _, err := conn.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	r.Read(t.Context())
	if after := r.Latest(); after.Plans.Err != nil || !after.Plans.At.After(before.Plans.At) {
		t.Errorf("plans: %+v", after.Plans)
	}
	// Nothing is left open.
	var open int
	if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'").Scan(&open); err != nil || open != 0 {
		t.Errorf("%d open transactions, %v", open, err)
	}
}

// A database that pgtender has not worked on has no ledger: that is no failure, and its partitions are seen.
func TestReadWithoutLedger(t *testing.T) {
	r, url, _ := bench(t)
	pgtest.Exec(t, url, "DROP SCHEMA pgtender CASCADE")
	r.Read(t.Context())
	got := r.Latest()
	if got.Runs.Err != nil || got.Plans.Err != nil || got.Tables.Err != nil || got.Plans.At.IsZero() || len(got.Plans.Value) != 0 {
		t.Errorf("%+v", got)
	}
	if len(got.Tables.Value) != 3 || len(got.Tables.Value[0].Pieces) != 6 {
		t.Errorf("tables: %+v", got.Tables.Value)
	}
}

// A nudge brings a reading soon.
func TestNudge(t *testing.T) {
	r, url, _ := bench(t)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		r.Run(ctx)
		close(done)
	}()
	until := func(want int) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); len(r.Latest().Plans.Value) != want; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("plans: %+v", r.Latest().Plans)
			}
		}
	}
	until(1)
	pgtest.Exec(t, url, "INSERT INTO pgtender.applied_plan (hash, from_fingerprint, to_fingerprint, statements, state) VALUES ('i', 'a', 'b', 2, 'done')")
	r.Nudge()
	r.Nudge()
	until(2)
	stop()
	<-done
}
