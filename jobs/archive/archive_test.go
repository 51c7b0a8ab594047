package archive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/jobs"
)

func TestWholePartitionsMove(t *testing.T) {
	t.Parallel()
	b := newBench(t, liveTable)
	digest := "SELECT md5(string_agg(x::text, '' ORDER BY id)) FROM (SELECT * FROM public.t UNION ALL SELECT * FROM public.t_archive) x"
	before := b.one(digest)
	r := b.mustRun(policy("t"))

	if got, want := b.children("t_archive"), []string{"m16", "m15", "m14", "m13"}; !slices.Equal(got, want) {
		t.Errorf("archived %v, want %v", got, want)
	}
	if got := b.children("t"); len(got) != 13 {
		t.Errorf("live %v", got)
	}
	if after := b.one(digest); after != before {
		t.Error("rows differ")
	}
	if r.Outcome != jobs.Success || !strings.HasPrefix(r.Summary, "moved 4 partitions with 400 rows into public.t_archive, up to ") || r.Detail["rows"] != int64(400) {
		t.Errorf("%+v", r)
	}
	got := b.list(`SELECT concat_ws(' ', live_table, archive_table, partition_name, lower_bound = to_char(lower_at, 'YYYY-MM-DD HH24:MI:SS') || '+00', upper_at = lower_at + interval '1 month', rows, rows_exact, bytes > 8192,
		run_id, moved_at > now() - interval '1 minute', (detail->>'min_key')::timestamptz = lower_at + interval '5 hours', (detail->>'max_key')::timestamptz = lower_at + interval '500 hours')
		FROM pgtender.archived_partition ORDER BY upper_at`)
	want := "t t_archive m16 t t 100 t t 42 t t t"
	if len(got) != 4 || got[0] != want {
		t.Errorf("manifest %q, want %q", got, want)
	}
}

// What the live table gave its partition goes; what the rows need stays.
func TestWhatAnArchivedPartitionIs(t *testing.T) {
	t.Parallel()
	b := newBench(t, liveTable)
	b.mustRun(policy("t"))
	if got := b.list("SELECT conname::text FROM pg_constraint WHERE conrelid = 'public.m16'::regclass AND contype = 'f'"); len(got) != 0 {
		t.Errorf("foreign keys %v", got)
	}
	// Archived rows survive what they pointed to; live ones go with it.
	b.exec("DELETE FROM public.m WHERE id <= 5")
	if got := b.one("SELECT (SELECT count(*) FROM public.t_archive) || ' ' || (SELECT count(*) FROM public.t)"); got != "400 650" {
		t.Errorf("archived and live rows: %s", got)
	}
	if got := b.list("SELECT attname::text FROM pg_attribute WHERE attrelid = 'public.m16'::regclass AND (attidentity <> '' OR NOT attislocal AND attinhcount = 0)"); len(got) != 0 {
		t.Errorf("identity on %v", got)
	}
	if got := b.list("SELECT tgname::text FROM pg_trigger WHERE tgrelid = 'public.m16'::regclass"); len(got) != 0 {
		t.Errorf("triggers %v", got)
	}
	if got := b.one("SELECT string_agg(a.attname || a.attgenerated::text, ',' ORDER BY attnum) FROM pg_attribute a WHERE attrelid = 'public.m16'::regclass AND attgenerated <> ''"); got != "twices,thricev" {
		t.Errorf("generated columns %s", got)
	}
	if got := b.one("SELECT sum(twice - 2 * a) || ' ' || sum(thrice - 3 * a) FROM public.t_archive"); got != "0 0" {
		t.Error(got)
	}
	if got := b.one("SELECT count(*)::text FROM pg_index i JOIN pg_inherits h ON h.inhrelid = i.indexrelid WHERE indrelid = 'public.m16'::regclass AND indisvalid"); got != "3" {
		t.Errorf("%s indexes belong to the archive's", got)
	}
	// Nothing ties the archived partition to the live table: it can be dropped alone. (The archive's own default is another matter.)
	b.exec("ALTER TABLE ONLY public.t_archive ALTER n DROP DEFAULT")
	b.exec("DROP TABLE public.t")
	if got := b.one("SELECT count(*)::text FROM public.t_archive"); got != "400" {
		t.Errorf("%s rows", got)
	}
}

// Only the real upper bound counts, by the server's clock in the daemon's zone.
func TestWhatIsDue(t *testing.T) {
	t.Parallel()
	b := newBench(t, `
		CREATE TABLE public.t (at timestamptz) PARTITION BY RANGE (at);
		CREATE TABLE public.t_archive (LIKE public.t) PARTITION BY RANGE (at);
		SET search_path = public;
		CREATE TABLE open_below PARTITION OF t FOR VALUES FROM (MINVALUE) TO ('2000-01-01 00:00+00');
		CALL part('t', 'wide', month(-36), month(-2)); INSERT INTO t SELECT now() - interval '34 months'; INSERT INTO t SELECT now() - interval '3 months';
		CALL part('t', 'old', '2001-01-01 00:00+00', '2001-02-01 00:00+00');
		CALL part('t', 'odd', '2003-03-03 03:03:03.000003+00', '2003-04-04 04:04:04.000004+00'); INSERT INTO t VALUES ('2003-03-04 00:00+00');
		CALL part('t', 'pending', '2004-01-01 00:00+00', '2004-02-01 00:00+00');
		CALL part('t', 'future', month(20), month(21));
		CREATE TABLE open_above PARTITION OF t FOR VALUES FROM ('2090-01-01 00:00+00') TO (MAXVALUE);`)
	reader := b.connect()
	b.execOn(reader, "BEGIN; SELECT FROM public.t")
	b.exec("SET lock_timeout = '50ms'")
	if _, err := b.conn.Exec(t.Context(), "ALTER TABLE public.t DETACH PARTITION public.pending CONCURRENTLY"); !pg.Is(err, pg.LockNotAvailable) {
		t.Fatal(err)
	}
	b.execOn(reader, "ROLLBACK")
	// A detach can be left pending without a DEFAULT only.
	b.exec("CREATE TABLE public.rest PARTITION OF public.t DEFAULT; INSERT INTO public.t VALUES ('2002-01-01 00:00+00')")

	rec := &record{}
	r, err := b.job.Run(t.Context(), rec.run(true), policy("t"))
	if err != nil || r.Outcome != jobs.Noop || !strings.HasPrefix(r.Summary, "would move 2 partitions") {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, w := range []string{"-- public.open_below stays: it has no lower bound", "-- public.wide stays: it holds rows up to ", "-- public.pending stays: its DETACH CONCURRENTLY was not finished",
		"-- public.future stays: it holds rows up to ", "-- public.open_above stays: it has no upper bound", "-- public.rest stays: it is the DEFAULT partition",
		"-- move public.old: ", "-- move public.odd: ", `ALTER TABLE "public"."t" DETACH PARTITION "public"."odd";`} {
		if !strings.Contains(rec.text(), w) {
			t.Errorf("%q is not in\n%s", w, rec.text())
		}
	}
	if got := b.children("t_archive"); len(got) != 0 {
		t.Fatalf("a dry run moved %v", got)
	}
	b.mustRun(policy("t"))
	if got := b.children("t_archive"); !slices.Equal(got, []string{"old", "odd"}) {
		t.Errorf("archived %v", got)
	}
	if got := b.one("SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = 'odd'"); got != "FOR VALUES FROM ('2003-03-03 03:03:03.000003+00') TO ('2003-04-04 04:04:04.000004+00')" {
		t.Error(got)
	}
}

// The cut is a calendar reckoning in the daemon's zone; the session's and the role's settings do not matter.
func TestCutIsInTheDaemonsZone(t *testing.T) {
	t.Parallel()
	kiritimati, err := time.LoadLocation("Pacific/Kiritimati") // +14
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"timestamptz", "timestamp", "date"} {
		b := newBench(t, fmt.Sprintf(`
			DO $$ BEGIN EXECUTE format('ALTER DATABASE %%I SET TimeZone = ''America/New_York''', current_database());
			EXECUTE format('ALTER DATABASE %%I SET DateStyle = ''SQL, DMY''', current_database()); EXECUTE format('ALTER DATABASE %%I SET default_transaction_isolation = ''repeatable read''', current_database()); END $$;
			CREATE TABLE public.t (at %[1]s) PARTITION BY RANGE (at);
			CREATE TABLE public.t_archive (LIKE public.t) PARTITION BY RANGE (at);
			SET TimeZone = 'Pacific/Kiritimati';
			DO $$ DECLARE cut timestamp := now()::timestamp - interval '1 year'; d %[1]s; BEGIN
				-- one ends at the last midnight before the cut, the other a day later
				d := date_trunc('day', cut);
				EXECUTE format('CREATE TABLE public.before PARTITION OF public.t FOR VALUES FROM (%%L) TO (%%L)', d - interval '1 day', d);
				EXECUTE format('CREATE TABLE public.after PARTITION OF public.t FOR VALUES FROM (%%L) TO (%%L)', d, d + interval '1 day');
			END $$`, key))
		b.job.Location = kiritimati
		b.mustRun(policy("t"))
		if got := b.children("t_archive"); !slices.Equal(got, []string{"before"}) {
			t.Errorf("%s: archived %v", key, got)
		}
	}
}

// All locks together are waited for no longer than one lock_timeout, and none is missing from the list: the statements
// themselves then wait for nothing.
func TestLocksTaken(t *testing.T) {
	t.Parallel()
	b := newBench(t, liveTable+"CREATE TABLE public.rest PARTITION OF public.t DEFAULT")
	p, err := b.job.open(t.Context(), policy("t"))
	if err != nil {
		t.Fatal(err)
	}
	moves, err := b.job.inspect(t.Context(), p, p.live.Due(p.cut, time.UTC)[:1])
	if err != nil {
		t.Fatal(err)
	}
	tx, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.WithoutCancel(t.Context()))
	held := func() []string {
		return b.list(`SELECT DISTINCT c.relname || ' ' || mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
			WHERE l.pid = $1 AND c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace AND mode IN ('AccessExclusiveLock', 'ShareUpdateExclusiveLock') ORDER BY 1`, tx.Conn().PgConn().PID())
	}
	if err := parts.LockAll(t.Context(), tx, b.job.Patience, moves[0].locks(p, false)); err != nil {
		t.Fatal(err)
	}
	want := []string{"m AccessExclusiveLock", "m16 AccessExclusiveLock", "rest AccessExclusiveLock", "t AccessExclusiveLock", "t_archive ShareUpdateExclusiveLock"}
	if got := held(); !slices.Equal(got, want) {
		t.Errorf("locks before %v, want %v", got, want)
	}
	if _, err := tx.Exec(t.Context(), strings.Join(moves[0].statements(p), ";")); err != nil {
		t.Fatal(err)
	}
	if got := held(); !slices.Equal(got, want) {
		t.Errorf("locks after %v, want %v", got, want)
	}
}

// Neither ATTACH reads the partition, though it had no CHECK; and one that is there is used.
func TestNothingIsReadUnderLocks(t *testing.T) {
	t.Parallel()
	b := newBench(t, liveTable+"ALTER TABLE public.m15 ADD CONSTRAINT pgtender_bounds CHECK (at IS NOT NULL); ALTER TABLE public.m14 ADD CONSTRAINT pgtender_bounds CHECK (a < 5) NOT VALID;")
	b.exec(`DO $$ BEGIN EXECUTE format('ALTER TABLE public.m13 ADD CONSTRAINT mine CHECK (%s)', pg_get_partition_constraintdef('public.m13'::regclass));
		EXECUTE format('ALTER DATABASE %I SET client_min_messages = debug1', current_database()); END $$`)
	var mu sync.Mutex
	var said []string
	b.job.Pool = b.tap(func(s string) { mu.Lock(); said = append(said, s); mu.Unlock() })
	b.mustRun(policy("t"))
	for _, m := range []string{"m13", "m14", "m15", "m16"} {
		if !slices.Contains(said, fmt.Sprintf(`partition constraint for table "%s" is implied by existing constraints`, m)) {
			t.Errorf("%s was read: %q", m, said)
		}
	}
	if got := b.list("SELECT conname::text FROM pg_constraint WHERE conrelid = 'public.m13'::regclass AND contype = 'c' AND conislocal"); !slices.Equal(got, []string{"mine"}) {
		t.Errorf("m13 has %v", got)
	}
}

// Killed or cancelled in the middle of a move: each row is in exactly one of the two, the manifest says the same, and the next run goes on.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	const blocked = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'public.m'::regclass)"
	for name, interrupt := range map[string]func(*bench, context.CancelFunc){
		"killed": func(b *bench, _ context.CancelFunc) {
			b.exec("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted AND relation = 'public.m'::regclass")
		},
		"cancelled": func(_ *bench, cancel context.CancelFunc) { cancel() },
		"impatient": func(*bench, context.CancelFunc) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, liveTable)
			b.job.Patience.Attempts, b.job.Patience.LockTimeout = 1, 2*time.Second
			holder := b.connect()
			b.execOn(holder, "SET application_name = 'the holder'; BEGIN; SELECT FROM public.m") // the last lock that a move needs
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error)
			go func() {
				_, err := b.job.Run(ctx, (&record{}).run(false), policy("t"))
				done <- err
			}()
			pgtest.Eventually(t, b.url, blocked)
			interrupt(b, cancel)
			begun := time.Now()
			err := <-done
			switch {
			case err == nil:
				t.Fatal("it got through")
			case name == "cancelled" && (!errors.Is(err, context.Canceled) || time.Since(begun) > time.Second):
				t.Errorf("after %v: %v", time.Since(begun), err)
			case name == "cancelled" && err.Error() != "before that: gave public.m16 the CHECK pgtender_bounds, and did not move it":
				t.Errorf("it says %q", err)
			case name == "impatient" && !strings.Contains(err.Error(), "public.m is held by pid"):
				t.Errorf("who holds it is not said: %v", err)
			}
			if got := b.one("SELECT (SELECT count(*) FROM public.t) || ' ' || (SELECT count(*) FROM public.t_archive) || ' ' || (SELECT count(*) FROM pgtender.archived_partition)"); got != "1700 0 0" {
				t.Errorf("live, archived, noted: %s", got)
			}
			b.execOn(holder, "ROLLBACK")
			b.mustRun(policy("t"))
			if got := b.one("SELECT (SELECT count(*) FROM public.t) || ' ' || (SELECT count(*) FROM public.t_archive) || ' ' || (SELECT sum(rows) FROM pgtender.archived_partition)"); got != "1300 400 400" {
				t.Errorf("live, archived, noted: %s", got)
			}
		})
	}
}

func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, liveTable)
	var wg sync.WaitGroup
	for range 3 {
		job := New(pgtest.Pool(t, b.url), time.UTC)
		job.Patience.MaxPause = 200 * time.Millisecond
		wg.Go(func() {
			if _, err := job.Run(t.Context(), (&record{}).run(false), policy("t")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := b.one("SELECT (SELECT count(*) FROM public.t_archive) || ' ' || (SELECT count(*) FROM pgtender.archived_partition) || ' ' || (SELECT sum(rows) FROM pgtender.archived_partition WHERE rows_exact)"); got != "400 4 400" {
		t.Errorf("archived, noted, counted: %s", got)
	}
}

// A run that could move and not count any more leaves the counting to the next one.
func TestCountingIsCaughtUp(t *testing.T) {
	t.Parallel()
	b := newBench(t, liveTable+"ANALYZE public.m16")
	b.mustRun(policy("t"))
	b.exec("UPDATE pgtender.archived_partition SET rows = NULL, rows_exact = false, detail = '{}' WHERE partition_name IN ('m16', 'm15')")
	b.mustRun(policy("t"))
	if got := b.one("SELECT count(*)::text FROM pgtender.archived_partition WHERE rows = 100 AND rows_exact"); got != "4" {
		t.Error(got)
	}
}

// Where row security keeps the owner from seeing its rows, they are moved all the same, and said to be uncounted.
func TestForcedRowSecurity(t *testing.T) {
	t.Parallel()
	b := newBench(t, liveTable+"ALTER TABLE public.m16 ENABLE ROW LEVEL SECURITY; ALTER TABLE public.m16 FORCE ROW LEVEL SECURITY; ANALYZE public.m16")
	owner := pgtest.Role(t, b.url, "GRANT CREATE, USAGE ON SCHEMA public TO {role}", "GRANT USAGE ON SCHEMA pgtender TO {role}", "GRANT ALL ON ALL TABLES IN SCHEMA pgtender TO {role}",
		"DO $$ DECLARE r regclass; BEGIN FOR r IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') LOOP EXECUTE format('ALTER TABLE %s OWNER TO {role}', r); END LOOP; END $$")
	b.job.Pool = pgtest.Pool(t, owner)
	b.mustRun(policy("t"))
	got := b.list("SELECT concat_ws(' ', partition_name, rows, rows_exact, detail ? 'not_counted') FROM pgtender.archived_partition ORDER BY upper_at")
	if want := []string{"m16 100 f t", "m15 100 t f", "m14 100 t f", "m13 100 t f"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// Keys of other types, names that need quotes, partitions that are divided, another schema.
func TestOtherShapes(t *testing.T) {
	t.Parallel()
	b := newBench(t, `
		CREATE SCHEMA "cold ""store""";
		CREATE TABLE public."T 't" (id uuid DEFAULT uuidv7() PRIMARY KEY, "a b" int) PARTITION BY RANGE (id);
		CREATE TABLE "cold ""store"""."arch" (LIKE public."T 't" INCLUDING ALL) PARTITION BY RANGE (id);
		CREATE TABLE public."p ""1""" PARTITION OF public."T 't" FOR VALUES FROM ('01700000-0000-7000-8000-000000000000') TO ('01800000-0000-0000-0000-000000000000');
		INSERT INTO public."T 't" VALUES ('01780000-0000-7000-8000-000000000000', 1);
		CREATE TABLE public.m (id int PRIMARY KEY); INSERT INTO public.m VALUES (1);
		CREATE TABLE public.d (tenant text, day date, id int GENERATED ALWAYS AS IDENTITY, m int REFERENCES public.m ON DELETE CASCADE) PARTITION BY RANGE (day);
		CREATE TABLE public.d_archive (LIKE public.d INCLUDING ALL EXCLUDING IDENTITY) PARTITION BY RANGE (day);
		CREATE TABLE public.d_old PARTITION OF public.d FOR VALUES FROM ('2020-01-01') TO ('2021-01-01') PARTITION BY LIST (tenant);
		CREATE TABLE public.d_old_a PARTITION OF public.d_old FOR VALUES IN ('a'); CREATE TABLE public.d_old_rest PARTITION OF public.d_old DEFAULT;
		INSERT INTO public.d SELECT t, '2020-05-05' FROM unnest(ARRAY['a', 'b']) t`)
	b.exec("UPDATE public.d SET m = 1")
	p := policy("T 't")
	p.Into = config.Table{Schema: `cold "store"`, Name: "arch"}
	b.mustRun(p)
	if got := b.one(`SELECT count(*) || ' ' || (SELECT count(*) FROM public."T 't") FROM "cold ""store""".arch`); got != "1 0" {
		t.Error(got)
	}
	r := b.mustRun(policy("d"))
	b.exec("DELETE FROM public.m")
	if got := b.one("SELECT (SELECT count(*) FROM public.d) || ' ' || (SELECT count(*) FROM public.d_archive) || ' ' || (SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND conrelid::regclass::text LIKE '%d_old%')"); got != "0 2 0" {
		t.Errorf("%s, %+v", got, r)
	}
}

func TestTasks(t *testing.T) {
	t.Parallel()
	b := newBench(t, liveTable)
	env := &config.Env{Daemon: config.Daemon{Location: time.UTC}, Archives: []config.Archive{policy("t")}}
	tasks := Tasks(env, b.pool)
	if len(tasks) != 1 || tasks[0].Job != "archive" || tasks[0].Target != "public.t" || !slices.Equal(tasks[0].Locks, []string{"public.t", "public.t_archive"}) {
		t.Fatalf("%+v", tasks)
	}
	if r, err := tasks[0].Run(t.Context(), (&record{}).run(false)); err != nil || r.Outcome != jobs.Success {
		t.Fatalf("%+v, %v", r, err)
	}
}
