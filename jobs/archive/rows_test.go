package archive

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/internal/state"
	"github.com/pgtender/pgtender/jobs"
)

// rowTable has three partitions: old, all of it older than a year; cut, through which the year ends, 200 rows of 400; young.
const rowTable = `
CREATE TABLE public.m (id bigint PRIMARY KEY); INSERT INTO public.m SELECT generate_series(1, 10);
CREATE TABLE public.t (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL, m bigint REFERENCES public.m ON DELETE CASCADE, note text, doc json,
	twice bigint GENERATED ALWAYS AS (m * 2) STORED, thrice bigint GENERATED ALWAYS AS (m * 3) VIRTUAL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE INDEX ON public.t (at);
CREATE TABLE public.t_archive (LIKE public.t INCLUDING ALL EXCLUDING IDENTITY) PARTITION BY RANGE (at);
CREATE FUNCTION public.year_ago(d int) RETURNS timestamptz LANGUAGE sql STABLE AS $$ SELECT date_trunc('hour', now()) - interval '1 year' + make_interval(days => d) $$;
CALL public.part('t', 't_old', public.year_ago(-30), public.year_ago(-10));
CALL public.part('t', 't_cut', public.year_ago(-10), public.year_ago(10));
CALL public.part('t', 't_young', public.year_ago(10), public.year_ago(30));
INSERT INTO public.t (at, m, note, doc) SELECT public.year_ago(-30) + i * interval '72 minutes' + interval '61 minutes', 1 + i % 10, 'row ' || i, '{"a":  1}' FROM generate_series(0, 1199) i;
`

func byRow(table string) config.Archive {
	p := policy(table)
	p.Granularity = config.ByRow
	p.Referenced = config.ReferencedRefuse
	return p
}

// both is a digest of all rows of both tables, and how many there are of each.
const (
	both   = "SELECT md5(string_agg(x::text, '' ORDER BY id)) FROM (SELECT * FROM public.t UNION ALL SELECT * FROM public.t_archive) x"
	counts = "SELECT (SELECT count(*) FROM public.t) || ' ' || (SELECT count(*) FROM public.t_archive) || ' ' || (SELECT coalesce(sum(rows), 0) FROM pgtender.archived_partition WHERE gone_at IS NULL)"
)

func TestRowsOfTheStraddlingPartition(t *testing.T) {
	t.Parallel()
	b := newBench(t, rowTable)
	before := b.one(both)
	rec := &record{}
	dry, err := b.job.Run(t.Context(), rec.run(true), byRow("t"))
	if err != nil || dry.Outcome != jobs.Noop || !strings.Contains(dry.Summary, "would move 1 partition") || !strings.Contains(dry.Summary, "would move about ") {
		t.Fatalf("%+v, %v", dry, err)
	}
	for _, w := range []string{"-- move the rows of public.t_cut that are older than", "by the index on at", "-- public.t_cut stays: it holds rows up to", "-- public.t_young stays"} {
		if !strings.Contains(rec.text(), w) {
			t.Errorf("%q is not in\n%s", w, rec.text())
		}
	}
	if got := b.one(counts); got != "1200 0 0" {
		t.Fatalf("a dry run moved: %s", got)
	}
	r := b.mustRun(byRow("t"))
	if got := b.one(counts); got != "600 600 600" {
		t.Errorf("live, archived, noted: %s", got)
	}
	if b.one(both) != before {
		t.Error("rows differ")
	}
	if !strings.Contains(r.Summary, "moved 200 rows of public.t_cut into public.t_archive_cut in ") {
		t.Error(r.Summary)
	}
	if got := b.children("t_archive"); !slices.Equal(got, []string{"t_old", "t_archive_cut"}) {
		t.Errorf("archived %v", got)
	}
	got := b.one(`SELECT concat_ws(' ', kind, lower_bound::timestamptz = public.year_ago(-10), upper_bound::timestamptz = public.year_ago(10), rows, rows_exact, bytes > 8192, run_id,
		(detail->>'min_key')::timestamptz = (SELECT min(at) FROM public.t_archive_cut), (detail->>'max_key')::timestamptz = (SELECT max(at) FROM public.t_archive_cut),
		detail->>'min_number' = (SELECT min(id)::text FROM public.t_archive_cut), detail->>'max_number' = (SELECT max(id)::text FROM public.t_archive_cut), detail->>'number', detail->'digest_of',
		detail->>'digest' = (SELECT bit_xor(hash_record_extended(ROW(id, at), 0))::text FROM public.t_archive_cut))
		FROM pgtender.archived_partition WHERE kind = 'rows'`)
	if want := `rows t t 200 t t 42 t t t t id ["id", "at"] t`; got != want {
		t.Errorf("manifest %q, want %q", got, want)
	}
	// Archived rows survive their parents, and a late row follows.
	b.exec("DELETE FROM public.m WHERE id = 1; INSERT INTO public.t (at, m) VALUES (public.year_ago(-9) + interval '1 minute', 2)")
	b.mustRun(byRow("t"))
	if got := b.one(counts); got != "540 601 601" {
		t.Errorf("live, archived, noted: %s", got)
	}
}

// Time goes on, so the whole partition is due: its rest follows by rows, and the emptied partition goes, though not before the last reader
// that still sees rows in it.
func TestTheStraddlingPartitionIsFinished(t *testing.T) {
	t.Parallel()
	b := newBench(t, rowTable)
	before := b.one(both)
	b.mustRun(byRow("t"))
	later := policy("t") // of whole partitions, even
	later.After = config.Interval{Text: "11 months", Months: 11}
	later.Granularity = config.ByPartition
	reader := b.connect()
	b.execOn(reader, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1") // has not touched t yet
	rec := &record{}
	if _, err := b.job.Run(t.Context(), rec.run(false), later); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(rec.text(), "all rows of public.t_cut are in the archive; it stays until") {
		t.Error(rec.text())
	}
	var n int
	if err := reader.QueryRow(t.Context(), "SELECT count(*) FROM (SELECT FROM public.t UNION ALL SELECT FROM public.t_archive) x").Scan(&n); err != nil || n != 1200 {
		t.Errorf("the old reader sees %d rows, %v", n, err)
	}
	b.execOn(reader, "COMMIT")
	r := b.mustRun(later)
	if !strings.Contains(r.Summary, "dropped the emptied public.t_cut") {
		t.Errorf("%+v", r)
	}
	if got := b.children("t"); len(got) != 0 {
		t.Errorf("live %v", got)
	}
	if got := b.children("t_archive"); !slices.Equal(got, []string{"t_old", "t_archive_cut", "t_young"}) {
		t.Errorf("archived %v", got)
	}
	if got := b.one(counts); got != "0 1200 1200" || b.one(both) != before {
		t.Errorf("live, archived, noted: %s", got)
	}
	if got := b.one("SELECT string_agg(detail->>'emptied', ',') FROM pgtender.archived_partition WHERE kind = 'rows'"); got != "public.t_cut" {
		t.Error(got)
	}
}

// A run ended between making the archive's partition and the first batch. Once the whole partition is due it still moves whole; one that somebody
// else made stays, and takes the rows.
func TestAnUnusedPartitionMakesRoom(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, hand string
		want       []string
	}{
		{"ours", "", []string{"t_old", "t_cut", "t_young"}},
		{"not ours", "ALTER TABLE public.t_archive_cut DROP CONSTRAINT pgtender_bounds", []string{"t_old", "t_archive_cut", "t_young"}},
		{"with a view on it", "CREATE VIEW public.v AS SELECT id FROM public.t_archive_cut", []string{"t_old", "t_archive_cut", "t_young"}},
		{"with a row of somebody's", "INSERT INTO public.t_archive_cut (id, at) VALUES (0, public.year_ago(-1))", []string{"t_old", "t_archive_cut", "t_young"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, rowTable)
			p, err := b.job.open(t.Context(), byRow("t"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.job.makeLanding(t.Context(), (&record{}).run(false), p, *p.straddling()); err != nil {
				t.Fatal(err)
			}
			if c.hand != "" {
				b.exec(c.hand)
			}
			before := b.one(both)
			later := policy("t")
			later.After = config.Interval{Text: "11 months", Months: 11}
			dry := &record{}
			if _, err := b.job.Run(t.Context(), dry.run(true), later); err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(dry.text(), "-- drop public.t_archive_cut, which was made for rows of public.t_cut and never took one"); got != (c.name == "ours" || c.name == "with a view on it") {
				t.Error(dry.text())
			}
			if got := b.children("t_archive"); !slices.Equal(got, []string{"t_archive_cut"}) {
				t.Fatalf("a dry run changed the archive: %v", got)
			}
			reader := b.connect() // has a snapshot, and no lock
			b.execOn(reader, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
			if _, err := b.run(later); err != nil {
				t.Fatal(err)
			}
			b.execOn(reader, "COMMIT")
			if got := b.children("t_archive"); !slices.Equal(got, c.want) {
				t.Errorf("archived %v", got)
			}
			if got := b.one(both); got != before {
				t.Error("rows are missing or doubled")
			}
		})
	}
}

func plainPolicy() config.Archive {
	p := byRow("t")
	p.Partitioned, p.Column, p.Interval = false, "at", ""
	return p
}

func TestPlainTables(t *testing.T) {
	t.Parallel()
	const rows = "INSERT INTO public.t (at) SELECT now() - interval '1 year' + (i - 1500) * interval '1 hour' FROM generate_series(1, 3000) i"
	for name, c := range map[string]struct{ table, rows, cond string }{
		"indexed":            {"id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz, twice bigint GENERATED ALWAYS AS (id * 2) STORED); CREATE INDEX ON public.t (at DESC", rows, "true"},
		"by key":             {"id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz", rows, "true"},
		"two columns":        {"at timestamptz, \"the b\" text DEFAULT gen_random_uuid(), id serial, PRIMARY KEY (\"the b\", id)", rows, "true"},
		"time in the key":    {"at timestamptz, id uuid DEFAULT gen_random_uuid(), PRIMARY KEY (at, id)", rows, "true"},
		"timestamp, no key":  {"at timestamp, id serial); CREATE INDEX ON public.t (at", strings.ReplaceAll(rows, "now()", "(now() AT TIME ZONE 'UTC')"), "true"},
		"a day's ties":       {"at date, id serial PRIMARY KEY); CREATE INDEX ON public.t (at", "INSERT INTO public.t (at) SELECT (now() AT TIME ZONE 'UTC')::date - CASE WHEN i % 2 = 0 THEN 367 ELSE 10 END FROM generate_series(1, 3000) i", "true"},
		"nulls and infinity": {"id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz); CREATE INDEX ON public.t (at", rows + "; UPDATE public.t SET at = NULL WHERE id <= 100; UPDATE public.t SET at = '-infinity' WHERE id = 101; UPDATE public.t SET at = 'infinity' WHERE id = 3000", "true"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "CREATE TABLE public.t ("+c.table+"); CREATE TABLE public.t_archive (LIKE public.t INCLUDING ALL EXCLUDING IDENTITY); ALTER TABLE public.t_archive ALTER id DROP DEFAULT;"+c.rows)
			want := b.one("SELECT count(*) FILTER (WHERE at >= now() - interval '1 year' OR at IS NULL) || ' ' || count(*) FILTER (WHERE at < now() - interval '1 year') || ' ' || count(*) FILTER (WHERE at < now() - interval '1 year') FROM public.t")
			before := b.one(both)
			r := b.mustRun(plainPolicy())
			if got := b.one(counts); got != want {
				t.Errorf("live, archived, noted: %s, want %s (%+v)", got, want, r)
			}
			if b.one(both) != before {
				t.Error("rows differ")
			}
		})
	}
}

// Writers insert with old times, make rows old and young again, and delete them, all while rows move; samples of the union are whole.
func TestRowsMoveBesideWriters(t *testing.T) {
	t.Parallel()
	b := newBench(t, rowTable+"CREATE TABLE public.ledger (id bigint PRIMARY KEY, live bool NOT NULL); INSERT INTO public.ledger SELECT id, true FROM public.t")
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 3 {
		conn := b.connect()
		wg.Go(func() {
			for ctx.Err() == nil {
				id := 1 + rand.IntN(1200)
				ago := rand.IntN(40) - 20
				var err error
				switch rand.IntN(4) {
				case 0:
					_, err = conn.Exec(context.WithoutCancel(ctx), "WITH new AS (INSERT INTO public.t (at, m) VALUES (public.year_ago($1), 1) RETURNING id) INSERT INTO public.ledger SELECT id, true FROM new", ago)
				case 1: // within its partition or to another one
					_, err = conn.Exec(context.WithoutCancel(ctx), "UPDATE public.t SET at = public.year_ago($2) + interval '1 second', note = 'changed' WHERE id = $1", id, ago)
				case 2:
					_, err = conn.Exec(context.WithoutCancel(ctx), "WITH gone AS (DELETE FROM public.t WHERE id = $1 RETURNING id) UPDATE public.ledger l SET live = false FROM gone WHERE l.id = gone.id", id)
				default:
					_, err = conn.Exec(context.WithoutCancel(ctx), "UPDATE public.t SET note = note || '.' WHERE id = $1", id)
				}
				// No partition any more for a time, or the row changed hands: as beside any other DDL.
				if err != nil && !strings.Contains(err.Error(), "no partition of relation") && !strings.Contains(err.Error(), "moved to another partition") {
					t.Error(err)
					return
				}
			}
		})
	}
	reader := b.connect()
	samples := 0
	wg.Go(func() {
		for ctx.Err() == nil {
			var different int
			err := reader.QueryRow(context.WithoutCancel(ctx), `SELECT count(*) FROM (SELECT id FROM public.t UNION ALL SELECT id FROM public.t_archive) x FULL JOIN (SELECT id FROM public.ledger WHERE live) l USING (id)
				WHERE x.id IS NULL OR l.id IS NULL`).Scan(&different)
			if err != nil || different != 0 {
				t.Errorf("%d rows missing or surplus: %v", different, err)
				return
			}
			samples++
		}
	})
	for range pgtest.Scaled(30, 500) {
		if _, err := b.run(byRow("t")); err != nil {
			t.Error(err)
		}
	}
	stop()
	wg.Wait()
	if samples < 10 {
		t.Errorf("only %d samples", samples)
	}
	if got := b.one("SELECT count(*) - count(DISTINCT id) || ' ' || (SELECT count(*) FROM public.ledger WHERE live) - count(*) FROM (SELECT id FROM public.t UNION ALL SELECT id FROM public.t_archive) x"); got != "0 0" {
		t.Errorf("doubled, missing: %s", got)
	}
	if got, want := b.one("SELECT count(*)::text FROM public.t_archive"), b.one("SELECT sum(rows)::text FROM pgtender.archived_partition"); got != want {
		t.Errorf("%s rows archived, %s noted", got, want)
	}
}

// A row that somebody holds is waited for a moment, then left to the next run, with its neighbours at most.
func TestAHeldRowIsLeftBehind(t *testing.T) {
	t.Parallel()
	b := newBench(t, rowTable)
	b.mustRun(policy("t"))
	holder := b.connect()
	b.execOn(holder, "BEGIN; UPDATE public.t_cut SET note = 'mine' WHERE id = 570")
	r, err := b.run(byRow("t"))
	if err != nil || !strings.Contains(r.Summary, "left 1 stretch for the next run") {
		t.Fatalf("%+v, %v", r, err)
	}
	if got := b.one("SELECT (count(*) BETWEEN 1 AND 10)::text FROM public.t_cut WHERE at < now() - interval '1 year'"); got != "true" {
		t.Error("too many rows were left")
	}
	b.execOn(holder, "COMMIT")
	b.mustRun(byRow("t"))
	if got := b.one(counts); got != "600 600 600" {
		t.Errorf("live, archived, noted: %s", got)
	}
	if got := b.one("SELECT note FROM public.t_archive WHERE id = 570"); got != "mine" {
		t.Errorf("the change is lost: %s", got)
	}
}

// What would lose a row, or do something else with it, is refused, and moves nothing.
func TestRowRefusals(t *testing.T) {
	t.Parallel()
	const plain = "CREATE TABLE public.t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz, n int); CREATE TABLE public.t_archive (LIKE public.t INCLUDING ALL EXCLUDING IDENTITY); INSERT INTO public.t (at) SELECT now() - interval '2 years' FROM generate_series(1, 30);" +
		"CREATE FUNCTION public.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
	for name, c := range map[string]struct {
		setup string
		words []string
	}{
		"trigger on DELETE":      {"CREATE TRIGGER audit AFTER DELETE ON public.t FOR EACH ROW EXECUTE FUNCTION public.nothing()", []string{"audit on public.t", "fire_triggers = true"}},
		"rule":                   {"CREATE RULE keep AS ON DELETE TO public.t DO INSTEAD NOTHING", []string{"keep on public.t", "Drop the rule"}},
		"trigger on the archive": {"CREATE TRIGGER swallow BEFORE INSERT ON public.t_archive FOR EACH ROW EXECUTE FUNCTION public.nothing()", []string{"swallow on public.t_archive", "Drop them"}},
		"rule on the archive":    {"CREATE RULE swallow AS ON INSERT TO public.t_archive DO INSTEAD NOTHING", []string{"swallow on public.t_archive"}},
		"heirs":                  {"CREATE TABLE public.heir (more int) INHERITS (public.t)", []string{"inherit", "heir"}},
		"referenced":             {"CREATE TABLE public.child (id bigint, CONSTRAINT points FOREIGN KEY (id) REFERENCES public.t ON DELETE CASCADE); INSERT INTO public.child VALUES (1)", []string{"public.child (points)", `referenced = "wait"`}},
		"by itself":              {"ALTER TABLE public.t ADD parent bigint CONSTRAINT up REFERENCES public.t; ALTER TABLE public.t_archive ADD parent bigint", []string{"public.t (up)"}},
		"missing column":         {"ALTER TABLE public.t ADD extra text", []string{"column extra: text in the live table, missing in the archive", "pgtender plan"}},
		"no archive":             {"DROP TABLE public.t_archive", []string{"public.t_archive does not exist", "`pgtender apply`"}},
		"archive partitioned":    {"DROP TABLE public.t_archive; CREATE TABLE public.t_archive (LIKE public.t) PARTITION BY RANGE (at)", []string{"no ordinary table"}},
		"key type":               {"ALTER TABLE public.t ALTER at TYPE text; ALTER TABLE public.t_archive ALTER at TYPE text", []string{"column at is of type text", "timestamptz, timestamp and date"}},
		"no column":              {"ALTER TABLE public.t DROP at", []string{"no column at"}},
		"no order":               {"ALTER TABLE public.t DROP CONSTRAINT t_pkey; ALTER TABLE public.t_archive DROP CONSTRAINT t_archive_pkey", []string{"no primary key", "CREATE INDEX CONCURRENTLY"}},
		"same key":               {"INSERT INTO public.t_archive (id, at) VALUES (30, now() - interval '2 years')", []string{"t_archive_pkey", "The same key is in both tables"}},
		"no privilege":           {"", []string{"permission denied", "pgtender grants"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, plain+c.setup)
			if name == "no privilege" {
				role := pgtest.Role(t, b.url, "GRANT USAGE ON SCHEMA public, pgtender TO {role}", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}", "GRANT ALL ON ALL TABLES IN SCHEMA pgtender TO {role}", "GRANT ALL ON ALL SEQUENCES IN SCHEMA pgtender TO {role}")
				b.job.Pool = pgtest.Pool(t, role)
			}
			all := "SELECT (SELECT count(*) FROM public.t) || ' ' || coalesce((SELECT count(*)::text FROM pg_class, LATERAL (SELECT 1) x WHERE relname = 'child'), '') || ' ' || (SELECT count(*) FROM pgtender.archived_partition)"
			before := b.one(all)
			b.refused(plainPolicy(), c.words...)
			if after := b.one(all); after != before {
				t.Errorf("from %s to %s", before, after)
			}
		})
	}
}

// A trigger that keeps rows keeps them; nothing is lost and the run comes to its end.
func TestATriggerThatKeepsRows(t *testing.T) {
	t.Parallel()
	b := newBench(t, rowTable+`CREATE FUNCTION public.keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF old.id % 2 = 0 THEN RETURN NULL; END IF; RETURN old; END';
		CREATE TRIGGER keep BEFORE DELETE ON public.t FOR EACH ROW EXECUTE FUNCTION public.keep()`)
	p := byRow("t")
	p.FireTriggers = true
	if _, err := b.run(p); err != nil {
		t.Fatal(err)
	}
	if got := b.one(counts); got != "700 500 500" {
		t.Errorf("live, archived, noted: %s", got)
	}
}

// With referenced = "wait" a row stays while others point to it, whatever those foreign keys would do to them, and also to one that comes
// at the last moment.
func TestReferencedRowsWait(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"CASCADE", "SET NULL", "NO ACTION"} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, `CREATE TABLE public.t (id bigint PRIMARY KEY, at timestamptz); CREATE INDEX ON public.t (at); CREATE TABLE public.t_archive (LIKE public.t INCLUDING ALL);
				CREATE TABLE public.child (id serial, parent bigint REFERENCES public.t ON DELETE `+action+`); CREATE INDEX ON public.child (parent);
				INSERT INTO public.t SELECT i, now() - interval '2 years' FROM generate_series(1, 500) i; INSERT INTO public.child (parent) SELECT i FROM generate_series(1, 500, 50) i`)
			p := plainPolicy()
			p.Referenced = config.ReferencedWait
			// Somebody begins to point to a row, and is not done yet.
			late := b.connect()
			b.execOn(late, "BEGIN; INSERT INTO public.child (parent) VALUES (77)")
			b.mustRun(p)
			b.execOn(late, "COMMIT")
			if got := b.one(counts); got != "11 489 489" {
				t.Errorf("live, archived, noted: %s", got)
			}
			if got := b.one("SELECT count(*) || ' ' || count(parent) FROM public.child"); got != "11 11" {
				t.Errorf("children, pointing: %s", got)
			}
			b.exec("DELETE FROM public.child WHERE id <= 10")
			b.mustRun(p)
			if got := b.one(counts); got != "1 499 499" {
				t.Errorf("live, archived, noted: %s", got)
			}
		})
	}
}

// A partitioned table that is pointed to is archived by rows too, whole months included.
func TestReferencedPartitionsWait(t *testing.T) {
	t.Parallel()
	b := newBench(t, rowTable+`CREATE TABLE public.child (id bigint, at timestamptz, FOREIGN KEY (id, at) REFERENCES public.t ON DELETE CASCADE); INSERT INTO public.child SELECT id, at FROM public.t WHERE id IN (1, 450, 1100)`)
	b.refused(byRow("t"), "public.child (child_id_at_fkey)", `referenced = "wait"`)
	p := byRow("t")
	p.Referenced = config.ReferencedWait
	if _, err := b.run(p); err != nil {
		t.Fatal(err)
	}
	if got := b.one(counts + " || ' ' || (SELECT count(*) FROM public.child)"); got != "602 598 598 3" {
		t.Errorf("live, archived, noted, children: %s", got)
	}
	b.exec("DELETE FROM public.child WHERE id = 1")
	b.mustRun(p)
	if got := b.children("t"); !slices.Equal(got, []string{"t_cut", "t_young"}) {
		t.Errorf("live %v", got)
	}
}

// So many rows of one time that no batch could take them all: the key tells them apart.
func TestManyRowsOfOneTime(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]string{"with a key": "PRIMARY KEY", "without": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, `CREATE TABLE public.t (id bigint `+key+`, at date); CREATE INDEX ON public.t (at); CREATE TABLE public.t_archive (LIKE public.t INCLUDING ALL);
				INSERT INTO public.t SELECT i, '2020-01-01' FROM generate_series(1, 300) i; INSERT INTO public.t SELECT i, current_date FROM generate_series(301, 400) i;
				CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.003); RETURN old; END';
				CREATE TRIGGER slow BEFORE DELETE ON public.t FOR EACH ROW EXECUTE FUNCTION public.slow()`)
			p := plainPolicy()
			p.FireTriggers = true
			r, err := b.run(p)
			if err != nil {
				t.Fatal(err)
			}
			if got := b.one(counts); got != "100 300 300" {
				t.Errorf("live, archived, noted: %s (%+v)", got, r)
			}
		})
	}
}

// No transaction takes a second, whatever a row costs.
func TestBatchesAdapt(t *testing.T) {
	t.Parallel()
	b := newBench(t, `CREATE TABLE public.t (id bigint PRIMARY KEY, at timestamptz); CREATE INDEX ON public.t (at); CREATE TABLE public.t_archive (LIKE public.t INCLUDING ALL);
		INSERT INTO public.t SELECT i, now() - interval '2 years' FROM generate_series(1, 400) i;
		CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.005); RETURN old; END';
		CREATE TRIGGER slow BEFORE DELETE ON public.t FOR EACH ROW EXECUTE FUNCTION public.slow()`)
	p := plainPolicy()
	p.FireTriggers = true
	r, err := b.run(p)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.one(counts); got != "0 400 400" {
		t.Errorf("live, archived, noted: %s", got)
	}
	if list, ok := r.Detail["by_row"].([]map[string]any); !ok || len(list) != 1 || list[0]["batches"].(int) < 4 || list[0]["batch_rows"].(int) > 200 {
		t.Errorf("%+v", r.Detail)
	}
}

func TestPace(t *testing.T) {
	t.Parallel()
	p := newPace(0)
	for range 20 {
		p.took(time.Millisecond)
	}
	if p.rows != mostBatch {
		t.Errorf("fast: %d", p.rows)
	}
	p.took(time.Second)
	if p.rows != mostBatch/2 {
		t.Errorf("slow: %d", p.rows)
	}
	for p.tooMuch() {
	}
	if p.rows != leastBatch {
		t.Errorf("least: %d", p.rows)
	}
	if p := newPace(1 << 20); p.rows != 32 {
		t.Errorf("of a megabyte each: %d", p.rows)
	}
}

// Stopped between two batches: what has moved is where it belongs and noted, and the next run goes on.
func TestRowsInterrupted(t *testing.T) {
	t.Parallel()
	b := newBench(t, rowTable)
	b.mustRun(policy("t"))
	holder := b.connect()
	b.execOn(holder, "BEGIN; SELECT FROM public.t_cut WHERE id = 570 FOR UPDATE")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error)
	go func() {
		_, err := b.job.Run(ctx, (&record{}).run(false), byRow("t"))
		done <- err
	}()
	pgtest.Eventually(t, b.url, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'transactionid' AND query LIKE 'WITH gone AS%' AND datname = current_database())")
	cancel()
	err := <-done
	var stopped *parts.Stopped
	if !errors.As(err, &stopped) {
		t.Errorf("%v", err)
	}
	b.execOn(holder, "ROLLBACK")
	b.mustRun(byRow("t"))
	if got := b.one(counts); got != "600 600 600" {
		t.Errorf("live, archived, noted: %s", got)
	}
}

// A standby that does not keep up is waited for.
func TestAStandbyIsWaitedFor(t *testing.T) {
	t.Parallel()
	primary := pgtest.Private(t)
	standby := pgtest.Standby(t, primary)
	url := pgtest.DatabaseOn(t, primary)
	pgtest.Exec(t, url, `CREATE TABLE public.t (id bigint PRIMARY KEY, at timestamptz, pad text); CREATE INDEX ON public.t (at); CREATE TABLE public.t_archive (LIKE public.t INCLUDING ALL);
		INSERT INTO public.t SELECT i, '2020-01-01 00:00+00'::timestamptz + i * interval '1 second', repeat('x', 500) FROM generate_series(1, 8000) i`)
	pgtest.Eventually(t, primary.URL("postgres"), "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn())")
	pool := pgtest.Pool(t, url)
	if err := state.Ensure(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	pgtest.Exec(t, standby.URL("postgres"), "SELECT pg_wal_replay_pause()")
	job := New(pool, time.UTC)
	job.LagBytes = 1 << 17
	rec := &record{}
	done := make(chan error, 1)
	go func() {
		_, err := job.Run(t.Context(), rec.run(false), plainPolicy())
		done <- err
	}()
	pgtest.Eventually(t, url, "SELECT count(*) > 0 FROM public.t_archive")
	pgtest.Eventually(t, primary.URL("postgres"), "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) > 131072)")
	select {
	case err := <-done:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(time.Second):
	}
	pgtest.Exec(t, standby.URL("postgres"), "SELECT pg_wal_replay_resume()")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := ask(t, url, counts); got != "0 8000 8000" {
		t.Errorf("live, archived, noted: %s", got)
	}
}
