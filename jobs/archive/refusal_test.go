package archive

import (
	"slices"
	"strings"
	"testing"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/jobs"
)

func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		setup  string
		change func(*config.Archive)
		words  []string
	}{
		"plain":             {"", func(a *config.Archive) { a.Partitioned = false; a.Column = "at" }, []string{"it is partitioned", "partition block"}},
		"no live table":     {"", func(a *config.Archive) { a.Table.Name = "none" }, []string{"no such table"}},
		"no archive":        {"DROP TABLE public.t_archive", nil, []string{"public.t_archive does not exist", "`pgtender apply`"}},
		"plain archive":     {"DROP TABLE public.t_archive; CREATE TABLE public.t_archive (LIKE public.t)", nil, []string{"public.t_archive cannot take partitions", "an ordinary table"}},
		"other key":         {"DROP TABLE public.t_archive; CREATE TABLE public.t_archive (LIKE public.t, since date) PARTITION BY RANGE (since)", nil, []string{"partitioned by since date", "at timestamptz"}},
		"archive's DEFAULT": {"CREATE TABLE public.d PARTITION OF public.t_archive DEFAULT", nil, []string{"DEFAULT partition, public.d", "DETACH PARTITION"}},
		"branches":          {"DROP TABLE public.t CASCADE; CREATE TABLE public.t (x int, at timestamptz) PARTITION BY LIST (x); CREATE TABLE public.b PARTITION OF public.t DEFAULT PARTITION BY RANGE (at)", nil, []string{"branch public.b", "divide the table by time first"}},
		"referenced":        {"CREATE TABLE public.child (id bigint, at timestamptz, CONSTRAINT points FOREIGN KEY (id, at) REFERENCES public.t)", nil, []string{"public.child (points)"}},
		"missing column":    {"ALTER TABLE public.t ADD extra text", nil, []string{"column extra: text in the live table, missing in the archive", "pgtender plan"}},
		"surplus column":    {"ALTER TABLE public.t_archive ADD extra text", nil, []string{"column extra: missing in the live table, text in the archive"}},
		"other type":        {"ALTER TABLE public.t_archive ALTER m TYPE int", nil, []string{"column m: bigint in the live table, integer in the archive"}},
		"other kind":        {"ALTER TABLE public.t_archive DROP thrice, ADD thrice int GENERATED ALWAYS AS (a * 3) STORED", nil, []string{"column thrice: integer GENERATED VIRTUAL in the live table, integer GENERATED STORED in the archive"}},
		"NOT NULL":          {"ALTER TABLE public.t_archive ALTER m SET NOT NULL", nil, []string{"column m: NOT NULL in the archive only"}},
		"CHECK":             {"ALTER TABLE public.t_archive ADD CONSTRAINT odd CHECK (a <> 5)", nil, []string{"constraint odd of the archive"}},
		"foreign key":       {"ALTER TABLE public.t_archive ADD CONSTRAINT tie FOREIGN KEY (m) REFERENCES public.m", nil, []string{"foreign key tie", "public.m"}},
		"no privilege":      {"", nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, liveTable+c.setup)
			p := policy("t")
			p.Pos = config.Pos{}
			if c.change != nil {
				c.change(&p)
			}
			if name == "no privilege" {
				role := pgtest.Role(t, b.url, "GRANT USAGE ON SCHEMA public, pgtender TO {role}", "GRANT ALL ON ALL TABLES IN SCHEMA public, pgtender TO {role}", "GRANT ALL ON ALL SEQUENCES IN SCHEMA pgtender TO {role}")
				b.job.Pool = pgtest.Pool(t, role)
				c.words = []string{"must be owner", "public.m16", "pgtender grants"}
				p.Table.Name = "t"
				before := b.everything()
				_, err := b.run(p)
				for _, w := range c.words {
					if err == nil || !strings.Contains(err.Error(), w) {
						t.Errorf("%q is not in: %v", w, err)
					}
				}
				if !slices.Equal(before, b.everything()) {
					t.Error("something was changed")
				}
				return
			}
			b.refused(p, c.words...)
		})
	}
}

// One partition that cannot be moved does not hold up the others.
func TestOneRefusalDoesNotHinderTheOthers(t *testing.T) {
	t.Parallel()
	b := newBench(t, liveTable+`
		CALL public.part('t_archive', 'there', public.month(-16) + interval '1 day', public.month(-15));
		CREATE INDEX only_archive ON public.t_archive (n); CREATE INDEX ON public.m13 (n); CREATE INDEX ON public.m14 (n) WITH (fillfactor = 50)`)
	r, err := b.run(policy("t"))
	if err == nil || r.Outcome != jobs.Failure {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, w := range []string{"public.m16: the archive already has public.there", "public.m15: the archive has indexes that it lacks", "only_archive"} {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q is not in: %v", w, err)
		}
	}
	if got := b.children("t_archive"); !slices.Equal(got, []string{"there", "m14", "m13"}) {
		t.Errorf("archived %v", got)
	}
	if !strings.HasPrefix(r.Summary, "moved 2 partitions with 200 rows") {
		t.Error(r.Summary)
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
