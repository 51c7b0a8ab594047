package checks

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
)

func TestInvalidIndex(t *testing.T) {
	b := newBench(t, "CREATE TABLE public.t (a int)", "INSERT INTO public.t VALUES (1), (1)", "CREATE INDEX good ON public.t (a)")
	env := &config.Env{Schemas: []string{"public"}}
	check := invalidIndex(env)
	b.want(check, "", OK)
	if _, err := b.pool.Exec(t.Context(), "CREATE UNIQUE INDEX CONCURRENTLY bad ON public.t (a)"); pg.Code(err) != "23505" {
		t.Fatalf("planting the fault: %v", err)
	}
	f := b.want(check, "public.bad", Warning, "it is invalid")
	env.Exclude = []config.Pattern{{Text: "public.t"}}
	b.silent(check, "public.bad")
	env.Exclude = nil
	b.exec("DELETE FROM public.t", f.Remedy)
	b.want(check, "", OK)

	b.exec(eventsDDL, days(0, 1), "CREATE INDEX parent ON ONLY public.events (v)")
	b.want(check, "public.parent", Warning, "not every partition", "pgtender plan")
	b.exec("DROP INDEX public.parent")
	b.want(check, "", OK)
}

func TestIndexThatIsBeingBuiltIsNotInvalid(t *testing.T) {
	b := newBench(t, "CREATE TABLE public.t (a int)")
	check := invalidIndex(&config.Env{Schemas: []string{"public"}})
	_, end := b.session("INSERT INTO public.t VALUES (1)") // which the build waits for
	done := make(chan error, 1)
	go func() {
		_, err := b.pool.Exec(t.Context(), "CREATE INDEX CONCURRENTLY slow ON public.t (a)")
		done <- err
	}()
	for {
		var there bool
		if err := b.pool.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relname = 'slow')").Scan(&there); err != nil {
			t.Fatal(err)
		}
		if there {
			break
		}
	}
	b.want(check, "", OK)
	end()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	b.want(check, "", OK)
}

func TestNotValid(t *testing.T) {
	b := newBench(t, "CREATE TABLE public.t (a int)", "INSERT INTO public.t VALUES (-1)")
	check := notValid(&config.Env{Schemas: []string{"public"}})
	b.want(check, "", OK)
	b.exec("ALTER TABLE public.t ADD CONSTRAINT positive CHECK (a > 0) NOT VALID", "ALTER TABLE public.t ADD CONSTRAINT wish CHECK (a > 100) NOT ENFORCED")
	f := b.want(check, "public.t.positive", Warning, "VALIDATE CONSTRAINT")
	b.silent(check, "public.t.wish")
	b.exec("UPDATE public.t SET a = 1", f.Remedy)
	b.want(check, "", OK)
}

func TestSchemaDrift(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	var drift Drift
	check := schemaDrift(func() time.Time { return now }, func() Drift { return drift }, defaults("schema_drift"))
	once := func() Result {
		return ask(t, nil, check) // it needs no pool
	}
	if r := once(); r.Status() != Unknown {
		t.Errorf("never compared: %+v", r)
	}
	drift = Drift{At: now.Add(-time.Minute)}
	if r := once(); r.Status() != OK || sample(t, r.Findings[0], "pgtender_schema_drift_objects") != 0 {
		t.Errorf("equal: %+v", r)
	}
	drift.Objects = []string{"index public.a", "b", "c", "d", "e", "f", "g"}
	r := once()
	if r.Status() != Warning || sample(t, r.Findings[0], "pgtender_schema_drift_objects") != 7 || len(drift.Objects) != 7 {
		t.Errorf("drift: %+v", r)
	}
	if want := "7 objects differ from the declared schema (compared 60 s ago): index public.a, b, c, d, e and 2 more"; r.Findings[0].Message != want {
		t.Errorf("message %q, want %q", r.Findings[0].Message, want)
	}
	drift.Objects = nil
	if r := once(); r.Status() != OK {
		t.Errorf("equal again: %+v", r)
	}
	drift.At = now.Add(-48 * time.Hour)
	if r := once(); r.Status() != Unknown {
		t.Errorf("too long ago: %+v", r)
	}
	drift = Drift{At: now, Unread: errors.New("no server")}
	if r := once(); r.Status() != Unknown || r.Err == nil || !strings.Contains(r.Findings[0].Message, "cannot be read: no server") {
		t.Errorf("the ledger is away: %+v", r)
	}
	drift = Drift{At: now, Err: errors.New("no server")}
	if r := once(); r.Status() != Unknown || r.Err == nil {
		t.Errorf("failed: %+v", r)
	}
}

func TestSchemaApply(t *testing.T) {
	b := newBench(t)
	check := schemaApply()
	b.want(check, "", OK, "no plan was applied yet")
	insert := "INSERT INTO pgtender.applied_plan (hash, from_fingerprint, to_fingerprint, statements, state, started_at, finished_at, error) VALUES "
	b.exec(insert + "('h', 'a', 'b', 1, 'done', now() - interval '1 hour', '2026-05-01 12:00+00', NULL)")
	f := b.want(check, "", OK)
	if got := sample(t, f, "pgtender_schema_last_apply_timestamp_seconds"); got != float64(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC).Unix()) {
		t.Errorf("last apply at %g", got)
	}
	b.exec(insert + "('h', 'a', 'b', 1, 'failed', now(), now(), 'out of luck')")
	f = b.want(check, "", Warning, "the last plan failed: out of luck")
	sample(t, f, "pgtender_schema_last_apply_timestamp_seconds")
	b.exec(insert + "('h', 'a', 'b', 1, 'running', now() - interval '2 hours', NULL, NULL)")
	b.want(check, "", Warning, "has not ended", "pgtender apply")
	b.exec(insert + "('h', 'a', 'b', 1, 'done', now(), now(), NULL)")
	b.want(check, "", OK)
}
