package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// runModule runs go test -json on a module of its own with the given test files and returns the
// summary and what was printed.
func runModule(t *testing.T, files map[string]string) (summary, string) {
	t.Helper()
	dir := t.TempDir()
	files["go.mod"] = "module example.test/m\n\ngo 1.26\n"
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	sum := summary{out: &out}
	cmd := exec.Command("go", "test", "-json", "./...")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &sum, io.Discard
	cmd.Env = append(os.Environ(), "GOFLAGS=")
	_ = cmd.Run() // its exit code is not the summary's
	sum.print(time.Second)
	return sum, out.String()
}

func TestSummaryCountsAndShowsFailures(t *testing.T) {
	t.Parallel()
	sum, out := runModule(t, map[string]string{
		"good/good_test.go": `package good
import "testing"
func TestA(t *testing.T) { t.Log("quiet please"); t.Run("sub", func(t *testing.T) {}) }
func TestB(t *testing.T) { t.Skip("not today") }`,
		"bad/bad_test.go": `package bad
import "testing"
func TestGood(t *testing.T) {}
func TestBad(t *testing.T) { t.Error("the reason") }`,
		"panics/panics_test.go": `package panics
import "testing"
func TestPanic(t *testing.T) { t.Log("before"); panic("the panic") }`,
		"broken/broken_test.go": `package broken
import "testing"
func TestX(t *testing.T) { undefinedName() }`,
		"exits/exits_test.go": `package exits
import ("os"; "testing")
func TestMain(m *testing.M) { m.Run(); println("leaked"); os.Exit(3) }
func TestFine(t *testing.T) {}`,
	})
	if sum.passed != 4 || sum.skipped != 1 || sum.failed != 4 {
		t.Errorf("%d passed, %d failed, %d skipped:\n%s", sum.passed, sum.failed, sum.skipped, out)
	}
	for _, want := range []string{"ok  \texample.test/m/good", "the reason", "the panic", "before", "undefinedName", "not today", "leaked",
		"FAILED example.test/m/bad TestBad", "FAILED example.test/m/panics TestPanic", "FAILED example.test/m/broken", "FAILED example.test/m/exits",
		"\n4 passed, 4 failed, 1 skipped\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "quiet please") {
		t.Errorf("a test that passed is heard:\n%s", out)
	}
}

func TestOwnOutput(t *testing.T) {
	t.Parallel()
	for _, arg := range []string{"-v", "--v", "-json", "-bench=.", "-bench", "-v=true"} {
		if !ownOutput([]string{"-race", arg, "./..."}) {
			t.Errorf("%s: go test's own output is hidden", arg)
		}
	}
	for _, arg := range []string{"-vet=off", "./v", "-benchtime=1x", "v"} {
		if ownOutput([]string{"-race", arg}) {
			t.Errorf("%s: no summary", arg)
		}
	}
}
