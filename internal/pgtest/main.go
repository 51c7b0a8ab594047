package pgtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pgtender/pgtender/internal/devpg"
)

// patience bounds each thing the harness itself does with a server. The first run of all brings the
// programs, too.
const patience = 5 * time.Minute

// process is what this test process has of the shared server. It cannot hang on a test, so it is
// the one variable of the package.
var process struct {
	sync.Mutex
	main   bool // Main runs
	server *devpg.Server
}

// Main runs a package's tests and returns the exit code for os.Exit; m is the *testing.M. The server
// is started when the first test asks for it.
func Main(m interface{ Run() int }) int {
	if devpg.GuardMain() {
		return 0
	}
	process.Lock()
	process.main = true
	process.Unlock()
	code := m.Run()
	process.Lock()
	defer process.Unlock()
	if process.server == nil {
		return code
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := process.server.Stop(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		return max(code, 1)
	}
	return code
}

// Hold starts the shared server of this checkout, or joins it, for a program that runs tests. The
// program must begin with devpg.GuardMain.
func Hold(ctx context.Context) (*devpg.Server, error) {
	base, err := baseFolder(devpg.TempDir())
	if err != nil {
		return nil, err
	}
	if err := sweep(ctx); err != nil {
		return nil, err
	}
	bin, err := devpg.Programs(ctx, cacheFolder(), os.Stderr)
	if err != nil {
		return nil, err
	}
	return devpg.Start(ctx, devpg.Options{
		Programs: bin, Dir: filepath.Join(base, "shared"), Log: os.Stderr, Ephemeral: true, CacheDir: cacheFolder(),
		Settings: map[string]string{"max_prepared_transactions": "20"},
	})
}

// shared returns the server of all tests.
func shared(t testing.TB) *devpg.Server {
	t.Helper()
	process.Lock()
	defer process.Unlock()
	if !process.main {
		t.Fatal("pgtest: the package needs func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }")
	}
	if process.server != nil {
		return process.server
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	server, err := Hold(ctx)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	process.server = server
	return server
}

// checkout is the folder of the module that the tests belong to, or "".
func checkout() string {
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
}

// cacheFolder keeps the programs and a fresh cluster from one run to the next.
func cacheFolder() string {
	if dir := checkout(); dir != "" {
		return filepath.Join(dir, ".cache")
	}
	if dir, err := os.UserCacheDir(); err == nil {
		return filepath.Join(dir, "pgtender")
	}
	return filepath.Join(os.TempDir(), "pgtender-cache-"+strconv.Itoa(os.Geteuid()))
}

// baseFolder, in the temporary folder parent, holds the servers of this user's tests of this checkout.
func baseFolder(parent string) (string, error) {
	sum := sha256.Sum256([]byte(checkout()))
	dir := filepath.Join(parent, fmt.Sprintf("pgtender-test-%d-%s", os.Geteuid(), hex.EncodeToString(sum[:4])))
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("make a folder for the tests' servers: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", fmt.Errorf("folder for the tests' servers: %w", err)
	}
	// Anyone may make folders in the temporary folder.
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || !info.IsDir() || int(stat.Uid) != os.Geteuid() || info.Mode()&0o022 != 0 {
		return "", fmt.Errorf("%s is not a folder that only we may write: remove it", dir)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", fmt.Errorf("folder for the tests' servers: %w", err)
	}
	return dir, nil
}

// sweep clears away private servers whose test and guard were both killed. Such a folder is a minute
// old at least: a younger one may be about to be used.
func sweep(ctx context.Context) error {
	for _, parent := range []string{devpg.TempDir(), os.TempDir()} {
		base, err := baseFolder(parent)
		if err != nil {
			return err
		}
		dirs, err := filepath.Glob(filepath.Join(base, "private-*"))
		if err != nil {
			return err
		}
		for _, dir := range dirs {
			if info, err := os.Stat(dir); err != nil || time.Since(info.ModTime()) < time.Minute {
				continue
			}
			if err := devpg.Clear(ctx, dir); err != nil {
				return err
			}
		}
	}
	return nil
}
