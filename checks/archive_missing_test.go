package checks

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgtender/pgtender/internal/config"
)

func TestArchiveMissing(t *testing.T) {
	b := newBench(t, "CREATE TABLE public.events (at date) PARTITION BY RANGE (at)", "CREATE TABLE public.events_archive (at date) PARTITION BY RANGE (at)")
	env := eventsEnv(t)
	env.Archives = []config.Archive{{Table: public("events"), Into: public("events_archive"), Partitioned: true}}
	check := archiveMissing(env)
	b.want(check, "public.events", OK, "what was archived is in its archive")

	part := func(parent string, m int) string {
		return fmt.Sprintf("CREATE TABLE public.p%d PARTITION OF public.%s FOR VALUES FROM ('2020-%02d-01') TO ('2020-%02d-01')", m, parent, m, m+1)
	}
	for m := 1; m <= 4; m++ {
		b.exec(part("events_archive", m), fmt.Sprintf(`INSERT INTO pgtender.archived_partition (live_schema, live_table, archive_schema, archive_table,
			partition_schema, partition_name, rows, rows_exact) VALUES ('public', 'events', 'public', 'events_archive', 'public', 'p%d', %d, true)`, m, m))
	}
	b.want(check, "public.events", OK)

	b.exec("DROP TABLE public.p1")
	f := b.want(check, "public.events", Critical, "1 archived partition with 1 row is not in the archive public.events_archive any more: public.p1 (there is no such table)", "backup")
	if f.Value != 1 {
		t.Errorf("value %g", f.Value)
	}
	b.exec("ALTER TABLE public.events_archive DETACH PARTITION public.p2",
		"ALTER TABLE public.events_archive DETACH PARTITION public.p3", "ALTER TABLE public.events ATTACH PARTITION public.p3 FOR VALUES FROM ('2020-03-01') TO ('2020-04-01')")
	b.want(check, "public.events", Critical, "3 archived partitions with 6 rows are not in", "public.p2 (it is detached)", "public.p3 (it is attached to public.events)")

	// It is no lock's waiter: the question stands while somebody closes the archive.
	_, end := b.session("LOCK TABLE public.events_archive, public.p2 IN ACCESS EXCLUSIVE MODE")
	b.want(check, "public.events", Critical, "3 archived partitions")
	end()

	// The remedy's statement says that it was meant.
	says := func(f Finding) string { return f.Remedy[strings.Index(f.Remedy, "UPDATE"):] }
	b.exec(says(b.want(check, "public.events", Critical)))
	b.want(check, "public.events", OK)

	// All of it goes, and an archive of that name is made anew. The policy may be gone too.
	b.exec("DROP TABLE public.events_archive", "CREATE TABLE public.events_archive (at date) PARTITION BY RANGE (at)")
	env.Archives = nil
	b.want(check, "public.events", Critical, "1 archived partition with 4 rows is", "public.p4 (there is no such table)")
	b.exec(part("events_archive", 4))
	b.silent(check, "public.events")

	// A year of days is told in short.
	b.exec(`INSERT INTO pgtender.archived_partition (live_schema, live_table, archive_schema, archive_table, partition_schema, partition_name, upper_at)
		SELECT 'public', 'events', 'public', 'events_archive', 'public', 'd' || i, now() + i * interval '1 day' FROM generate_series(1, 365) i`)
	b.want(check, "public.events", Critical, "365 archived partitions with about 0 rows", "public.d5 (there is no such table), and 360 more")
}

// What was restored is held, and held back: it is not late.
func TestArchiveLagPassesOverWhatIsHeld(t *testing.T) {
	b := newBench(t, "CREATE TABLE public.events (at date) PARTITION BY RANGE (at)", "CREATE TABLE public.events_2020 PARTITION OF public.events FOR VALUES FROM ('2020-01-01') TO ('2020-02-01')",
		"CREATE TABLE public.plain (at timestamptz)", "CREATE INDEX ON public.plain (at)", "INSERT INTO public.plain VALUES ('2020-01-15 00:00+00')")
	env := eventsEnv(t)
	year := config.Interval{Text: "1 year", Months: 12}
	env.Archives = []config.Archive{{Table: public("events"), Into: public("events_archive"), Partitioned: true, Interval: config.Month, After: year},
		{Table: public("plain"), Into: public("plain_archive"), Column: "at", After: year, Schedule: env.Partitions[0].Schedule}}
	check := archiveLag(&readings{env: env}, from(2, 0))
	hold := func(table, to string) {
		b.exec(fmt.Sprintf(`INSERT INTO pgtender.archived_partition (live_schema, live_table, archive_schema, archive_table, partition_schema, partition_name, lower_at, upper_at, gone_at, gone_how, detail)
			VALUES ('public', '%s', 'public', 'a', 'public', 'p', '2020-01-01 00:00+00', %s, now(), 'restored', '{"hold": true}')`, table, to))
	}
	lag := func(object string) (value float64) {
		t.Helper()
		value = -1
		for _, f := range b.ask(check).Findings {
			if f.Object == object {
				value = f.Value
			}
		}
		return value
	}
	if lag("public.events") <= 0 || lag("public.plain") <= 0 {
		t.Fatal("nothing is late")
	}
	hold("events", "'2020-02-01 00:00+00'")
	hold("plain", "NULL")
	if lag("public.events") != 0 || lag("public.plain") != 0 {
		t.Errorf("late by %g and %g s", lag("public.events"), lag("public.plain"))
	}
}
