package devpg

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// owner is another process that runs a server.
type owner struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	pid   int // the postmaster's
	url   string
}

func runOwner(t *testing.T, dir string) *owner {
	t.Helper()
	programs(t) // brought before the clock ticks
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), ownerVariable+"="+dir)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	o := &owner{cmd: cmd, stdin: stdin}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(line, &o.pid, &o.url); err != nil {
		t.Fatalf("the owner says %q: %v", line, err)
	}
	return o
}

// parentOf returns a process's parent; the guard is the postmaster's.
func parentOf(t *testing.T, pid int) int {
	t.Helper()
	out, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(out), "\n") {
		if rest, ok := strings.CutPrefix(line, "PPid:"); ok {
			parent, err := strconv.Atoi(strings.TrimSpace(rest))
			if err != nil {
				t.Fatal(err)
			}
			return parent
		}
	}
	t.Fatalf("process %d has no parent", pid)
	return 0
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

func TestKilledOwnerLeavesNoServer(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"dev", "ephemeral"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := openFolder(t, name)
			o := runOwner(t, dir)
			data := filepath.Join(dir, "data")
			execute(t, o.url, "CREATE TABLE kept AS SELECT 42 AS a")
			kill(t, o.cmd.Process.Pid)
			waitGone(t, o.pid, data)
			waitFree(t, dir)
			if name == "ephemeral" {
				if exists(data) {
					t.Error("the data are left")
				}
				return
			}
			again := start(t, Options{Dir: dir})
			if got := ask[int](t, again.URL("postgres"), "SELECT a FROM kept"); got != 42 {
				t.Errorf("kept %d, want 42", got)
			}
			log, err := os.ReadFile(again.Log())
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(log), "was not properly shut down") {
				t.Error("the server was not shut down properly")
			}
		})
	}
}

func TestServerOutlivesKilledStarterWhileOthersUseIt(t *testing.T) {
	t.Parallel()
	dir := openFolder(t, "dev")
	o := runOwner(t, dir)
	mine := start(t, Options{Dir: dir})
	if mine.PID != o.pid {
		t.Fatalf("joined process %d, not %d", mine.PID, o.pid)
	}
	kill(t, o.cmd.Process.Pid)
	o.cmd.Wait()
	for range 20 {
		if got := ask[int](t, mine.URL("postgres"), "SELECT 1"); got != 1 {
			t.Fatal("the server is gone")
		}
		time.Sleep(10 * time.Millisecond)
	}
	stop(t, mine)
	waitGone(t, o.pid, mine.Data)
}

func TestKilledGuard(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells a child that its parent died")
	}
	for _, name := range []string{"dev", "ephemeral"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := openFolder(t, name)
			o := runOwner(t, dir)
			execute(t, o.url, "CREATE TABLE kept AS SELECT 42 AS a")
			kill(t, parentOf(t, o.pid))
			waitGone(t, o.pid, filepath.Join(dir, "data"))
			kill(t, o.cmd.Process.Pid)
			o.cmd.Wait()
			again := start(t, Options{Dir: dir, Ephemeral: name == "ephemeral"})
			kept := ask[bool](t, again.URL("postgres"), "SELECT to_regclass('kept') IS NOT NULL")
			if kept != (name == "dev") {
				t.Errorf("table kept: %v", kept)
			}
		})
	}
}

func TestKilledPostmaster(t *testing.T) {
	t.Parallel()
	dir := openFolder(t, "dev")
	first := start(t, Options{Dir: dir})
	execute(t, first.URL("postgres"), "CREATE TABLE kept AS SELECT 42 AS a")
	kill(t, first.PID)
	// The guard sees that its server is gone, and leaves the folder to the next one.
	second := start(t, Options{Dir: dir})
	if got := ask[int](t, second.URL("postgres"), "SELECT a FROM kept"); got != 42 {
		t.Errorf("kept %d, want 42", got)
	}
}

func TestStalePIDFile(t *testing.T) {
	t.Parallel()
	dir := openFolder(t, "dev")
	first := start(t, Options{Dir: dir})
	execute(t, first.URL("postgres"), "CREATE TABLE kept AS SELECT 42 AS a")
	stop(t, first)
	where, err := locate(t.Context(), &Options{Dir: dir, Log: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	dead := exec.Command("/bin/sh", "-c", "exit 0")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	for name, pid := range map[string]int{"dead": dead.Process.Pid, "another program": os.Getpid()} {
		text := fmt.Sprintf("%d\n%s\n%d\n%d\n/tmp\n127.0.0.1\n  1234567       17\nready   \n", pid, where.Data, time.Now().Unix(), first.Port)
		if err := replaceFile(filepath.Join(where.Data, "postmaster.pid"), text, 0o600, where.User); err != nil {
			t.Fatal(err)
		}
		server, err := Start(t.Context(), Options{Programs: programs(t), Dir: dir})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := ask[int](t, server.URL("postgres"), "SELECT a FROM kept"); got != 42 {
			t.Errorf("%s: kept %d, want 42", name, got)
		}
		stop(t, server)
	}
}

func TestServerLeftBehindIsStoppedFirst(t *testing.T) {
	t.Parallel()
	dir := openFolder(t, "dev")
	first := start(t, Options{Dir: dir})
	stop(t, first)
	where, err := locate(t.Context(), &Options{Dir: dir, Log: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	sockets := openFolder(t, "sockets")
	if err := where.User.own(sockets); err != nil {
		t.Fatal(err)
	}
	left := exec.Command(programs(t).program("postgres"), "-D", where.Data, "-k", sockets, "-p", strconv.Itoa(first.Port))
	left.Dir, left.Env, left.SysProcAttr = "/", serverEnv(), where.User.attributes()
	if err := left.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { left.Wait(); close(ended) }()
	for pid := 0; pid != left.Process.Pid; time.Sleep(10 * time.Millisecond) {
		if file, err := where.readPIDFile(); err == nil && file != nil && file.Ready {
			pid = file.PID
		}
	}
	second := start(t, Options{Dir: dir})
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the server left behind still runs")
	}
	if got := ask[int](t, second.URL("postgres"), "SELECT 1"); got != 1 {
		t.Error("the new server does not answer")
	}
}

func TestClear(t *testing.T) {
	t.Parallel()
	dir, outside := openFolder(t, "ephemeral"), openFolder(t, "outside")
	server := start(t, Options{Dir: dir, Ephemeral: true, outside: outside})
	if err := Clear(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if got := ask[int](t, server.URL("postgres"), "SELECT 1"); got != 1 {
		t.Error("a server in use was cleared away")
	}
	o := runOwner(t, dir)
	stop(t, server)
	if runtime.GOOS == "linux" {
		kill(t, parentOf(t, o.pid))
	}
	kill(t, o.cmd.Process.Pid)
	o.cmd.Wait()
	waitFree(t, dir) // a signal takes a moment
	// A process that another test is just starting may have a lock's file open until it runs its own program: Clear then takes
	// the folder for one in use, and the next call clears it.
	for deadline := time.Now().Add(20 * time.Second); exists(dir) || exists(server.Sockets); time.Sleep(5 * time.Millisecond) {
		if err := Clear(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s or %s is left", dir, server.Sockets)
		}
	}
	waitGone(t, o.pid, server.Data)
}
