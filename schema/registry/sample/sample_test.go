package sample_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/schema/registry/registrytest"
	"github.com/pgtender/pgtender/schema/registry/sample"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pg.Dedicated(context.Background(), url, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func get[T any](t *testing.T, conn *pgx.Conn, sql string, args ...any) T {
	t.Helper()
	var v T
	if err := conn.QueryRow(context.Background(), sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func count(t *testing.T, conn *pgx.Conn) map[string]int64 {
	t.Helper()
	totals, err := sample.Count(context.Background(), conn)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]int64{}
	for _, total := range totals {
		m[total.Table] = total.Rows
	}
	return m
}

// digests sums up each table's rows, but for the roll-up's state, which notes transactions.
func digests(t *testing.T, conn *pgx.Conn) map[string]string {
	t.Helper()
	m := map[string]string{}
	for table := range count(t, conn) {
		if table != "deployment_roll_up_state" {
			m[table] = get[string](t, conn, "SELECT count(*) || ' ' || coalesce(sum(hashtextextended(r::text, 0)::numeric), 0) FROM "+pg.Ident("public", table)+" AS r")
		}
	}
	return m
}

// The template was loaded by another session, into another database, with another time zone, with nothing before it.
func TestSameTimeGivesSameRows(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := registrytest.Database(t)
	conn := connect(t, url)
	if _, err := conn.Exec(ctx, "SET TimeZone = 'Asia/Kolkata'; SET search_path = public; SET DateStyle = 'SQL, DMY'; SET IntervalStyle = 'iso_8601'"); err != nil {
		t.Fatal(err)
	}
	// A load that is given up half-way leaves nothing.
	stopped, stop := context.WithCancel(ctx)
	defer stop()
	giveUp := connect(t, url)
	err := sample.Load(stopped, giveUp, registrytest.SampleTime(), func(line string) {
		if strings.Contains(line, "50_monitoring") {
			stop()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("a load that is cancelled: %v", err)
	}
	giveUp.Close(ctx)
	for table, rows := range count(t, conn) {
		if rows != 0 {
			t.Errorf("%s has %d rows after a load that was cancelled", table, rows)
		}
	}
	if n := get[int](t, conn, "SELECT count(*) FROM pg_inherits"); n != 0 {
		t.Errorf("%d partitions and their indexes after a load that was cancelled", n)
	}

	if err := sample.Load(ctx, conn, registrytest.SampleTime().In(time.FixedZone("", 5*3600)), nil); err != nil {
		t.Fatal(err)
	}
	if tz := get[string](t, conn, "SHOW TimeZone"); tz != "Asia/Kolkata" {
		t.Errorf("the session's time zone is now %s", tz)
	}
	conn.Close(ctx)
	got, want := digests(t, connect(t, url)), digests(t, connect(t, registrytest.Sample(t)))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the same time gives other rows (-template +this):\n%s", diff)
	}
}

func TestSampleIsWhatItPromises(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	conn := connect(t, registrytest.Sample(t))
	rows := count(t, conn)
	for table, want := range map[string]int64{
		"ai_models": 20, "model_versions": 100, "training_runs": 302, "training_datasets": 12,
		"training_records": sample.TrainingRecords, "inference_requests": sample.InferenceRequests,
	} {
		if rows[table] != want {
			t.Errorf("%s: %d rows, want %d", table, rows[table], want)
		}
	}
	for table, n := range rows {
		if n == 0 {
			t.Errorf("%s is empty", table)
		}
	}
	for _, table := range []string{"training_records", "inference_requests"} {
		now := registrytest.SampleTime()
		first, last := get[time.Time](t, conn, "SELECT min(created_at) FROM public."+table), get[time.Time](t, conn, "SELECT max(created_at) FROM public."+table)
		if first.Before(time.Date(2025, 2, 28, 0, 0, 0, 0, time.UTC)) || first.After(time.Date(2025, 3, 20, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("%s begins at %s", table, first)
		}
		if last.After(now) || last.Before(now.Add(-2*time.Hour)) {
			t.Errorf("%s ends at %s", table, last)
		}
		if n := get[int](t, conn, "SELECT count(DISTINCT date_trunc('month', created_at, 'UTC')) FROM public."+table); n < 18 {
			t.Errorf("%s has rows in %d months only", table, n)
		}
		// The months, in UTC, from that of 18 months ago to that of now, each with a CHECK that proves its bounds.
		bounds := get[[]string](t, conn, `SELECT array_agg(c.relname || ' ' || pg_get_expr(c.relpartbound, c.oid) ORDER BY c.relname)
			FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid WHERE i.inhparent = to_regclass('public.' || $1)`, table)
		if len(bounds) != 19 || bounds[0] != table+"_2025_02 FOR VALUES FROM ('2025-02-01 00:00:00+00') TO ('2025-03-01 00:00:00+00')" ||
			!strings.HasPrefix(bounds[18], table+"_2026_08 ") {
			t.Errorf("partitions of %s: %s", table, strings.Join(bounds, "\n"))
		}
		if n := get[int](t, conn, `SELECT count(*) FROM pg_inherits AS i JOIN pg_constraint AS c ON c.conrelid = i.inhrelid AND c.conname = 'pgtender_bounds'
			WHERE i.inhparent = to_regclass('public.' || $1) AND c.contype = 'c' AND c.convalidated`, table); n != 19 {
			t.Errorf("%s: %d partitions have a CHECK of their bounds", table, n)
		}
	}
	// New rows get numbers of their own.
	for _, sql := range []string{
		"INSERT INTO public.ai_models (model_name, model_type) VALUES ('new', 'regression')",
		"INSERT INTO public.inference_requests (deployment_id, status, created_at) VALUES (105, 'success', '2026-08-31 00:00+00')",
		"INSERT INTO public.training_records (model_version_id, epoch, created_at) VALUES (1, 1, '2026-08-31 00:00+00')",
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if n := get[int64](t, conn, "SELECT max(id) FROM public.inference_requests"); n != sample.InferenceRequests+1 {
		t.Errorf("the next request has number %d", n)
	}
}

func TestSecondLoadDoesNothing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	conn := connect(t, registrytest.Sample(t))
	if loaded, err := sample.Loaded(ctx, conn); err != nil || !loaded {
		t.Fatalf("Loaded: %v, %v", loaded, err)
	}
	// Also when the data has gone on: rows added, a month archived.
	for _, sql := range []string{
		"INSERT INTO public.ai_models (model_name, model_type) VALUES ('new', 'regression')",
		"ALTER TABLE public.inference_requests DETACH PARTITION public.inference_requests_2025_03",
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	before := digests(t, conn)
	var lines []string
	if err := sample.Load(ctx, conn, registrytest.SampleTime().AddDate(0, 2, 0), func(line string) { lines = append(lines, line) }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"the sample data is there already"}, lines); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, digests(t, conn)); diff != "" {
		t.Errorf("rows changed (-before +after):\n%s", diff)
	}
}

// Another length of the months, another hour of the day, a schema that is there with its partitions.
func TestAnotherTime(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	conn := connect(t, registrytest.Database(t))
	_, err := conn.Exec(ctx, `CREATE TABLE public.inference_requests_mine PARTITION OF public.inference_requests FOR VALUES FROM ('2028-02-01 00:00+00') TO ('2028-03-01 00:00+00');
		CREATE TABLE public.inference_requests_2028_03 PARTITION OF public.inference_requests FOR VALUES FROM ('2028-03-01 00:00+00') TO ('2028-04-01 00:00+00');
		CALL public.roll_up_deployments()`)
	if err != nil {
		t.Fatal(err)
	}
	if err := sample.Load(ctx, conn, time.Date(2028, 2, 29, 0, 0, 0, 0, time.UTC), nil); err != nil {
		t.Fatal(err)
	}
	if n := get[int](t, conn, "SELECT count(*) FROM public.inference_requests_mine"); n == 0 {
		t.Error("a partition that was there got no rows")
	}
	last := get[time.Time](t, conn, "SELECT greatest(max(t.created_at), max(r.created_at)) FROM public.training_records AS t, (SELECT max(created_at) AS created_at FROM public.inference_requests) AS r")
	if last.After(time.Date(2028, 2, 29, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("rows from the future: %s", last)
	}
}

func TestRegistryInUseIsRefused(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	conn := connect(t, registrytest.Database(t))
	if loaded, err := sample.Loaded(ctx, conn); err != nil || loaded {
		t.Fatalf("Loaded: %v, %v", loaded, err)
	}
	if _, err := conn.Exec(ctx, "INSERT INTO public.model_file_paths (storage_type, path_pattern) VALUES ('local', '.'); INSERT INTO public.ai_models (model_name, model_type) VALUES ('mine', 'regression')"); err != nil {
		t.Fatal(err)
	}
	var inUse *sample.NotEmptyError
	if err := sample.Load(ctx, conn, registrytest.SampleTime(), nil); !errors.As(err, &inUse) || !slices.Equal(inUse.Tables, []string{"ai_models", "model_file_paths"}) {
		t.Fatalf("load into a registry that is in use: %v", err)
	}
	if n := get[int](t, conn, "SELECT count(*) FROM pg_inherits"); n != 0 {
		t.Errorf("%d partitions and their indexes were made", n)
	}
}

func TestNoRegistry(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	conn := connect(t, pgtest.Database(t))
	if loaded, err := sample.Loaded(ctx, conn); err != nil || loaded {
		t.Errorf("Loaded: %v, %v", loaded, err)
	}
	if err := sample.Load(ctx, conn, registrytest.SampleTime(), nil); !errors.Is(err, sample.ErrNoRegistry) {
		t.Errorf("load without a registry: %v", err)
	}
}

// The loader's list of tables is the registry's.
func TestCountCoversTheRegistry(t *testing.T) {
	t.Parallel()
	conn := connect(t, registrytest.Database(t))
	totals, err := sample.Count(context.Background(), conn)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, total := range totals {
		got = append(got, total.Table)
	}
	want := get[[]string](t, conn, "SELECT array_agg(relname::text ORDER BY relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')")
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tables (-registry +counted):\n%s", diff)
	}
}
