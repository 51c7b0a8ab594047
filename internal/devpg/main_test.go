package devpg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// ownerVariable makes the test binary a program that runs a server in the named folder until it is killed.
const ownerVariable = "DEVPG_TEST_OWNER"

func TestMain(m *testing.M) {
	if GuardMain() {
		return
	}
	if dir := os.Getenv(ownerVariable); dir != "" {
		if err := ownServer(dir); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// ownServer says where its server is, then waits for its standard input to close.
func ownServer(dir string) error {
	ctx := context.Background()
	bin, err := Programs(ctx, moduleCache(), io.Discard)
	if err != nil {
		return err
	}
	server, err := Start(ctx, Options{Programs: bin, Dir: dir, Ephemeral: strings.HasPrefix(filepath.Base(dir), "ephemeral")})
	if err != nil {
		return err
	}
	fmt.Println(server.PID, server.URL("postgres"))
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return server.Stop(ctx)
}

// moduleCache is the checkout's, so that the programs are brought once.
func moduleCache() string {
	dir, err := filepath.Abs("../../.cache")
	if err != nil {
		panic(err)
	}
	return dir
}

func programs(t *testing.T) Bin {
	t.Helper()
	bin, err := Programs(t.Context(), moduleCache(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// openFolder is a folder that every user may enter, unlike t.TempDir.
func openFolder(t *testing.T, pattern string) string {
	t.Helper()
	dir, err := os.MkdirTemp(TempDir(), "pgtender-devpg-")
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
	inner := filepath.Join(dir, pattern)
	if err := os.Mkdir(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	return inner
}

// start runs a server with durable data, which stops with the test at the latest.
func start(t *testing.T, opt Options) *Server {
	t.Helper()
	opt.Programs, opt.CacheDir = programs(t), moduleCache()
	server, err := Start(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, server) })
	return server
}

func stop(t *testing.T, server *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := server.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func execute(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func ask[T any](t *testing.T, url, sql string) T {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	var answer T
	if err := conn.QueryRow(t.Context(), sql).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return answer
}

// waitGone waits until no process serves the data folder.
func waitGone(t *testing.T, pid int, data string) {
	t.Helper()
	if !gone(pid, data, 30*time.Second) {
		t.Fatalf("process %d still serves %s", pid, data)
	}
}

// waitFree waits until no guard and no user is left in the folder.
func waitFree(t *testing.T, dir string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, name := range []string{"clients.lock", "guard.lock"} {
		lock, err := lockFile(ctx, filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		lock.Close()
	}
}

func mustContain(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q lacks %q", err, part)
		}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, os.ErrNotExist)
}
