package checks

import (
	"strings"
	"testing"
	"time"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pgtest"
)

func viewsEnv(t *testing.T) *config.Env {
	t.Helper()
	return &config.Env{Schemas: []string{"public"}, Daemon: config.Daemon{Location: time.UTC}, Refreshes: []config.Refresh{
		{View: public("mv"), Schedule: schedule(t, "@every 10m"), Concurrently: true, MaxStaleness: interval(t, "1 hour")}}}
}

func TestMatviewAge(t *testing.T) {
	b := newBench(t, "CREATE MATERIALIZED VIEW public.mv AS SELECT 1 AS id WITH NO DATA")
	check := matviewAge(viewsEnv(t), defaults("matview_age"))
	if f := b.want(check, "public.mv", Unknown, "no refresh of it is recorded"); len(f.Samples) != 0 {
		t.Errorf("an age that nobody knows: %+v", f.Samples)
	}
	b.exec("INSERT INTO pgtender.refresh_state (view_schema, view_name, view_oid, checked_at) VALUES ('public', 'mv', 'public.mv'::regclass, now() - interval '24 minutes')")
	f := b.want(check, "public.mv", OK)
	if age := sample(t, f, "pgtender_matview_age_seconds", "public", "mv"); age < 24*60 || age > 25*60 {
		t.Errorf("age %g", age)
	}
	b.exec("UPDATE pgtender.refresh_state SET checked_at = now() - interval '26 minutes'")
	b.want(check, "public.mv", Warning, "a refresh was due", "pgtender job run refresh --table public.mv")
	b.exec("UPDATE pgtender.refresh_state SET checked_at = now() - interval '61 minutes'")
	b.want(check, "public.mv", Critical, "max_staleness of 1 hour")
	b.exec("UPDATE pgtender.refresh_state SET checked_at = now()")
	b.want(check, "public.mv", OK)
	b.exec("DROP MATERIALIZED VIEW public.mv", "CREATE MATERIALIZED VIEW public.mv AS SELECT 1 AS id")
	b.want(check, "public.mv", OK, "made anew, not refreshed by pgtender yet") // another view of the same name
	b.exec("UPDATE pgtender.refresh_state SET checked_at = now() - interval '26 minutes'")
	if f := b.want(check, "public.mv", Warning, "made anew", "a refresh was due", "pgtender job run refresh --table public.mv"); len(f.Samples) != 0 {
		t.Errorf("an age that nobody knows: %+v", f.Samples)
	}
}

func TestMatviewFilledOtherwise(t *testing.T) {
	b := newBench(t, "CREATE MATERIALIZED VIEW public.mv AS SELECT 1 AS id")
	env := viewsEnv(t)
	env.Refreshes[0].Schedule = schedule(t, "@every 1s")
	check := matviewAge(env, defaults("matview_age"))
	b.want(check, "public.mv", OK, "made anew, not refreshed by pgtender yet")
	b.exec("INSERT INTO pgtender.run (job, target, trigger, started_at, finished_at, outcome, error) VALUES ('refresh', 'public.mv', 'manual', now() - interval '4 seconds', now(), 'failure', 'no')")
	if f := b.want(check, "public.mv", Warning, "made anew", "a refresh was due"); f.Value < 4 || f.Value > 600 {
		t.Errorf("it waits for its first refresh for %g s", f.Value)
	}
	// Whoever asks for the first time is told the same.
	b.want(matviewAge(env, defaults("matview_age")), "public.mv", Warning, "made anew", "a refresh was due")
	b.exec("DROP MATERIALIZED VIEW public.mv", "CREATE TABLE public.mv ()")
	b.want(check, "public.mv", Unknown)
}

func TestOverdueFollowsTheSchedule(t *testing.T) {
	t.Parallel()
	at := func(s string) time.Time {
		tm, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return tm
	}
	for _, c := range [][3]string{
		{"0 * * * *", "2026-05-01T10:00:00Z", "2026-05-01T12:30:00Z"},
		{"0 6 * * 1-5", "2026-05-01T06:00:00Z", "2026-05-05T18:00:00Z"}, // from a Friday over the weekend
		{"*/5 * * * *", "2026-05-01T10:00:03Z", "2026-05-01T10:12:30Z"},
	} {
		if got := overdue(schedule(t, c[0]), at(c[1]), 2.5); !got.Equal(at(c[2])) {
			t.Errorf("%s from %s: overdue at %s, want %s", c[0], c[1], got.Format(time.RFC3339), c[2])
		}
	}
}

func TestMatviewPopulated(t *testing.T) {
	b := newBench(t)
	check := matviewPopulated(viewsEnv(t))
	b.want(check, "public.mv", Critical, "no such materialised view")
	b.exec("CREATE MATERIALIZED VIEW public.mv AS SELECT 1 AS id WITH NO DATA")
	b.want(check, "public.mv", Critical, "never populated", "pgtender job run refresh")
	b.exec("REFRESH MATERIALIZED VIEW public.mv")
	b.want(check, "public.mv", OK)
}

func TestMatviewUniqueIndex(t *testing.T) {
	b := newBench(t)
	env := viewsEnv(t)
	check := matviewUniqueIndex(env)
	b.silent(check, "public.mv")
	b.exec("CREATE MATERIALIZED VIEW public.mv AS SELECT 1 AS id, 2 AS n", "CREATE UNIQUE INDEX ON public.mv (id) WHERE n > 0", "CREATE UNIQUE INDEX ON public.mv ((id + n))", "CREATE INDEX ON public.mv (id)")
	b.want(check, "public.mv", Warning, "no unique index", "CREATE UNIQUE INDEX ON \"public\".\"mv\"")
	b.exec("CREATE UNIQUE INDEX ON public.mv (id, n)")
	b.want(check, "public.mv", OK)
	b.exec("DROP INDEX public.mv_id_n_idx")
	env.Refreshes[0].Concurrently = false
	b.silent(check, "public.mv")
}

func TestMatviewPrivileges(t *testing.T) {
	b := newBench(t, "CREATE SCHEMA s", "CREATE MATERIALIZED VIEW s.mv AS SELECT 1 AS id")
	env := viewsEnv(t)
	env.Refreshes[0].View.Schema = "s"
	check := matviewPrivileges(env)
	b.want(check, "s.mv", OK)
	url := pgtest.Role(t, b.url)
	pool := pgtest.Pool(t, url)
	r := ask(t, pool, check)
	if r.Status() != Critical || r.Findings[0].Value != 2 {
		t.Fatalf("result: %+v", r)
	}
	b.exec(strings.Split(r.Findings[0].Remedy, "; ")...)
	if r := ask(t, pool, check); r.Status() != OK {
		t.Errorf("after the remedy: %+v", r)
	}
}
