package partition

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
)

const withDefault = `CREATE TABLE public.t (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz, x int, twice int GENERATED ALWAYS AS (x * 2) STORED, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE public.rest PARTITION OF public.t DEFAULT;
` + monthSQL

// Rows of new partitions leave the DEFAULT one without ever being missed by a reader, while a writer adds more of them.
func TestRowsInDefaultAreMoved(t *testing.T) {
	t.Parallel()
	b := newBench(t, withDefault+`
		INSERT INTO public.t (at, x) SELECT public.month(0) + i * interval '1 minute', i FROM generate_series(1, 1000) i;
		INSERT INTO public.t (at, x) SELECT public.month(1) + i * interval '1 minute', i FROM generate_series(1, 1000) i;
		INSERT INTO public.t (at, x) SELECT '2001-01-01 00:00+00', i FROM generate_series(1, 500) i`).aside()
	stop := make(chan struct{})
	done := make(chan error, 2)
	reader, writer := b.connect(), b.connect()
	go func() {
		last := 0
		for {
			var n int
			if err := reader.QueryRow(t.Context(), "SELECT count(*) FROM public.t").Scan(&n); err != nil || n < max(last, 2500) {
				done <- fmt.Errorf("%d rows after %d: %w", n, last, err)
				return
			}
			last = n
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
		}
	}()
	written := 0
	go func() {
		for {
			if _, err := writer.Exec(t.Context(), "INSERT INTO public.t (at, x) VALUES (now(), 1)"); err != nil {
				done <- err
				return
			}
			written++
			select {
			case <-stop:
				done <- nil
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	r := b.mustRun(policy("t", config.Month, 2))
	close(stop)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if moved := r.Detail["moved_from_default"].(int64); moved < 2000 || !strings.Contains(r.Summary, "out of the DEFAULT partition") {
		t.Errorf("%+v", r)
	}
	if got := b.one("SELECT count(*) || ' ' || min(at) FROM public.rest"); got != "500 2001-01-01 00:00:00+00" {
		t.Errorf("DEFAULT holds %s", got)
	}
	if got, want := b.one("SELECT count(*) || ' ' || count(DISTINCT id) || ' ' || sum(twice - 2 * x) FROM public.t"), fmt.Sprintf("%d %[1]d 0", 2500+written); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestRowsInDefaultThatMustNotBeMoved(t *testing.T) {
	t.Parallel()
	const someRows = "INSERT INTO public.t (at, x) SELECT public.month(0), i FROM generate_series(1, 30) i;"
	for name, c := range map[string]struct {
		setup string
		words []string
	}{
		"referenced": {`CREATE TABLE public.child (id bigint, at timestamptz, CONSTRAINT points FOREIGN KEY (id, at) REFERENCES public.t ON DELETE CASCADE);
			INSERT INTO public.child SELECT id, at FROM public.t`, []string{"30 rows", "foreign key points", "child"}},
		"trigger":     {`CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN old; END'; CREATE TRIGGER audit AFTER DELETE ON public.rest FOR EACH ROW EXECUTE FUNCTION public.f()`, []string{"trigger audit"}},
		"its own":     {`CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'; CREATE TRIGGER mine BEFORE INSERT ON public.rest FOR EACH ROW EXECUTE FUNCTION public.f()`, []string{"trigger mine is on it alone"}},
		"policy":      {`CREATE POLICY mine ON public.rest USING (true)`, []string{"policy mine"}},
		"view":        {`CREATE VIEW public.v AS SELECT at FROM public.rest`, []string{"view public.v reads it"}},
		"rule":        {`CREATE RULE keep AS ON DELETE TO public.rest DO INSTEAD NOTHING`, []string{"rule keep"}},
		"publication": {`CREATE PUBLICATION partition_pub FOR TABLE public.t`, []string{"publication partition_pub"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, withDefault+someRows+c.setup).aside()
			before := b.one("SELECT count(*)::text FROM public.t")
			// The other months are made all the same.
			r, err := b.run(policy("t", config.Month, 2))
			if err == nil {
				t.Fatalf("not refused: %+v", r)
			}
			for _, w := range append(c.words, "public.rest", time.Now().UTC().Format("public.t_2006_01")) {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q is not in: %v", w, err)
				}
			}
			if got := b.bounds("t"); len(got) != 2 {
				t.Errorf("partitions %v", got)
			}
			if after := b.one("SELECT count(*)::text FROM public.t"); after != before {
				t.Errorf("%s rows became %s", before, after)
			}
			if text := err.Error(); (name == "referenced" || name == "publication") && strings.Contains(text, "DELETE FROM") {
				t.Errorf("it would delete what others hang on: %s", text)
			}
			if name == "referenced" { // what the refusal says can be done
				_, text, _ := strings.Cut(err.Error(), "point at nothing:\n")
				drop, again, ok := strings.Cut(text, "pgtender job run partition --table public.t\n")
				if !ok {
					t.Fatal(err)
				}
				b.exec(drop)
				b.mustRun(policy("t", config.Month, 2))
				b.exec(again)
				if got := b.one("SELECT count(*) || ' ' || (SELECT count(*) FROM public.t) || ' ' || (SELECT count(*) FROM public.rest) FROM public.child"); got != "30 30 0" {
					t.Error(got)
				}
			}
			if name == "policy" || name == "trigger" || name == "rule" { // what the refusal says can be done
				_, text, _ := strings.Cut(err.Error(), "one transaction:\n")
				b.exec(text)
				b.exec("DROP POLICY IF EXISTS mine ON public.rest; DROP RULE IF EXISTS keep ON public.rest; DROP TRIGGER IF EXISTS audit ON public.rest")
				if r, err := b.run(policy("t", config.Month, 2)); err != nil || len(b.bounds("t")) != 3 || b.one("SELECT count(*)::text FROM public.rest") != "0" {
					t.Errorf("%+v, %v", r, err)
				}
			}
		})
	}
}

// A large DEFAULT is read before, under a weak lock, and not under the strong one; no trace stays.
func TestLargeDefaultIsNotScannedUnderLock(t *testing.T) {
	t.Parallel()
	b := newBench(t, withDefault+`INSERT INTO public.t (at, x) SELECT '2001-01-01 00:00+00', i FROM generate_series(1, 1000) i`)
	n := &notices{}
	b.job.Pool = b.tap(&counter{}, n)
	b.exec(`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET client_min_messages = debug1', current_database()); END $$`)
	b.mustRun(policy("t", config.Month, 1)) // what begins soon is another matter
	b.job.ScanBytes = 1000
	n.list = nil
	if _, err := b.run(policy("t", config.Month, 3)); err != nil {
		t.Fatal(err)
	}
	if !n.has(`updated partition constraint for default partition "rest" is implied by existing constraints`) {
		t.Errorf("scanned: %q", n.list)
	}
	if got := b.list("SELECT conname::text FROM pg_constraint WHERE conrelid = 'public.rest'::regclass AND contype = 'c'"); len(got) != 0 {
		t.Errorf("left on the DEFAULT partition: %v", got)
	}
	// A small one is simply attached.
	b.job.ScanBytes = 1 << 20
	n.list = nil
	b.mustRun(policy("t", config.Month, 4))
	if n.has("is implied by existing constraints") && n.has("default partition") {
		t.Errorf("a proof for a small table: %q", n.list)
	}
}

// A crash between a proof and its attach leaves a CHECK that refuses rows. The next run takes it away, though nothing is missing.
func TestProofThatACrashLeftIsDropped(t *testing.T) {
	t.Parallel()
	b := newBench(t, withDefault)
	b.mustRun(policy("t", config.Month, 0))
	b.exec("ALTER TABLE public.rest ADD CONSTRAINT pgtender_not_in_t_2099_01 CHECK (at < '2099-01-01 00:00+00') NOT VALID; ALTER TABLE public.rest ADD CONSTRAINT mine CHECK (x > 0)")
	b.mustRun(policy("t", config.Month, 0))
	b.exec("INSERT INTO public.t (at, x) VALUES ('2099-01-05 00:00+00', 1)")
	if got := b.list("SELECT conname::text FROM pg_constraint WHERE conrelid = 'public.rest'::regclass AND contype = 'c'"); !slices.Equal(got, []string{"mine"}) {
		t.Error(got)
	}
}

// Row security that is forced on the owner must not make a table look empty.
func TestForcedRowSecurityHidesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, withDefault+`INSERT INTO public.t (at, x) SELECT public.month(0), i FROM generate_series(1, 30) i;
		ALTER TABLE public.rest ENABLE ROW LEVEL SECURITY; ALTER TABLE public.rest FORCE ROW LEVEL SECURITY`)
	owner := pgtest.Role(t, b.url, "GRANT CREATE ON SCHEMA public TO {role}", "ALTER TABLE public.t OWNER TO {role}", "ALTER TABLE public.rest OWNER TO {role}")
	b.job.Pool = pgtest.Pool(t, owner)
	b.refused(policy("t", config.Month, 0), "row-level security policy for table", "public.rest")

	b.exec("DROP TABLE public.rest")
	name := time.Now().UTC().Format("t_2006_01")
	b.exec(fmt.Sprintf(`CREATE TABLE public.%[1]s (LIKE public.t, CONSTRAINT pgtender_bounds CHECK (true)); INSERT INTO public.%[1]s (id, at) VALUES (1, now());
		ALTER TABLE public.%[1]s ENABLE ROW LEVEL SECURITY; ALTER TABLE public.%[1]s FORCE ROW LEVEL SECURITY; ALTER TABLE public.%[1]s OWNER TO %[2]s`, name, user(t, owner)))
	b.refused(policy("t", config.Month, 0), "row-level security policy for table", "public."+name)
}

func TestLeftovers(t *testing.T) {
	t.Parallel()
	name := time.Now().UTC().Format("t_2006_01")
	const bounds = ", CONSTRAINT pgtender_bounds CHECK (at > 'epoch')"
	for what, c := range map[string]struct {
		make    string
		refused []string // nil: taken
	}{
		"ours, empty":         {"CREATE TABLE public.%s (LIKE public.t INCLUDING ALL EXCLUDING IDENTITY" + bounds + ")", nil},
		"ours, with rows":     {"CREATE TABLE public.%[1]s (LIKE public.t INCLUDING ALL EXCLUDING IDENTITY" + bounds + "); INSERT INTO public.%[1]s VALUES (1, now())", []string{"holds rows", "ATTACH PARTITION", "rename it"}},
		"ours, of old":        {"CREATE TABLE public.%s (at timestamptz" + bounds + ")", []string{"missing column"}},
		"somebody's":          {"CREATE TABLE public.%s (LIKE public.t)", []string{"a table of that name", "ATTACH PARTITION"}},
		"a view":              {"CREATE VIEW public.%s AS SELECT 1 AS x", []string{"something else is called so"}},
		"another's partition": {"CREATE TABLE public.o (x int) PARTITION BY LIST (x); CREATE TABLE public.%s PARTITION OF public.o DEFAULT", []string{"something else is called so"}},
		"a type":              {"CREATE TYPE public.%s AS ENUM ('a')", []string{"already exists", "make partition"}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "CREATE TABLE public.t (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL) PARTITION BY RANGE (at); COMMENT ON TABLE public.t IS 'x';"+fmt.Sprintf(c.make, name))
			if c.refused != nil {
				b.refused(policy("t", config.Month, 0), append(c.refused, "public."+name)...)
				return
			}
			oid := b.one("SELECT to_regclass($1)::oid::text", "public."+name)
			b.mustRun(policy("t", config.Month, 0))
			if got := b.one("SELECT to_regclass($1)::oid::text", "public."+name); got != oid {
				t.Errorf("%s was made anew", name)
			}
			s := b.read("t")[0]
			want := s.Key.ForValues(s.Children[0].Range)
			if got := b.one("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'pgtender_bounds'"); !strings.Contains(got, strings.Split(want, "'")[1]) {
				t.Errorf("CHECK %s of %s", got, want)
			}
			b.exec("INSERT INTO public.t (at) VALUES (now())")
		})
	}
}

// A detach that was cut short long ago hinders nothing but is reported; one in the way is refused with what to type, which helps.
func TestPendingDetach(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE public.t (at timestamptz) PARTITION BY RANGE (at);"+monthSQL+
		"SET search_path = public; CALL part('t', 'old', month(-3), month(-2)); CALL part('t', 'near', month(1), month(2))")
	pend := func(name string) {
		reader := b.connect()
		b.execOn(reader, "BEGIN; SELECT FROM public.t")
		if _, err := b.conn.Exec(t.Context(), "SET lock_timeout = '50ms'"); err != nil {
			t.Fatal(err)
		}
		if _, err := b.conn.Exec(t.Context(), "ALTER TABLE public.t DETACH PARTITION public."+name+" CONCURRENTLY"); !pg.Is(err, pg.LockNotAvailable) {
			t.Fatal(err)
		}
		b.exec("RESET lock_timeout")
		b.execOn(reader, "ROLLBACK")
	}
	pend("old")
	r := b.mustRun(policy("t", config.Month, 2))
	if len(b.bounds("t")) != 4 || !strings.Contains(r.Summary, `DETACH PARTITION "public"."old" FINALIZE`) {
		t.Errorf("%v, %+v", b.bounds("t"), r)
	}
	b.exec(`ALTER TABLE "public"."t" DETACH PARTITION "public"."old" FINALIZE`)

	pend("near")
	b.refused(policy("t", config.Month, 2), "public.near", `ALTER TABLE "public"."t" DETACH PARTITION "public"."near" FINALIZE;`)
	b.exec(`ALTER TABLE "public"."t" DETACH PARTITION "public"."near" FINALIZE`)
	b.mustRun(policy("t", config.Month, 2))
	b.exec("INSERT INTO public.t SELECT public.month(1)")
}

// The CHECK that proves a large DEFAULT partition empty refuses rows: when the attach does not come soon, it goes.
func TestAProofDoesNotOutstayTheAttach(t *testing.T) {
	t.Parallel()
	b := newBench(t, withDefault+`INSERT INTO public.t (at, x) SELECT '2001-01-01 00:00+00', i FROM generate_series(1, 1000) i`)
	b.mustRun(policy("t", config.Month, 0))
	b.job.ScanBytes = 1000
	b.job.Proven.Attempts = 2
	other := b.connect()
	b.execOn(other, "BEGIN; LOCK TABLE ONLY public.t IN SHARE UPDATE EXCLUSIVE MODE")
	_, err := b.run(policy("t", config.Month, 2))
	var busy *pg.BusyError
	if !errors.As(err, &busy) || busy.Attempts != 2 {
		t.Errorf("it was not given up: %v", err)
	}
	b.exec("INSERT INTO public.rest (id, at, x) OVERRIDING SYSTEM VALUE SELECT -1, public.month(1), 1")
	b.exec("DELETE FROM public.rest WHERE id = -1")
	b.execOn(other, "COMMIT")
	b.mustRun(policy("t", config.Month, 2))
}
