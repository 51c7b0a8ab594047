package cli_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds each wait for another process, on a machine that has much else to do.
const patience = 2 * time.Minute

// lines keeps what a process prints and wakes whoever waits for more.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{} // closed at the next write
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
	return l.text.Write(p)
}

func (l *lines) String() string {
	text, _ := l.now()
	return text
}

func (l *lines) now() (string, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.more == nil {
		l.more = make(chan struct{})
	}
	return l.text.String(), l.more
}

// process is the program as a child process, logging JSON.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout lines
	stderr lines
	ended  chan struct{} // closed when it has
	code   int
}

// start starts the program in dir with these variables (NAME=value) on top of a bare environment. It is killed at the test's
// end, and what it printed is shown if the test failed.
func start(t *testing.T, dir string, env []string, args ...string) *process {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, ended: make(chan struct{})}
	p.cmd = exec.Command(exe)
	p.cmd.Args = append([]string{"pgtender", "--log-format", "json"}, args...)
	p.cmd.Dir = dir
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + os.TempDir()}, env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		p.code = p.cmd.ProcessState.ExitCode()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("%s: stdout:\n%s\nstderr:\n%s", strings.Join(p.cmd.Args, " "), &p.stdout, &p.stderr)
		}
	})
	return p
}

// logged waits for a log entry with the message and these fields (name, value, name, value …) and returns it.
func (p *process) logged(message string, fields ...string) map[string]any {
	p.t.Helper()
	over := time.After(patience)
	for {
		text, more := p.stderr.now()
		for line := range strings.Lines(text) {
			var entry map[string]any
			if json.Unmarshal([]byte(line), &entry) == nil && entry["msg"] == message && has(entry, fields) {
				return entry
			}
		}
		select {
		case <-more:
		case <-p.ended:
			if latest, _ := p.stderr.now(); latest == text {
				p.t.Fatalf("it ended with exit code %d before it logged %q %v", p.code, message, fields)
			}
		case <-over:
			p.t.Fatalf("it did not log %q %v in %s", message, fields, patience)
		}
	}
}

func has(entry map[string]any, fields []string) bool {
	for i := 0; i+1 < len(fields); i += 2 {
		if fmt.Sprint(entry[fields[i]]) != fields[i+1] {
			return false
		}
	}
	return true
}

// prints waits until the text is on stderr.
func (p *process) prints(text string) {
	p.t.Helper()
	over := time.After(patience)
	for {
		now, more := p.stderr.now()
		if strings.Contains(now, text) {
			return
		}
		select {
		case <-more:
		case <-p.ended:
			if latest, _ := p.stderr.now(); latest == now {
				p.t.Fatalf("it ended with exit code %d before it printed %q", p.code, text)
			}
		case <-over:
			p.t.Fatalf("it did not print %q in %s", text, patience)
		}
	}
}

// kill is kill -9; it returns when the process is gone.
func (p *process) kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	<-p.ended
}

func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

// wait returns the exit code, which must come within the time given.
func (p *process) wait(within time.Duration) int {
	p.t.Helper()
	select {
	case <-p.ended:
		return p.code
	case <-time.After(within):
		p.t.Fatalf("it did not end within %s", within)
		return -1
	}
}

// terminate is SIGTERM, after which it must end well within ten seconds.
func (p *process) terminate() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.wait(10 * time.Second); code != 0 {
		p.t.Errorf("exit code %d after SIGTERM, want 0", code)
	}
	if said := p.logged("stopping")["because"]; said != "terminated signal received" {
		p.t.Errorf("it says that it stops because %q", said)
	}
}

// get asks the daemon for a path and returns status and body.
func (p *process) get(path string) (int, string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s%s", p.logged("listening")["address"], path), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatalf("%s: %v", path, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		p.t.Fatalf("%s: %v", path, err)
	}
	return answer.StatusCode, string(body)
}

// until asks for a path until the answer is as wanted, and returns the body.
func (p *process) until(path string, want func(status int, body string) bool) string {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		status, body := p.get(path)
		if want(status, body) {
			return body
		}
		select {
		case <-p.ended:
			p.t.Fatalf("it ended with exit code %d while %s was waited for", p.code, path)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s did not become as wanted in %s; now %d:\n%s", path, patience, status, body)
		}
	}
}

// ready waits until the probe says so.
func (p *process) ready() {
	p.t.Helper()
	p.until("/readyz", func(status int, _ string) bool { return status == http.StatusOK })
}

func matches(pattern, text string) bool { return regexp.MustCompile(pattern).MatchString(text) }

// folder is a new folder with these files (name, content, name, content …).
func folder(t testing.TB, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i+1 < len(files); i += 2 {
		path := filepath.Join(dir, files[i])
		err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(files[i+1]), 0o644))
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
