package cli_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/schema/registry/sample"
)

// dev starts `pgtender dev` in dir, with the programs that the tests have.
func dev(t *testing.T, dir string, env ...string) *process {
	t.Helper()
	if bin := os.Getenv("PGTENDER_POSTGRES_BIN"); bin != "" {
		env = append(env, "PGTENDER_POSTGRES_BIN="+bin)
	}
	return start(t, dir, env, "dev", "--cache", filepath.Join(repository(t), ".cache"), "--listen", "127.0.0.1:0")
}

var shown = regexp.MustCompile(`(?m)^  database +(postgres://\S+)$`)

// toured waits until the daemon has told where to look, and returns the database's connection string.
func (p *process) toured() string {
	p.t.Helper()
	over := time.After(2 * patience)
	for {
		text, more := p.stdout.now()
		if strings.Contains(text, "The daemon is ready. Ctrl-C ends it.") {
			if found := shown.FindStringSubmatch(text); found != nil {
				return found[1] + "?sslmode=disable"
			}
		}
		select {
		case <-more:
		case <-p.ended:
			p.t.Fatalf("it ended with exit code %d before it was ready", p.code)
		case <-over:
			p.t.Fatal("it did not become ready")
		}
	}
}

// An empty folder: a server, the shipped registry, sample data with something to archive, the daemon. The next time, the same
// data are there. However the program ends, no server is left.
func TestDev(t *testing.T) {
	t.Parallel()
	dir := devFolder(t)
	first := dev(t, dir)
	url := first.toured()
	for _, want := range []string{"No atlas.hcl here: the registry that pgtender ships is declared in .pgtender/registry/atlas.hcl\n", "Applied the schema: ", "Loaded sample data: "} {
		if !strings.Contains(first.stdout.String(), want) {
			t.Errorf("it did not say %q", want)
		}
	}
	if shipped, written := contents(t, filepath.Join(repository(t), "atlas.hcl")), contents(t, filepath.Join(dir, ".pgtender/registry/atlas.hcl")); shipped != written {
		t.Error("the declaration is not the shipped one")
	}
	for table, loaded := range map[string]int{"training_records": sample.TrainingRecords, "inference_requests": sample.InferenceRequests} {
		// The archive has exactly the months that lie wholly more than a year back.
		got := scalar(t, url, fmt.Sprintf(`
			SELECT (SELECT count(*) FROM %[1]s) + (SELECT count(*) FROM %[1]s_archive), (SELECT count(*) > 0 FROM %[1]s_archive),
			       (SELECT min(created_at) >= cut FROM %[1]s), (SELECT max(created_at) < cut FROM %[1]s_archive)
			FROM (SELECT date_trunc('month', now() - interval '1 year', 'UTC') AS cut) c`, table))
		if want := fmt.Sprintf("%d|true|true|true", loaded); got != want {
			t.Errorf("%s: %s, want %s", table, got, want)
		}
	}
	if got := scalar(t, url, "SELECT (SELECT count(*) > 0 FROM mv_model_metrics) AND (SELECT count(*) > 0 FROM mv_model_performance_summary)"); got != "true" {
		t.Error("the views are empty")
	}
	if runway := first.metric("pgtender_partition_runway_seconds"); runway < 80*86400 {
		t.Errorf("runway of %g s", runway)
	}
	first.ready()
	before := registryOf(t, url)
	postmaster := postmasterOf(t, dir)
	first.signal(syscall.SIGINT)
	if code := first.wait(20 * time.Second); code != 0 {
		t.Errorf("exit code %d after Ctrl-C", code)
	}
	gone(t, postmaster)

	second := dev(t, dir)
	url = second.toured()
	if !strings.Contains(second.stdout.String(), "The sample data are there.\n") {
		t.Error("it did not say that the sample data are there")
	}
	if diff := cmp.Diff(before, registryOf(t, url)); diff != "" {
		t.Errorf("the second start changed something (-before +after):\n%s", diff)
	}
	postmaster = postmasterOf(t, dir)
	second.kill()
	gone(t, postmaster)
}

// With the connection string of a server nothing is started. In a database that holds something, nothing is loaded or taken away.
func TestDevOnADatabaseInUse(t *testing.T) {
	t.Parallel()
	url := ground(t)
	pgtest.Exec(t, url, "CREATE TABLE mine (a int)", "INSERT INTO mine VALUES (1)")
	declared := filepath.Dir(groundFile(t))
	dir := folder(t, "atlas.hcl", contents(t, declared+"/atlas.hcl"), "schema.sql", contents(t, declared+"/schema.sql"))
	p := dev(t, dir, "DATABASE_URL="+url)
	p.toured()
	if !strings.Contains(p.stdout.String(), " is not empty: no sample data are loaded.\n") {
		t.Errorf("it did not say that nothing is loaded:\n%s", &p.stdout)
	}
	if got := scalar(t, url, "SELECT (SELECT count(*) FROM mine), to_regclass('ai_models') IS NULL"); got != "1|true" {
		t.Errorf("rows of mine, and no registry: %s", got)
	}
	if _, err := os.Stat(filepath.Join(dir, ".pgtender", "data")); err == nil {
		t.Error("a server was made")
	}
	p.terminate()
}

// In a database that holds something else, and nothing of what is declared, nothing at all is done.
func TestDevOnAForeignDatabase(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	pgtest.Exec(t, url, "CREATE TABLE mine (a int)")
	before := picture(t, url)
	p := dev(t, devFolder(t), "DATABASE_URL="+url)
	if code := p.wait(patience); code != 1 || !matches("pgtender: postgres://.* is in use, and holds no table of the schema that .* declares. Nothing was changed. ", p.stderr.String()) {
		t.Errorf("exit code %d: %s", code, &p.stderr)
	}
	if diff := cmp.Diff(before, picture(t, url)); diff != "" {
		t.Errorf("the database was changed:\n%s", diff)
	}
}

// devFolder is an empty folder that the server's user may enter.
func devFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgtender-dev-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// registryOf is the picture of a database without pgtender's own schema.
func registryOf(t *testing.T, url string) []string {
	t.Helper()
	return slices.DeleteFunc(picture(t, url), func(line string) bool { return strings.Contains(line, "pgtender.") })
}

func contents(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func postmasterOf(t *testing.T, dir string) int {
	t.Helper()
	var at struct{ PID int }
	if err := json.Unmarshal([]byte(contents(t, filepath.Join(dir, ".pgtender", "server.json"))), &at); err != nil || at.PID == 0 {
		t.Fatalf("the server's address: %v", err)
	}
	return at.PID
}

// gone waits until the process has ended.
func gone(t *testing.T, pid int) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for syscall.Kill(pid, 0) == nil {
		if time.Now().After(deadline) {
			t.Fatalf("process %d is still there", pid)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
