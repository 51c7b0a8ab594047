package cli_test

import (
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/pgtender/pgtender/internal/devpg"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
)

// The metrics that dashboards and alerts rely on, with their labels.
var promised = map[string]string{
	"pgtender_build_info": "", "pgtender_leader": "", "pgtender_schema_drift_objects": "", "pgtender_schema_last_apply_timestamp_seconds": "",
	"pgtender_job_runs_total": "job outcome target", "pgtender_job_duration_seconds": "job",
	"pgtender_job_last_success_timestamp_seconds": "job target", "pgtender_job_next_run_timestamp_seconds": "job target",
	"pgtender_partition_runway_seconds": "schema table", "pgtender_partitions": "schema table", "pgtender_partition_gaps": "schema table",
	"pgtender_default_partition_rows": "schema table", "pgtender_archive_lag_seconds": "schema table", "pgtender_archived_rows_total": "schema table",
	"pgtender_matview_age_seconds": "schema view", "pgtender_matview_refreshes_total": "outcome schema view",
	"pgtender_io_setting": "name", "pgtender_io_pending_restart": "name",
	"pgtender_check_status": "check object", "pgtender_check_value": "check object", "pgtender_check_age_seconds": "check",
}

func (p *process) metrics() map[string]*dto.MetricFamily {
	p.t.Helper()
	status, body := p.get("/metrics")
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil || status != http.StatusOK {
		p.t.Fatalf("/metrics: %d, %v", status, err)
	}
	return families
}

// metric is the value of the first series of a gauge.
func (p *process) metric(name string) float64 {
	p.t.Helper()
	family := p.metrics()[name]
	if family == nil {
		p.t.Fatalf("there is no %s", name)
	}
	return family.GetMetric()[0].GetGauge().GetValue()
}

func TestDaemonServes(t *testing.T) {
	t.Parallel()
	p := daemon(t, ground(t))
	if status, body := p.get("/livez"); status != http.StatusOK || body != "alive\n" {
		t.Errorf("/livez: %d %s", status, body)
	}
	p.ready()
	for _, job := range []string{"partition", "work"} {
		p.logged("job done", "job", job)
	}
	p.until("/metrics", func(_ int, body string) bool {
		return strings.Contains(body, `pgtender_job_runs_total{job="work",outcome="success",target=""} 1`) && strings.Contains(body, `pgtender_matview_age_seconds{`) &&
			strings.Contains(body, "pgtender_schema_drift_objects 0")
	})
	got := map[string]string{}
	for name, family := range p.metrics() {
		if _, ok := promised[name]; !ok {
			continue
		}
		var labels []string
		for _, pair := range family.GetMetric()[0].GetLabel() {
			labels = append(labels, pair.GetName())
		}
		got[name] = strings.Join(slices.Sorted(slices.Values(labels)), " ")
		if name == "pgtender_build_info" {
			got[name] = ""
		}
	}
	if diff := cmp.Diff(promised, got); diff != "" {
		t.Errorf("metrics (-promised +there):\n%s", diff)
	}
	if runway := p.metric("pgtender_partition_runway_seconds"); runway < 27*86400 {
		t.Errorf("runway of %g s with a month made ahead", runway)
	}
	if p.metric("pgtender_leader") != 1 {
		t.Error("it does not lead")
	}
	for path, want := range map[string]string{"/status": "public.events", "/status.json": `"public.events"`} {
		if status, body := p.get(path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d, without %s:\n%s", path, status, want, body)
		}
	}
	p.terminate()
	if p.stdout.String() != "" {
		t.Errorf("printed on stdout: %s", &p.stdout)
	}
}

// On an empty database the schema comes before anything that stands on it, except what has a hazard: that is left, and told.
func TestDaemonApplies(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	pgtest.Exec(t, url, "CREATE TABLE t (a int, b int)")
	dir := folder(t, "s.sql", "CREATE TABLE t (a int);\nCREATE TABLE u (a int);", "atlas.hcl", `env "local" {
		url = getenv("DATABASE_URL")
		schema { src = ["file://s.sql"] }
		daemon { listen = "127.0.0.1:0" }
		job "fill" {
			schedule = "0 0 1 1 *"
			sql      = "INSERT INTO public.u VALUES (1)"
		}
	}`)
	p := start(t, dir, []string{"DATABASE_URL=" + url}, "run")
	p.logged("job done", "job", "drift", "outcome", "success")
	p.logged("job done", "job", "fill", "outcome", "success")
	p.ready()
	if got := scalar(t, url, "SELECT summary FROM pgtender.run WHERE job = 'drift'"); got != "applied 1 statement; left to a person, for their hazards: column public.t.b (see: pgtender plan)" {
		t.Errorf("the drift job says %q", got)
	}
	p.until("/metrics", func(_ int, body string) bool { return strings.Contains(body, "pgtender_schema_drift_objects 1") })
	p.terminate()
}

func TestAddressInUse(t *testing.T) {
	t.Parallel()
	url := ground(t)
	first := daemon(t, url)
	address := first.logged("listening")["address"].(string)
	second := daemon(t, url, "--listen", address)
	if code := second.wait(patience); code != 1 || !strings.Contains(second.stderr.String(), "listen on "+address+": ") || !strings.Contains(second.stderr.String(), "Choose another address: --listen") {
		t.Errorf("exit code %d: %s", code, &second.stderr)
	}
}

// Of two daemons one acts. When it is killed, or ends, the other takes over.
func TestTwoDaemons(t *testing.T) {
	t.Parallel()
	url := ground(t)
	first := daemon(t, url)
	first.logged("leading")
	second := daemon(t, url)
	second.logged("standing by")
	first.ready()
	second.ready()
	if a, b := first.metric("pgtender_leader"), second.metric("pgtender_leader"); a != 1 || b != 0 {
		t.Errorf("pgtender_leader is %g and %g", a, b)
	}
	first.kill()
	second.logged("leading")
	third := daemon(t, url)
	third.logged("standing by")
	second.terminate()
	third.logged("leading")
	third.ready()
	third.terminate()
	// Each job's first run was due once, whoever led.
	if got := scalar(t, url, "SELECT job, count(*) FROM pgtender.run WHERE outcome <> 'failure' AND trigger <> 'start' GROUP BY job HAVING count(*) > 1"); got != "" {
		t.Errorf("ran more than once: %s", got)
	}
}

// The server is not there when the daemon starts, comes, is killed, and comes again. The daemon waits, says what is wrong, and goes
// on by itself.
func TestServerComesAndGoes(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t)
	url := pgtest.DatabaseOn(t, server)
	down := func(how devpg.Shutdown) {
		if err := server.Down(t.Context(), how); err != nil {
			t.Fatal(err)
		}
	}
	up := func() {
		if err := server.Up(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	ticking := strings.Replace(groundFile(t), "atlas.hcl", "ticking.hcl", 1)
	if code, out := inProcess(t.Context(), "--config", ticking, "--url", url, "apply", "--auto-approve"); code != 0 {
		t.Fatalf("apply: %d %s", code, out)
	}
	down(devpg.Fast)
	p := start(t, t.TempDir(), []string{"DATABASE_URL=" + url}, "--config", ticking, "run")
	unready := func(status int, body string) bool {
		return status == http.StatusServiceUnavailable && strings.Contains(body, "connected: no server answers (host 127.0.0.1, port "+strconv.Itoa(server.Port)+", ")
	}
	alive := func() {
		t.Helper()
		if status, _ := p.get("/livez"); status != http.StatusOK {
			t.Errorf("/livez: %d", status)
		}
		if status, _ := p.get("/metrics"); status != http.StatusOK {
			t.Errorf("/metrics: %d", status)
		}
	}
	p.until("/readyz", unready)
	alive()
	up()
	p.logged("job done", "job", "tick", "outcome", "success")
	p.ready()
	for _, how := range []devpg.Shutdown{devpg.Killed, devpg.Fast} {
		down(how)
		p.until("/readyz", func(status int, body string) bool {
			return status == http.StatusServiceUnavailable && strings.Contains(body, "connected: ")
		})
		alive()
		up()
		last := scalar(t, url, "SELECT max(id) FROM pgtender.run")
		pgtest.Eventually(t, url, "SELECT EXISTS (SELECT FROM pgtender.run WHERE job = 'tick' AND outcome = 'success' AND id > $1)", last)
		p.ready()
	}
	// Each committed row has its run. One that the server's end met between its commit and the ledger's is told as interrupted.
	if got := scalar(t, url, `SELECT count(*) FROM pgtender.run WHERE job = 'tick' AND outcome = 'failure' AND error NOT LIKE 'interrupted: %' AND error NOT LIKE 'not begun: %'`); got != "0" {
		t.Errorf("%s runs failed for another reason than the server: %s", got, scalar(t, url, "SELECT error FROM pgtender.run WHERE job = 'tick' AND outcome = 'failure'"))
	}
	p.terminate()
	if open := scalar(t, url, "SELECT count(*) FROM pgtender.run WHERE outcome IS NULL"); open != "0" {
		t.Errorf("%s runs of the ledger have no outcome", open)
	}
}

// A wrong password is told, never printed, and waited for to become right.
func TestWrongPassword(t *testing.T) {
	t.Parallel()
	server := pgtest.PrivateWithPassword(t, "open sesame")
	right := pgtest.DatabaseOn(t, server)
	wrong := pgtest.As(t, right, "postgres", "shut%sesame")
	before := picture(t, right)
	dir := folder(t, "s.sql", "CREATE TABLE t (a int);")
	printed := func(what, text string) {
		t.Helper()
		if strings.Contains(text, "sesame") {
			t.Errorf("%s has the password:\n%s", what, text)
		}
	}
	for _, command := range everyCommand() {
		p := start(t, dir, []string{"DATABASE_URL=" + wrong}, append([]string{"--log-level", "debug", "--config", groundFile(t)}, strings.Fields(command)...)...)
		want := 1
		if command == "check" {
			want = 3
		}
		code, said := p.wait(patience), p.stdout.String()
		if command == "check" { // monitoring plugins are read by their stdout
			said = strings.TrimPrefix(said, "UNKNOWN   the database cannot be asked: ")
			said, _, _ = strings.Cut(said, "the server refused the connection")
		}
		if code != want || said != "" || !strings.Contains(p.stderr.String(),
			"password authentication failed for user \"postgres\" (SQLSTATE 28P01)\ncheck the password (PGPASSWORD, PGPASSFILE or the connection string).\n") {
			t.Errorf("%s: exit code %d: %s%s", command, code, &p.stdout, &p.stderr)
		}
		printed(command, p.stderr.String()+p.stdout.String())
	}
	if diff := cmp.Diff(before, picture(t, right)); diff != "" {
		t.Errorf("the database was changed:\n%s", diff)
	}

	p := start(t, dir, []string{"DATABASE_URL=" + wrong}, "--log-level", "debug", "--config", groundFile(t), "run")
	p.until("/readyz", func(status int, body string) bool {
		return status == http.StatusServiceUnavailable && strings.Contains(body, "password authentication failed")
	})
	if status, _ := p.get("/livez"); status != http.StatusOK {
		t.Errorf("/livez: %d", status)
	}
	for _, path := range []string{"/readyz", "/status", "/status.json", "/metrics"} {
		_, body := p.get(path)
		printed(path, body)
	}
	pgtest.Exec(t, server.SocketURL("postgres"), "ALTER ROLE postgres PASSWORD 'shut%sesame'")
	p.ready()
	p.logged("job done", "job", "work")
	for _, path := range []string{"/readyz", "/status", "/status.json", "/metrics"} {
		_, body := p.get(path)
		printed(path, body)
	}
	text, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	printed("the process list", string(text))
	printed("the server's list of sessions", strings.Join(rowsOf(t, wrong, "SELECT application_name, query FROM pg_stat_activity"), "\n"))
	printed("the database", strings.Join(rowsOf(t, wrong, "SELECT r::text FROM pgtender.run r UNION ALL SELECT p::text FROM pgtender.applied_plan p"), "\n"))
	p.terminate()
	printed("the log", p.stderr.String())
}

// A standby is looked at and never written to. A daemon there is ready, and leads once it is promoted.
func TestStandby(t *testing.T) {
	t.Parallel()
	primary := pgtest.Private(t)
	url := pgtest.DatabaseOn(t, primary)
	pgtest.Exec(t, url, "CREATE TABLE alien (a int)")
	if code, out := inProcess(t.Context(), "--config", groundFile(t), "--url", url, "run", "--once"); code != 0 {
		t.Fatalf("run --once on the primary: %d %s", code, out)
	}
	server := pgtest.Standby(t, primary)
	there := server.URL(strings.TrimPrefix(mustParse(t, url).Path, "/"))
	pgtest.Eventually(t, there, "SELECT EXISTS (SELECT FROM pgtender.run WHERE job = 'work' AND outcome = 'success')")
	before := picture(t, there)
	other := filepath.Join(folder(t, "other.sql", "CREATE TABLE other (a int);"), "other.sql")
	const refused = `pgtender: the server of database ".*" is a read-only standby. Nothing was changed. Connect to its primary, for example with target_session_attrs=primary`
	const unscratched = `pgtender: the server of database ".*" is a read-only standby, and the sources are loaded into a scratch database. Nothing was changed.\nName another PostgreSQL 18 server to make it on: env dev, --dev-url or DEV_DATABASE_URL. Or ask the primary.\n$`
	for command, want := range map[string]struct {
		code   int
		stderr string
	}{
		"apply --auto-approve": {1, refused}, "run --once": {1, refused}, "job run partition": {1, refused}, "job run drift": {1, refused}, "io apply": {1, refused},
		// What was applied is remembered in the database; other sources need a scratch database.
		"plan": {2, "^$"}, "drift": {2, "^$"}, "plan --to " + other: {1, unscratched}, "drift --to " + other: {1, unscratched},
		"plan --dev-url " + primary.URL("postgres"): {2, "^$"}, "drift --dev-url " + primary.URL("postgres"): {2, "^$"},
		"check": {1, "^$"}, "job list": {0, "^$"}, "job run partition --dry-run": {0, "^$"}, "archive list": {0, "^$"}, "grants": {0, "^$"}, "io status --seconds 1": {0, "^$"},
	} {
		p := start(t, t.TempDir(), []string{"DATABASE_URL=" + there}, append([]string{"--config", groundFile(t)}, strings.Fields(command)...)...)
		if code := p.wait(patience); code != want.code || !matches(want.stderr, p.stderr.String()) {
			t.Errorf("%s: exit code %d: %s%s", command, code, &p.stdout, &p.stderr)
		}
	}
	if diff := cmp.Diff(before, picture(t, there)); diff != "" {
		t.Errorf("the database was changed:\n%s", diff)
	}

	p := daemon(t, there)
	p.ready()
	if p.metric("pgtender_leader") != 0 {
		t.Error("it leads on a standby")
	}
	pgtest.Exec(t, server.URL("postgres"), "SELECT pg_promote()")
	p.logged("leading")
	p.ready()
	pgtest.Eventually(t, there, "SELECT count(*) > 1 FROM pgtender.run WHERE job = 'drift'")
	p.terminate()
}

// What a command killed while it loads the sources has left is removed by the next one.
func TestScratchDatabasesAreRemoved(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t)
	url := pgtest.DatabaseOn(t, server)
	dir := folder(t, "slow.sql", "CREATE MATERIALIZED VIEW v AS SELECT pg_catalog.pg_sleep(300) IS NULL AS slow;", "quick.sql", "CREATE TABLE t (a int);")
	const scratch = "SELECT count(*) FROM pg_database WHERE datname LIKE 'pgtender_scratch_%'"
	for range 2 {
		p := start(t, dir, nil, "--url", url, "--to", "slow.sql", "plan")
		pgtest.Eventually(t, url, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname LIKE 'pgtender_scratch_%' AND wait_event = 'PgSleep')")
		p.kill()
		pgtest.Eventually(t, url, "SELECT NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory')") // the server has noticed
	}
	if got := scalar(t, url, scratch); got != "1" {
		t.Errorf("%s scratch databases after the second kill, want the last one's", got)
	}
	pgtest.Eventually(t, url, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname LIKE 'pgtender_scratch_%')")
	p := start(t, dir, nil, "--url", url, "--to", "slow.sql", "plan")
	pgtest.Eventually(t, url, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname LIKE 'pgtender_scratch_%' AND wait_event = 'PgSleep')")
	p.signal(syscall.SIGINT)
	if code := p.wait(patience); code != 1 {
		t.Errorf("exit code %d after Ctrl-C: %s", code, &p.stderr)
	}
	if got := scalar(t, url, scratch); got != "0" {
		t.Errorf("%s scratch databases after Ctrl-C", got)
	}
	if code, out := inProcess(t.Context(), "--url", url, "--to", dir+"/quick.sql", "apply", "--auto-approve"); code != 0 {
		t.Fatalf("apply: %d %s", code, out)
	}
	if got := scalar(t, url, scratch); got != "0" {
		t.Errorf("%s scratch databases are left", got)
	}
}

// Two applies of the same: one waits for the other, and finds its work done.
func TestTwoApplies(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	dir := folder(t, "s.sql", "CREATE TABLE t (a int);")
	release := hold(t, url, "SELECT pg_advisory_xact_lock("+strconv.FormatInt(pg.LockKey("apply"), 10)+")")
	impatient := start(t, dir, nil, "--url", url, "--to", "s.sql", "apply", "--auto-approve", "--wait", "10ms")
	if code := impatient.wait(patience); code != 1 || !matches(`pgtender: another pgtender is applying a plan to this database \(process \d+, role postgres, from 127.0.0.1, since .*\); waited 0s for it. Nothing was changed. Try again when it has ended.`, impatient.stderr.String()) {
		t.Errorf("exit code %d: %s", code, &impatient.stderr)
	}
	var both []*process
	for range 2 {
		both = append(both, start(t, dir, nil, "--url", url, "--to", "s.sql", "apply", "--auto-approve"))
	}
	for _, p := range both {
		p.prints("waiting: another pgtender is applying a plan")
	}
	release()
	said := map[string]int{}
	for _, p := range both {
		if code := p.wait(patience); code != 0 {
			t.Errorf("exit code %d: %s", code, &p.stderr)
		}
		for _, end := range []string{"Applied 1 statement in", "The database is already as declared."} {
			if strings.Contains(p.stdout.String(), end) {
				said[end]++
			}
		}
	}
	if len(said) != 2 || slices.Max(slices.Collect(maps.Values(said))) != 1 {
		t.Errorf("they said %v", said)
	}
	if got := scalar(t, url, "SELECT state, statements FROM pgtender.applied_plan"); got != "done|1" {
		t.Errorf("the journal has %s", got)
	}
}
