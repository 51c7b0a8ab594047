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
		"branches":          {"DROP TABLE public.t CASCADE; CREATE TABLE public.t (x int, at timestamptz) PARTITION BY LIST (x); CREATE TABLE public.b PARTITION OF public.t DEFAULT PARTITION BY RANGE (at)", nil, []string{"branch public.b"}},
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
