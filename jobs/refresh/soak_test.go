package refresh

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/devpg"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/internal/state"
	"github.com/pgtender/pgtender/jobs"
)

// soakSchema: a partitioned table, a plain one, a plain view over both, a view on that and a view on the view.
const soakSchema = `
CREATE TABLE public.p (k int NOT NULL, v int) PARTITION BY RANGE (k);
CREATE TABLE public.p0 PARTITION OF public.p FOR VALUES FROM (0) TO (100);
CREATE TABLE public.p1 PARTITION OF public.p FOR VALUES FROM (100) TO (200);
CREATE TABLE public.p2 PARTITION OF public.p FOR VALUES FROM (200) TO (300);
CREATE TABLE public.px (k int NOT NULL, v int);
INSERT INTO public.px SELECT 300 + i, i FROM generate_series(0, 9) i;
CREATE TABLE public.archive (k int NOT NULL, v int) PARTITION BY RANGE (k);
CREATE TABLE public.q (k int NOT NULL, v int, pad int);
INSERT INTO public.p SELECT i, i FROM generate_series(0, 299) i;
INSERT INTO public.q SELECT i, i FROM generate_series(0, 99) i;
CREATE VIEW public.pv AS SELECT k, v FROM public.p UNION ALL SELECT k, v FROM public.q;
CREATE MATERIALIZED VIEW public.mv AS SELECT k % 10 AS g, count(*) AS n, sum(v) AS s FROM public.pv GROUP BY k % 10;
CREATE UNIQUE INDEX ON public.mv (g);
CREATE MATERIALIZED VIEW public.high AS SELECT g, n, s, (SELECT count(*) FROM public.q) AS c FROM public.mv WHERE n > 0;
CREATE UNIQUE INDEX ON public.high (g);
CREATE PROCEDURE public.commit_and_stay() LANGUAGE plpgsql AS $$ BEGIN
	INSERT INTO public.q VALUES (1, 1); COMMIT; PERFORM pg_sleep(0.1); COMMIT; END $$;`

var digits = regexp.MustCompile(`[0-9]+`)

// soaked are the views and their queries, those below first.
var soaked = []struct{ view, query string }{
	{"mv", "SELECT k % 10 AS g, count(*) AS n, sum(v) AS s FROM public.pv GROUP BY k % 10"},
	{"high", "SELECT g, n, s, (SELECT count(*) FROM public.q) AS c FROM public.mv WHERE n > 0"},
}

// soak is a run of many rounds on a server of its own.
type soak struct {
	*bench
	server  *devpg.Server
	rnd     *rand.Rand
	writers []*writer
	oracle  *pgx.Conn
	done    chan struct{} // of what runs beside the round; nil: nothing
	beside  *writer       // who runs it
	tasks   []jobs.Task

	looks, skips, quiet, quietSkips, busy int
	kinds                                 map[string]int
	last                                  []string
	reasons                               map[string]int // why quiet looks were not skipped, numbers left out
	wrong                                 []string
}

type writer struct {
	conn *pgx.Conn
	open bool // within a transaction that was held open
}

// TestSoak is the proof that no skipped refresh was needed, by trying: sessions write in every way, and each skipped view is
// compared with its query as it was before the look. See doc.go.
func TestSoak(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t, "max_prepared_transactions=10", "max_connections=40")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	s := &soak{bench: &bench{t: t, url: pgtest.DatabaseOn(t, server)}, server: server, rnd: rand.New(rand.NewPCG(seed, 0)), kinds: map[string]int{}, reasons: map[string]int{}}
	pgtest.Exec(t, s.url, soakSchema)
	s.patience = pg.Patience{LockTimeout: 50 * time.Millisecond, Attempts: 2, Pause: time.Millisecond, MaxPause: time.Millisecond}
	s.pool = pgtest.Pool(t, s.url)
	if err := state.Ensure(t.Context(), s.pool); err != nil {
		t.Fatal(err)
	}
	s.connect()
	rounds := pgtest.Scaled(60, 2000)
	for round := 0; round < rounds; round++ {
		for range 1 + s.rnd.IntN(2) {
			s.act(round)
		}
		s.look(round, false)
		rested := !s.unrest()
		for range 2 + s.rnd.IntN(4) {
			round++
			now := !s.unrest()
			s.look(round, now && rested) // what ended since the look before is no longer quiet
			rested = now
		}
	}
	t.Logf("%d looks: %d skipped; %d of them quiet: %d skipped; %d could not refresh for a lock; actions %v", s.looks, s.skips, s.quiet, s.quietSkips, s.busy, s.kinds)
	for _, w := range s.wrong {
		t.Error(w)
	}
	t.Logf("quiet looks not skipped: %v", s.reasons)
	// Sessions that linger on a busy machine weigh more in a sample.
	if part := float64(pgtest.Scaled(50, 80)) / 100; s.quiet == 0 || float64(s.quietSkips) < part*float64(s.quiet) {
		t.Errorf("%d of %d quiet looks were skipped, want at least %.0f %%", s.quietSkips, s.quiet, 100*part)
	}
}

// unrest tells whether something is still going on beside the round.
func (s *soak) unrest() bool {
	select {
	case <-s.done:
		s.done = nil
	default:
	}
	for _, w := range s.writers {
		if w.open {
			return true
		}
	}
	return s.done != nil
}

func (s *soak) dial() *pgx.Conn {
	s.t.Helper()
	var conn *pgx.Conn
	var err error
	for range 600 { // after a crash the server is away for a while
		if conn, err = pgx.Connect(context.Background(), s.url); err == nil {
			if _, err = conn.Exec(context.Background(), "SET lock_timeout = '100ms'"); err == nil {
				s.t.Cleanup(func() { conn.Close(context.Background()) })
				return conn
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.t.Fatal(err)
	return nil
}

func (s *soak) connect() {
	s.writers = nil
	for range 6 {
		s.writers = append(s.writers, &writer{conn: s.dial()})
	}
	s.oracle = s.dial()
	must(s.t, s.oracle, "SET lock_timeout = '10s'")
	env := &config.Env{}
	for _, x := range soaked {
		p := policy(x.view)
		p.When = config.RefreshAuto
		env.Refreshes = append(env.Refreshes, p)
	}
	s.tasks = Tasks(env, Options{Pool: s.pool, Patience: s.patience, Doubt: time.Millisecond})
}

func must(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(context.Background(), sql); err != nil {
		t.Fatal(err)
	}
}

// look runs the views' tasks, those below first, and compares.
func (s *soak) look(round int, quiet bool) {
	for _, x := range soaked {
		before := s.digest(x.query)
		result, err := s.task(x.view).Run(context.Background(), s.runOf(policy(x.view), false))
		var busy *pg.BusyError
		if errors.As(err, &busy) {
			s.busy++
			continue
		}
		if err != nil {
			s.t.Fatalf("round %d: %v", round, err)
		}
		s.looks++
		skipped := result.Outcome == jobs.Skipped
		if quiet {
			s.quiet++
		}
		if !skipped {
			if why, _ := result.Detail["auto"].(string); quiet {
				s.reasons[digits.ReplaceAllString(why, "N")]++
			}
			continue
		}
		s.skips++
		if quiet {
			s.quietSkips++
		}
		if now := s.digest("SELECT * FROM public." + x.view); now != before {
			s.wrong = append(s.wrong, fmt.Sprintf("round %d: the refresh of %s was skipped though its query yields something else; the last actions: %v", round, x.view, s.last))
		}
	}
}

func (s *soak) task(view string) jobs.Task {
	for _, t := range s.tasks {
		if t.Target == "public."+view {
			return t
		}
	}
	s.t.Fatalf("no task for %s", view)
	return jobs.Task{}
}

// digest is of the rows that a query yields now. The oracle's own session is counted, so it is in nobody's doubt.
func (s *soak) digest(query string) string {
	s.t.Helper()
	var d string
	err := s.oracle.QueryRow(context.Background(), "SELECT coalesce(md5(string_agg(x::text, E'\\n' ORDER BY x::text)), '') FROM ("+query+") x").Scan(&d)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := pg.Count(context.Background(), s.oracle); err != nil {
		s.t.Fatal(err)
	}
	return d
}

// rowChanges are the ways to change rows.
var rowChanges = map[string]string{
	"insert":                   "INSERT INTO public.p SELECT (random() * 299)::int, 7 FROM generate_series(1, 3)",
	"insert into the other":    "INSERT INTO public.q VALUES (5, 5)",
	"update":                   "UPDATE public.p SET v = v + 1 WHERE k % 50 = (random() * 49)::int",
	"update across partitions": "UPDATE public.p SET k = (k + 100) % 300 WHERE k < 300 AND k % 30 = (random() * 29)::int",
	"delete":                   "DELETE FROM public.p WHERE k < 300 AND k % 20 = (random() * 19)::int",
	"truncate a partition":     "TRUNCATE public.p2",
	"truncate":                 "TRUNCATE public.q",
	"subtransactions":          "DO $$ BEGIN FOR i IN 1..3 LOOP BEGIN INSERT INTO public.q VALUES (i, i); IF i = 2 THEN RAISE division_by_zero; END IF; EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; END $$",
}

func pick[K comparable, V any](r *rand.Rand, m map[K]V) (K, V) {
	n := r.IntN(len(m))
	for k, v := range m {
		if n == 0 {
			return k, v
		}
		n--
	}
	panic("empty")
}

// act lets one session do something, in one of many ways. What fails for a lock has not happened, which is fine.
func (s *soak) act(round int) {
	w := s.free()
	ctx := context.Background()
	if w.open {
		end := []string{"COMMIT", "ROLLBACK"}[s.rnd.IntN(2)]
		s.note("held open, then " + end)
		_, _ = w.conn.Exec(ctx, end)
		w.open = false
		return
	}
	if s.rnd.IntN(8) == 0 || round == 0 {
		s.upheaval(round)
		return
	}
	what, sql := pick(s.rnd, rowChanges)
	how := s.rnd.IntN(13)
	switch how {
	case 0:
		what += ", rolled back"
		_, _ = w.conn.Exec(ctx, "BEGIN; "+sql+"; ROLLBACK")
	case 1:
		what = "held open: " + what
		if !strings.HasPrefix(sql, "TRUNCATE") {
			_, err := w.conn.Exec(ctx, "BEGIN; "+sql)
			w.open = err == nil
		}
		if !w.open {
			_, _ = w.conn.Exec(ctx, "ROLLBACK")
		}
	case 2:
		what += ", then its backend is ended"
		_, _ = w.conn.Exec(ctx, sql)
		s.end(w)
	case 3:
		what = "copy"
		_, _ = w.conn.CopyFrom(ctx, pgx.Identifier{"public", "p"}, []string{"k", "v"}, pgx.CopyFromRows([][]any{{1, 1}, {101, 2}, {201, 3}}))
	case 4:
		what = "backend ended within: " + what
		_, _ = w.conn.Exec(ctx, "BEGIN; "+sql)
		s.end(w)
	case 5:
		if strings.HasPrefix(sql, "TRUNCATE") { // it would keep everybody out while it is prepared
			what, sql = "insert", rowChanges["insert"]
		}
		what = "prepared: " + what
		if _, err := w.conn.Exec(ctx, "BEGIN; "+sql+"; PREPARE TRANSACTION 'soak'"); err == nil {
			s.look(round, false)
			_, _ = s.free().conn.Exec(ctx, "COMMIT PREPARED 'soak'")
		}
		_, _ = w.conn.Exec(ctx, "ROLLBACK")
		s.clearPrepared()
	case 7:
		what += ", beside the look"
		s.start(w, sql)
	case 8:
		what += ", its session stays busy"
		s.start(w, "BEGIN; "+sql+"; COMMIT; SELECT pg_sleep(0.1)")
		time.Sleep(5 * time.Millisecond)
	case 10:
		what = s.olderRefresh(round, w, sql) + ": " + what
	case 11, 12: // it may come before, or wait in the queue behind ours
		_, _ = s.free().conn.Exec(ctx, sql)
		refresh := s.refreshSQL()
		what = refresh + ", beside the look"
		s.start(w, refresh)
	case 9:
		what = "procedure that commits and stays"
		s.start(w, "CALL public.commit_and_stay()")
		time.Sleep(5 * time.Millisecond)
	default: // the session sleeps on, and has not counted it
		_, _ = w.conn.Exec(ctx, sql)
	}
	s.note(what)
}

func (s *soak) refreshSQL() string {
	return "REFRESH MATERIALIZED VIEW " + []string{"", "CONCURRENTLY "}[s.rnd.IntN(2)] + "public." + soaked[s.rnd.IntN(len(soaked))].view
}

// olderRefresh has a writer refresh a view from a snapshot that is older than a change and the look at it.
func (s *soak) olderRefresh(round int, w *writer, change string) (what string) {
	ctx := context.Background()
	other := s.dial()
	defer other.Close(ctx)
	_, _ = w.conn.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
	_, _ = other.Exec(ctx, change)
	_ = pg.Count(ctx, other)
	s.look(round, false)
	refresh := s.refreshSQL()
	if _, err := w.conn.Exec(ctx, refresh); err == nil {
		what = refresh + " from an older snapshot"
	} else {
		what = refresh + " from an older snapshot fails"
	}
	_, _ = w.conn.Exec(ctx, "COMMIT")
	return what
}

// note keeps what was done: how often, and the last few.
func (s *soak) note(what string) {
	s.kinds[what]++
	s.last = append(s.last[max(0, len(s.last)-4):], what)
}

// clearPrepared commits what a session that was within a transaction could not.
func (s *soak) clearPrepared() {
	conn := s.dial()
	defer conn.Close(context.Background())
	_, _ = conn.Exec(context.Background(), "COMMIT PREPARED 'soak'")
}

// free is a writer that is not at work beside the round.
func (s *soak) free() *writer {
	for {
		if w := s.writers[s.rnd.IntN(len(s.writers))]; s.done == nil || w != s.beside {
			return w
		}
	}
}

// wait waits for what runs beside the round.
func (s *soak) wait() {
	if s.done != nil {
		<-s.done
		s.done = nil
	}
}

func (s *soak) start(w *writer, sql string) {
	s.wait()
	done := make(chan struct{})
	s.done, s.beside = done, w
	go func() {
		defer close(done)
		_, _ = w.conn.PgConn().Exec(context.Background(), sql).ReadAll()
	}()
}

// end has the server end a writer's session, and opens another for it.
func (s *soak) end(w *writer) {
	_, _ = s.oracle.Exec(context.Background(), "SELECT pg_terminate_backend($1)", int32(w.conn.PgConn().PID()))
	w.conn.Close(context.Background())
	w.conn, w.open = s.dial(), false
}

// upheaval is what happens seldom.
func (s *soak) upheaval(round int) {
	conn, ctx := s.dial(), context.Background()
	defer conn.Close(ctx)
	do := func(kind string, statements ...string) {
		s.note(kind)
		for _, sql := range statements {
			_, _ = conn.Exec(ctx, sql)
		}
	}
	switch s.rnd.IntN(9) {
	case 0:
		do("attach", "ALTER TABLE public.archive DETACH PARTITION public.px", "ALTER TABLE public.p ATTACH PARTITION public.px FOR VALUES FROM (300) TO (400)")
	case 1:
		do("detach", "ALTER TABLE public.p DETACH PARTITION public.px")
	case 2:
		do("archive", "BEGIN; ALTER TABLE public.p DETACH PARTITION public.px; ALTER TABLE public.archive ATTACH PARTITION public.px FOR VALUES FROM (300) TO (400); COMMIT")
	case 3:
		do("rewrite", "ALTER TABLE public.q ALTER COLUMN pad TYPE bigint", "ALTER TABLE public.q ALTER COLUMN pad TYPE int", "VACUUM FULL public.q")
	case 4:
		do("reset of all statistics", "INSERT INTO public.q VALUES (1, 1)", "SELECT pg_stat_force_next_flush()", "SELECT pg_stat_reset()")
	case 5:
		do("reset of a table's statistics", "INSERT INTO public.q VALUES (1, 1)", "SELECT pg_stat_force_next_flush()", "SELECT pg_stat_reset_single_table_counters('public.q'::regclass)")
	case 6:
		do("detach concurrently", "ALTER TABLE public.p DETACH PARTITION public.px CONCURRENTLY")
	case 7:
		do("analyze and vacuum", "VACUUM ANALYZE public.p, public.q")
	default:
		if round == 0 || s.rnd.IntN(2) == 0 {
			s.note("crash")
			s.crash(conn)
		}
	}
}

// crash kills a backend as kill -9 does, upon which the server ends all and recovers.
func (s *soak) crash(conn *pgx.Conn) {
	s.wait()
	_, _ = conn.Exec(context.Background(), "INSERT INTO public.q VALUES (2, 2)")
	before, err := started(s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := syscall.Kill(int(conn.PgConn().PID()), syscall.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
	for _, w := range s.writers {
		w.conn.Close(context.Background())
	}
	s.oracle.Close(context.Background())
	for range 1000 { // for an instant it goes on as if nothing had happened
		if now, err := started(s.url); err == nil && now != before {
			s.pool.Reset()
			s.connect()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.t.Fatal("the server does not come back")
}

// started tells since when the server has its statistics.
func started(url string) (when string, err error) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, "SELECT stats_reset::text FROM pg_stat_get_wal()").Scan(&when)
	return when, err
}
