package archive

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/jobs"
)

func (b *bench) time(sql string) time.Time {
	b.t.Helper()
	at, err := time.Parse("2006-01-02 15:04:05.999999-07", b.one("SELECT ("+sql+")::timestamptz::text"))
	if err != nil {
		b.t.Fatal(err)
	}
	return at
}

func (b *bench) restore(p config.Archive, from, to string) (jobs.Result, error) {
	b.t.Helper()
	return b.job.Restore(b.t.Context(), (&record{}).run(false), p, b.time(from), b.time(to))
}

func (b *bench) verdicts() []string {
	b.t.Helper()
	var list []string
	if err := Verify(b.t.Context(), b.pool, "", "", func(v Verdict) {
		text := v.Partition + " " + string(v.State)
		if v.What != "" {
			text += ": " + v.What
		}
		list = append(list, text)
	}); err != nil {
		b.t.Fatal(err)
	}
	return list
}

func TestAMonthIsRestored(t *testing.T) {
	t.Parallel()
	b := newBench(t, liveTable)
	before := b.one("SELECT md5(string_agg(x::text, '' ORDER BY id)) FROM public.t x")
	b.mustRun(policy("t"))
	if got := b.verdicts(); !slices.Equal(got, []string{"public.m16 intact", "public.m15 intact", "public.m14 intact", "public.m13 intact"}) {
		t.Errorf("%q", got)
	}
	rec := &record{}
	if _, err := b.job.Restore(t.Context(), rec.run(true), policy("t"), b.time("public.month(-15)"), b.time("public.month(-13)")); err != nil || !strings.Contains(rec.text(), `ALTER TABLE "public"."t" ATTACH PARTITION "public"."m15"`) {
		t.Errorf("%s, %v", rec.text(), err)
	}
	r, err := b.restore(policy("t"), "public.month(-15)", "public.month(-13)")
	if err != nil || r.Outcome != jobs.Success || !strings.Contains(r.Summary, "restored public.m15, public.m14 to public.t") {
		t.Fatalf("%+v, %v", r, err)
	}
	if got := b.children("t_archive"); !slices.Equal(got, []string{"m16", "m13"}) {
		t.Errorf("archived %v", got)
	}
	// It is as if it had never been away: key, identity, triggers, statistics; what it points to counts again.
	if got := b.one(`SELECT concat_ws(' ', (SELECT count(*) FROM pg_constraint WHERE conrelid = 'public.m15'::regclass AND contype = 'f' AND conparentid <> 0 AND convalidated),
		(SELECT count(*) FROM pg_trigger WHERE tgrelid = 'public.m15'::regclass AND tgname = 'tr'), (SELECT attidentity FROM pg_attribute WHERE attrelid = 'public.m15'::regclass AND attname = 'id'),
		(SELECT count(*) FROM pg_index i JOIN pg_inherits h ON h.inhrelid = i.indexrelid WHERE indrelid = 'public.m15'::regclass AND indisvalid))`); got != "1 1 a 3" {
		t.Errorf("m15 has %s", got)
	}
	// Held: it stays where it is until released.
	held := &record{}
	if _, err := b.job.Run(t.Context(), held.run(true), policy("t")); err != nil || !strings.Contains(held.text(), "public.m15 stays: it was restored and is held; `pgtender archive release") {
		t.Errorf("%s %v", held.text(), err)
	}
	if r := b.mustRun(policy("t")); r.Outcome != jobs.Noop {
		t.Errorf("%+v", r)
	}
	if n, err := Release(t.Context(), b.pool, config.Table{Schema: "public", Name: "t"}, b.time("public.month(-15)"), b.time("public.month(-14)")); n != 1 || err != nil {
		t.Errorf("released %d, %v", n, err)
	}
	b.mustRun(policy("t"))
	if got := b.children("t_archive"); !slices.Equal(got, []string{"m16", "m15", "m13"}) {
		t.Errorf("archived %v", got)
	}
	if got := b.one("SELECT md5(string_agg(x::text, '' ORDER BY id)) FROM (SELECT * FROM public.t UNION ALL SELECT * FROM public.t_archive) x"); got != before {
		t.Error("rows differ")
	}
	if got := b.verdicts(); !slices.Equal(got, []string{"public.m16 intact", "public.m15 intact", "public.m13 intact"}) {
		t.Errorf("%q", got)
	}
}

// What cannot come back stays whole where it is, and its foreign keys do not stay on it.
func TestRestoreRefusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		setup, from, to string
		words           []string
	}{
		"part of a month": {"SELECT 1", "public.month(-15) + interval '1 day'", "public.month(-14)", []string{"public.m15", "--from", "--to"}},
		"nothing":         {"SELECT 1", "public.month(-30)", "public.month(-29)", []string{"holds nothing", "archive list"}},
		"backwards":       {"SELECT 1", "public.month(-14)", "public.month(-15)", []string{"is nothing"}},
		"overlap":         {"CALL public.part('t', 'other', public.month(-15) + interval '1 day', public.month(-14))", "public.month(-15)", "public.month(-14)", []string{"public.other", "DETACH PARTITION"}},
		"orphans":         {"DELETE FROM public.m WHERE id = 3", "public.month(-15)", "public.month(-14)", []string{"of_m", "points to one that is gone"}},
		"default":         {"CREATE TABLE public.rest PARTITION OF public.t DEFAULT; INSERT INTO public.t (at, m) VALUES (public.month(-15), 1)", "public.month(-15)", "public.month(-14)", []string{"public.rest", "Move or delete them"}},
		"lacks an index":  {"CREATE INDEX extra ON public.t (n)", "public.month(-15)", "public.month(-14)", []string{"public.m15 lacks indexes", "extra"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, liveTable)
			b.mustRun(policy("t"))
			b.exec(c.setup)
			before := b.everything()
			_, err := b.restore(policy("t"), c.from, c.to)
			for _, w := range c.words {
				if err == nil || !strings.Contains(err.Error(), w) {
					t.Errorf("%q is not in: %v", w, err)
				}
			}
			if after := b.everything(); !slices.Equal(before, after) {
				t.Errorf("from %v to %v", before, after)
			}
			if got := b.list("SELECT conname::text FROM pg_constraint WHERE conrelid = 'public.m15'::regclass AND contype = 'f'"); len(got) > 0 {
				t.Errorf("foreign keys %v", got)
			}
		})
	}
}

// A restore that was killed after it gave a partition foreign keys is undone by the next run.
func TestARestoreThatWasKilledIsMended(t *testing.T) {
	t.Parallel()
	b := newBench(t, liveTable)
	b.mustRun(policy("t"))
	b.exec(`UPDATE pgtender.archived_partition SET detail = detail || '{"restoring": ["of_m"]}' WHERE partition_name = 'm15';
		ALTER TABLE public.m15 ADD CONSTRAINT of_m FOREIGN KEY (m) REFERENCES public.m ON DELETE CASCADE NOT VALID`)
	b.mustRun(policy("t"))
	b.exec("DELETE FROM public.m")
	if got := b.one("SELECT count(*)::text FROM public.t_archive"); got != "400" {
		t.Errorf("%s rows are left", got)
	}
}

func TestRowsAreRestored(t *testing.T) {
	t.Parallel()
	b := newBench(t, `CREATE TABLE public.t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz, twice bigint GENERATED ALWAYS AS (id * 2) VIRTUAL); CREATE TABLE public.t_archive (LIKE public.t INCLUDING ALL EXCLUDING IDENTITY);
		INSERT INTO public.t (at) SELECT now() - interval '3 years' + i * interval '1 day' FROM generate_series(1, 1000) i`)
	before := b.one(both)
	b.mustRun(plainPolicy())
	moved := b.one("SELECT count(*)::text FROM public.t_archive")
	if got := b.verdicts(); !slices.Equal(got, []string{"public.t_archive intact"}) {
		t.Errorf("%q", got)
	}
	r, err := b.restore(plainPolicy(), "now() - interval '900 days'", "now() - interval '800 days'")
	if err != nil || !strings.Contains(r.Summary, "restored 100 rows from public.t_archive to public.t") {
		t.Fatalf("%+v, %v", r, err)
	}
	if got := b.verdicts(); !slices.Equal(got, []string{"public.t_archive intact"}) {
		t.Errorf("%q", got)
	}
	if r := b.mustRun(plainPolicy()); r.Outcome != jobs.Noop {
		t.Errorf("held rows moved: %+v", r)
	}
	if n, err := Release(t.Context(), b.pool, config.Table{Schema: "public", Name: "t"}, time.Time{}, time.Time{}); n != 1 || err != nil {
		t.Errorf("released %d, %v", n, err)
	}
	b.mustRun(plainPolicy())
	if got := b.one("SELECT count(*)::text FROM public.t_archive"); got != moved || b.one(both) != before {
		t.Errorf("archived %s, want %s", got, moved)
	}
	if got := b.verdicts(); !slices.Equal(got, []string{"public.t_archive intact"}) {
		t.Errorf("%q", got)
	}
}

// The rows of a month that is under way come back into it.
func TestTheStraddlingPartitionIsRestored(t *testing.T) {
	t.Parallel()
	b := newBench(t, rowTable)
	before := b.one(both)
	b.mustRun(byRow("t"))
	if _, err := b.restore(byRow("t"), "public.year_ago(-10)", "public.year_ago(10)"); err != nil {
		t.Fatal(err)
	}
	if got := b.one("SELECT (SELECT count(*) FROM public.t) || ' ' || (SELECT count(*) FROM public.t_archive)"); got != "800 400" || b.one(both) != before {
		t.Errorf("live, archived: %s", got)
	}
	if r := b.mustRun(byRow("t")); r.Outcome != jobs.Noop {
		t.Errorf("%+v", r)
	}
	if _, err := Release(t.Context(), b.pool, config.Table{Schema: "public", Name: "t"}, time.Time{}, time.Time{}); err != nil {
		t.Error(err)
	}
	b.mustRun(byRow("t"))
	if got := b.one("SELECT (SELECT count(*) FROM public.t) || ' ' || (SELECT count(*) FROM public.t_archive)"); got != "600 600" || b.one(both) != before {
		t.Errorf("live, archived: %s", got)
	}
	if got := b.verdicts(); !slices.Equal(got, []string{"public.t_old intact", "public.t_archive_cut intact"}) {
		t.Errorf("%q", got)
	}
}

func TestAChangedMonthIsRestoredWithAWarning(t *testing.T) {
	t.Parallel()
	b := newBench(t, liveTable)
	b.mustRun(policy("t"))
	b.exec("DELETE FROM public.t_archive WHERE id IN (SELECT id FROM public.m15 LIMIT 3)")
	rec := &record{}
	r, err := b.job.Restore(t.Context(), rec.run(false), policy("t"), b.time("public.month(-16)"), b.time("public.month(-14)"))
	if err != nil || r.Outcome != jobs.Success {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, text := range []string{rec.text(), r.Summary} {
		if !strings.Contains(text, "public.m15") || !strings.Contains(text, "3 rows are missing") || !strings.Contains(text, "WARNING") || strings.Contains(text, "WARNING: public.m16") {
			t.Error(text)
		}
	}
}

// The live side has an index on the time, and the archive nothing that gives its rows an order.
func TestRowsWithoutAKeyAreRestored(t *testing.T) {
	t.Parallel()
	b := newBench(t, `CREATE TABLE public.t (id int, at timestamptz); CREATE INDEX ON public.t (at); CREATE TABLE public.t_archive (LIKE public.t);
		INSERT INTO public.t SELECT i, '2020-01-01 00:00+00'::timestamptz + i % 700 * interval '1 day' FROM generate_series(1, 20000) i`)
	before := b.one(both)
	b.mustRun(plainPolicy())
	r, err := b.restore(plainPolicy(), "'2020-01-01 00:00+00'", "'2021-01-01 00:00+00'")
	if err != nil || r.Outcome != jobs.Success {
		t.Fatalf("%+v, %v", r, err)
	}
	if got := b.one("SELECT concat_ws(' ', count(*) > 0, min(at) >= '2021-01-01 00:00+00') FROM public.t_archive"); got != "t t" {
		t.Errorf("left in the archive: %s", got)
	}
	if b.one(both) != before {
		t.Error("rows differ")
	}
	if r, err := b.restore(plainPolicy(), "'2021-01-01 00:00+00'", "'2023-01-01 00:00+00'"); err != nil {
		t.Fatalf("%+v, %v", r, err)
	}
	if got := b.one(counts); got[:8] != "20000 0 " {
		t.Errorf("live, archived: %s", got)
	}
	if got := b.verdicts(); !slices.Equal(got, []string{"public.t_archive intact: it is empty: all that was moved into it has been brought back"}) {
		t.Errorf("%q", got)
	}
}

func TestVerifyOfAMonthWithoutRows(t *testing.T) {
	t.Parallel()
	b := newBench(t, crashTable+"DELETE FROM public.t WHERE at < '2021-01-01 00:00+00'")
	b.mustRun(policy("t"))
	if got := b.verdicts(); !slices.Equal(got, []string{"public.t_2020 intact: it was empty when it was moved"}) {
		t.Errorf("%q", got)
	}
}

func TestVerifyTellsWhatChanged(t *testing.T) {
	t.Parallel()
	b := newBench(t, liveTable)
	b.mustRun(policy("t"))
	b.exec(`UPDATE public.m16 SET a = a + 1 WHERE id = (SELECT min(id) FROM public.m16); DELETE FROM public.m15 WHERE id = (SELECT min(id) FROM public.m15);
		ALTER TABLE public.t_archive DETACH PARTITION public.m13; ALTER TABLE public.t_archive ADD COLUMN more int DEFAULT 3`)
	want := []string{"public.m16 CHANGED: as many rows, but others: the checksum over id, at, m, n, a differs", "public.m15 CHANGED: 1 row is missing",
		"public.m14 intact", "public.m13 MISSING: it is no partition of public.t_archive"}
	if got := b.verdicts(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	b.exec("ALTER TABLE public.t_archive DROP COLUMN n; DROP TABLE public.m13; UPDATE pgtender.archived_partition SET rows_exact = false WHERE partition_name = 'm16'")
	want = []string{"public.m16 unknown: its rows are not counted yet: the next run of the archive job does", "public.m15 CHANGED: 1 row is missing",
		"public.m14 counted: the checksum covers columns that have changed since: n", "public.m13 MISSING: there is no such table"}
	if got := b.verdicts(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestExpiredPartitionsAreDropped(t *testing.T) {
	t.Parallel()
	b := newBench(t, liveTable+"CALL public.part('t_archive', 'by_hand', public.month(-40), public.month(-39))")
	b.mustRun(policy("t"))
	p := policy("t")
	p.DropAfter = config.Interval{Text: "14 months", Months: 14}
	p.KeepForeignKeys = false
	rec := &record{}
	dry, err := b.job.Run(t.Context(), rec.run(true), p)
	if err != nil || !strings.Contains(dry.Summary, "would drop for good public.m16, public.m15") || !strings.Contains(rec.text(), `DROP TABLE "public"."m16";`) {
		t.Errorf("%+v %s %v", dry, rec.text(), err)
	}
	if got := b.children("t_archive"); len(got) != 5 {
		t.Fatalf("a dry run dropped: %v", got)
	}
	r, err := b.run(p)
	if err != nil || r.Outcome != jobs.Success || r.Summary != "dropped for good public.m16, public.m15 with 200 rows" {
		t.Errorf("%+v, %v", r, err)
	}
	if got := b.children("t_archive"); !slices.Equal(got, []string{"by_hand", "m14", "m13"}) {
		t.Errorf("archived %v", got)
	}
	if got := b.one("SELECT string_agg(partition_name || ' ' || rows || ' ' || (gone_at IS NOT NULL)::text || ' ' || (detail->>'drop_after'), ',' ORDER BY id) FROM pgtender.archived_partition WHERE gone_how = 'dropped'"); got != "m16 100 true 14 months,m15 100 true 14 months" {
		t.Error(got)
	}
	// Something stands on one: nothing goes, and it is named.
	b.exec("CREATE VIEW public.v AS SELECT * FROM public.m14")
	p.DropAfter = config.Interval{Text: "13 months", Months: 13}
	if _, err := b.run(p); err == nil || !strings.Contains(err.Error(), "drop the archived partition public.m14") {
		t.Errorf("%v", err)
	}
	if got := b.children("t_archive"); !slices.Equal(got, []string{"by_hand", "m14", "m13"}) {
		t.Errorf("archived %v", got)
	}
}

// One run never takes rows from live to lost: it archives and counts, and a later one drops.
func TestNothingIsDroppedByTheRunThatArchivedIt(t *testing.T) {
	t.Parallel()
	b := newBench(t, liveTable)
	p := policy("t")
	p.DropAfter = config.Interval{Text: "14 months", Months: 14}
	rec := &record{}
	dry, err := b.job.Run(t.Context(), rec.run(true), p)
	if err != nil || !strings.Contains(dry.Summary, "a later run would drop for good public.m16, public.m15") ||
		!strings.Contains(rec.text(), "in a later run, drop for good") || !strings.Contains(rec.text(), `DROP TABLE "public"."m15"`) || strings.Contains(rec.text(), `DROP TABLE "public"."m14"`) {
		t.Errorf("%+v %s %v", dry, rec.text(), err)
	}
	r, err := b.run(p)
	if err != nil || !strings.Contains(r.Summary, "with 400 rows") || !strings.Contains(r.Summary, "a later run drops for good public.m16, public.m15") || r.Detail["rows"] != int64(400) {
		t.Errorf("%+v, %v", r, err)
	}
	if got := b.children("t_archive"); !slices.Equal(got, []string{"m16", "m15", "m14", "m13"}) {
		t.Fatalf("archived %v", got)
	}
	// Killed before it was counted, or not countable: it stays, and says why.
	b.exec(`UPDATE pgtender.archived_partition SET rows = NULL, rows_exact = false, detail = '{}' WHERE partition_name = 'm16';
		UPDATE pgtender.archived_partition SET rows = NULL, rows_exact = false, detail = '{"not_counted": "may not see them"}' WHERE partition_name = 'm15'`)
	rec = &record{}
	if _, err := b.job.Run(t.Context(), rec.run(false), p); err != nil || !strings.Contains(rec.text(), "public.m16 of the archive is older than 14 months and stays: its rows are not counted yet") ||
		!strings.Contains(rec.text(), "could not be counted: may not see them") {
		t.Errorf("%s %v", rec.text(), err)
	}
	if r, err = b.run(p); err != nil || r.Summary != "dropped for good public.m16 with 100 rows" || r.Detail["dropped_rows"] != int64(100) {
		t.Errorf("%+v, %v", r, err)
	}
	if got := b.one("SELECT concat_ws(' ', rows, rows_exact, detail ? 'digest', detail->>'dropped_by_run') FROM pgtender.archived_partition WHERE gone_how = 'dropped'"); got != "100 t t 42" {
		t.Error(got)
	}
}

// So it is with rows that are moved one by one.
func TestRowsAreNotDroppedByTheRunThatMovedThem(t *testing.T) {
	t.Parallel()
	b := newBench(t, rowTable)
	b.mustRun(byRow("t"))
	p := byRow("t")
	p.After = config.Interval{Text: "11 months", Months: 11}
	p.DropAfter = config.Interval{Text: "350 days", Days: 350}
	r, err := b.run(p)
	if err != nil || !strings.Contains(r.Summary, "moved 200 rows of public.t_cut") || !strings.Contains(r.Summary, "a later run drops for good public.t_archive_cut") {
		t.Errorf("%+v, %v", r, err)
	}
	if got := b.children("t_archive"); !slices.Contains(got, "t_archive_cut") || slices.Contains(got, "t_old") {
		t.Errorf("archived %v", got)
	}
	if r, err = b.run(p); err != nil || !strings.Contains(r.Summary, "dropped for good public.t_archive_cut with 400 rows") {
		t.Errorf("%+v, %v", r, err)
	}
}

// With keep_foreign_keys the archived partition keeps what ties it, in and back, and a CASCADE reaches it: it was asked for.
func TestKeptForeignKeys(t *testing.T) {
	t.Parallel()
	b := newBench(t, liveTable+"ALTER TABLE public.t_archive ADD CONSTRAINT t_archive_of_m FOREIGN KEY (m) REFERENCES public.m ON DELETE CASCADE")
	b.refused(policy("t"), "foreign key t_archive_of_m")
	p := policy("t")
	p.KeepForeignKeys = true
	b.mustRun(p)
	if got := b.one("SELECT count(*)::text FROM pg_constraint WHERE contype = 'f' AND conrelid = 'public.m16'::regclass AND conparentid = (SELECT oid FROM pg_constraint WHERE conname = 't_archive_of_m' AND conparentid = 0)"); got != "1" {
		t.Errorf("%s keys", got)
	}
	if _, err := b.restore(p, "public.month(-16)", "public.month(-15)"); err != nil {
		t.Fatal(err)
	}
	b.exec("DELETE FROM public.m WHERE id = 1")
	if got := b.one("SELECT (SELECT count(*) FROM public.t_archive) || ' ' || (SELECT count(*) FROM public.t)"); got != "270 1260" {
		t.Errorf("archived, live: %s", got)
	}
}
