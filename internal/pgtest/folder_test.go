package pgtest

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pgtender/pgtender/internal/devpg"
)

func TestBaseFolderIsOurs(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	first, err := baseFolder(parent)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := baseFolder(parent); err != nil || again != first {
		t.Errorf("%s, then %s, %v", first, again, err)
	}
	// Somebody else may have been there before us.
	if err := os.Chmod(first, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := baseFolder(parent); err == nil {
		t.Error("a folder that everybody may write was taken")
	}
	if err := os.Remove(first); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(t.TempDir(), first); err != nil {
		t.Fatal(err)
	}
	if _, err := baseFolder(parent); err == nil {
		t.Error("a link was followed")
	}
}

func TestSweepRemovesOldUnusedServers(t *testing.T) {
	t.Parallel()
	base, err := baseFolder(devpg.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	used := Private(t)
	long := time.Now().Add(-time.Hour)
	folders := map[string]string{"young": "", "old": "", "used": used.Dir}
	for _, name := range []string{"young", "old"} {
		dir, err := os.MkdirTemp(base, "private-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		if err := os.WriteFile(filepath.Join(dir, "postgres.log"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		folders[name] = dir
	}
	for _, name := range []string{"old", "used"} {
		if err := os.Chtimes(folders[name], long, long); err != nil {
			t.Fatal(err)
		}
	}
	if err := sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, dir := range folders {
		if _, err := os.Stat(dir); (err == nil) != (name != "old") {
			t.Errorf("%s: %v", name, err)
		}
	}
	Exec(t, used.URL("postgres"), "SELECT 1")
}
