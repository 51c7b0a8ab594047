package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgtender/pgtender/internal/cli"
	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/devpg"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/internal/pgtest/fault"
)

// Whatever changes something has its place in the matrix.
func TestMatrixKnowsEverything(t *testing.T) {
	t.Parallel()
	covered := map[string]bool{}
	for _, s := range subjects() {
		covered[s.covers] = true
	}
	for _, job := range append(config.BuiltinJobs(), "an own job") {
		if !covered[job] {
			t.Errorf("no subject of the matrix runs the job %q", job)
		}
	}
	text, err := os.ReadFile(filepath.Join(repository(t), "docs", "commands.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, heading := range regexp.MustCompile(`(?m)^## pgtender ([a-z ]*[a-z])`).FindAllStringSubmatch(string(text), -1) {
		if command := heading[1]; !covered[command] && elsewhere()[command] == "" {
			t.Errorf("no subject of the matrix runs the command %q", command)
		}
	}
}

// kind is one kind of fault.
type kind struct {
	fault.Fault
	start    bool // happens at the start of connections; else at statements
	dies     bool // the program is killed, and so is a process of its own
	server   bool // the server goes down
	harmless bool // the run must end well by itself
}

// kinds are all kinds of fault. What a kind does is set up for each point; see point.fault.
func kinds() []kind {
	return []kind{
		{Fault: fault.Fault{Name: "killed before", When: fault.Before, Then: fault.Cut}, dies: true},
		{Fault: fault.Fault{Name: "killed during", When: fault.During, Then: fault.Cut}, dies: true},
		{Fault: fault.Fault{Name: "killed after", When: fault.After, Then: fault.Cut}, dies: true},
		{Fault: fault.Fault{Name: "vanished", When: fault.After, Then: fault.Silent}, dies: true},
		{Fault: fault.Fault{Name: "cut before", When: fault.Before, Then: fault.Cut}},
		{Fault: fault.Fault{Name: "cut after", When: fault.After, Then: fault.Cut}},
		{Fault: fault.Terminated()},
		{Fault: fault.Fault{Name: "server killed", When: fault.During, Then: fault.Cut}, server: true},
		{Fault: fault.Fault{Name: "server shut down", When: fault.After, Then: fault.Cut}, server: true},
		{Fault: fault.Error("disk full", "53100")},
		{Fault: fault.Error("out of memory", "53200")},
		{Fault: fault.Error("serialization failure", pg.SerializationFailure)},
		{Fault: fault.Error("deadlock", pg.DeadlockDetected)},
		{Fault: fault.Error("lock timeout", pg.LockNotAvailable)},
		{Fault: fault.Error("statement timeout", pg.QueryCanceled)},
		{Fault: fault.Error("read only", pg.ReadOnlyTransaction)},
		{Fault: fault.Fault{Name: "privilege taken", When: fault.Before}},
		{Fault: fault.Fault{Name: "lock queue", When: fault.Before}, harmless: true},
		{Fault: fault.Fault{Name: "overtaken", When: fault.Before}},
		{Fault: fault.Error("too many clients", pg.TooManyConnections), start: true},
		{Fault: fault.Error("cannot connect now", pg.CannotConnectNow), start: true},
		{Fault: fault.Fault{Name: "not connected", When: fault.Before, Then: fault.Cut}, start: true},
	}
}

// point is one fault at one statement of one subject.
type point struct {
	subject *stage
	kind    kind
	at      fault.Statement
}

func (p point) String() string {
	text := p.at.Shape
	if len(text) > 100 {
		text = text[:100] + "…"
	}
	return fmt.Sprintf("%s: %s at %q (%d)", p.subject.name, p.kind.Name, text, p.at.Nth)
}

// stage is a subject on a server, with what is known of its undisturbed run.
type stage struct {
	subject
	m         *matrix
	templates sync.Map          // server → the name of its template
	all       []fault.Statement // of the undisturbed run
	points    []fault.Statement // those to be disturbed
	want      []string          // the portrait afterwards
}

// matrix is the whole.
type matrix struct {
	t      *testing.T
	dir    string
	calm   *devpg.Server // takes many points at once
	doomed *devpg.Server // goes down, for one point at a time
	turn   sync.Mutex    // of doomed
	count  sync.Mutex
	number int
	missed int
}

// The program is disturbed at statements of every job, of apply, and of all else that changes something: it is killed, the server goes
// down, the connection breaks or falls silent, the server answers with errors, locks and rights are missing. Then the command
// is run once more, and everything must be as if nothing had happened: the catalogs, each row, no session, lock or
// open journal entry left; and a further run finds nothing to do. make test takes a sample, in which each job and each kind of fault occurs;
// make soak takes all.
func TestMatrix(t *testing.T) {
	t.Parallel()
	m := newMatrix(t)
	var stages []*stage
	for _, s := range subjects() {
		stages = append(stages, &stage{subject: s, m: m})
	}
	t.Run("undisturbed", func(t *testing.T) {
		for _, s := range stages {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				s.record(t)
			})
		}
	})
	if t.Failed() {
		return
	}
	known := strip(stages)
	for _, s := range stages {
		t.Logf("%s: %d statements besides %d with which another subject begins, too", s.name, len(s.points), known[s])
	}
	points := choose(stages)
	perKind := map[string]int{}
	t.Run("disturbed", func(t *testing.T) {
		for _, p := range points {
			perKind[p.kind.Name]++
			t.Run(p.String(), func(t *testing.T) {
				t.Parallel()
				p.run(t)
			})
		}
	})
	t.Logf("%d points of %d subjects, %d kinds of fault %v; %d points were not reached again", len(points), len(stages), len(perKind), perKind, m.missed)
	if m.missed > max(2, len(points)/10) {
		t.Errorf("%d of %d points were not reached", m.missed, len(points))
	}
}

func newMatrix(t *testing.T) *matrix {
	m := &matrix{t: t, dir: filepath.Join(repository(t), "internal", "cli", "testdata", "matrix")}
	m.calm, m.doomed = pgtest.Private(t, "max_connections=200"), pgtest.Private(t)
	return m
}

// everything is whether the run takes all points.
func everything() bool { return pgtest.Scaled(0, 1) == 1 }

// strip takes from each subject the statements with which an earlier one has begun, too: up to there the program does the same.
func strip(stages []*stage) (known map[*stage]int) {
	known = map[*stage]int{}
	for i, s := range stages {
		for _, earlier := range stages[:i] {
			n := 0
			for n < min(len(s.all), len(earlier.all)) && s.all[n].Shape == earlier.all[n].Shape {
				n++
			}
			known[s] = max(known[s], n)
		}
		s.points = s.all[known[s]:]
	}
	return known
}

// choose picks the points.
func choose(stages []*stage) (all []point) {
	kinds := kinds()
	fits := func(s *stage, k kind) (list []fault.Statement) {
		if s.alone != "" && k.server {
			return nil // its server is nobody else's to take down, nor is it for this
		}
		for _, at := range s.points {
			if (at.Text == fault.Connect) == k.start {
				list = append(list, at)
			}
		}
		return list
	}
	if everything() {
		for _, s := range stages {
			for _, k := range kinds {
				list, step := fits(s, k), 1
				if s.few {
					step = max(1, len(list)/5)
				}
				for i := 0; i < len(list); i += step {
					all = append(all, point{s, k, list[i]})
				}
			}
		}
		return all
	}
	for i := range max(len(stages), len(kinds)) {
		s, k := stages[i%len(stages)], kinds[i%len(kinds)]
		list := fits(s, k)
		for next := i + 1; len(list) == 0; next++ {
			s = stages[next%len(stages)]
			list = fits(s, k)
		}
		h := fnv.New32()
		fmt.Fprint(h, s.name, k.Name)
		all = append(all, point{s, k, list[int(h.Sum32()%uint32(len(list)))]})
	}
	return all
}

// restless are statements that come whenever a timer says so; what they do is done between any two others.
var restless = regexp.MustCompile(`pg_stat_force_next_flush|current_setting\('pgtender\.session'`)

// record runs the subject undisturbed.
func (s *stage) record(t *testing.T) {
	server := s.server(false)
	url := s.clone(t, server)
	proxy := fault.New(t, url)
	code, out := s.once(t.Context(), proxy.URL())
	if code != s.code {
		t.Fatalf("exit code %d, want %d: %s", code, s.code, out)
	}
	known := map[string]bool{}
	for _, at := range proxy.Seen() {
		if key := fmt.Sprint(at.Nth, at.Shape); !restless.MatchString(at.Text) && !known[key] {
			known[key] = true
			s.all = append(s.all, at)
		}
	}
	if len(s.all) < 15 {
		t.Fatalf("only %d statements", len(s.all))
	}
	s.idles(t, url)
	s.want = portrait(t, url)
	s.nothingLeft(t, url)
}

func (s *stage) server(dies bool) *devpg.Server {
	if dies || s.alone != "" {
		return s.m.doomed
	}
	return s.m.calm
}

// once runs the command in this process.
func (s *stage) once(ctx context.Context, url string) (int, string) {
	return s.m.command(ctx, url, s.command)
}

func (m *matrix) args(command string) []string {
	words := strings.Fields(command)
	for i, w := range words {
		if strings.HasSuffix(w, ".sql") {
			words[i] = filepath.Join(m.dir, w)
		}
	}
	return append([]string{"--config", filepath.Join(m.dir, "atlas.hcl")}, words...)
}

func (m *matrix) command(ctx context.Context, url, command string) (int, string) {
	var out lines
	code := cli.Main(ctx, m.args(command), nil, &out, &out, func(name string) string {
		return map[string]string{"DATABASE_URL": url}[name]
	})
	return code, out.String()
}

// template is a database with what the subject finds.
func (s *stage) template(t *testing.T, server *devpg.Server) string {
	t.Helper()
	type made struct {
		once sync.Once
		name string
	}
	entry, _ := s.templates.LoadOrStore(server, &made{})
	entry.(*made).once.Do(func() {
		name := "template_" + strings.ReplaceAll(s.name, " ", "_")
		base := s.m.base(t, server)
		pgtest.Exec(t, server.URL("postgres"), fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s STRATEGY file_copy", name, base))
		for _, step := range s.prepare {
			command, ok := strings.CutPrefix(step, "$ ")
			if !ok {
				pgtest.Exec(t, server.URL(name), "SET TimeZone = 'UTC'; "+step)
				continue
			}
			if code, out := s.m.command(t.Context(), server.URL(name), command); code != 0 {
				t.Errorf("%s: exit code %d: %s", command, code, out)
				return
			}
		}
		pgtest.Eventually(t, server.URL("postgres"), "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = $1)", name)
		entry.(*made).name = name
	})
	if entry.(*made).name == "" {
		t.Fatalf("there is no template of %s", s.name)
	}
	return entry.(*made).name
}

var bases sync.Map

// base is a database that pgtender has brought to the declaration.
func (m *matrix) base(t *testing.T, server *devpg.Server) string {
	t.Helper()
	once, _ := bases.LoadOrStore(server, sync.OnceFunc(func() {
		pgtest.Exec(t, server.URL("postgres"), "CREATE DATABASE base TEMPLATE template0 STRATEGY file_copy")
		if code, out := m.command(t.Context(), server.URL("base"), "apply --auto-approve"); code != 0 {
			t.Errorf("apply: exit code %d: %s", code, out)
		}
		pgtest.Eventually(t, server.URL("postgres"), "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'base')")
	}))
	once.(func())()
	return "base"
}

// clone is a database of the subject, as a role of that name: a superuser, who owns nothing that a template has.
func (s *stage) clone(t *testing.T, server *devpg.Server) string {
	t.Helper()
	template := s.template(t, server)
	s.m.count.Lock()
	s.m.number++
	name := fmt.Sprintf("point_%d", s.m.number)
	s.m.count.Unlock()
	pgtest.Exec(t, server.URL("postgres"), fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s STRATEGY file_copy", name, template), "CREATE ROLE "+name+" LOGIN SUPERUSER")
	t.Cleanup(func() {
		pgtest.Exec(t, server.URL("postgres"), "DROP DATABASE "+name+" WITH (FORCE)", "DROP ROLE "+name)
	})
	if s.alone != "" {
		for _, sql := range strings.Split(s.alone, "; ") {
			pgtest.Exec(t, server.URL(name), sql)
		}
	}
	return pgtest.As(t, server.URL(name), name, "")
}

func roleOf(t *testing.T, url string) string { return mustParse(t, url).User.Username() }

// run disturbs the subject at the point, lets it recover, and looks at what has come of it.
func (p point) run(t *testing.T) {
	s := p.subject
	server := s.server(p.kind.server)
	if server == s.m.doomed {
		s.m.turn.Lock()
		defer s.m.turn.Unlock()
	}
	url := s.clone(t, server)
	proxy := fault.New(t, url)
	admin := pgtest.As(t, url, "postgres", "")
	d := disturbed{point: p, t: t, proxy: proxy, admin: admin, role: roleOf(t, url), server: server}
	code, out := d.run()
	if strings.Contains(out, "goroutine ") {
		t.Fatalf("it panicked: %s", out)
	}
	if d.rule.Hits() == 0 {
		s.m.count.Lock()
		s.m.missed++
		s.m.count.Unlock()
	}
	d.recover()
	well := code == s.code && !strings.Contains(out, ": skipped: busy")
	if code != s.code && out == "" && !p.kind.dies {
		t.Error("it says nothing of what went wrong")
	}
	if p.kind.harmless && code != s.code {
		t.Errorf("exit code %d: %s", code, out)
	}
	if !well { // what says that it ended well needs no help
		if code, again := s.again(t, url); code != s.code {
			t.Fatalf("the run after: exit code %d:\n%s\nthe disturbed one: %s", code, again, out)
		}
	}
	s.idles(t, url)
	if diff := cmp.Diff(s.want, portrait(t, url)); diff != "" {
		t.Errorf("not as after an undisturbed run (-undisturbed +now):\n%s\nthe disturbed one said (exit code %d): %s", diff, code, out)
	}
	s.nothingLeft(t, url)
}

// again is the run after a fault, which may meet what the server has not noticed yet: a run that says it was skipped as another
// process works there is made again.
func (s *stage) again(t *testing.T, url string) (code int, out string) {
	for range 3 {
		if code, out = s.once(t.Context(), url); !strings.Contains(out, ": skipped: busy") {
			break
		}
	}
	if code == 1 && s.idle != "" && regexp.MustCompile(s.idle).MatchString(out) {
		return s.code, out // all was done already, which some commands call an error
	}
	return code, out
}

// disturbed is a run with a fault.
type disturbed struct {
	point
	t       *testing.T
	proxy   *fault.Proxy
	admin   string // the database as another superuser
	role    string
	server  *devpg.Server
	rule    *fault.Rule
	process *exec.Cmd
	undo    []func()
}

// fault is the point's fault with its deed.
func (d *disturbed) fault() fault.Fault {
	f := d.kind.Fault
	switch {
	case d.kind.dies:
		f.Do = func(fault.Statement) { _ = d.process.Process.Kill() } // it may have ended already
	case f.Name == "server killed":
		f.Do = func(fault.Statement) { d.bounce(devpg.Killed) }
	case f.Name == "server shut down":
		f.Do = func(fault.Statement) { d.bounce(devpg.Immediate) }
	case f.Name == "privilege taken":
		f.Do = func(fault.Statement) { pgtest.Exec(d.t, d.admin, "ALTER ROLE "+d.role+" NOSUPERUSER") }
	case f.Name == "overtaken":
		f.Do = func(fault.Statement) { d.overtake() }
	case f.Name == "lock queue":
		f.Do = func(fault.Statement) {
			release := fault.Queue(d.t, d.admin, d.subject.tables)
			done := make(chan struct{})
			time.AfterFunc(250*time.Millisecond, func() { defer close(done); release() })
			d.undo = append(d.undo, func() { <-done })
		}
	}
	return f
}

// overtake ends the session that holds the run's locks, and lets another process do the work, as far as it can within a second,
// before the disturbed one goes on: as if it had been frozen for a while, with its machine.
func (d *disturbed) overtake() {
	pgtest.Exec(d.t, d.admin, `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'pgtender: %'`)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if code, out := d.subject.once(context.Background(), pgtest.As(d.t, d.admin, d.role, "")); code != d.subject.code {
			d.t.Logf("the other process: exit code %d: %s", code, out) // it may have met the disturbed one's locks
		}
	}()
	d.undo = append(d.undo, func() { <-done })
	select {
	case <-done:
	case <-time.After(time.Second):
	}
}

func (d *disturbed) bounce(how devpg.Shutdown) {
	if err := d.server.Down(context.Background(), how); err != nil {
		d.t.Error(err)
	}
	if err := d.server.Up(context.Background(), nil); err != nil {
		d.t.Error(err)
	}
}

// run returns exit code and output.
func (d *disturbed) run() (int, string) {
	arm := func() { d.rule = d.proxy.At(fault.Like(d.at.Text, d.at.Nth), d.fault()) }
	if !d.kind.dies {
		arm()
		ctx, cancel := context.WithTimeout(d.t.Context(), 2*time.Minute)
		defer cancel()
		code, out := d.subject.once(ctx, d.proxy.URL())
		if ctx.Err() != nil {
			d.t.Errorf("it did not end: %s", out)
		}
		return code, out
	}
	exe, err := os.Executable()
	if err != nil {
		d.t.Fatal(err)
	}
	var out bytes.Buffer
	d.process = exec.Command(exe)
	d.process.Args = append([]string{"pgtender"}, d.subject.m.args(d.subject.command)...)
	d.process.Env = []string{"DATABASE_URL=" + d.proxy.URL(), "PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir()}
	d.process.Stdout, d.process.Stderr = &out, &out
	if err := d.process.Start(); err != nil {
		d.t.Fatal(err)
	}
	arm()
	_ = d.process.Wait()
	status := d.process.ProcessState.Sys().(syscall.WaitStatus)
	if killed := status.Signaled() && status.Signal() == syscall.SIGKILL; killed != (d.rule.Hits() > 0) {
		d.t.Logf("killed: %v, hits: %d: %s", killed, d.rule.Hits(), &out)
	}
	return d.process.ProcessState.ExitCode(), out.String()
}

// recover takes the fault away. What has fallen silent is noticed by the server a moment later, when the next run has begun.
func (d *disturbed) recover() {
	d.rule.End()
	if d.rule.Hits() > 0 {
		<-d.rule.Happened()
	}
	for _, f := range d.undo {
		f()
	}
	switch {
	case d.kind.Then == fault.Silent:
		timer := time.AfterFunc(300*time.Millisecond, d.proxy.Close)
		d.t.Cleanup(func() { timer.Stop() })
	case d.kind.Name == "privilege taken":
		pgtest.Exec(d.t, d.admin, "ALTER ROLE "+d.role+" SUPERUSER")
	}
}

// idles runs the command once more: there is nothing left to do.
func (s *stage) idles(t *testing.T, url string) {
	t.Helper()
	code, out := s.again(t, url)
	if code != s.code || !regexp.MustCompile(s.idle).MatchString(out) {
		t.Errorf("a further run: exit code %d: %s", code, out)
	}
}

// nothingLeft looks for sessions and locks, and for runs and plans that the journals have as going on.
func (s *stage) nothingLeft(t *testing.T, url string) {
	t.Helper()
	pgtest.Eventually(t, pgtest.As(t, url, "postgres", ""), `SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend')
		AND NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
		AND NOT EXISTS (SELECT FROM pg_prepared_xacts)`)
	for what, sql := range map[string]string{
		"runs without an end":  "SELECT job, target FROM pgtender.run WHERE outcome IS NULL",
		"plans without an end": "SELECT id FROM pgtender.applied_plan WHERE state = 'running'",
		"settings in the air":  "SELECT name FROM pgtender.setting_change WHERE state = 'begun'",
	} {
		if got := scalar(t, url, sql); got != "" {
			t.Errorf("%s: %s", what, got)
		}
	}
}

// portrait is everything in the database that does not differ from run to run: the catalogs outside pgtender's own schema, each
// relation's rows, and what the manifest says is where.
func portrait(t *testing.T, url string) []string {
	t.Helper()
	out := rowsOf(t, url, portraitSQL)
	relations := rowsOf(t, url, `
		SELECT coalesce(string_agg(format('SELECT %L, count(*), coalesce(bit_xor(hashtextextended(r::text, 0)), 0) FROM %s r', 'rows of ' || oid::regclass, oid::regclass), ' UNION ALL ' ORDER BY oid::regclass::text), 'SELECT 1')
		FROM pg_class WHERE oid >= 16384 AND relkind IN ('r', 'm') AND relispopulated AND relnamespace <> 'pgtender'::regnamespace`)
	return append(out, slices.Sorted(slices.Values(rowsOf(t, url, relations[0])))...)
}

const portraitSQL = `
WITH ours AS (SELECT oid FROM pg_class WHERE oid >= 16384 AND relkind <> 't' AND relnamespace NOT IN ('pg_toast'::regnamespace, 'pgtender'::regnamespace) AND NOT pg_is_other_temp_schema(relnamespace))
SELECT concat_ws(' ', 'schema', nspname, nspacl) FROM pg_namespace WHERE nspname !~ '^pg_(temp|toast)'
UNION ALL SELECT concat_ws(' ', 'relation', c.oid::regclass, relkind, relpersistence, relacl, reloptions, relispartition, relispopulated, pg_get_expr(relpartbound, c.oid)) FROM pg_class c JOIN ours USING (oid) WHERE relkind <> 'i'
UNION ALL SELECT concat_ws(' ', 'child', inhrelid::regclass, inhparent::regclass, inhdetachpending) FROM pg_inherits WHERE inhrelid IN (SELECT oid FROM ours)
UNION ALL SELECT concat_ws(' ', 'column', attrelid::regclass, attname, format_type(atttypid, atttypmod), attnotnull, attgenerated, attidentity, attacl) FROM pg_attribute WHERE attrelid IN (SELECT oid FROM ours) AND attnum > 0 AND NOT attisdropped
UNION ALL SELECT concat_ws(' ', 'default', adrelid::regclass, a.attname, pg_get_expr(adbin, adrelid)) FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum WHERE adrelid IN (SELECT oid FROM ours)
UNION ALL SELECT concat_ws(' ', 'constraint', conrelid::regclass, conname, convalidated, conenforced, pg_get_constraintdef(oid)) FROM pg_constraint WHERE conrelid IN (SELECT oid FROM ours)
UNION ALL SELECT concat_ws(' ', 'index', indexrelid::regclass, indisvalid, indisready, indislive, pg_get_indexdef(indexrelid)) FROM pg_index WHERE indrelid IN (SELECT oid FROM ours)
UNION ALL SELECT concat_ws(' ', 'trigger', tgrelid::regclass, tgenabled, pg_get_triggerdef(oid)) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT concat_ws(' ', 'rule', ev_class::regclass, pg_get_ruledef(oid)) FROM pg_rewrite WHERE ev_class IN (SELECT oid FROM ours)
UNION ALL SELECT concat_ws(' ', 'routine', oid::regprocedure, proacl, proconfig, prosrc) FROM pg_proc WHERE oid >= 16384
UNION ALL SELECT concat_ws(' ', 'type', oid::regtype, typtype) FROM pg_type WHERE oid >= 16384 AND typnamespace NOT IN ('pg_toast'::regnamespace, 'pgtender'::regnamespace)
UNION ALL SELECT concat_ws(' ', 'comment', pg_describe_object(classoid, objoid, objsubid), description) FROM pg_description WHERE objoid >= 16384
UNION ALL SELECT concat_ws(' ', 'moved', live_table, partition_name, gone_how, sum(rows), bool_and(rows_exact)) FROM pgtender.archived_partition GROUP BY live_table, partition_name, gone_how
UNION ALL SELECT concat_ws(' ', 'setting', name, setting) FROM pg_settings WHERE name = 'effective_io_concurrency'
ORDER BY 1`
