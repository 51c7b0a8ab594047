package checks

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pgtest"
)

// Every check that the configuration knows is made, and the other way round; and its unit is what the thresholds are written in.
func TestEveryBuiltinCheckIsMade(t *testing.T) {
	t.Parallel()
	env := full(t)
	env.Checks = nil
	made := map[string]Check{}
	for _, c := range allChecks(t, env) {
		if groupRank(c.Group) < 0 {
			t.Errorf("%s: group %q has no place in the order", c.Name, c.Group)
		}
		if c.Every <= 0 || c.Deadline <= 0 {
			t.Errorf("%s has no interval or no deadline", c.Name)
		}
		made[c.Name] = c
	}
	for _, b := range config.BuiltinChecks() {
		c, ok := made[b.Name]
		delete(made, b.Name)
		switch {
		case !ok:
			t.Errorf("%s is not made", b.Name)
		case b.Measure == config.Seconds && c.Unit != "seconds" || b.Measure == config.Bytes && c.Unit != "bytes" || b.Measure == config.Share && c.Unit != "ratio":
			t.Errorf("%s measures %s in %s", b.Name, b.Measure, c.Unit)
		}
	}
	for name := range made {
		t.Errorf("%s cannot be configured", name)
	}
}

// load reads a file of one env with the blocks.
func load(t *testing.T, blocks string) *config.Env {
	t.Helper()
	path := filepath.Join(t.TempDir(), "atlas.hcl")
	if err := os.WriteFile(path, []byte("env \"x\" {\n  url = \"postgres://localhost\"\n"+blocks+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env, err := config.Load(config.LoadOptions{File: path})
	if err != nil {
		t.Fatal(err)
	}
	return env
}

func TestThresholdsOfTheFile(t *testing.T) {
	b := newBench(t, "CREATE UNLOGGED TABLE public.u ()", "CREATE SEQUENCE public.s MAXVALUE 100", "SELECT setval('public.s', 50)")
	env := load(t, `
  check "unlogged_table" {
    warning  = 1
    critical = 2
  }
  check "sequence_use" { warning = 0.4 }
  check "long_transaction" { critical = "1 hour" }
  check "lock_waits" { enabled = false }
  check "mine" {
    sql     = "SELECT 1/0"
    warning = 1
    enabled = false
  }
`)
	c := NewCollector(Options{Pool: b.pool, Checks: allChecks(t, env)})
	results := map[string]Result{}
	for _, r := range c.Once(t.Context()) {
		results[r.Check] = r
	}
	if r := results["unlogged_table"]; r.Status() != Warning {
		t.Errorf("%+v", r)
	}
	if r := results["sequence_use"]; r.Status() != Warning || !strings.Contains(r.Findings[0].Message, "49.5 %") {
		t.Errorf("%+v", r)
	}
	if l := env.Limits("long_transaction"); l.Warning != 300 || l.Critical != 3600 || !l.Given {
		t.Errorf("%+v", l)
	}
	for _, name := range []string{"lock_waits", "mine"} {
		if r := results[name]; r.Status() != OK || !strings.HasSuffix(r.Off, map[string]string{"lock_waits": ":10:3", "mine": ":11:3"}[name]) || !strings.Contains(r.Findings[0].Message, "switched off in ") {
			t.Errorf("%s: %+v", name, r)
		}
	}
	all := gather(t, NewExporter(ExporterOptions{Collector: c}))
	if value(all["check_off"], "check=lock_waits") != 1 || value(all["check_off"], "check=mine") != 1 {
		t.Errorf("%v", all["check_off"])
	}
	for _, name := range []string{"check_status", "check_value"} {
		if !math.IsNaN(value(all[name], "check=lock_waits", "object=")) {
			t.Errorf("%s of a check that is switched off", name)
		}
	}
	var text, js strings.Builder
	if err := RenderText(&text, c.Results()); err != nil {
		t.Fatal(err)
	}
	if head, _, _ := strings.Cut(text.String(), "\n"); !strings.HasSuffix(head, ", 2 checks switched off") || !strings.Contains(text.String(), "\nOFF       lock_waits  switched off in ") {
		t.Errorf("text:\n%s", text.String())
	}
	if err := RenderJSON(&js, c.Results(), time.Now()); err != nil || strings.Count(js.String(), `"off": "`) != 2 {
		t.Errorf("%v %s", err, js.String())
	}
}

// What a role without privileges cannot see is unknown, and the remedy is the grant that mends it.
func TestGrantsThatTheChecksNameAreEnough(t *testing.T) {
	b := newBench(t, fill...)
	b.exec("CREATE SEQUENCE public.s", "GRANT USAGE ON SCHEMA pgtender TO public", "GRANT SELECT ON ALL TABLES IN SCHEMA pgtender TO public", "GRANT SELECT ON public.mine TO public")
	url := pgtest.Role(t, b.url)
	pool := pgtest.Pool(t, url)
	env := full(t)
	unknown := func() map[string]string {
		t.Helper()
		out := map[string]string{}
		for _, r := range NewCollector(Options{Pool: pool, Checks: allChecks(t, env)}).Once(t.Context()) {
			if r.Err != nil {
				t.Errorf("%s fails: %v", r.Check, r.Err)
			}
			for _, f := range r.Findings {
				if f.Status == Unknown {
					out[r.Check] = f.Remedy
				}
			}
		}
		return out
	}
	blind := unknown()
	for _, name := range []string{"long_transaction", "idle_in_transaction", "connections", "xmin_horizon", "replica_lag", "io_activity", "config_files", "sequence_use"} {
		if !strings.HasPrefix(blind[name], "GRANT ") {
			t.Errorf("%s: %q", name, blind[name])
		}
	}
	var grants []string
	for _, g := range blind {
		grants = append(grants, strings.SplitAfter(g, "; ")...)
	}
	slices.Sort(grants)
	b.exec(slices.Compact(grants)...)
	if left := unknown(); len(left) > 0 {
		t.Errorf("still unknown: %v", left)
	}
}

func TestWordsForNumbers(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		size(0): "0 B", size(10 * 1024): "10 kB", size(1 << 34): "16 GB", size(1 << 60): "1048576 TB",
		thousands(999): "999", thousands(3e8): "300 million", thousands(1.5e9): "1.50 billion",
		counted(1, "index| of x"): "1 index of x", counted(2, "index| of x"): "2 indexes of x", counted(2, "row"): "2 rows",
		firstOf([]string{"a", "b", "c"}, 2): "a, b and 1 more", firstOf(nil, 2): "",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
