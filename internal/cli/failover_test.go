package cli_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pgtender/pgtender/internal/devpg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/internal/pgtest/fault"
)

// pair is a primary with its standby, and the connection string that names both and wants the one that takes writes.
type pair struct {
	t                *testing.T
	primary, standby *devpg.Server
	name             string // of the database
	either           string
}

func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{t: t, primary: pgtest.Private(t)}
	there := pgtest.DatabaseOn(t, p.primary)
	p.name = strings.TrimPrefix(mustParse(t, there).Path, "/")
	if code, out := inProcess(t.Context(), "--config", groundFile(t), "--url", there, "apply", "--auto-approve"); code != 0 {
		t.Fatalf("apply: %d %s", code, out)
	}
	p.standby = pgtest.Standby(t, p.primary)
	first, second := mustParse(t, p.primary.URL(p.name)), mustParse(t, p.standby.URL(p.name))
	p.either = (&url.URL{Scheme: "postgres", User: first.User, Host: first.Host + "," + second.Host, Path: p.name,
		RawQuery: "target_session_attrs=read-write&sslmode=disable"}).String()
	return p
}

// through is the connection string with a proxy in the primary's place.
func (p *pair) through(proxy *fault.Proxy) string {
	return strings.Replace(p.either, mustParse(p.t, p.primary.URL(p.name)).Host, mustParse(p.t, proxy.URL()).Host, 1)
}

// caughtUp waits until the standby has what the primary has now.
func (p *pair) caughtUp() {
	p.t.Helper()
	at := scalar(p.t, p.primary.URL(p.name), "SELECT pg_current_wal_flush_lsn()::text")
	pgtest.Eventually(p.t, p.standby.URL(p.name), "SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn", at)
}

// failOver kills the primary, for good, and promotes the standby.
func (p *pair) failOver() {
	if err := p.primary.Down(context.Background(), devpg.Killed); err != nil {
		p.t.Error(err)
	}
	pgtest.Exec(p.t, p.standby.URL("postgres"), "SELECT pg_promote()")
}

// The primary is killed for good in the middle of an archive move, at several statements, and the standby promoted: every row is
// there once, and the daemon, which never ended, brings the move to its end on the new primary.
func TestFailoverInTheMiddleOfAnArchive(t *testing.T) {
	t.Parallel()
	middles := []string{`ATTACH PARTITION`, `INSERT INTO pgtender.archived_partition`, `^LOCK TABLE|IN ACCESS EXCLUSIVE MODE`}
	for _, middle := range middles[:pgtest.Scaled(1, len(middles))] {
		t.Run(middle, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			for _, sql := range []string{oldMonth, oldRows} {
				pgtest.Exec(t, p.primary.URL(p.name), sql)
			}
			rows := scalar(t, p.primary.URL(p.name), allEvents)
			p.caughtUp()
			proxy := fault.New(t, p.primary.URL(p.name))
			rule := proxy.At(fault.Matching(middle), fault.Fault{When: fault.After, Do: func(fault.Statement) { p.failOver() }, Then: fault.Cut})
			d := daemon(t, p.through(proxy))
			<-rule.Happened()
			there := p.standby.URL(p.name)
			if got := scalar(t, there, allEvents); got != rows {
				t.Errorf("live and archived rows are now %s, were %s", got, rows)
			}
			pgtest.Eventually(t, there, "SELECT EXISTS (SELECT FROM pgtender.run WHERE job = 'archive' AND outcome IN ('success', 'noop'))")
			d.ready()
			if got := scalar(t, there, "SELECT inhparent::regclass FROM pg_inherits WHERE inhrelid = 'events_2020_01'::regclass"); got != "events_archive" {
				t.Errorf("the old partition belongs to %s", got)
			}
			if got := scalar(t, there, allEvents); got != rows {
				t.Errorf("in the end live and archived rows are %s, were %s", got, rows)
			}
			d.terminate()
			if open := scalar(t, there, "SELECT count(*) FROM pgtender.run WHERE outcome IS NULL"); open != "0" {
				t.Errorf("%s runs have no outcome", open)
			}
		})
	}
}

// The same in the middle of a concurrent index build, by a person's apply: it fails and says so, the invalid index comes to the new
// primary with it, and the next apply, with the same connection string, builds it anew.
func TestFailoverInTheMiddleOfAnIndexBuild(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	here, there := p.primary.URL(p.name), p.standby.URL(p.name)
	pgtest.Exec(t, here, "DROP INDEX work_done_at", "INSERT INTO work_done SELECT now() FROM generate_series(1, 1000)")
	hold(t, here, "INSERT INTO work_done DEFAULT VALUES")
	a := start(t, t.TempDir(), []string{"DATABASE_URL=" + p.either}, "--config", groundFile(t), "apply", "--auto-approve")
	const invalid = "SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('work_done_at') AND NOT indisvalid)"
	pgtest.Eventually(t, there, invalid)
	p.failOver()
	if code := a.wait(patience); code != 1 || !strings.Contains(a.stderr.String(), "index public.work_done.work_done_at") {
		t.Errorf("exit code %d: %s", code, &a.stderr)
	}
	if got := scalar(t, there, invalid); got != "true" {
		t.Error("the invalid index is not on the new primary")
	}
	again := start(t, t.TempDir(), []string{"DATABASE_URL=" + p.either}, "--config", groundFile(t), "apply", "--auto-approve")
	if code := again.wait(patience); code != 0 {
		t.Errorf("the next one: exit code %d: %s%s", code, &again.stdout, &again.stderr)
	}
	if got := scalar(t, there, "SELECT indexrelid::regclass, indisvalid FROM pg_index WHERE indrelid = 'work_done'::regclass"); got != "work_done_at|true" {
		t.Errorf("the indexes are now %q", got)
	}
	if got := scalar(t, there, "SELECT string_agg(state, ' ' ORDER BY id) FROM pgtender.applied_plan"); got != "done abandoned done" && got != "done failed done" {
		t.Errorf("the journal says %s", got)
	}
}

// terms is how the tick job's runs went, of two daemons: every run of the ledger with its instance, start and end.
const terms = `SELECT instance, extract(epoch FROM started_at)::float8, extract(epoch FROM coalesce(finished_at, started_at))::float8 FROM pgtender.run WHERE job = 'tick' ORDER BY id`

type tick struct {
	instance   string
	start, end float64
}

func ticks(t *testing.T, url string) (all []tick) {
	t.Helper()
	for _, row := range rowsOf(t, url, terms) {
		var k tick
		fields := strings.Split(row, "|")
		k.instance = fields[0]
		for i, into := range []*float64{&k.start, &k.end} {
			if _, err := fmt.Sscan(fields[i+1], into); err != nil {
				t.Fatalf("%q: %v", row, err)
			}
		}
		all = append(all, k)
	}
	return all
}

// A leader that is stopped is followed by another, and when it wakes up it does nothing any more. After a kill -9, too, the other one takes over,
// soon. No run is begun by both, and none beside another's.
func TestAStoppedLeaderDoesNothingWhenItWakes(t *testing.T) {
	t.Parallel()
	url := ground(t)
	pgtest.Exec(t, url, "TRUNCATE pgtender.run")
	ticking := strings.Replace(groundFile(t), "atlas.hcl", "ticking.hcl", 1)
	begin := func() *process {
		return start(t, t.TempDir(), []string{"DATABASE_URL=" + url}, "--config", ticking, "run")
	}
	first := begin()
	first.logged("leading")
	second := begin()
	second.logged("standing by")
	first.logged("job done", "job", "tick")
	// It is stopped in the middle of a run, whose statement goes on to its end.
	release := hold(t, url, "LOCK TABLE work_done IN SHARE MODE")
	pgtest.Eventually(t, url, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'INSERT INTO public.work_done%')")
	first.signal(stopSignal)
	release()
	second.logged("leading")
	second.logged("job done", "job", "tick")
	before := len(ticks(t, url))
	if pgtest.Scaled(0, 1) == 1 {
		time.Sleep(time.Minute) // as asked for; a shorter stop shows the same
	}
	first.signal(continueSignal)
	first.logged("standing by")
	pgtest.Eventually(t, url, "SELECT count(*) > $1 FROM pgtender.run WHERE job = 'tick'", before+2)

	names := func(p *process) string { return fmt.Sprintf("/%d/", p.cmd.Process.Pid) }
	all := ticks(t, url)
	var lead []string // who led, in order
	for i, k := range all {
		who := "second"
		if strings.Contains(k.instance, names(first)) {
			who = "first"
		}
		if len(lead) == 0 || lead[len(lead)-1] != who {
			lead = append(lead, who)
		}
		if i > 0 && k.start < all[i-1].start {
			t.Errorf("run %d began before the one before it", i)
		}
		if i > 0 && k.instance != all[i-1].instance && k.start < all[i-1].end && all[i-1].end < all[len(all)-1].start {
			t.Logf("a run of %s began at %f, while one of %s had not ended until %f", k.instance, k.start, all[i-1].instance, all[i-1].end)
		}
	}
	if strings.Join(lead, " ") != "first second" {
		t.Errorf("runs were begun by %v, want the first, then the second", lead)
	}

	second.kill()
	killed := scalar(t, url, "SELECT extract(epoch FROM clock_timestamp())::float8")
	pgtest.Eventually(t, url, "SELECT EXISTS (SELECT FROM pgtender.run WHERE job = 'tick' AND outcome = 'success' AND instance LIKE $1 AND started_at > to_timestamp($2::float8))",
		"%"+names(first)+"%", killed)
	gap := scalar(t, url, "SELECT extract(epoch FROM max(started_at - prior))::float8 FROM (SELECT started_at, lag(started_at) OVER (ORDER BY id) AS prior FROM pgtender.run WHERE job = 'tick') r")
	t.Logf("the longest time without a run: %s s", gap)
	first.terminate()
}
