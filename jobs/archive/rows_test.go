package archive

import (
	"slices"
	"strings"
	"testing"

	"github.com/pgtender/pgtender/internal/config"
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
