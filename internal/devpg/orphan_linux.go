package devpg

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// signalOrphan has the kernel send sig to the child when the thread that started it ends.
func signalOrphan(attr *syscall.SysProcAttr, sig syscall.Signal) { attr.Pdeathsig = sig }

// adoptOrphans makes this process the parent of the processes that its children leave behind: the
// server processes whose postmaster was killed.
func adoptOrphans() error {
	const prSetChildSubreaper = 36
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prSetChildSubreaper, 1, 0); errno != 0 {
		return fmt.Errorf("adopt the server's orphans: %w", errno)
	}
	return nil
}

// reapOrphans waits until the server processes that a dead postmaster left have ended, and kills
// those that take longer than patience. No child of another kind may be alive.
func reapOrphans(patience time.Duration) {
	until := time.Now().Add(patience)
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		switch {
		case err == syscall.ECHILD:
			return
		case pid > 0 || err == syscall.EINTR:
			continue
		case time.Now().After(until):
			for _, child := range children() {
				_ = syscall.Kill(child, syscall.SIGKILL) // it may have ended by now
			}
			until = time.Now().Add(patience)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// children lists the processes whose parent is this one.
func children() []int {
	var found []int
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + entry.Name() + "/stat")
		if err != nil {
			continue
		}
		// pid (name, which may hold spaces and brackets) state parent …
		_, rest, _ := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " ")
		fields := strings.Fields(rest)
		if len(fields) > 1 && fields[1] == strconv.Itoa(os.Getpid()) {
			found = append(found, pid)
		}
	}
	return found
}
