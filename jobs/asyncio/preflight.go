package asyncio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Preflight is what a trial start with a postmaster setting came to. ALTER SYSTEM checks range and enum only, so that a server may refuse to
// start: for want of locked memory, open files or shared memory.
type Preflight struct {
	Starts bool     `json:"starts"`
	Args   []string `json:"args"`             // of the trial start
	Output string   `json:"output,omitempty"` // why it does not start
	Unsure string   `json:"unsure,omitempty"` // what the trial could not imitate
}

// preflightWait bounds a trial start. Measured: 45 ms.
const preflightWait = 20 * time.Second

// folders are those that a start looks into.
var folders = [...]string{
	"base/1", "global", "pg_commit_ts", "pg_dynshmem", "pg_logical/mappings", "pg_logical/snapshots", "pg_multixact/members", "pg_multixact/offsets",
	"pg_notify", "pg_replslot", "pg_serial", "pg_snapshots", "pg_stat", "pg_stat_tmp", "pg_subtrans", "pg_tblspc", "pg_twophase", "pg_wal/archive_status",
	"pg_wal/summaries", "pg_xact",
}

// TryStart starts the server's program in an empty scratch folder, with the live sizes, the wanted value and the postmaster's own limits. It stops before
// it would serve, and never sees the server's data. It returns nil when the program is not on this machine.
func (l *Local) TryStart(ctx context.Context, s *Status, name, value string) (*Preflight, error) {
	if l == nil || l.Program == "" {
		return nil, nil
	}
	dir, err := os.MkdirTemp(scratchParent(), "pgtender-preflight-")
	if err != nil {
		return nil, fmt.Errorf("preflight of %s: %w", name, err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // what stays behind is an empty folder in the place for such
	if err := emptyCluster(dir, s.Version); err != nil {
		return nil, fmt.Errorf("preflight of %s: %w", name, err)
	}
	p := &Preflight{Args: append([]string{"--check", "-D", dir, "-c", "dynamic_shared_memory_type=mmap"}, s.startArgs(name, value)...)}
	limits := l.limits()
	script := fmt.Sprintf("ulimit -l %s; ulimit -n %s; exec \"$0\" \"$@\"", limits["Max locked memory"], limits["Max open files"])
	if len(limits) < 2 {
		script, p.Unsure = `exec "$0" "$@"`, "the server's own limits could not be read"
	}
	ctx, cancel := context.WithTimeout(ctx, preflightWait)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", append([]string{"-c", script, l.Program}, p.Args...)...)
	cmd.Dir, cmd.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	if err := asServersUser(cmd, dir, l.Postmaster); err != nil {
		return nil, fmt.Errorf("preflight of %s: %w", name, err)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		p.Starts = true
	case ctx.Err() != nil:
		return nil, fmt.Errorf("preflight of %s: not done within %s", name, preflightWait)
	case !errors.As(err, &exit):
		return nil, fmt.Errorf("preflight of %s: %w", name, err)
	}
	if !p.Starts {
		p.Output = complaint(out.String())
	}
	if strings.Contains(out.String(), "ulimit") {
		p.Unsure = "this process may not take on the server's own limits"
	}
	return p, nil
}

// scratchParent is a folder for scratch that the server's user can reach too, who is somebody else when this process is root's.
func scratchParent() string {
	if os.Geteuid() != 0 {
		return ""
	}
	for _, dir := range []string{os.TempDir(), "/tmp", "/var/tmp"} {
		open := true
		for at := dir; open && at != "/" && at != "."; at = filepath.Dir(at) {
			info, err := os.Stat(at)
			open = err == nil && info.Mode().Perm()&0o001 != 0
		}
		if open {
			return dir
		}
	}
	return ""
}

// emptyCluster makes what a start in check mode looks for.
func emptyCluster(dir, version string) error {
	for _, f := range folders {
		if err := os.MkdirAll(filepath.Join(dir, f), 0o700); err != nil {
			return err
		}
	}
	major, _, _ := strings.Cut(version, ".")
	files := map[string]string{"PG_VERSION": strings.TrimFunc(major, func(r rune) bool { return r < '0' || r > '9' }) + "\n", "postgresql.conf": ""}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// startArgs are the sizes that a start depends on.
func (s *Status) startArgs(name, value string) []string {
	set := map[string]string{"max_connections": s.MaxConnections, "shared_buffers": s.SharedBuffers}
	for _, n := range []string{"io_method", "io_max_concurrency", "io_max_combine_limit"} {
		if t := s.Setting(n); t != nil {
			set[n] = t.Value
		}
	}
	set[name] = value
	var args []string
	for n, v := range set {
		args = append(args, n+"="+v)
	}
	slices.Sort(args)
	var out []string
	for _, a := range args {
		out = append(out, "-c", a)
	}
	return out
}

// limits are the postmaster's soft ones, in what ulimit wants: kB of locked memory, files.
func (l *Local) limits() map[string]string {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(l.Postmaster), "limits"))
	out := map[string]string{}
	if err != nil {
		return out
	}
	for line := range strings.Lines(string(text)) {
		for _, name := range []string{"Max locked memory", "Max open files"} {
			rest, ok := strings.CutPrefix(line, name)
			if !ok || len(strings.Fields(rest)) == 0 {
				continue
			}
			soft := strings.Fields(rest)[0]
			if n, err := strconv.ParseInt(soft, 10, 64); err == nil && name == "Max locked memory" {
				soft = strconv.FormatInt(n/1024, 10)
			}
			out[name] = soft
		}
	}
	return out
}

// asServersUser has root try the start as the server's user: PostgreSQL refuses to run as root.
func asServersUser(cmd *exec.Cmd, dir string, postmaster int) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(filepath.Join("/proc", strconv.Itoa(postmaster)))
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return errors.New("the server's user is not known")
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}}
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(owner.Uid), int(owner.Gid))
	})
}

// complaint is what the program said was wrong.
func complaint(output string) string {
	var out []string
	for line := range strings.Lines(output) {
		for _, level := range []string{"FATAL:", "PANIC:", "ERROR:", "DETAIL:", "HINT:"} {
			if at := strings.Index(line, level); at >= 0 {
				out = append(out, strings.TrimSpace(line[at:]))
			}
		}
	}
	if len(out) == 0 {
		return strings.TrimSpace(output)
	}
	return strings.Join(out, "\n")
}
