package archive

import (
	"strings"
	"testing"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/jobs"
)

// A run that had to leave due rows says how many, and why.
func TestWhatStaysIsTold(t *testing.T) {
	t.Parallel()
	const plain = `CREATE TABLE public.t (id bigint PRIMARY KEY, at timestamptz); CREATE TABLE public.t_archive (LIKE public.t INCLUDING ALL); CREATE INDEX ON public.t (at);
		INSERT INTO public.t SELECT i, now() - interval '3 years' + i * interval '1 hour' FROM generate_series(1, 50) i;`
	pointed := plainPolicy()
	pointed.Referenced = config.ReferencedWait
	firing := plainPolicy()
	firing.FireTriggers = true
	for name, c := range map[string]struct {
		setup string
		p     config.Archive
		want  string
	}{
		"pointed at": {plain + "CREATE TABLE public.c (t bigint CONSTRAINT of_t REFERENCES public.t); INSERT INTO public.c SELECT generate_series(1, 3)", pointed,
			"3 due rows stay of public.t: rows still point there from public.c (of_t)"},
		"kept by a trigger": {plain + `CREATE FUNCTION public.keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF old.id < 6 THEN RETURN NULL; END IF; RETURN old; END';
			CREATE TRIGGER keep BEFORE DELETE ON public.t FOR EACH ROW EXECUTE FUNCTION public.keep()`, firing, "5 due rows stay of public.t: kept by a trigger on DELETE (keep on public.t)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, c.setup)
			for _, outcome := range []jobs.Outcome{jobs.Success, jobs.Noop} {
				if r, err := b.run(c.p); err != nil || r.Outcome != outcome || !strings.Contains(r.Summary, c.want) {
					t.Errorf("%+v, %v", r, err)
				}
			}
		})
	}
}

// Rows that point to rows of their own table go in one run, level by level.
func TestATableThatPointsToItselfGoesInOneRun(t *testing.T) {
	t.Parallel()
	b := newBench(t, `CREATE TABLE public.t (id bigint PRIMARY KEY, at timestamptz, up bigint REFERENCES public.t); CREATE TABLE public.t_archive (id bigint PRIMARY KEY, at timestamptz, up bigint);
		CREATE INDEX ON public.t (at); CREATE INDEX ON public.t (up);
		INSERT INTO public.t SELECT i, now() - interval '3 years' + i * interval '1 hour', CASE WHEN i % 10 <> 1 THEN i - 1 END FROM generate_series(1, 50) i`)
	p := plainPolicy()
	p.Referenced = config.ReferencedWait
	r := b.mustRun(p)
	if got := b.one("SELECT (SELECT count(*) FROM public.t) || ' ' || (SELECT count(*) FROM public.t_archive)"); got != "0 50" || !strings.Contains(r.Summary, "moved 50 rows") || strings.Contains(r.Summary, "stay") {
		t.Errorf("live, archived: %s; %+v", got, r)
	}
}

// A row comes back only when what it points to is there: the error says what to restore first.
func TestARestoreNamesWhatIsToComeBackFirst(t *testing.T) {
	t.Parallel()
	b := newBench(t, `CREATE TABLE public.pa (id bigint PRIMARY KEY); INSERT INTO public.pa VALUES (1); CREATE TABLE public.t (id bigint PRIMARY KEY, at timestamptz, pa bigint REFERENCES public.pa);
		CREATE TABLE public.t_archive (id bigint PRIMARY KEY, at timestamptz, pa bigint); INSERT INTO public.t VALUES (1, now() - interval '2 years', 1)`)
	b.mustRun(plainPolicy())
	b.exec("DELETE FROM public.pa")
	_, err := b.restore(plainPolicy(), "now() - interval '3 years'", "now() - interval '1 year'")
	for _, w := range []string{`Key (pa)=(1) is not present in table "pa"`, "restore its table first"} {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("%q is not in: %v", w, err)
		}
	}
}
