package devpg

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// How long a postmaster may take to end before the next harder signal.
const (
	fastPatience      = 60 * time.Second
	immediatePatience = 10 * time.Second
)

// postmaster is a server process that this process started.
type postmaster struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended and been waited for
}

// spawn starts the postmaster. On Linux the kernel sends it the signal orphaned when the calling
// thread ends, so the caller must be locked to a thread that lives as long as the process.
func (c cluster) spawn(program string, log *os.File, orphaned syscall.Signal) (*postmaster, error) {
	cmd := exec.Command(program, "-D", c.Data)
	cmd.Dir = "/"
	cmd.Env = serverEnv()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = c.User.attributes()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	signalOrphan(cmd.SysProcAttr, orphaned)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	p := &postmaster{cmd: cmd, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(p.done)
	}()
	return p, nil
}

func (p *postmaster) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// stop ends the postmaster with the signal, and with the harder ones when that takes too long:
// SIGINT is a fast shutdown, SIGQUIT an immediate one.
func (p *postmaster) stop(sig syscall.Signal) {
	softer := true
	for _, step := range []struct {
		sig      syscall.Signal
		patience time.Duration
	}{{syscall.SIGINT, fastPatience}, {syscall.SIGQUIT, immediatePatience}, {syscall.SIGKILL, immediatePatience}} {
		if softer = softer && step.sig != sig; softer {
			continue
		}
		_ = p.cmd.Process.Signal(step.sig) // an error means that it has ended
		select {
		case <-p.done:
			return
		case <-time.After(step.patience):
		}
	}
}

// pidFile is what a postmaster writes to postmaster.pid.
type pidFile struct {
	PID   int
	Ready bool // it accepts connections
}

// readPIDFile returns nil when there is none, or it is not written yet.
func (c cluster) readPIDFile() (*pidFile, error) {
	f, err := os.Open(filepath.Join(c.Data, "postmaster.pid"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var lines []string
	for s := bufio.NewScanner(f); s.Scan(); {
		lines = append(lines, strings.TrimSpace(s.Text()))
	}
	if len(lines) == 0 || lines[0] == "" {
		return nil, nil
	}
	var found pidFile
	if found.PID, err = strconv.Atoi(lines[0]); err != nil {
		return nil, fmt.Errorf("postmaster.pid in %s: %w", c.Data, err)
	}
	found.PID = max(found.PID, -found.PID) // negative: a stand-alone backend
	found.Ready = len(lines) > 7 && lines[7] == "ready"
	return &found, nil
}

// evict ends a server that an owner who is gone left in the data folder, and removes a postmaster.pid
// whose number is another process's by now: the server would refuse to start. If no process has that number, the
// file is left to the server, which looks closer. The caller holds the folder's locks.
func (c cluster) evict(log func(format string, args ...any)) error {
	left, err := c.readPIDFile()
	if err != nil || left == nil {
		return err
	}
	if serves(left.PID, c.Data) {
		log("stopping the server that an earlier run left (process %d)", left.PID)
		for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} {
			if err := syscall.Kill(left.PID, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("stop the server that an earlier run left (process %d): %w", left.PID, err)
			}
			if gone(left.PID, c.Data, fastPatience) {
				break
			}
		}
	}
	switch {
	case !alive(left.PID):
		return nil
	case serves(left.PID, c.Data):
		return fmt.Errorf("the server that an earlier run left (process %d) does not end: end it, then try again", left.PID)
	}
	log("removing a stale postmaster.pid: process %d is no server of %s", left.PID, c.Data)
	if err := os.Remove(filepath.Join(c.Data, "postmaster.pid")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove a stale postmaster.pid: %w", err)
	}
	return nil
}

func gone(pid int, data string, patience time.Duration) bool {
	for until := time.Now().Add(patience); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		if !serves(pid, data) {
			return true
		}
	}
	return false
}

func alive(pid int) bool { return pid > 0 && syscall.Kill(pid, 0) != syscall.ESRCH }

// serves reports whether the process is a postmaster of the data folder.
func serves(pid int, data string) bool {
	if !alive(pid) {
		return false
	}
	// A postmaster works in its data folder.
	if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err == nil {
		resolved, err := filepath.EvalSymlinks(data)
		return err == nil && cwd == resolved
	}
	if _, err := os.Stat("/proc/self/cwd"); err == nil {
		return false // the system has /proc, and the process ended or is not ours to look at
	}
	command, err := exec.Command("ps", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.Contains(string(command), data)
}
