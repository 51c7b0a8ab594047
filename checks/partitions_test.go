package checks

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
)

// eventsEnv keeps public.events by day, three days ahead.
func eventsEnv(t *testing.T) *config.Env {
	t.Helper()
	p := config.Partition{Table: public("events"), Interval: config.Day, Ahead: 20, Schedule: schedule(t, "@hourly")}
	return &config.Env{Schemas: []string{"public"}, Daemon: config.Daemon{Location: time.UTC}, Partitions: []config.Partition{p}}
}

// days attaches one partition for each of the days from the server's today plus from to plus to, not included.
func days(from, to int) string {
	return fmt.Sprintf(`DO $$ BEGIN FOR d IN %d..%d LOOP
		EXECUTE format('CREATE TABLE public.events_%%s PARTITION OF public.events FOR VALUES FROM (%%L) TO (%%L)',
		  to_char(current_date + d, 'YYYY_MM_DD'), (current_date + d)::text || ' 00:00+00', (current_date + d + 1)::text || ' 00:00+00');
	END LOOP; END $$`, from, to-1)
}

func dropDay(d int) string {
	return fmt.Sprintf(`DO $$ BEGIN EXECUTE 'DROP TABLE public.events_' || to_char(current_date + %d, 'YYYY_MM_DD'); END $$`, d)
}

const eventsDDL = "SET TimeZone = 'UTC'; CREATE TABLE public.events (at timestamptz NOT NULL, v int) PARTITION BY RANGE (at)"

func TestPartitionRunway(t *testing.T) {
	b := newBench(t, eventsDDL)
	env := eventsEnv(t)
	check := partitionRunway(&readings{env: env}, defaults("partition_runway"))
	b.want(check, "public.events", Critical, "no partition holds this moment", "pgtender job run partition --table public.events")
	b.exec(days(-2, 1))
	b.want(check, "public.events", Critical)
	b.exec(days(1, 3))
	b.want(check, "public.events", Warning)
	b.exec(days(3, 21))
	f := b.want(check, "public.events", OK)
	if f.Remedy != "" || f.Value < (20*day).Seconds() || f.Value > (21*day).Seconds() || f.Value != sample(t, f, "pgtender_partition_runway_seconds", "public", "events") {
		t.Errorf("finding: %+v", f)
	}
	if n := sample(t, f, "pgtender_partitions", "public", "events"); n != 23 {
		t.Errorf("%g partitions, want 23", n)
	}
	b.exec(dropDay(4))
	if f := b.want(check, "public.events", Warning); f.Value > (4 * day).Seconds() {
		t.Errorf("the runway goes over a hole: %g", f.Value)
	}
	b.exec("CREATE TABLE public.events_rest PARTITION OF public.events FOR VALUES FROM ('2999-01-01 00:00+00') TO (MAXVALUE)")
	b.exec("DROP TABLE public.events", eventsDDL, "CREATE TABLE public.all_of_it PARTITION OF public.events FOR VALUES FROM (MINVALUE) TO (MAXVALUE)")
	if f := b.want(check, "public.events", OK, "eternity"); !math.IsInf(f.Value, 1) {
		t.Errorf("runway without end: %g", f.Value)
	}
}

func TestRunwayLimitsFollowThePolicy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		unit              config.Unit
		ahead             int
		warning, critical time.Duration
	}{
		{config.Month, 3, 7 * day, day},
		{config.Year, 1, 7 * day, day},
		{config.Day, 3, 3 * 23 * time.Hour / 2, 3 * 23 * time.Hour / 4},
		{config.Week, 1, 84 * time.Hour, day},
		{config.Month, 0, 0, 0},
	} {
		l := runwayLimits(config.Partition{Interval: c.unit, Ahead: c.ahead}, defaults("partition_runway"))
		if l.Warning != c.warning.Seconds() || l.Critical != c.critical.Seconds() {
			t.Errorf("%d %s ahead: %g and %g, want %s and %s", c.ahead, c.unit, l.Warning, l.Critical, c.warning, c.critical)
		}
	}
	given := limits{Warning: 1e6, Critical: 1e5, Low: true, Given: true}
	if l := runwayLimits(config.Partition{Interval: config.Day, Ahead: 1}, given); l != given {
		t.Errorf("the file's thresholds became %+v", l)
	}
}

func TestPartitionGaps(t *testing.T) {
	b := newBench(t, eventsDDL, days(-5, 5))
	check := partitionGaps(&readings{env: eventsEnv(t)})
	b.want(check, "public.events", OK)
	b.exec(dropDay(-3))
	f := b.want(check, "public.events", Warning, "1 hole in the past, the first from 20", "T00:00:00Z", "such times are refused", "FOR VALUES FROM (")
	if f.Value != 1 || strings.Contains(f.Remedy, "pgtender job run") {
		t.Errorf("finding: %+v", f)
	}
	b.exec("CREATE TABLE public.events_rest PARTITION OF public.events DEFAULT")
	b.want(check, "public.events", Warning, "such times go to the DEFAULT partition")
	b.exec("DROP TABLE public.events_rest", dropDay(2))
	f = b.want(check, "public.events", Critical, "1 hole in what should be kept ahead", "; 1 hole in the past", "pgtender job run partition", "FOR VALUES FROM (")
	if f.Value != 2 || sample(t, f, "pgtender_partition_gaps", "public", "events") != 2 {
		t.Errorf("finding: %+v", f)
	}
	b.exec(days(-3, -2), days(2, 3))
	b.want(check, "public.events", OK)
	b.exec(days(5, 26))
	b.exec(dropDay(24))
	b.want(check, "public.events", Warning, "1 hole beyond what is kept ahead") // of 20 days
	b.exec(days(24, 25), dropDay(0))
	b.want(check, "public.events", Critical, "1 hole in what should be kept ahead") // now itself
}

func TestDefaultPartitionRows(t *testing.T) {
	b := newBench(t, eventsDDL, days(0, 1))
	check := defaultPartitionRows(&readings{env: eventsEnv(t)}, defaults("default_partition_rows"))
	b.want(check, "public.events", OK, "no DEFAULT partition")
	b.exec("CREATE TABLE public.events_rest PARTITION OF public.events DEFAULT")
	b.want(check, "public.events", OK, "public.events_rest is empty")
	b.exec("INSERT INTO public.events SELECT now() + interval '10 days', i FROM generate_series(1, 7) i")
	pgtest.Eventually(t, b.url, "SELECT pg_stat_get_live_tuples('public.events_rest'::regclass) = 7")
	f := b.want(check, "public.events", Warning, "about 7 rows lie in", "pgtender job run partition --table public.events  -- moves rows up to")
	if sample(t, f, "pgtender_default_partition_rows", "public", "events") != 7 {
		t.Errorf("finding: %+v", f)
	}
	// A reset of the statistics, as a crash makes one, does not make it empty.
	b.exec("SELECT pg_stat_reset()")
	pgtest.Eventually(t, b.url, "SELECT pg_stat_get_live_tuples('public.events_rest'::regclass) = 0")
	b.want(check, "public.events", Warning, "about 1 row lies in")
	b.exec("ANALYZE public.events_rest", "SELECT pg_stat_reset()")
	b.want(check, "public.events", Warning, "about 7 rows lie in")
	_, end := b.session("LOCK TABLE public.events_rest IN ACCESS EXCLUSIVE MODE")
	b.want(check, "public.events", Unknown, "whether its DEFAULT partition public.events_rest holds rows is not known")
	end()
	b.exec("DELETE FROM public.events_rest")
	b.want(check, "public.events", OK)
}

// Rows of other times than those kept ahead are not moved by the job, so its command is no remedy.
func TestDefaultPartitionRowsOfOtherTimes(t *testing.T) {
	b := newBench(t, eventsDDL, days(0, 21), "ALTER TABLE public.events ADD d int GENERATED ALWAYS AS (v * 2) STORED, ADD id bigint GENERATED ALWAYS AS IDENTITY",
		"CREATE TABLE public.events_rest PARTITION OF public.events DEFAULT", "INSERT INTO public.events VALUES ('2090-05-01 12:00+00', 1)")
	check := defaultPartitionRows(&readings{env: eventsEnv(t)}, defaults("default_partition_rows"))
	count := func(n int) {
		pgtest.Eventually(t, b.url, "SELECT pg_stat_get_live_tuples('public.events_rest'::regclass) = $1", n)
	}
	count(1)
	f := b.want(check, "public.events", Warning, "about 1 row lies in its DEFAULT partition public.events_rest", "the partition job does not move them", "FROM ('2090-05-01 00:00:00+00')", "the first of 2090-05-01T12:00:00Z")
	if strings.Contains(f.Remedy, "pgtender job run") {
		t.Errorf("remedy %q", f.Remedy)
	}
	b.exec("CREATE INDEX ON public.events (at)", "INSERT INTO public.events VALUES ('1990-05-01 12:00+00', 1)")
	count(2)
	b.want(check, "public.events", Warning, "about 2 rows lie in", "the first of 1990-05-01T12:00:00Z, the last of 2090-05-01T12:00:00Z", "FROM ('1990-05-01 00:00:00+00')")

	// The times are a courtesy: a lock costs them, and no answer.
	_, end := b.session("LOCK TABLE public.events_rest IN ACCESS EXCLUSIVE MODE")
	f = b.want(check, "public.events", Warning, "about 2 rows lie in")
	if strings.Contains(f.Message, "the first of") || !strings.HasPrefix(f.Remedy, `see of what times they are: SELECT min("at"), max("at") FROM "public"."events_rest" WHERE "at" IS NOT NULL AND isfinite("at");`) {
		t.Errorf("read beside a lock: %s; %s", f.Message, f.Remedy)
	}
	end()

	// Both remedies do what they say.
	f = b.want(check, "public.events", Warning, "1990")
	b.exec(f.Remedy[strings.Index(f.Remedy, "BEGIN;"):])
	count(1)
	f = b.want(check, "public.events", Warning, "the first of 2090")
	b.exec(f.Remedy[strings.Index(f.Remedy, "DELETE FROM"):strings.Index(f.Remedy, "  -- or make")])
	count(0)
	b.want(check, "public.events", OK)
	pgtest.Eventually(t, b.url, "SELECT count(*) = 1 AND min(d) = 2 FROM public.events")

	b.exec("INSERT INTO public.events VALUES ('infinity', 1)")
	count(1)
	f = b.want(check, "public.events", Warning, "about 1 row lies in", "none of them has a finite time")
	b.exec(f.Remedy[strings.Index(f.Remedy, "DELETE FROM"):])
	count(0)
}

// Rows that others point to must not be deleted by what the check prints; what an interrupted job left is named.
func TestDefaultPartitionRowsThatOthersPointTo(t *testing.T) {
	b := newBench(t, eventsDDL, days(0, 21), "ALTER TABLE public.events ADD PRIMARY KEY (v, at)", "CREATE TABLE public.events_rest PARTITION OF public.events DEFAULT",
		"CREATE TABLE public.ref (v int, at timestamptz, CONSTRAINT points FOREIGN KEY (v, at) REFERENCES public.events ON DELETE CASCADE)",
		"INSERT INTO public.events VALUES ('2090-05-01 12:00+00', 1)", "INSERT INTO public.ref VALUES (1, '2090-05-01 12:00+00')")
	check := defaultPartitionRows(&readings{env: eventsEnv(t)}, defaults("default_partition_rows"))
	pgtest.Eventually(t, b.url, "SELECT pg_stat_get_live_tuples('public.events_rest'::regclass) = 1")
	f := b.want(check, "public.events", Warning, "the partition job does not move them", "foreign key points", "DROP CONSTRAINT points")
	if strings.Contains(f.Remedy, "DELETE FROM") {
		t.Errorf("remedy %q", f.Remedy)
	}
	b.exec("ALTER TABLE public.events_rest ADD CONSTRAINT pgtender_not_in_x CHECK (at > 'epoch') NOT VALID")
	b.want(check, "public.events", Warning, "pgtender_not_in_x", "pgtender job run partition --table public.events  -- takes them away")
}

func TestDetachPending(t *testing.T) {
	b := newBench(t, eventsDDL, days(0, 3))
	check := detachPending(&readings{env: eventsEnv(t)}, defaults("detach_pending"))
	b.want(check, "public.events", OK)
	_, end := b.session("SELECT count(*) FROM public.events")
	conn, err := pgx.Connect(t.Context(), b.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var detach string
	if err := conn.QueryRow(t.Context(), "SELECT format('ALTER TABLE public.events DETACH PARTITION public.events_%s CONCURRENTLY', to_char(current_date + 1, 'YYYY_MM_DD'))").Scan(&detach); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := conn.Exec(context.WithoutCancel(t.Context()), detach)
		done <- err
	}()
	pgtest.Eventually(t, b.url, "SELECT EXISTS (SELECT FROM pg_inherits WHERE inhdetachpending) AND EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND NOT granted)", conn.PgConn().PID())
	b.want(check, "public.events", OK, "being detached now")
	b.exec(fmt.Sprintf("SELECT pg_cancel_backend(%d)", conn.PgConn().PID()))
	if err := <-done; pg.Code(err) != pg.QueryCanceled {
		t.Fatalf("the detach ended with %v", err)
	}
	f := b.want(check, "public.events", Warning, "was interrupted", "FINALIZE;")
	b.want(partitionGaps(&readings{env: eventsEnv(t)}), "public.events", Critical, "in what should be kept ahead", f.Remedy+"  -- pgtender job run partition")
	end()
	b.exec(f.Remedy)
	b.want(check, "public.events", OK, "no DETACH is unfinished")
}

func TestPolicyForATableThatIsNotThere(t *testing.T) {
	b := newBench(t, "CREATE TABLE public.plain ()")
	env := eventsEnv(t)
	env.Partitions = append(env.Partitions, config.Partition{Table: public("plain"), Interval: config.Day})
	b.want(partitionRunway(&readings{env: env}, defaults("partition_runway")), "public.events", Unknown, "there is no such table")
	b.want(partitionRunway(&readings{env: env}, defaults("partition_runway")), "public.plain", Unknown, "not a partitioned table")
}

func TestArchiveLag(t *testing.T) {
	b := newBench(t, eventsDDL, days(-40, 5))
	env := eventsEnv(t)
	env.Archives = []config.Archive{
		{Table: public("events"), Into: public("events_archive"), Partitioned: true, Interval: config.Day, After: interval(t, "30 days"), Schedule: schedule(t, "@daily")},
		{Table: public("rows"), Into: public("rows_archive"), Column: "at", After: interval(t, "1 year"), Schedule: schedule(t, "@hourly")},
	}
	check := archiveLag(&readings{env: env}, defaults("archive_lag"))
	b.want(check, "public.rows", Unknown, "no such table")
	f := b.want(check, "public.events", Warning, "10 partitions", "pgtender job run archive --table public.events")
	if lag := sample(t, f, "pgtender_archive_lag_seconds", "public", "events"); lag < (9*day).Seconds() || lag > (10*day).Seconds() {
		t.Errorf("lag %g", lag)
	}
	for d := -40; d < -30; d++ {
		b.exec(dropDay(d))
	}
	if f := b.want(check, "public.events", OK, "nothing older than 30 days"); f.Value != 0 {
		t.Errorf("lag %g", f.Value)
	}
	b.exec("CREATE TABLE public.late PARTITION OF public.events DEFAULT", "CREATE TABLE public.back PARTITION OF public.events FOR VALUES FROM ('2001-01-01') TO ('2001-01-02')",
		`INSERT INTO pgtender.archived_partition (live_schema, live_table, archive_schema, archive_table, partition_schema, partition_name, lower_at, upper_at, gone_at, gone_how, detail)
		VALUES ('public', 'events', 'public', 'a', 'public', 'back', '2001-01-01', '2001-01-02', now(), 'restored', '{"hold": true}')`)
	b.want(check, "public.events", OK, "is live but 1 partition, restored and held")
	b.exec("INSERT INTO public.events (at) VALUES ('1999-01-01'), (now() + interval '9 years')")
	b.exec(b.want(check, "public.events", Warning, "rows as old are in its DEFAULT partition public.late").Remedy)
	b.exec("DELETE FROM public.events WHERE at < '2000-01-01'")
	b.want(check, "public.events", OK, "is live but 1 partition, restored and held")

	b.exec("CREATE TABLE public.rows (at timestamptz)", "INSERT INTO public.rows VALUES (now() - interval '1 year 3 hours'), (now())")
	f = b.want(check, "public.rows", Unknown, "no index begins with at")
	b.exec(f.Remedy)
	if f = b.want(check, "public.rows", Warning); f.Value < 3*3600 || f.Value > 27*3600 { // a year may have a leap day
		t.Errorf("lag %g", f.Value)
	}
	b.exec("DELETE FROM public.rows WHERE at < now() - interval '1 day'")
	b.want(check, "public.rows", OK)

	_, end := b.session("LOCK TABLE public.rows") // which costs nobody else his answer
	b.exec(b.want(check, "public.rows", Unknown, "another session has locked it").Remedy)
	b.want(check, "public.events", OK)
	end()
	pgtest.Eventually(t, b.url, "SELECT NOT EXISTS (SELECT FROM pg_locks WHERE relation = 'public.rows'::regclass)")
	b.want(check, "public.rows", OK)
}

func TestArchiveRows(t *testing.T) {
	b := newBench(t)
	env := eventsEnv(t)
	env.Archives = []config.Archive{{Table: public("events"), Partitioned: true}}
	check := archiveRows(env, defaults("archive_rows"))
	f := b.want(check, "public.events", OK, "nothing was archived yet")
	if sample(t, f, "pgtender_archived_rows_total", "public", "events") != 0 {
		t.Errorf("finding: %+v", f)
	}
	b.exec(`INSERT INTO pgtender.archived_partition (live_schema, live_table, archive_schema, archive_table, partition_schema, partition_name, rows, gone_at, gone_how)
		VALUES ('public', 'events', 'public', 'a', 'public', 'p1', 40, now(), 'dropped'), ('public', 'events', 'public', 'a', 'public', 'p2', 2, NULL, NULL)`)
	f = b.want(check, "public.events", OK, "42 rows archived in 2 moves")
	if sample(t, f, "pgtender_archived_rows_total", "public", "events") != 42 {
		t.Errorf("finding: %+v", f)
	}
	check = archiveRows(env, from(41, 0)) // the file may say how many are too many
	b.want(check, "public.events", Warning)
	b.exec("DELETE FROM pgtender.archived_partition WHERE rows = 2")
	b.want(check, "public.events", OK)
}
