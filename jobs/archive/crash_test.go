package archive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/devpg"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/internal/state"
)

// scenario is one kind of move, begun on what setup and first have made.
type scenario struct {
	setup string
	first func(context.Context, *Job) error // before the move: nil, nothing
	move  func(context.Context, *Job) error
	// goes is the condition for rows that the move drops for good, all of them in one step; "": none.
	goes string
}

func archiving(p config.Archive) func(context.Context, *Job) error {
	return func(ctx context.Context, j *Job) error {
		_, err := j.Run(ctx, (&record{}).run(false), p)
		return err
	}
}

// restoring2020 brings 2019 to 2021 back; when all is back already, that is no fault.
func restoring2020(p config.Archive) func(context.Context, *Job) error {
	return func(ctx context.Context, j *Job) error {
		from := time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC)
		_, err := j.Restore(ctx, (&record{}).run(false), p, from, from.AddDate(3, 0, 0))
		if err != nil && strings.Contains(err.Error(), "holds nothing") {
			return nil
		}
		return err
	}
}

// releasing lets go what was restored, and archives it again.
func releasing(p config.Archive) func(context.Context, *Job) error {
	return func(ctx context.Context, j *Job) error {
		if _, err := Release(ctx, j.Pool, p.Table, time.Time{}, time.Time{}); err != nil {
			return err
		}
		return archiving(p)(ctx, j)
	}
}

func inTurn(first, second func(context.Context, *Job) error) func(context.Context, *Job) error {
	return func(ctx context.Context, j *Job) error { return errors.Join(first(ctx, j), second(ctx, j)) }
}

const crashTable = `
CREATE TABLE public.m (id bigint PRIMARY KEY); INSERT INTO public.m SELECT generate_series(1, 10);
CREATE TABLE public.t (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL, m bigint REFERENCES public.m, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE INDEX ON public.t (at);
CREATE TABLE public.t_archive (LIKE public.t INCLUDING ALL EXCLUDING IDENTITY) PARTITION BY RANGE (at);
CALL public.part('t', 't_2020', '2020-01-01 00:00+00', '2021-01-01 00:00+00'); CALL public.part('t', 't_cut', '2021-01-01 00:00+00', now() + interval '1 year');
INSERT INTO public.t (at, m) SELECT '2020-06-01 00:00+00'::timestamptz + i * interval '10 hours', 1 + i % 10 FROM generate_series(1, 300) i;
INSERT INTO public.t (at, m) SELECT now() - interval '2 months' + i * interval '1 hour', 1 FROM generate_series(1, 100) i;
`

const crashPlain = `
CREATE TABLE public.t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz); CREATE INDEX ON public.t (at);
CREATE TABLE public.t_archive (LIKE public.t INCLUDING ALL EXCLUDING IDENTITY);
INSERT INTO public.t (at) SELECT '2020-06-01 00:00+00'::timestamptz + i * interval '1 hour' FROM generate_series(1, 1500) i;
`

func scenarios() map[string]scenario {
	whole, rows, plain, wait := policy("t"), byRow("t"), plainPolicy(), byRow("t")
	wait.Referenced = config.ReferencedWait
	finish, drop := byRow("t"), policy("t")
	drop.DropAfter = config.Interval{Text: "2 years", Months: 24}
	return map[string]scenario{
		"whole": {crashTable, nil, archiving(whole), ""},
		"rows":  {crashTable + "INSERT INTO public.t (at, m) SELECT '2022-01-01 00:00+00'::timestamptz + i * interval '1 hour', 1 FROM generate_series(1, 1500) i", archiving(whole), archiving(rows), ""},
		// The year is over: the rest goes by rows, and the emptied partition.
		"finish": {strings.Replace(crashTable, "'2021-01-01 00:00+00', now()", "'2021-01-01 00:00+00', '2022-01-01 00:00+00'); CALL public.part('t', 't_now', '2022-01-01 00:00+00', now()", 1) +
			"CALL public.part('t_archive', 't_archive_2020', '2020-01-01 00:00+00', '2021-01-01 00:00+00')", nil, archiving(finish), ""},
		"plain":        {crashPlain, nil, archiving(plain), ""},
		"wait":         {crashTable + "CREATE TABLE public.child (id bigint, at timestamptz, FOREIGN KEY (id, at) REFERENCES public.t); INSERT INTO public.child SELECT id, at FROM public.t LIMIT 1", nil, archiving(wait), ""},
		"restore":      {crashTable, archiving(whole), restoring2020(whole), ""},
		"restore rows": {crashPlain, archiving(plain), restoring2020(plain), ""},
		"release":      {crashTable, inTurn(archiving(whole), restoring2020(whole)), releasing(whole), ""},
		"release rows": {crashPlain, inTurn(archiving(plain), restoring2020(plain)), releasing(plain), ""},
		// What the year archived goes for good in the run after that.
		"drop_after": {crashTable, archiving(whole), archiving(drop), "at < '2021-01-01 00:00+00'"},
	}
}

// fuse counts statements and acts at one of them: before it is sent, or when it has ended.
type fuse struct {
	at    int64
	act   func()
	watch func(sql string) // each statement before it is sent; nil: nothing
	count atomic.Int64
}

func (f *fuse) burn() {
	if f.count.Add(1) == f.at {
		f.act()
	}
}

func (f *fuse) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	f.burn()
	if f.watch != nil {
		f.watch(data.SQL)
	}
	return ctx
}

func (f *fuse) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) { f.burn() }

// fused is the job with a fuse in its pool.
func fused(ctx context.Context, url string, f *fuse) (*Job, func(), error) {
	base, err := pg.Open(ctx, url, 4)
	if err != nil {
		return nil, nil, err
	}
	cfg := base.Config()
	base.Close()
	cfg.ConnConfig.Tracer = f
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	job := New(pool, time.UTC)
	job.Patience.MaxPause = 200 * time.Millisecond
	return job, pool.Close, nil
}

const (
	victimURL  = "PGTENDER_TEST_ARCHIVE_VICTIM"
	victimMove = "PGTENDER_TEST_ARCHIVE_MOVE"
)

// victim is a process that kills itself at one statement of its move.
func victim() {
	name, at, _ := strings.Cut(os.Getenv(victimMove), "/")
	n, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	job, _, err := fused(ctx, os.Getenv(victimURL), &fuse{at: n, act: func() {
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			panic(err)
		}
		select {}
	}})
	if err != nil {
		panic(err)
	}
	if err := scenarios()[name].move(ctx, job); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// rows are digests of what a move begins with, and of what it leaves.
type rows struct{ before, end string }

// ready makes a database for a scenario and returns what its rows are.
func (s scenario) ready(t *testing.T, url string) rows {
	t.Helper()
	pgtest.Exec(t, url, "SET TimeZone = 'UTC';"+monthSQL+s.setup)
	pool := pgtest.Pool(t, url)
	if err := state.Ensure(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	if s.first != nil {
		if err := s.first(t.Context(), New(pool, time.UTC)); err != nil {
			t.Fatal(err)
		}
	}
	r := rows{before: ask(t, url, both)}
	r.end = r.before
	if s.goes != "" {
		if r.end = ask(t, url, both+" WHERE NOT ("+s.goes+")"); r.end == r.before {
			t.Fatal("no row goes")
		}
	}
	return r
}

func ask(t *testing.T, url, sql string) (text string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(t.Context(), sql).Scan(&text); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return text
}

// after runs the move once more and looks where the rows are.
func (s scenario) after(t *testing.T, url string, want rows, what string) {
	t.Helper()
	if got := ask(t, url, both); got != want.before && got != want.end {
		t.Fatalf("%s: rows are missing or doubled", what)
	}
	pool := pgtest.Pool(t, url)
	if err := s.move(t.Context(), New(pool, time.UTC)); err != nil {
		t.Fatalf("%s: the next run: %v", what, err)
	}
	if got := ask(t, url, both); got != want.end {
		t.Fatalf("%s: rows are missing or doubled after the next run", what)
	}
	if s.goes != "" {
		if got := ask(t, url, "SELECT string_agg(concat_ws(' ', partition_name, rows, gone_how, gone_at IS NOT NULL), ', ') FROM pgtender.archived_partition"); got != "t_2020 300 dropped t" {
			t.Errorf("%s: the manifest says %s", what, got)
		}
	}
	if err := Verify(t.Context(), pool, "", "", func(v Verdict) {
		if v.Bad() {
			t.Errorf("%s: %+v", what, v)
		}
	}); err != nil {
		t.Error(err)
	}
}

// statements counts how often a fuse would be asked in the whole move.
func (s scenario) statements(t *testing.T) int64 {
	t.Helper()
	url := pgtest.Database(t)
	s.ready(t, url)
	f := &fuse{}
	job, end, err := fused(t.Context(), url, f)
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	if err := s.move(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	return f.count.Load()
}

// points are the statements at which it is killed: some, or all.
func points(n int64, some int) (list []int64) {
	step := max(n/int64(pgtest.Scaled(some, int(n))), 1)
	for at := 1 + step/2; at <= n; at += step {
		list = append(list, at)
	}
	return list
}

// The process is killed at every statement of every kind of move, before and after: each row is in exactly one of the two, and the next
// run brings the move to its end.
func TestKilledAtEveryStatement(t *testing.T) {
	t.Parallel()
	for name, s := range scenarios() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := s.statements(t)
			if n < 20 {
				t.Fatalf("only %d statements", n)
			}
			list := points(n, 3)
			for _, at := range list {
				t.Run(fmt.Sprint(at), func(t *testing.T) { s.killed(t, name, at, n) })
			}
			t.Logf("killed at %d of %d points", len(list), n)
		})
	}
}

func (s scenario) killed(t *testing.T, name string, at, n int64) {
	url := pgtest.Database(t)
	want := s.ready(t, url)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), victimURL+"="+url, fmt.Sprintf("%s=%s/%d", victimMove, name, at))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err == nil {
		doneBefore(t, url, want, at, n)
	} else if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("at %d of %d it was not killed: %v %s", at, n, err, out)
	}
	// What it had sent ends, one way or the other.
	pgtest.Eventually(t, url, "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'pgtender%' AND pid <> pg_backend_pid() AND state <> 'idle'")
	s.after(t, url, want, fmt.Sprintf("killed at %d of %d", at, n))
}

// doneBefore is for a move that had come to its end: it may have looked at the standbys less often than when its statements were counted.
func doneBefore(t *testing.T, url string, want rows, at, n int64) {
	t.Helper()
	if at <= n-8 {
		t.Fatalf("at %d of %d it was done and not killed", at, n)
	}
	if got := ask(t, url, both); got != want.end {
		t.Fatalf("done before %d of %d, but rows are missing or doubled", at, n)
	}
	t.Logf("done before %d of %d", at, n)
}

// The same with the server: kill -9, and an immediate shutdown; then recovery.
func TestServerKilledAtEveryStatement(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t)
	how := []devpg.Shutdown{devpg.Killed, devpg.Immediate}
	round, crashes := 0, 0
	for _, name := range slices.Sorted(maps.Keys(scenarios())) {
		s := scenarios()[name]
		t.Run(name, func(t *testing.T) { // one after the other: they have one server
			n := s.statements(t)
			done := 0
			for _, at := range points(n, 1) {
				manners := how
				if pgtest.Scaled(0, 1) == 0 { // by turns
					manners = how[round%2 : round%2+1]
					round++
				}
				for _, manner := range manners {
					t.Run(fmt.Sprintf("%d/%v", at, syscall.Signal(manner)), func(t *testing.T) { s.crashed(t, server, manner, at, n) })
					done++
				}
			}
			crashes += done
			t.Logf("%d crashes at the points of %d", done, n)
		})
	}
	t.Logf("%d crashes of the server", crashes)
}

func (s scenario) crashed(t *testing.T, server *devpg.Server, manner devpg.Shutdown, at, n int64) {
	url := pgtest.DatabaseOn(t, server)
	want := s.ready(t, url)
	down := make(chan error, 1)
	f := &fuse{at: at, act: func() { down <- server.Down(t.Context(), manner) }}
	job, end, err := fused(t.Context(), url, f)
	if err != nil {
		t.Fatal(err)
	}
	moved := s.move(t.Context(), job) // it fails, unless nothing was left to do
	end()
	if f.count.Load() < at {
		if moved != nil {
			t.Fatal(moved)
		}
		doneBefore(t, url, want, at, n)
		s.after(t, url, want, "not killed")
		return
	}
	// A statement beside the move may have been the one at which the server goes down, which can take longer than the move.
	if err := <-down; err != nil {
		t.Fatal(err)
	}
	if err := server.Up(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	s.after(t, url, want, fmt.Sprintf("server %v at %d of %d", manner, at, n))
}
