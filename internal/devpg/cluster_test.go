package devpg

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestInterruptedClusterIsMadeAnew(t *testing.T) {
	t.Parallel()
	dir := openFolder(t, "dev")
	tmp := filepath.Join(dir, "data.new")
	if err := os.MkdirAll(filepath.Join(tmp, "base"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tmp, "PG_VERSION"), []byte("18\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server, err := Start(t.Context(), Options{Programs: programs(t), Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, server)
	if got := ask[string](t, server.URL("postgres"), "SELECT datlocprovider::text || datlocale FROM pg_database WHERE datname = current_database()"); got != "bC.UTF-8" {
		t.Errorf("the locale is %s", got)
	}
	if exists(tmp) {
		t.Error("the interrupted cluster is left")
	}
}

func TestForeignDataAreRefused(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"PG_VERSION": "of PostgreSQL 17, not 18", "diary.txt": "not empty"} {
		dir := openFolder(t, "dev")
		file := filepath.Join(dir, "data", name)
		if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("17\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		user, err := serverAccount()
		if err != nil {
			t.Fatal(err)
		}
		if err := user.own(filepath.Dir(file)); err != nil {
			t.Fatal(err)
		}
		_, err = Start(t.Context(), Options{Programs: programs(t), Dir: dir})
		mustContain(t, err, filepath.Dir(file), want, "move it away")
		if text, err := os.ReadFile(file); err != nil || string(text) != "17\n" {
			t.Errorf("%s was touched: %q, %v", file, text, err)
		}
	}
}

func TestCopiedCheckoutDoesNotShareData(t *testing.T) {
	t.Parallel()
	dir, elsewhere := openFolder(t, "dev"), openFolder(t, "elsewhere")
	// The user keeps the data on another disk.
	if err := os.Symlink(filepath.Join(elsewhere, "data"), filepath.Join(dir, "data")); err != nil {
		t.Fatal(err)
	}
	first := start(t, Options{Dir: dir})
	copied := filepath.Join(openFolder(t, "copy"), ".pgtender")
	if out, err := exec.Command("cp", "-a", dir, copied).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	_, err := Start(t.Context(), Options{Programs: programs(t), Dir: copied})
	mustContain(t, err, copied, elsewhere, "another folder")
	waitFree(t, copied)
	if got := ask[int](t, first.URL("postgres"), "SELECT 1"); got != 1 {
		t.Error("the copy stopped the server")
	}
	stop(t, first)
	second := start(t, Options{Dir: copied})
	if second.Data != first.Data {
		t.Errorf("the data are in %s, not in %s", second.Data, first.Data)
	}
}

func TestSeedIsCopied(t *testing.T) {
	t.Parallel()
	cache := t.TempDir() // closed to the server's user
	for range 2 {
		server, err := Start(t.Context(), Options{Programs: programs(t), Dir: openFolder(t, "ephemeral"), Ephemeral: true, Private: true, CacheDir: cache})
		if err != nil {
			t.Fatal(err)
		}
		if got := ask[string](t, server.URL("postgres"), "SHOW fsync"); got != "off" {
			t.Errorf("fsync is %s", got)
		}
		stop(t, server)
	}
	if seeds, err := filepath.Glob(filepath.Join(cache, "cluster-*[^k]")); err != nil || len(seeds) != 1 {
		t.Errorf("the cache holds %v, %v", seeds, err)
	}
}
