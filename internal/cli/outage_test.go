package cli_test

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/internal/pgtest/fault"
)

const (
	stopSignal     = syscall.SIGSTOP
	continueSignal = syscall.SIGCONT
)

// outage is a fault that lasts.
type outage struct {
	name  string
	match fault.Match
	fault.Fault
	fresh bool   // it meets connections that begin: those that are there are cut
	says  string // what the log says of it
	ready bool   // the probe may stay ready: the database can be read
}

// writes are statements that change something.
const writes = `(?i)^\s*(INSERT|UPDATE|DELETE|WITH gone|CREATE|DROP|ALTER)`

// Whatever the server refuses, and for however long: the daemon stays, says what is wrong, asks again with growing pauses, never
// spins, goes on by itself when it is over, and makes up for what was due meanwhile.
func TestOutages(t *testing.T) {
	t.Parallel()
	starts := fault.Like(fault.Connect, 0)
	for _, o := range []outage{
		{name: "too many clients", match: starts, Fault: fault.Error("too many clients", pg.TooManyConnections), fresh: true, says: "SQLSTATE 53300"},
		{name: "starting up", match: starts, Fault: fault.Error("the database system is starting up", pg.CannotConnectNow), fresh: true, says: "SQLSTATE 57P03"},
		{name: "disk full", match: fault.Matching(writes), Fault: fault.Error("could not extend file: No space left on device", "53100"), says: "SQLSTATE 53100", ready: true},
		{name: "read only", match: fault.Matching(writes), Fault: fault.Error("cannot execute in a read-only transaction", pg.ReadOnlyTransaction), says: "SQLSTATE 25006", ready: true},
		{name: "everything fails", match: func(s fault.Statement) bool { return s.Text != fault.Connect }, Fault: fault.Terminated(), says: "SQLSTATE 57P01"},
	} {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			o.run(t)
		})
	}
}

func (o outage) run(t *testing.T) {
	url := ground(t)
	proxy := fault.New(t, url)
	ticking := strings.Replace(groundFile(t), "atlas.hcl", "ticking.hcl", 1)
	p := start(t, t.TempDir(), []string{"DATABASE_URL=" + proxy.URL()}, "--config", ticking, "run")
	p.logged("job done", "job", "tick", "outcome", "success")
	p.ready()

	rule := proxy.Always(o.match, o.Fault)
	if o.fresh {
		proxy.CutAll()
	}
	p.prints(o.says)
	if !o.ready {
		p.until("/readyz", func(status int, _ string) bool { return status == http.StatusServiceUnavailable })
	}
	// It may ask for what is due each second, and look at the database; it must not do so as fast as it can.
	const window = 3 * time.Second
	before := proxy.Count()
	time.Sleep(window)
	if n := proxy.Count() - before; n > 50*int(window/time.Second) {
		t.Errorf("%d statements in %s while nothing works", n, window)
	} else {
		t.Logf("%d statements in %s", n, window)
	}
	for _, path := range []string{"/livez", "/metrics", "/status", "/status.json"} {
		if status, body := p.get(path); status != http.StatusOK {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	last := scalar(t, url, "SELECT coalesce(max(id), 0) FROM pgtender.run")
	rule.End()
	pgtest.Eventually(t, url, "SELECT EXISTS (SELECT FROM pgtender.run WHERE job = 'tick' AND outcome = 'success' AND id > $1)", last)
	p.ready()
	p.terminate()
	if open := scalar(t, url, "SELECT count(*) FROM pgtender.run WHERE outcome IS NULL"); open != "0" {
		t.Errorf("%s runs have no outcome", open)
	}
}

// Limits that somebody sets for the role or the database do not reach pgtender's own sessions. An own job has its own timeout, and
// the rest of them.
func TestSomebodyElsesTimeouts(t *testing.T) {
	t.Parallel()
	url := ground(t)
	pgtest.Exec(t, url, "INSERT INTO knobs VALUES ('mv', 4)") // the refresh takes longer than all of them
	var statements []string
	for _, setting := range []string{"statement_timeout = '2s'", "lock_timeout = '1s'", "transaction_timeout = '2s'", "idle_in_transaction_session_timeout = '1s'",
		"idle_session_timeout = '1s'", "default_transaction_isolation = 'serializable'"} {
		statements = append(statements, "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET "+strings.ReplaceAll(setting, "'", "''")+"', current_database()); END $$")
	}
	pgtest.Exec(t, url, statements...) // for the sessions that begin after this one
	d := daemon(t, url)
	free := url + "&options=-c%20idle_session_timeout%3D0%20-c%20transaction_timeout%3D0%20-c%20statement_timeout%3D0"
	for _, job := range []string{"drift", "partition", "archive", "refresh", "analyze"} {
		pgtest.Eventually(t, free, "SELECT EXISTS (SELECT FROM pgtender.run WHERE job = $1 AND outcome IN ('success', 'noop'))", job)
	}
	d.ready()
	if said := d.stderr.String(); strings.Contains(said, "no leadership") {
		t.Error("it lost its leader's session")
	}
	d.terminate()
}
