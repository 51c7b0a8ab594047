package cli_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pgtest"
)

// groundFile declares a small schema whose jobs can be made to take as long as a test likes.
func groundFile(t testing.TB) string {
	t.Helper()
	return filepath.Join(repository(t), "internal", "cli", "testdata", "daemon", "atlas.hcl")
}

// ground is a database of the test's own, as `pgtender apply` leaves it.
func ground(t *testing.T) string {
	t.Helper()
	return pgtest.DatabaseFrom(t, applied(t, groundFile(t)))
}

// daemon starts `pgtender run` on a database.
func daemon(t *testing.T, url string, args ...string) *process {
	t.Helper()
	return start(t, t.TempDir(), []string{"DATABASE_URL=" + url}, append([]string{"--config", groundFile(t), "run"}, args...)...)
}

// hold runs statements in a transaction that stays open until release is called or the test ends.
func hold(t *testing.T, url string, statements ...string) (release func()) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(ctx) })
	for _, sql := range slices.Concat([]string{"BEGIN"}, statements) {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	return func() {
		t.Helper()
		if _, err := conn.Exec(ctx, "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
	}
}

func scalar(t testing.TB, url, sql string, args ...any) string {
	t.Helper()
	return strings.Join(rowsOf(t, url, sql, args...), "\n")
}

// interruption is a job that the test keeps from ending.
type interruption struct {
	job     string
	prepare []string                              // of the database, before the first daemon
	hinder  func(t *testing.T, url string) func() // returns what ends it
	middle  string                                // besides the open run in the ledger, what shows that the job is in the middle of it
	proof   func(t *testing.T, url string, n int) // that all is well in the end, n runs of it having ended well
}

func knob(name string) func(*testing.T, string) func() {
	return func(t *testing.T, url string) func() {
		pgtest.Exec(t, url, "INSERT INTO knobs VALUES ('"+name+"', 300)")
		return func() { pgtest.Exec(t, url, "DELETE FROM knobs") }
	}
}

func held(statements ...string) func(*testing.T, string) func() {
	return func(t *testing.T, url string) func() { return hold(t, url, statements...) }
}

const (
	oldMonth = "CREATE TABLE events_2020_01 PARTITION OF events FOR VALUES FROM ('2020-01-01 00:00:00+00') TO ('2020-02-01 00:00:00+00')"
	oldRows  = "INSERT INTO events (at) SELECT '2020-01-15'::timestamptz + n * interval '1 second' FROM generate_series(1, 5000) n"
	// nextMonths makes what the partition job would make, and gives the parent something to be analysed.
	nextMonths = `DO $$ DECLARE m timestamptz := date_trunc('month', now(), 'UTC'); BEGIN
		FOR i IN 0..2 LOOP
			EXECUTE format('CREATE TABLE %I PARTITION OF events FOR VALUES FROM (%L) TO (%L)',
				'events_' || to_char(m AT TIME ZONE 'UTC', 'YYYY_MM'), m, (m AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC');
			m := (m AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC';
		END LOOP;
		INSERT INTO events (at) SELECT now() FROM generate_series(1, 5000);
	END $$`
)

// A job is killed, then stopped, in the middle of its work. Each time it has either committed or rolled back, the ledger says
// which, and the next daemon goes on from there. Nothing is lost, and nothing is left behind.
func TestInterruptedJobs(t *testing.T) {
	t.Parallel()
	for _, c := range []interruption{
		{job: "drift", prepare: []string{"DROP INDEX work_done_at"},
			// The index is built concurrently, when older writers have ended; so is an invalid one dropped, that a kill left.
			hinder: held("INSERT INTO work_done DEFAULT VALUES"),
			middle: "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND query ~ '^(CREATE|DROP) INDEX CONCURRENTLY' AND wait_event_type = 'Lock')",
			proof: func(t *testing.T, url string, _ int) {
				if got := scalar(t, url, "SELECT indexrelid::regclass, indisvalid FROM pg_index WHERE indrelid = 'work_done'::regclass"); got != "work_done_at|true" {
					t.Errorf("the indexes are now %q", got)
				}
			}},
		{job: "partition", prepare: []string{oldMonth, oldRows},
			hinder: held("LOCK TABLE events IN SHARE UPDATE EXCLUSIVE MODE"),
			proof: func(t *testing.T, url string, _ int) {
				if got := scalar(t, url, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'events'::regclass AND inhrelid::regclass::text <> 'events_2020_01'"); got != "2" {
					t.Errorf("%s partitions, want this month's and the next", got)
				}
			}},
		{job: "archive", prepare: []string{oldMonth, oldRows},
			hinder: held("LOCK TABLE events_2020_01 IN ACCESS SHARE MODE"),
			proof: func(t *testing.T, url string, _ int) {
				if got := scalar(t, url, "SELECT inhparent::regclass FROM pg_inherits WHERE inhrelid = 'events_2020_01'::regclass"); got != "events_archive" {
					t.Errorf("the old partition belongs to %s", got)
				}
			}},
		{job: "refresh", hinder: knob("mv"),
			middle: "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND query ~ '^REFRESH' AND wait_event = 'PgSleep')",
			proof:  func(*testing.T, string, int) {}},
		{job: "analyze", prepare: []string{nextMonths},
			hinder: held("LOCK TABLE events IN SHARE UPDATE EXCLUSIVE MODE"),
			proof: func(t *testing.T, url string, _ int) {
				if got := scalar(t, url, "SELECT count(*) > 0 FROM pg_stats WHERE tablename = 'events'"); got != "true" {
					t.Error("the partitioned table has no statistics")
				}
			}},
		{job: "work", hinder: knob("work"),
			middle: "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND query ~ '^CALL' AND wait_event = 'PgSleep')",
			proof: func(t *testing.T, url string, n int) {
				if got := scalar(t, url, "SELECT count(*) FROM work_done"); got != fmt.Sprint(n) {
					t.Errorf("%s rows were committed in %d runs that ended well", got, n)
				}
			}},
	} {
		t.Run(c.job, func(t *testing.T) {
			t.Parallel()
			c.run(t)
		})
	}
}

func (c interruption) run(t *testing.T) {
	url := ground(t)
	for _, sql := range c.prepare {
		pgtest.Exec(t, url, sql)
	}
	rows := scalar(t, url, allEvents)
	unhinder := c.hinder(t, url)

	killed := daemon(t, url)
	first := c.inTheMiddle(t, url, 0)
	killed.kill()
	c.still(t, url, rows)

	stopped := daemon(t, url)
	second := c.inTheMiddle(t, url, first)
	c.says(t, url, first, "failure|interrupted: the process that ran it (%) ended or lost the server; what it had not committed was rolled back")
	stopped.terminate()
	c.says(t, url, second, "failure|stopped by shutdown; what it had not committed was rolled back")
	c.still(t, url, rows)

	unhinder()
	last := daemon(t, url)
	// It is made up for at once, since its scheduled time was not served.
	pgtest.Eventually(t, url, "SELECT EXISTS (SELECT FROM pgtender.run WHERE job = $1 AND id > $2 AND outcome IN ('success', 'noop'))", c.job, second)
	last.ready()
	last.terminate()
	pgtest.Eventually(t, url, nobodyIsLeft)
	var well int
	if _, err := fmt.Sscan(scalar(t, url, "SELECT count(*) FROM pgtender.run WHERE job = $1 AND outcome IN ('success', 'noop')", c.job), &well); err != nil {
		t.Fatal(err)
	}
	c.proof(t, url, well)
	c.still(t, url, rows)
	if open := scalar(t, url, "SELECT count(*) FROM pgtender.run WHERE outcome IS NULL"); open != "0" {
		t.Errorf("%s runs of the ledger have no outcome", open)
	}
}

const (
	allEvents    = "SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM events_archive), (SELECT coalesce(sum(id), 0) FROM (SELECT id FROM events UNION ALL SELECT id FROM events_archive) e)"
	nobodyIsLeft = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name ~ '^pgtender')"
)

// inTheMiddle waits until a later run of the job than the given one is under way, and returns its number.
func (c interruption) inTheMiddle(t *testing.T, url string, after int64) (id int64) {
	t.Helper()
	pgtest.Eventually(t, url, "SELECT EXISTS (SELECT FROM pgtender.run WHERE job = $1 AND id > $2 AND outcome IS NULL)", c.job, after)
	if c.middle != "" {
		pgtest.Eventually(t, url, c.middle)
	}
	if _, err := fmt.Sscan(scalar(t, url, "SELECT max(id) FROM pgtender.run WHERE job = $1", c.job), &id); err != nil {
		t.Fatal(err)
	}
	return id
}

// says holds what the ledger says of a run against a LIKE pattern of outcome|error.
func (c interruption) says(t *testing.T, url string, id int64, want string) {
	t.Helper()
	if got := scalar(t, url, "SELECT outcome || '|' || coalesce(error, '') LIKE $2, outcome, error FROM pgtender.run WHERE id = $1", id, want); !strings.HasPrefix(got, "true") {
		t.Errorf("the ledger says of run %d: %s, want %s", id, got, want)
	}
}

// still checks that no row is lost or doubled, once what a killed daemon left running is gone.
func (c interruption) still(t *testing.T, url, rows string) {
	t.Helper()
	pgtest.Eventually(t, url, nobodyIsLeft)
	if got := scalar(t, url, allEvents); got != rows {
		t.Errorf("live and archived rows are now %s, were %s", got, rows)
	}
}

// A daemon that waits for its server, or one that loads the sources, stops at once.
func TestStopWhileStarting(t *testing.T) {
	t.Parallel()
	waiting := start(t, t.TempDir(), []string{"DATABASE_URL=postgres://u@127.0.0.1:1/d"}, "--config", groundFile(t), "run")
	waiting.logged("cannot begin yet, trying again")
	waiting.terminate()

	dir := folder(t, "s.sql", "CREATE MATERIALIZED VIEW v AS SELECT pg_catalog.pg_sleep(300) IS NULL AS slow;")
	url := pgtest.Database(t)
	loading := start(t, dir, nil, "--url", url, "--to", "s.sql", "run", "--listen", "127.0.0.1:0")
	loading.logged("listening")
	const scratch = "SELECT EXISTS (SELECT FROM pg_stat_activity s, pg_stat_activity k WHERE s.datname LIKE 'pgtender_scratch_%' AND s.wait_event = 'PgSleep' AND k.datname = current_database())"
	pgtest.Eventually(t, url, scratch)
	loading.terminate()
	pgtest.Eventually(t, url, nobodyIsLeft)
	if got := scalar(t, url, "SELECT to_regnamespace('pgtender') IS NULL"); got != "true" {
		t.Error("the schema pgtender was made")
	}
}

// `run --once`, told to stop, ends its running job and begins no other; the exit code says that not everything was done.
func TestStopRunOnce(t *testing.T) {
	t.Parallel()
	url := ground(t)
	defer knob("mv")(t, url)()
	p := start(t, t.TempDir(), []string{"DATABASE_URL=" + url}, "--config", groundFile(t), "run", "--once")
	pgtest.Eventually(t, url, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND query ~ '^REFRESH' AND wait_event = 'PgSleep')")
	p.signal(syscall.SIGTERM)
	if code := p.wait(10 * time.Second); code != 1 {
		t.Errorf("exit code %d", code)
	}
	if !matches(`(?m)^pgtender: refresh public.mv: stopped by shutdown`, p.stderr.String()) || !matches(`(?m)^pgtender: stopped before these were begun: analyze, work$`, p.stderr.String()) {
		t.Errorf("it says:\n%s", &p.stderr)
	}
	if got := scalar(t, url, "SELECT job, outcome, error FROM pgtender.run WHERE job IN ('refresh', 'work')"); got != "refresh|failure|stopped by shutdown; what it had not committed was rolled back" {
		t.Errorf("the ledger says %s", got)
	}
}

// An apply, told to stop while it waits, says how far it came. The next one goes on from there.
func TestStopApply(t *testing.T) {
	t.Parallel()
	url := ground(t)
	pgtest.Exec(t, url, "DROP INDEX work_done_at", "DROP TABLE knobs CASCADE")
	release := hold(t, url, "INSERT INTO work_done DEFAULT VALUES")
	p := start(t, t.TempDir(), []string{"DATABASE_URL=" + url}, "--config", groundFile(t), "apply", "--auto-approve")
	pgtest.Eventually(t, url, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND query ~ '^CREATE INDEX CONCURRENTLY' AND wait_event_type = 'Lock')")
	p.signal(syscall.SIGINT)
	if code := p.wait(10 * time.Second); code != 1 {
		t.Errorf("exit code %d", code)
	}
	if !matches(`^pgtender: statement 2 of 2 \(index public.work_done.work_done_at\): stopped\n  1 done: table public.knobs\n  2 .*: index public.work_done.work_done_at\n`, p.stderr.String()) {
		t.Errorf("it says:\n%s", &p.stderr)
	}
	if got := scalar(t, url, "SELECT state FROM pgtender.applied_plan ORDER BY id DESC LIMIT 1"); got != "failed" {
		t.Errorf("the journal says %s", got)
	}
	release()
	if code, out := inProcess(t.Context(), "--config", groundFile(t), "--url", url, "apply", "--auto-approve"); code != 0 {
		t.Errorf("the next one: %d %s", code, out)
	}
	if got := scalar(t, url, "SELECT indexrelid::regclass, indisvalid FROM pg_index WHERE indrelid = 'work_done'::regclass"); got != "work_done_at|true" {
		t.Errorf("the indexes are now %q", got)
	}
}

// A server that answers nothing any more, though it keeps its connections, keeps nobody from stopping.
func TestStopWhileTheServerHangs(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t)
	url := pgtest.DatabaseOn(t, server)
	if code, out := inProcess(t.Context(), "--config", groundFile(t), "--url", url, "apply", "--auto-approve"); code != 0 {
		t.Fatalf("apply: %d %s", code, out)
	}
	knob("work")(t, url)
	p := daemon(t, url)
	pgtest.Eventually(t, url, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND query ~ '^CALL' AND wait_event = 'PgSleep')")
	p.ready()
	pids := strings.Fields(scalar(t, url, "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()"))
	all := func(sig syscall.Signal) {
		for _, text := range append(pids, fmt.Sprint(server.PID)) {
			var pid int
			if _, err := fmt.Sscan(text, &pid); err != nil {
				t.Fatal(err)
			}
			_ = syscall.Kill(pid, sig) // some have ended meanwhile
		}
	}
	all(syscall.SIGSTOP)
	t.Cleanup(func() { all(syscall.SIGCONT) })
	p.terminate()
}
