//go:build alerts

// Package e2e plants real faults under a real pgtender, Prometheus and Alertmanager, and wants each alert to fire and to resolve. It runs
// with `make alerts`.
package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgtender/pgtender/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// patience bounds each wait: a check looks every 10 to 30 seconds.
const patience = 3 * time.Minute

const declared = `
CREATE TABLE events (at timestamptz NOT NULL, v int) PARTITION BY RANGE (at);
CREATE TABLE busy (a int);
CREATE TABLE held (a int);
CREATE MATERIALIZED VIEW mv AS SELECT count(*) AS n FROM busy;
CREATE UNIQUE INDEX mv_n ON mv (n);
`

const atlas = `
env "e2e" {
  url = getenv("DATABASE_URL")
  schema { src = ["file://schema.sql"] }
  daemon {
    listen = "%s"
    apply  = "off"
  }
  partition "events" {
    interval = "day"
    ahead    = 20
    archive {
      after = "400 days"
      into  = "events_archive"
    }
  }
  refresh "mv" {
    schedule = "@every 2s"
    when     = "always"
  }
  check "lock_waits" {
    warning  = "1 second"
    critical = "1 hour"
  }
}
`

const prometheus = `
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
rule_files: [%s]
alerting:
  alertmanagers: [{static_configs: [{targets: ['%s']}], api_version: v2}]
scrape_configs:
  - job_name: pgtender
    static_configs: [{targets: ['%s']}]
`

const alertmanager = `
global: {resolve_timeout: 10s}
route: {receiver: test, group_by: ['...'], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}
receivers:
  - name: test
    webhook_configs: [{url: '%s', send_resolved: true}]
`

// inbox is what Alertmanager has told.
type inbox struct {
	mu     sync.Mutex
	states map[string]string // firing or resolved, by alert, severity and object
	more   chan struct{}     // closed when something came
}

func (i *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var message struct {
		Alerts []struct {
			Status string            `json:"status"`
			Labels map[string]string `json:"labels"`
		} `json:"alerts"`
	}
	if err := json.NewDecoder(r.Body).Decode(&message); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, a := range message.Alerts {
		i.states[strings.TrimSpace(a.Labels["alertname"]+" "+a.Labels["severity"]+" "+a.Labels["object"])] = a.Status
	}
	close(i.more)
	i.more = make(chan struct{})
}

// until waits until each of the alerts is in the state.
func (i *inbox) until(t *testing.T, state string, alerts ...string) {
	t.Helper()
	over := time.After(patience)
	for {
		i.mu.Lock()
		var missing []string
		for _, a := range alerts {
			if i.states[a] != state {
				missing = append(missing, a)
			}
		}
		seen, more := fmt.Sprint(i.states), i.more
		i.mu.Unlock()
		if len(missing) == 0 {
			t.Logf("%s: %s", state, strings.Join(alerts, ", "))
			return
		}
		select {
		case <-more:
		case <-over:
			t.Fatalf("not %s: %s; what came: %s", state, strings.Join(missing, ", "), seen)
		}
	}
}

// program starts one and kills it with the test; what it said is shown if the test failed.
func program(t *testing.T, env []string, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("%s:\n%s", name, text[max(0, len(text)-4000):])
		}
		log.Close()
	})
	return cmd
}

// free is an address that nobody listens on.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// answers waits until the address says 200.
func answers(t *testing.T, url string) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if r, err := http.Get(url); err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return
			}
		}
	}
	t.Fatalf("%s does not answer", url)
}

// quick are the shipped rules, with the times that they wait cut short.
func quick(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../pgtender.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`(?m)^( +(?:for|keep_firing_for)): .*$`).ReplaceAllString(string(text), "$1: 1s")
}

type stage struct {
	dir, exe, url, daemon, prometheus string
	box                               *inbox
}

// pgtender runs a command and returns what it printed; whether it must end well is the caller's to say.
func (s *stage) pgtender(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), s.exe, append([]string{"--config", filepath.Join(s.dir, "atlas.hcl")}, args...)...)
	cmd.Env = append(os.Environ(), "DATABASE_URL="+s.url)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("pgtender %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (s *stage) run(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := program(t, []string{"DATABASE_URL=" + s.url}, s.exe, "--config", filepath.Join(s.dir, "atlas.hcl"), "run")
	answers(t, "http://"+s.daemon+"/readyz")
	return cmd
}

// set builds pgtender, starts it on a database of its own, and Prometheus and Alertmanager around it.
func set(t *testing.T) (*stage, *exec.Cmd) {
	t.Helper()
	s := &stage{dir: t.TempDir(), daemon: free(t), url: pgtest.Database(t), box: &inbox{states: map[string]string{}, more: make(chan struct{})}}
	s.exe = filepath.Join(s.dir, "pgtender")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", s.exe, "./cmd/pgtender")
	build.Dir = "../../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	write(t, filepath.Join(s.dir, "schema.sql"), declared)
	write(t, filepath.Join(s.dir, "atlas.hcl"), fmt.Sprintf(atlas, s.daemon))
	s.pgtender(t, "apply", "--auto-approve")
	pgtest.Exec(t, s.url, "CREATE TABLE events_rest PARTITION OF events DEFAULT") // partitions are not declared
	daemon := s.run(t)

	hook := httptest.NewServer(s.box)
	t.Cleanup(hook.Close)
	manager, prom := free(t), free(t)
	config := write(t, filepath.Join(s.dir, "alertmanager.yml"), fmt.Sprintf(alertmanager, hook.URL))
	program(t, nil, "prometheus-alertmanager", "--config.file="+config, "--storage.path="+filepath.Join(s.dir, "am"), "--web.listen-address="+manager, "--cluster.listen-address=")
	rules := write(t, filepath.Join(s.dir, "rules.yml"), quick(t))
	config = write(t, filepath.Join(s.dir, "prometheus.yml"), fmt.Sprintf(prometheus, rules, manager, s.daemon))
	program(t, nil, "prometheus", "--config.file="+config, "--storage.tsdb.path="+filepath.Join(s.dir, "tsdb"), "--web.listen-address="+prom)
	answers(t, "http://"+manager+"/-/ready")
	answers(t, "http://"+prom+"/-/ready")
	s.prometheus = prom
	return s, daemon
}

func TestFaultsFireAndResolve(t *testing.T) {
	s, daemon := set(t)
	s.metricsAreSound(t)

	// All faults at once.
	pgtest.Exec(t, s.url, `DO $$ DECLARE p regclass; BEGIN
		FOR p IN SELECT inhrelid::regclass FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = 'events'::regclass AND pg_get_expr(relpartbound, c.oid) <> 'DEFAULT'
		LOOP EXECUTE format('DROP TABLE %s', p); END LOOP; END $$`,
		"INSERT INTO events VALUES ('2090-01-01', 1)", "CREATE TABLE alien (a int)")
	s.pgtender(t, "job", "run", "drift")
	refresher := pgtest.Session(t, s.url)
	if _, err := refresher.Exec(t.Context(), "BEGIN; REFRESH MATERIALIZED VIEW public.mv"); err != nil {
		t.Fatal(err)
	}
	holder, waiter := pgtest.Session(t, s.url), pgtest.Session(t, s.url)
	if _, err := holder.Exec(t.Context(), "BEGIN; LOCK TABLE public.held IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	waited := make(chan error, 1)
	go func() {
		_, err := waiter.Exec(context.WithoutCancel(t.Context()), "SELECT FROM public.held")
		waited <- err
	}()
	faults := []string{"PgtenderPartitionRunwayShort critical public.events", "PgtenderDefaultPartitionRows warning public.events", "PgtenderSchemaDrift warning",
		"PgtenderViewStale warning public.mv", "PgtenderLockWait warning"}
	s.box.until(t, "firing", faults...)

	// And all of them mended.
	for _, end := range []interface{ Close(context.Context) error }{refresher, holder} {
		end.Close(context.Background())
	}
	if err := <-waited; err != nil {
		t.Error(err)
	}
	pgtest.Exec(t, s.url, "DELETE FROM events_rest", "DROP TABLE alien")
	s.pgtender(t, "job", "run", "partition")
	s.pgtender(t, "job", "run", "drift")
	s.box.until(t, "resolved", faults...)
	s.boardHasData(t)

	// The daemon is killed, and comes back.
	if err := daemon.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.box.until(t, "firing", "PgtenderDown critical")
	s.run(t)
	s.box.until(t, "resolved", "PgtenderDown critical")
}

// metricsAreSound gives what the daemon really says to promtool.
func (s *stage) metricsAreSound(t *testing.T) {
	t.Helper()
	r, err := http.Get("http://" + s.daemon + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "promtool", "check", "metrics")
	cmd.Stdin = strings.NewReader(string(text))
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// panel is what a board has of queries; rows of panels have further ones.
type panel struct {
	Title   string
	Targets []struct{ Expr string }
	Panels  []panel
}

// boardHasData asks Prometheus what each panel of the Grafana board asks. Of a panel that shows only what is beyond a threshold, which is
// nothing when all is well, it asks for what the threshold is held against.
func (s *stage) boardHasData(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile("../../grafana/pgtender.json")
	if err != nil {
		t.Fatal(err)
	}
	var board panel
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$job", "pgtender", "$instance", s.daemon, "$check", "partition_runway", "$__rate_interval", "1m")
	threshold := regexp.MustCompile(` [><] \d+$`)
	asked := 0
	for rest := []panel{board}; len(rest) > 0; rest = rest[1:] {
		rest = append(rest, rest[0].Panels...)
		for _, target := range rest[0].Targets {
			asked++
			query := threshold.ReplaceAllString(variables.Replace(target.Expr), "")
			if strings.Contains(query, "$") {
				t.Errorf("panel %q has a variable that the test does not know: %s", rest[0].Title, query)
			}
			s.yields(t, rest[0].Title, query)
		}
	}
	t.Logf("%d queries of the board have data", asked)
	if asked < 20 {
		t.Errorf("the board asks only %d times", asked)
	}
}

// yields waits until a query has at least one series.
func (s *stage) yields(t *testing.T, title, query string) {
	t.Helper()
	var said string
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(500 * time.Millisecond) {
		r, err := http.Get("http://" + s.prometheus + "/api/v1/query?query=" + url.QueryEscape(query))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		var answer struct{ Data struct{ Result []any } }
		if err := json.Unmarshal(text, &answer); err == nil && len(answer.Data.Result) > 0 {
			return
		}
		said = string(text)
	}
	t.Errorf("panel %q shows nothing: %s: %s", title, query, said)
}
