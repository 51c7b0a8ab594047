package partition

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

// The bounds are those that the server reckons itself, for every key type, interval and zone, though the role's and the
// database's settings are hostile.
func TestBoundsForEveryKeyUnitAndZone(t *testing.T) {
	t.Parallel()
	b := newBench(t, `
		DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET TimeZone = ''America/New_York''', current_database());
		EXECUTE format('ALTER DATABASE %I SET DateStyle = ''SQL, DMY''', current_database());
		EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = ''serializable''', current_database()); END $$`)
	for _, zone := range []string{"UTC", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Havana"} {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		b.job.Location = loc
		for _, typ := range []string{"timestamptz", "timestamp", "date", "uuid"} {
			units := []config.Unit{config.Day, config.Week, config.Month, config.Quarter, config.Year}
			if typ != "timestamptz" {
				units = []config.Unit{config.Week, config.Quarter}
			}
			for _, unit := range units {
				table := fmt.Sprintf("%s %s %s", zone, typ, unit)
				b.exec(fmt.Sprintf(`CREATE TABLE public.%q (k %s) PARTITION BY RANGE (k)`, table, typ))
				b.mustRun(policy(table, unit, 3))
				b.exec(fmt.Sprintf("SET TimeZone = '%s'", zone))
				step := map[config.Unit]string{config.Quarter: "3 months"}[unit]
				if step == "" {
					step = "1 " + string(unit)
				}
				value := map[string]string{"timestamptz": "b", "timestamp": "b::timestamp", "date": "b::date",
					"uuid": "overlay(lpad(to_hex((extract(epoch FROM b) * 1000)::bigint), 12, '0') || repeat('0', 20) placing '' from 33)::uuid"}[typ]
				want := b.list(fmt.Sprintf(`SELECT (%s)::text FROM generate_series(0, 4) n,
					LATERAL (SELECT (date_trunc('%s', now()::timestamp) + n * interval '%s')::timestamptz AS b) x ORDER BY n`, value, unit, step))
				got := b.list(fmt.Sprintf(`SELECT v::%s::text FROM (SELECT unnest(ARRAY[split_part(e, '''', 2), split_part(e, '''', 4)]) AS v
					FROM (SELECT pg_get_expr(relpartbound, oid) AS e FROM pg_class JOIN pg_inherits ON inhrelid = oid WHERE inhparent = $1::regclass) y) z
					GROUP BY 1 ORDER BY 1`, typ), fmt.Sprintf("public.%q", table))
				if !slices.Equal(got, want) {
					t.Errorf("%s: bounds %v, want %v", table, got, want)
				}
				b.exec("SET TimeZone = 'UTC'")
			}
		}
	}
}

// Whatever state others left the table in, the window [this month, this month + ahead] is whole afterwards.
func TestExistingPartitions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		setup string
		made  int
		also  func(*testing.T, *bench)
	}{
		"none":                 {"", 4, nil},
		"idle for two years":   {"CALL part('t', 'old', month(-26), month(-24)); INSERT INTO t SELECT month(-26)", 4, nil},
		"far future":           {"CALL part('t', 'far', month(120), month(121)); INSERT INTO t SELECT month(120)", 4, nil},
		"hole":                 {"CALL part('t', 'a', month(0), month(1)); CALL part('t', 'c', month(2), month(3))", 2, nil},
		"wide":                 {"CALL part('t', 'wide', month(-22), month(2))", 2, nil},
		"wide over all":        {"CALL part('t', 'wide', month(-22), month(40))", 0, nil},
		"odd bounds":           {"CALL part('t', 'odd', month(0) + '9 days 5 hours', month(1) + '3 days')", 4, nil},
		"future ones are kept": {"CALL part('t', 'x', month(30), month(31)); INSERT INTO t SELECT month(30); CALL part('t', 'y', month(50), month(51))", 4, nil},
		"open to the past":     {"CREATE TABLE past PARTITION OF t FOR VALUES FROM (MINVALUE) TO ('2020-01-01 00:00+00')", 4, nil},
		"open to both": {"CREATE TABLE everything PARTITION OF t FOR VALUES FROM (MINVALUE) TO (MAXVALUE)", 0,
			func(t *testing.T, b *bench) {
				if r, err := b.run(policy("t", config.Month, 3)); err != nil || !strings.Contains(r.Summary, "the end of time") {
					t.Errorf("%+v, %v", r, err)
				}
			}},
		"misleading name":  {"SELECT 1; CALL part('t', to_char(month(1), '\"t_\"YYYY_MM'), month(-5), month(-4))", 4, nil},
		"an empty DEFAULT": {"CREATE TABLE rest PARTITION OF t DEFAULT", 4, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "CREATE TABLE public.t (at timestamptz NOT NULL, x int) PARTITION BY RANGE (at);"+monthSQL)
			b.exec("SET search_path = public; " + c.setup)
			before, rows := b.bounds("t"), b.one("SELECT count(*)::text FROM public.t")
			b.mustRun(policy("t", config.Month, 3))
			after := b.bounds("t")
			if len(after)-len(before) != c.made {
				t.Errorf("made %d, want %d: %v", len(after)-len(before), c.made, after)
			}
			for _, s := range before {
				if !slices.Contains(after, s) {
					t.Errorf("%s is gone", s)
				}
			}
			if now := b.one("SELECT count(*)::text FROM public.t"); now != rows {
				t.Errorf("%s rows became %s", rows, now)
			}
			b.exec("INSERT INTO public.t SELECT generate_series(public.month(0), public.month(4) - interval '1 minute', '1 hour')")
			if b.read("t")[0].Default != nil && b.one("SELECT count(*)::text FROM public.rest") != "0" {
				t.Error("rows fell into the DEFAULT partition")
			}
			if c.also != nil {
				c.also(t, b)
			}
		})
	}
}

func TestNothingToDoIsOneQuery(t *testing.T) {
	t.Parallel()
	b := newBench(t, `DO $$ BEGIN FOR i IN 1..20 LOOP
		EXECUTE format('CREATE TABLE public.t%s (at timestamptz) PARTITION BY RANGE (at)', i); END LOOP; END $$`)
	var all []config.Partition
	for i := range 20 {
		all = append(all, policy(fmt.Sprintf("t%d", i+1), config.Month, 2))
	}
	r := b.mustRun(all...)
	if !strings.HasPrefix(r.Summary, "created 60 partitions, covered until ") || r.Outcome != jobs.Success {
		t.Errorf("%+v", r)
	}
	c := &counter{}
	b.job.Pool = b.tap(c, &notices{})
	if err := b.job.Pool.Ping(t.Context()); err != nil { // connects
		t.Fatal(err)
	}
	c.n.Store(0)
	if r, err := b.run(all...); err != nil || r.Outcome != jobs.Noop || c.n.Load() != 1 {
		t.Errorf("%d queries, %+v, %v", c.n.Load(), r, err)
	}
}

func TestNamesOfAnyKind(t *testing.T) {
	t.Parallel()
	for _, name := range []string{`we"ird 'n\ame`, "таблица_с_очень_длинным_именем_ы", strings.Repeat("x", 63), strings.Repeat("x", 62) + "y", "SELECT"} {
		for _, schema := range []string{"public", `sch"ema`} {
			b := newBench(t, `CREATE SCHEMA "sch""ema"`).aside()
			table := config.Table{Schema: schema, Name: name}
			b.exec(fmt.Sprintf(`CREATE TABLE %s ("the ""key""" timestamptz, "Ünïcode" text DEFAULT 'a''b\c') PARTITION BY RANGE ("the ""key""")`, ident(table)))
			b.exec(fmt.Sprintf(`COMMENT ON TABLE %s IS 'it''s \ "this"'; CREATE TABLE public.d PARTITION OF %[1]s DEFAULT; INSERT INTO %[1]s SELECT now()`, ident(table)))
			p := policy("", config.Day, 1)
			p.Table = table
			b.mustRun(p)
			list := b.list(`SELECT relname::text FROM pg_class JOIN pg_inherits ON inhrelid = oid JOIN pg_namespace n ON n.oid = relnamespace
				WHERE nspname = $1 AND relname <> 'd' ORDER BY 1`, schema)
			if len(list) != 2 || !strings.HasSuffix(list[0], time.Now().UTC().Format("_2006_01_02")) || len(list[0]) > 63 {
				t.Errorf("%s: %q", table, list)
			}
			if b.one("SELECT count(*)::text FROM public.d") != "0" {
				t.Error("the row stayed in the DEFAULT partition")
			}
		}
	}
}

func TestUUIDv7(t *testing.T) {
	t.Parallel()
	b := newBench(t, `CREATE TABLE public.t (id uuid PRIMARY KEY DEFAULT uuidv7(), x int) PARTITION BY RANGE (id)`)
	b.mustRun(policy("t", config.Day, 2))
	b.exec(`INSERT INTO public.t (x) SELECT 1 FROM generate_series(1, 1000);
		INSERT INTO public.t SELECT uuidv7(i * interval '1 hour') FROM generate_series(0, 47) i`)
	// The first bound of another tool bears the version bits; no sliver is made before it.
	b.exec(`CREATE TABLE public.u (id uuid) PARTITION BY RANGE (id);
		DO $$ DECLARE lo text; hi text; BEGIN
			SELECT lpad(to_hex((extract(epoch FROM date_trunc('day', now(), 'UTC')) * 1000)::bigint), 12, '0') || '70008000000000000000',
			       lpad(to_hex((extract(epoch FROM date_trunc('day', now(), 'UTC') + interval '1 day') * 1000)::bigint), 12, '0') || '70008000000000000000' INTO lo, hi;
			EXECUTE format('CREATE TABLE public.u_other PARTITION OF public.u FOR VALUES FROM (%L) TO (%L)', lo::uuid, hi::uuid);
		END $$`)
	b.mustRun(policy("u", config.Day, 2))
	if got := b.bounds("u"); len(got) != 3 {
		t.Errorf("%v", got)
	}
	b.exec("INSERT INTO public.u SELECT uuidv7(i * interval '1 hour') FROM generate_series(0, 47) i")
}

// Several daemons that ignore each other's leadership make each partition once.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, `CREATE TABLE public.t (at timestamptz, id bigint GENERATED ALWAYS AS IDENTITY) PARTITION BY RANGE (at);
		DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = ''repeatable read''', current_database()); END $$`)
	var wg sync.WaitGroup
	made := make([]int, 4)
	for i := range made {
		job := New(pgtest.Pool(t, b.url), time.UTC)
		wg.Go(func() {
			r, err := job.Run(t.Context(), (&record{}).run(false), policy("t", config.Day, 9))
			if err != nil {
				t.Error(err)
			}
			list, _ := r.Detail["created"].([]string)
			made[i] = len(list)
		})
	}
	wg.Wait()
	if n := made[0] + made[1] + made[2] + made[3]; n != 10 || len(b.bounds("t")) != 10 {
		t.Errorf("made %v, there are %v", made, b.bounds("t"))
	}
}

// A reader that keeps its transaction open, and a writer, notice nothing. PARTITION OF would wait for the reader, and everybody
// behind it.
func TestReaderAndWriterGoOn(t *testing.T) {
	t.Parallel()
	b := newBench(t, `CREATE TABLE public.m (id int PRIMARY KEY); INSERT INTO public.m VALUES (1);
		CREATE TABLE public.t (at timestamptz, m int REFERENCES public.m) PARTITION BY RANGE (at);
		CREATE TABLE public.t_all PARTITION OF public.t FOR VALUES FROM ('2000-01-01 00:00+00') TO ('2020-01-01 00:00+00')`)
	reader, writer := b.connect(), b.connect()
	b.execOn(reader, "BEGIN; SELECT count(*) FROM public.t; SELECT count(*) FROM public.m")
	b.execOn(writer, "BEGIN; INSERT INTO public.t VALUES ('2010-01-01 00:00+00', NULL)")
	b.mustRun(policy("t", config.Month, 3)) // before either has ended
	b.execOn(reader, "COMMIT")
	b.execOn(writer, "COMMIT")
}

// Beside a DEFAULT partition ATTACH must wait for a reader, and here gives way again and again: writers go on while the reader stays,
// for half a minute in the long form of this test, and the work is done when it has gone.
func TestEqualFailuresAreToldOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, `CREATE TABLE public.t (at timestamptz) PARTITION BY RANGE (at); CREATE TABLE public.rows (at timestamptz) PARTITION BY RANGE (at)`)
	var taken strings.Builder // tables of the wanted names
	first := b.read("rows")[0]
	for _, w := range first.Missing(config.Day, 40, time.UTC) {
		fmt.Fprintf(&taken, "CREATE TABLE %s (x int);", pg.Ident("public", w.Name))
	}
	b.exec(taken.String() + `CREATE FUNCTION public.no() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
		IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() WHERE object_identity LIKE '%.t_20%') THEN RAISE 'not here'; END IF; END $$;
		CREATE EVENT TRIGGER no ON ddl_command_end EXECUTE FUNCTION public.no()`)
	_, err := b.run(policy("t", config.Day, 366), policy("rows", config.Day, 40))
	if err == nil {
		t.Fatal("made")
	}
	text := err.Error()
	if n := strings.Count(text, "not here"); n != 1 || !strings.Contains(text, ", 367 in all, of public.t: ") {
		t.Errorf("told %d times: %s", n, text)
	}
	if n := strings.Count(text, "a table of that name is there"); n != 3 || !strings.Contains(text, "38 more partitions were not made for reasons like these") {
		t.Errorf("%d refusals: %s", n, text)
	}
	if len(text) > 3000 {
		t.Errorf("%d bytes: %s", len(text), text)
	}
}

func TestAReaderBesideADefaultHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	b := newBench(t, withDefault+"CALL public.part('t', 'now', public.month(0), public.month(1))")
	b.job.Patience.Attempts = 1000
	reader, writer := b.connect(), b.connect()
	b.execOn(reader, "BEGIN; SELECT count(*) FROM public.t")
	waits, done := make(chan struct{}), make(chan error)
	var once sync.Once
	go func() {
		_, err := b.job.Run(t.Context(), &jobs.Run{Say: func(format string, args ...any) {
			if strings.HasPrefix(fmt.Sprintf(format, args...), "waits for a lock on public.") {
				once.Do(func() { close(waits) })
			}
		}}, policy("t", config.Month, 3))
		done <- err
	}()
	<-waits
	pgtest.Eventually(t, b.url, fmt.Sprintf("SELECT count(*) > 0 FROM pg_stat_activity WHERE pid = %d AND now() - xact_start > interval '%d seconds'",
		reader.PgConn().PID(), pgtest.Scaled(1, 28)))
	b.execOn(writer, "SET statement_timeout = '60s'")
	for range 50 {
		b.execOn(writer, "INSERT INTO public.t (at, x) VALUES (now(), 1)")
	}
	select {
	case err := <-done:
		t.Fatalf("it did not wait for the reader: %v", err)
	default:
	}
	b.execOn(reader, "COMMIT")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := b.bounds("t"); len(got) != 4 {
		t.Errorf("partitions %v", got)
	}
}

// The locks of the whole transaction, looked up just before it commits.
func TestLocksTaken(t *testing.T) {
	t.Parallel()
	b := newBench(t, `CREATE TABLE public.m (id int PRIMARY KEY);
		CREATE TABLE public.t (at timestamptz, m int REFERENCES public.m) PARTITION BY RANGE (at);
		CREATE TABLE public.t_old PARTITION OF public.t FOR VALUES FROM ('2000-01-01 00:00+00') TO ('2020-01-01 00:00+00')`)
	p := policy("t", config.Month, 0)
	set := &b.read("t")[0]
	c := &chore{policy: p, set: set, missing: set.Missing(config.Month, 0, time.UTC)}
	if err := b.job.draw(t.Context(), []*chore{c}); err != nil {
		t.Fatal(err)
	}
	d := c.design(c.missing[0])
	tx, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.WithoutCancel(t.Context()))
	if _, err := b.job.createIn(t.Context(), tx, p, []design{d}); err != nil {
		t.Fatal(err)
	}
	strongest := b.list(`
		SELECT c.relname || ' ' || mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
		WHERE l.pid = $1 AND c.relname IN ('t', 't_old', 'm') AND mode <> 'AccessShareLock' ORDER BY 1`, tx.Conn().PgConn().PID())
	want := []string{"m RowShareLock", "m ShareRowExclusiveLock", "t ShareUpdateExclusiveLock"}
	if !slices.Equal(strongest, want) && !slices.Equal(strongest, want[1:]) {
		t.Errorf("locks %v, want %v", strongest, want)
	}
}

// Killed, cancelled or out of patience while it waits for the parent: nothing is left, and the next run goes on.
func TestInterruptedLeavesNothing(t *testing.T) {
	t.Parallel()
	const setup = `CREATE TABLE public.t (at timestamptz) PARTITION BY RANGE (at)`
	waiting := `SELECT pid::text FROM pg_locks WHERE NOT granted AND relation = 'public.t'::regclass`
	for name, interrupt := range map[string]func(*bench, context.CancelFunc){
		"killed": func(b *bench, _ context.CancelFunc) {
			b.exec("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted AND relation = 'public.t'::regclass")
		},
		"cancelled": func(_ *bench, cancel context.CancelFunc) { cancel() },
		"impatient": func(b *bench, _ context.CancelFunc) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, setup)
			b.job.Patience.Attempts = 2
			b.job.Patience.LockTimeout = 2 * time.Second
			holder := b.connect()
			b.execOn(holder, "BEGIN; LOCK TABLE public.t IN SHARE UPDATE EXCLUSIVE MODE")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error)
			go func() {
				r, err := b.job.Run(ctx, (&record{}).run(false), policy("t", config.Month, 3))
				if err != nil && r.Outcome != jobs.Failure {
					err = fmt.Errorf("%w, but outcome %s", err, r.Outcome)
				}
				done <- err
			}()
			for len(b.list(waiting)) == 0 {
				time.Sleep(time.Millisecond)
			}
			begun := time.Now()
			interrupt(b, cancel)
			err := <-done
			if err == nil {
				t.Fatal("it got through")
			}
			if name == "cancelled" && (!errors.Is(err, context.Canceled)) {
				t.Errorf("after %v: %v", time.Since(begun), err)
			}
			if name == "cancelled" && err.Error() != "nothing was changed" {
				t.Errorf("it says %q", err)
			}
			if name == "impatient" && !strings.Contains(err.Error(), "public.t is held by pid") {
				t.Errorf("who holds it is not said: %v", err)
			}
			if got := b.tables(); !slices.Equal(got, []string{"t"}) {
				t.Errorf("left %v", got)
			}
			b.execOn(holder, "ROLLBACK")
			b.mustRun(policy("t", config.Month, 3))
		})
	}
}

func TestTableThatCannotBeTended(t *testing.T) {
	t.Parallel()
	b := newBench(t, `
		CREATE TABLE public.two (a int, at timestamptz) PARTITION BY RANGE (at, a);
		CREATE VIEW public.v AS SELECT 1 AS x;
		CREATE TABLE public.bare (x int);
		CREATE TABLE public.pointed (id int PRIMARY KEY, at timestamptz); CREATE TABLE public.pointing (id int REFERENCES public.pointed);
		CREATE TABLE public.good (at date) PARTITION BY RANGE (at)`)
	b.refused(policy("two", config.Month, 1), "RANGE (at timestamp with time zone, a integer)", "public.two")
	b.refused(policy("v", config.Month, 1), "public.v", "a view")
	b.refused(policy("bare", config.Month, 1), "public.bare", "no column of a time type")
	b.refused(policy("pointed", config.Month, 1), "public.pointed", "public.pointing")
	b.refused(policy("none", config.Month, 1), "public.none", "no such table", "pgtender apply")
	// One that cannot be tended does not hinder another.
	r, err := b.run(policy("none", config.Month, 1), policy("good", config.Month, 1))
	if err == nil || r.Outcome != jobs.Failure || len(b.bounds("good")) != 2 {
		t.Errorf("%+v, %v", r, err)
	}
}

// The advice for a table that is not partitioned can be followed as printed.
func TestAdviceForAPlainTableWorks(t *testing.T) {
	t.Parallel()
	b := newBench(t, `
		CREATE TABLE public."The ""table""" (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n serial, "at" timestamptz NOT NULL, u int UNIQUE, x int CHECK (x > 0));
		INSERT INTO public."The ""table""" ("at", u, x) SELECT now() - i * interval '1 day', i, 1 FROM generate_series(1, 400) i`)
	p := policy(`The "table"`, config.Month, 2)
	_, err := b.run(p)
	if err == nil {
		t.Fatal("a plain table was tended")
	}
	n := 0
	for _, line := range strings.Split(err.Error(), "\n") {
		if strings.HasPrefix(line, "  ") {
			b.exec(line)
			n++
		}
	}
	if n < 10 {
		t.Fatalf("%d statements in %v", n, err)
	}
	b.mustRun(p)
	b.exec(`INSERT INTO public."The ""table""" ("at", u, x) SELECT now() + i * interval '1 day', i, 1 FROM generate_series(1, 50) i`)
	if got := b.one(`SELECT count(*) || ' ' || count(DISTINCT id) || ' ' || count(DISTINCT n) FROM public."The ""table"""`); got != "450 450 450" {
		t.Error(got)
	}
}

func TestDryRunSaysWhatARunDoes(t *testing.T) {
	t.Parallel()
	b := newBench(t, `CREATE TABLE public.m (id int PRIMARY KEY);
		CREATE TABLE public.t (at timestamptz, m int REFERENCES public.m) PARTITION BY RANGE (at); COMMENT ON TABLE public.t IS 'x';
		CREATE TABLE public.rest PARTITION OF public.t DEFAULT; INSERT INTO public.t SELECT now()`).aside()
	rec := &record{}
	r, err := b.job.Run(t.Context(), rec.run(true), policy("t", config.Month, 1))
	if err != nil || r.Outcome != jobs.Noop || !strings.HasPrefix(r.Summary, "would create 2 partitions") {
		t.Fatalf("%+v, %v", r, err)
	}
	if got := b.tables(); len(got) != 3 {
		t.Fatalf("a dry run made %v", got)
	}
	// What it says, typed by a person, is what a run would have made.
	for _, s := range rec.said {
		b.exec(s)
	}
	if r, err := b.run(policy("t", config.Month, 1)); err != nil || r.Outcome != jobs.Noop {
		t.Errorf("%+v, %v", r, err)
	}
	if got := b.one("SELECT count(*)::text FROM public.rest"); got != "0" {
		t.Errorf("%s rows left in the DEFAULT partition", got)
	}
}

func TestTasks(t *testing.T) {
	t.Parallel()
	b := newBench(t, `CREATE TABLE public.t (at timestamptz) PARTITION BY RANGE (at)`)
	env := &config.Env{Daemon: config.Daemon{Location: time.UTC}, Partitions: []config.Partition{policy("t", config.Month, 3)}}
	tasks := Tasks(env, b.pool)
	if len(tasks) != 1 || tasks[0].Job != "partition" || tasks[0].Target != "public.t" || !slices.Equal(tasks[0].Locks, []string{"public.t"}) {
		t.Fatalf("%+v", tasks)
	}
	r, err := tasks[0].Run(t.Context(), (&record{}).run(false))
	if err != nil || r.Outcome != jobs.Success {
		t.Fatalf("%+v, %v", r, err)
	}
	if n := b.read("t")[0].Runway(time.UTC); n < 89*86400 || parts.BoundsCheck == "" {
		t.Errorf("runway %v s", n)
	}
}
