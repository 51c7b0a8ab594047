package devpg

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
)

const (
	logName     = "postgres.log"
	addressName = "server.json"
)

// Options says what server to run.
type Options struct {
	Programs Bin
	Dir      string            // the folder of the server; made if missing
	Port     int               // on 127.0.0.1; 0: the one it had the last time, or any free one
	Settings map[string]string // of postgresql.conf
	Log      io.Writer         // progress; nil: none

	// Password, if set, is asked of everyone who connects over TCP, and is the superuser's. The socket
	// lies in a folder that only the server's user and root may enter, and asks for none.
	Password string

	// Ephemeral is a server for tests: its data are removed when its last user is gone, and nothing is
	// synced to the disk.
	Ephemeral bool
	// Private refuses to share the server; with Ephemeral, the whole folder is removed at the end.
	Private bool
	// CacheDir, if set, keeps a fresh cluster to copy for the next server. The copy is not synced to the disk: for tests.
	CacheDir string
	// Fill, if set, fills a new data folder instead of initdb.
	Fill func(ctx context.Context, data NewData) error

	outside string // for tests of this package; empty: defaultOutside
}

// Server is a running server that this process uses. It runs until its last user, in whatever
// process, has stopped or ended.
type Server struct {
	Address
	Dir  string // Options.Dir, absolute
	Data string // the data folder

	password string
	clients  *os.File  // our share of clients.lock
	guard    *exec.Cmd // nil when we joined
	orders   io.WriteCloser
	answers  *os.File
}

// Start runs the server in opt.Dir, or joins it when it runs already: then Port and Settings are as
// its starter chose. The calling program must begin with GuardMain.
func Start(ctx context.Context, opt Options) (*Server, error) {
	if opt.Log == nil {
		opt.Log = io.Discard
	}
	abs, err := filepath.Abs(opt.Dir)
	if err != nil {
		return nil, fmt.Errorf("folder %s: %w", opt.Dir, err)
	}
	opt.Dir = abs
	if err := makeReachable(opt.Dir); err != nil {
		return nil, err
	}
	clients, err := openLock(filepath.Join(opt.Dir, "clients.lock"))
	if err != nil {
		return nil, err
	}
	s := &Server{Dir: opt.Dir, password: opt.Password, clients: clients}
	if err := s.start(ctx, &opt); err != nil {
		clients.Close()
		return nil, fmt.Errorf("PostgreSQL in %s: %w", opt.Dir, err)
	}
	return s, nil
}

func (s *Server) start(ctx context.Context, opt *Options) error {
	starting, err := lockFile(ctx, filepath.Join(s.Dir, "start.lock"))
	if err != nil {
		return err
	}
	defer starting.Close()
	guarding, err := openLock(filepath.Join(s.Dir, "guard.lock"))
	if err != nil {
		return err
	}
	defer guarding.Close()
	for {
		err := flock(guarding, syscall.LOCK_EX)
		if err == nil {
			return s.startNew(ctx, opt, guarding)
		}
		if !errors.Is(err, errHeld) {
			return err
		}
		if joined, err := s.join(opt); joined || err != nil {
			return err
		}
		// The guard is about to end.
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the server before to end: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// join becomes a user of the server that a living guard looks after.
func (s *Server) join(opt *Options) (bool, error) {
	if opt.Private {
		return false, errors.New("a server runs there already")
	}
	if err := flock(s.clients, syscall.LOCK_SH); errors.Is(err, errHeld) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	s.Data = filepath.Join(s.Dir, "data")
	if target, err := readLink(s.Data); err == nil {
		s.Data = target
	}
	text, err := os.ReadFile(filepath.Join(s.Dir, addressName))
	if err == nil {
		err = json.Unmarshal(text, &s.Address)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("find the running server: %w", err)
	}
	if err != nil || !serves(s.PID, s.Data) {
		return false, flock(s.clients, syscall.LOCK_UN)
	}
	return true, nil
}

// startNew starts a server under a guard of its own. The caller holds start.lock, and guard.lock as
// the proof that no guard lives; that is closed just before the new guard takes it.
func (s *Server) startNew(ctx context.Context, opt *Options, guarding *os.File) error {
	if err := flock(s.clients, syscall.LOCK_SH); err != nil {
		return err
	}
	where, err := locate(ctx, opt)
	if err != nil {
		return err
	}
	if opt.Ephemeral {
		if err := where.discard(opt); err != nil {
			return err
		}
	}
	if err := where.create(ctx, opt); err != nil {
		return err
	}
	s.Data = where.Data
	s.forgetOld()
	sockets, err := socketFolder(ctx, where.User)
	if err != nil {
		return err
	}
	job := assignment{Dir: s.Dir, Cluster: where, Postgres: opt.Programs.program("postgres"), Sockets: sockets,
		Port: opt.Port, LastPort: where.lastPort(), Access: accessRules(opt.method()), Settings: opt.settings(),
		Ephemeral: opt.Ephemeral, Private: opt.Private}
	err = flock(guarding, syscall.LOCK_UN)
	if err == nil {
		err = s.spawnGuard(ctx, job)
	}
	if err == nil {
		err = s.setPassword(ctx)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(sockets))
	}
	return nil
}

func (o *Options) method() string {
	if o.Password != "" {
		return "scram-sha-256"
	}
	return "trust"
}

// settings are those of opt on top of what each server has, and of what spares a server for tests
// work. full_page_writes stays on there, too: a killed process can leave half a page.
func (o *Options) settings() map[string]string {
	all := map[string]string{"timezone": "UTC", "log_timezone": "UTC"}
	if o.Ephemeral {
		maps.Copy(all, map[string]string{
			"fsync":                      "off",
			"max_connections":            "200",
			"shared_buffers":             "256MB",
			"max_wal_size":               "1GB",
			"checkpoint_timeout":         "30min",
			"dynamic_shared_memory_type": "mmap", // nothing outlives kill -9 in /dev/shm
		})
	}
	maps.Copy(all, o.Settings)
	return all
}

const socketPrefix = "pgtender-"

// socketFolder makes a folder for the server's socket. A socket's path must be shorter than about 100
// bytes, so it does not lie in the server's folder.
func socketFolder(ctx context.Context, user *account) (string, error) {
	parent := os.TempDir()
	if len(parent) > 60 || !user.reaches(ctx, parent) {
		parent = "/tmp"
	}
	dir, err := os.MkdirTemp(parent, socketPrefix)
	if err == nil {
		err = user.own(dir)
	}
	if err != nil {
		return "", fmt.Errorf("make a folder for the server's socket: %w", err)
	}
	return dir, nil
}

// forgetOld removes what a guard that was killed left: nobody is to join a server that is gone. What
// cannot be removed is replaced when the new server runs.
func (s *Server) forgetOld() {
	path := filepath.Join(s.Dir, addressName)
	var last Address
	text, err := os.ReadFile(path)
	if err == nil && json.Unmarshal(text, &last) == nil && strings.HasPrefix(filepath.Base(last.Sockets), socketPrefix) {
		_ = os.RemoveAll(last.Sockets)
	}
	_ = os.Remove(path)
}

// setPassword gives the superuser its password, over the socket, which asks for none.
func (s *Server) setPassword(ctx context.Context) error {
	if s.password == "" {
		return nil
	}
	conn, err := pgx.Connect(ctx, s.SocketURL("postgres"))
	if err != nil {
		return fmt.Errorf("set the superuser's password: %w", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "ALTER ROLE "+pg.Ident(superuser)+" PASSWORD "+pg.Literal(s.password)); err != nil {
		return fmt.Errorf("set the superuser's password: %w", err)
	}
	return nil
}

// URL is the connection string of a database, as superuser, over TCP.
func (s *Server) URL(database string) string {
	u := url.URL{Scheme: "postgres", User: url.User(superuser), Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)),
		Path: "/" + database, RawQuery: "sslmode=disable"}
	if s.password != "" {
		u.User = url.UserPassword(superuser, s.password)
	}
	return u.String()
}

// SocketURL is the connection string of a database, as superuser, over the unix socket.
func (s *Server) SocketURL(database string) string {
	query := url.Values{"host": {s.Sockets}, "port": {strconv.Itoa(s.Port)}, "user": {superuser}}
	return (&url.URL{Scheme: "postgres", Path: "/" + database, RawQuery: query.Encode()}).String()
}

// Log is the file with what the server said.
func (s *Server) Log() string { return filepath.Join(s.Dir, logName) }

// Stop ends our use of the server. When we were its last user, it stops, and Stop waits for that.
func (s *Server) Stop(ctx context.Context) error {
	if s.clients == nil {
		return nil
	}
	stays, err := s.leave()
	if err == nil && !stays {
		err = s.waitForGuard(ctx)
	}
	if s.guard != nil {
		s.orders.Close()
		s.answers.Close()
		if stays || err != nil {
			_ = s.guard.Process.Release()
		} else {
			_ = s.guard.Wait() // how it ended is in its log
		}
	}
	if err != nil {
		return fmt.Errorf("stop PostgreSQL in %s: %w", s.Dir, err)
	}
	return nil
}

// leave gives our share of the server back and reports whether it stays for others.
func (s *Server) leave() (stays bool, err error) {
	defer func() {
		err = errors.Join(err, s.clients.Close())
		s.clients = nil
	}()
	if err := flock(s.clients, syscall.LOCK_EX); !errors.Is(err, errHeld) {
		return false, err // nobody else was there
	}
	// Other users have it, or already the guard, to whom nobody seemed left for a moment.
	err = flock(s.clients, syscall.LOCK_SH)
	if errors.Is(err, errHeld) {
		return false, nil
	}
	return err == nil, err
}

func (s *Server) waitForGuard(ctx context.Context) error {
	path := filepath.Join(s.Dir, "guard.lock")
	lock, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a private server takes its folder with it
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	return waitLock(ctx, lock, syscall.LOCK_SH)
}

// Clear ends what still runs in the folder of a private ephemeral server whose owner and guard are
// gone, and removes the folder. It leaves a folder in use alone.
func Clear(ctx context.Context, dir string) error {
	for _, name := range []string{"clients.lock", "guard.lock"} {
		lock, err := openLock(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		defer lock.Close()
		if err := flock(lock, syscall.LOCK_EX); errors.Is(err, errHeld) {
			return nil
		} else if err != nil {
			return err
		}
	}
	(&Server{Dir: dir}).forgetOld()
	opt := &Options{Dir: dir, Log: io.Discard}
	where, err := locate(ctx, opt)
	if err == nil {
		err = where.discard(opt)
	}
	if err == nil {
		err = os.RemoveAll(dir)
	}
	if err != nil {
		return fmt.Errorf("clear away what is left of the server in %s: %w", dir, err)
	}
	return where.removeOutside()
}
