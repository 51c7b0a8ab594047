package cli_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pgtender/pgtender/internal/cli"
	"github.com/pgtender/pgtender/internal/devpg"
	"github.com/pgtender/pgtender/internal/pgtest"
)

// This program is pgtender, too, when it is started under that name: by the scripts, and by the tests that kill it.
func TestMain(m *testing.M) {
	if devpg.GuardMain() {
		return
	}
	// Most of the time the tests wait for other processes.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	testscript.Main(withServer{m}, map[string]func(){"pgtender": func() { os.Exit(cli.Process()) }})
}

type withServer struct{ *testing.M }

func (s withServer) Run() int { return pgtest.Main(s.M) }

// repository is the folder of the shipped atlas.hcl, absolute.
func repository(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// registry is the template of a database that `pgtender apply` has brought to the shipped declaration.
func registry(t testing.TB) string {
	t.Helper()
	return applied(t, filepath.Join(repository(t), "atlas.hcl"))
}

// applied is the template of a database that `pgtender apply` has brought to what the file declares. Nothing else may differ
// between two files of the same content.
func applied(t testing.TB, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	name := fmt.Sprintf("cli_%d_%s", os.Getpid(), hex.EncodeToString(sum[:6]))
	return pgtest.Template(t, name, func(url string) error {
		code, out := inProcess(context.Background(), "--config", file, "--url", url, "apply", "--auto-approve")
		if code != 0 {
			return fmt.Errorf("pgtender apply: exit code %d\n%s", code, out)
		}
		return nil
	})
}

// inProcess runs a command in this process, with no environment, and returns its exit code and what it printed on stderr.
func inProcess(ctx context.Context, args ...string) (int, string) {
	var stderr lines
	code := cli.Main(ctx, args, nil, io.Discard, &stderr, func(string) string { return "" })
	return code, stderr.String()
}
