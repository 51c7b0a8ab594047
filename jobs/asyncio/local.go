package asyncio

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/pgtender/pgtender/internal/pg"
)

// Local is the server's place when it runs on this machine: only then can its cores be counted and its start be tried.
type Local struct {
	Postmaster int
	Program    string // of the postmaster; empty when this user may not see it
	Cores      int
}

// clockTick is what /proc counts a process's start in, a second's hundredth on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// FindLocal returns nil when the server runs elsewhere, in another container, or where there is no /proc. It is sure of what it finds: the
// session's process is a PostgreSQL one, and its parent began when the server says that it did.
func FindLocal(ctx context.Context, db pg.Querier) (*Local, error) {
	var pid int
	var started time.Time
	var near bool
	err := db.QueryRow(ctx, `SELECT pg_backend_pid(), pg_postmaster_start_time(),
		coalesce(host(inet_server_addr()) IN ('::1') OR inet_server_addr() << '127.0.0.0/8', true)`).Scan(&pid, &started, &near)
	if err != nil {
		return nil, fmt.Errorf("look whether the server runs on this machine: %w", err)
	}
	if !near {
		return nil, nil
	}
	parent, ok := processParent(pid)
	if !ok {
		return nil, nil
	}
	if began, ok := processBegan(parent); !ok || began.Sub(started).Abs() > time.Minute {
		return nil, nil
	}
	l := &Local{Postmaster: parent, Cores: runtime.NumCPU()}
	if program, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(parent), "exe")); err == nil && filepath.Base(program) == "postgres" {
		l.Program = program
	} else if bin := os.Getenv("PGTENDER_POSTGRES_BIN"); bin != "" {
		l.Program = filepath.Join(bin, "postgres")
	}
	return l, nil
}

// processFields are what /proc/PID/stat has after the program's name, which may contain anything: field 3 is the first.
func processFields(pid int) (name string, fields []string, ok bool) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return "", nil, false
	}
	from, to := strings.IndexByte(string(text), '('), strings.LastIndexByte(string(text), ')')
	if from < 0 || to < from {
		return "", nil, false
	}
	fields = strings.Fields(string(text[to+1:]))
	return string(text[from+1 : to]), fields, len(fields) > 19
}

func processParent(pid int) (int, bool) {
	name, fields, ok := processFields(pid)
	if !ok || name != "postgres" {
		return 0, false
	}
	parent, err := strconv.Atoi(fields[1])
	return parent, err == nil
}

func processBegan(pid int) (time.Time, bool) {
	name, fields, ok := processFields(pid)
	if !ok || name != "postgres" {
		return time.Time{}, false
	}
	ticks, err := strconv.ParseInt(fields[19], 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return time.Time{}, false
	}
	for line := range strings.Lines(string(text)) {
		if boot, ok := strings.CutPrefix(line, "btime "); ok {
			seconds, err := strconv.ParseInt(strings.TrimSpace(boot), 10, 64)
			return time.Unix(seconds, 0).Add(time.Duration(ticks) * clockTick), err == nil
		}
	}
	return time.Time{}, false
}
