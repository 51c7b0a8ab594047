package archive

import (
	"slices"
	"testing"

	"github.com/pgtender/pgtender/internal/config"
)

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
