package drift_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/jobs"
	"github.com/pgtender/pgtender/jobs/drift"
	"github.com/pgtender/pgtender/schema"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// kept is a database with a declared schema and the job that keeps it.
type kept struct {
	url    string
	pool   *pgxpool.Pool
	engine *schema.Engine
}

func keep(t *testing.T, sql string) *kept {
	t.Helper()
	k := &kept{url: pgtest.Database(t)}
	file := t.TempDir() + "/schema.sql"
	if err := os.WriteFile(file, []byte(sql), 0o600); err != nil {
		t.Fatal(err)
	}
	env, err := config.FromFlags(config.Flags{URL: k.url, To: []string{file}})
	if err != nil {
		t.Fatal(err)
	}
	k.engine = schema.New(env, nil)
	k.pool = pgtest.Pool(t, k.url)
	return k
}

// run runs the job once, through the ledger, and returns how it ended and what the ledger says.
func (k *kept) run(t *testing.T, mode config.ApplyMode) (jobs.Report, drift.Last) {
	t.Helper()
	task, err := drift.Task(mode, k.engine)
	if err != nil {
		t.Fatal(err)
	}
	runner, err := jobs.NewRunner(jobs.Options{URL: k.url, Pool: k.pool}, []jobs.Task{task})
	if err != nil {
		t.Fatal(err)
	}
	reports, err := runner.RunOnce(context.Background(), jobs.Once{})
	if err != nil {
		t.Fatal(err)
	}
	last, err := drift.Latest(t.Context(), k.pool)
	if err != nil {
		t.Fatal(err)
	}
	return reports[0], last
}

const declared = `
	CREATE TABLE public.orders (id bigint PRIMARY KEY, note text, paid boolean NOT NULL DEFAULT false);
	CREATE INDEX orders_note ON public.orders (note);`

func TestSafeBringsItBackAndThenHasNothingToDo(t *testing.T) {
	k := keep(t, declared)
	report, last := k.run(t, config.ApplySafe)
	if report.Err != nil || report.Result.Outcome != jobs.Success || last.Differing != 0 {
		t.Fatalf("first run: %+v, %+v", report, last)
	}
	if report, last = k.run(t, config.ApplySafe); report.Err != nil || report.Result.Outcome != jobs.Noop || last.At.IsZero() || len(last.Objects) != 0 {
		t.Errorf("second run: %+v, %+v", report, last)
	}
	pgtest.Exec(t, k.url, "DROP INDEX public.orders_note")
	if report, last = k.run(t, config.ApplySafe); report.Err != nil || report.Result.Outcome != jobs.Success || last.Differing != 0 {
		t.Errorf("after an index was dropped: %+v, %+v", report, last)
	}
}

func TestSafeLeavesHazardsAndNamesThem(t *testing.T) {
	k := keep(t, declared)
	k.run(t, config.ApplySafe)
	pgtest.Exec(t, k.url, "DROP INDEX public.orders_note", "CREATE TABLE public.precious (n int)", "INSERT INTO public.precious VALUES (1)")
	report, last := k.run(t, config.ApplySafe)
	if report.Err != nil || report.Result.Outcome != jobs.Success {
		t.Fatalf("%+v", report)
	}
	if !slices.Contains(last.Objects, "table public.precious") || slices.ContainsFunc(last.Objects, func(o string) bool { return strings.Contains(o, "orders_note") }) {
		t.Errorf("left: %v", last.Objects)
	}
	if !strings.Contains(report.Result.Summary, "left to a person") {
		t.Errorf("summary: %s", report.Result.Summary)
	}
	var rows int
	if err := k.pool.QueryRow(t.Context(), "SELECT count(*) FROM public.precious").Scan(&rows); err != nil || rows != 1 {
		t.Errorf("%d rows, %v", rows, err)
	}
}

func TestOffChangesNothing(t *testing.T) {
	k := keep(t, declared)
	report, last := k.run(t, config.ApplyOff)
	if report.Err != nil || report.Result.Outcome != jobs.Noop || last.Differing == 0 {
		t.Errorf("%+v, %+v", report, last)
	}
	var there bool
	if err := k.pool.QueryRow(t.Context(), "SELECT to_regclass('public.orders') IS NOT NULL").Scan(&there); err != nil || there {
		t.Errorf("the table was made: %v, %v", there, err)
	}
}

func TestAFailureIsToldByTheLedger(t *testing.T) {
	k := keep(t, "CREATE TABLE public.orders (id nosuchtype);")
	report, last := k.run(t, config.ApplySafe)
	if report.Err == nil || last.Err == nil || !strings.Contains(last.Err.Error(), "nosuchtype") {
		t.Errorf("%v, %v", report.Err, last.Err)
	}
}

func TestLatestWithoutALedger(t *testing.T) {
	last, err := drift.Latest(t.Context(), pgtest.Pool(t, pgtest.Database(t)))
	if err != nil || !last.At.IsZero() || !errors.Is(last.Err, nil) {
		t.Errorf("%+v, %v", last, err)
	}
}
