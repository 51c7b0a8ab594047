package checks

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/internal/state"
)

// bench is one database with pgtender's schema, to plant faults in.
type bench struct {
	t    *testing.T
	url  string
	pool *pgxpool.Pool
}

func newBench(t *testing.T, statements ...string) *bench {
	t.Helper()
	t.Parallel()
	url := pgtest.Database(t)
	b := &bench{t: t, url: url, pool: pgtest.Pool(t, url)}
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

// user is the role in a connection string.
func user(url string) string {
	return strings.SplitN(strings.TrimPrefix(url, "postgres://"), "@", 2)[0]
}

// ask runs one check as the collector does.
func (b *bench) ask(check Check) Result { return ask(b.t, b.pool, check) }

func ask(t *testing.T, pool *pgxpool.Pool, check Check) Result {
	t.Helper()
	results := NewCollector(Options{Pool: pool, Checks: []Check{check}}).Once(t.Context())
	if len(results) != 1 {
		t.Fatalf("results: %+v", results)
	}
	planted.note(t.Name(), check.Name, results[0].Status())
	return results[0]
}

// want asks and wants the object's state, and each text in its message or remedy. It returns the finding.
func (b *bench) want(check Check, object string, status Status, texts ...string) Finding {
	b.t.Helper()
	r := b.ask(check)
	if r.Err != nil {
		b.t.Fatalf("%s: %v", check.Name, r.Err)
	}
	i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.Object == object })
	if i < 0 {
		b.t.Fatalf("%s says nothing of %q: %+v", check.Name, object, r.Findings)
	}
	f := r.Findings[i]
	if f.Status != status {
		b.t.Errorf("%s: %s is %s, want %s: %s", check.Name, object, f.Status, status, f.Message)
	}
	for _, text := range texts {
		if !strings.Contains(f.Message+"\n"+f.Remedy, text) {
			b.t.Errorf("%s: %q is not in %q, %q", check.Name, text, f.Message, f.Remedy)
		}
	}
	return f
}

// silent asks and wants nothing said of the object.
func (b *bench) silent(check Check, object string) {
	b.t.Helper()
	r := b.ask(check)
	if r.Err != nil {
		b.t.Fatalf("%s: %v", check.Name, r.Err)
	}
	if slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Object == object }) {
		b.t.Errorf("%s still speaks of %s: %+v", check.Name, object, r.Findings)
	}
}

// session opens a session of its own, in which a transaction runs until the returned function ends it.
func (b *bench) session(statements ...string) (pid uint32, end func()) {
	b.t.Helper()
	conn, err := pgx.Connect(b.t.Context(), b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, sql := range append([]string{"BEGIN"}, statements...) {
		if _, err := conn.Exec(b.t.Context(), sql); err != nil {
			b.t.Fatalf("%s: %v", sql, err)
		}
	}
	end = func() { conn.Close(context.Background()) }
	b.t.Cleanup(end)
	return conn.PgConn().PID(), end
}

func schedule(t testing.TB, text string) config.Schedule {
	t.Helper()
	s, err := config.ParseSchedule(text, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func interval(t testing.TB, text string) config.Interval {
	t.Helper()
	i, err := config.ParseInterval(text)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func public(name string) config.Table { return config.Table{Schema: "public", Name: name} }

// sample is the value of a metric in a finding.
func sample(t *testing.T, f Finding, metric string, labels ...string) float64 {
	t.Helper()
	for _, s := range f.Samples {
		if s.Metric == metric && slices.Equal(s.Labels, labels) {
			return s.Value
		}
	}
	t.Fatalf("no %s %v in %+v", metric, labels, f.Samples)
	return 0
}

// defaults are the thresholds of a check that the file says nothing of.
func defaults(name string) limits { return (&config.Env{}).Limits(name) }

// from are thresholds; 0: none.
func from(warning, critical float64) limits { return limits{Warning: warning, Critical: critical} }
