package devpg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	superuser = "postgres"
	confName  = "pgtender.conf"
)

// cluster is a data folder and the user whose server it is.
type cluster struct {
	Data    string
	User    *account
	Outside bool // it does not lie in the server's folder
}

// locate finds or decides where the cluster of the folder dir lies: in dir/data, or, when the
// server's user cannot enter dir, outside, with a link dir/data that says so.
func locate(ctx context.Context, opt *Options) (cluster, error) {
	link := filepath.Join(opt.Dir, "data")
	info, err := os.Lstat(link)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return place(ctx, opt, link)
	case err != nil:
		return cluster{}, fmt.Errorf("data folder: %w", err)
	case info.Mode()&fs.ModeSymlink != 0:
		return follow(opt, link)
	case !info.IsDir():
		return cluster{}, fmt.Errorf("%s is in the way: it should be the server's data folder", link)
	}
	owner, err := ownerAccount(link)
	if err != nil {
		return cluster{}, err
	}
	if owner.reaches(ctx, opt.Dir) {
		return cluster{Data: link, User: owner}, nil
	}
	return moveOut(opt, link, owner)
}

// place decides where a new cluster is to lie.
func place(ctx context.Context, opt *Options, link string) (cluster, error) {
	user, err := serverAccount()
	if err != nil {
		return cluster{}, err
	}
	if user.reaches(ctx, opt.Dir) {
		return cluster{Data: link, User: user}, nil
	}
	target, err := opt.outsideData()
	if err != nil {
		return cluster{}, err
	}
	if _, err := os.Stat(target); err == nil {
		fmt.Fprintf(opt.Log, "using the data of an earlier %s, which are in %s; remove that folder to start afresh\n", opt.Dir, target)
		if user, err = ownerAccount(target); err != nil {
			return cluster{}, err
		}
	} else {
		fmt.Fprintf(opt.Log, "keeping the data in %s: user %s cannot enter %s\n", target, user.Name, opt.Dir)
	}
	if err := os.Symlink(target, link); err != nil {
		return cluster{}, fmt.Errorf("note where the data are: %w", err)
	}
	return cluster{target, user, true}, nil
}

// moveOut moves a cluster to where its user can reach it: its folder was moved to, or closed off in,
// a place that only root may enter.
func moveOut(opt *Options, link string, owner *account) (cluster, error) {
	target, err := opt.outsideData()
	if err != nil {
		return cluster{}, err
	}
	if err := os.Rename(link, target); err != nil {
		return cluster{}, fmt.Errorf("user %s, whose server it is, cannot enter %s; move its data folder to where that user can: %w", owner.Name, opt.Dir, err)
	}
	if err := os.Symlink(target, link); err != nil {
		return cluster{}, fmt.Errorf("note where the data are: %w", err)
	}
	fmt.Fprintf(opt.Log, "moved the data to %s: user %s cannot enter %s\n", target, owner.Name, opt.Dir)
	return cluster{target, owner, true}, nil
}

// outsideData is the data folder that stands in for opt.Dir's; its parent is there.
func (o *Options) outsideData() (string, error) {
	outside := o.outside
	if outside == "" {
		outside = defaultOutside
	}
	parent := standIn(outside, o.Dir)
	return filepath.Join(parent, "data"), makeReachable(parent)
}

// follow is the cluster that an earlier start put elsewhere.
func follow(opt *Options, link string) (cluster, error) {
	target, err := readLink(link)
	if err != nil {
		return cluster{}, fmt.Errorf("data folder: %w", err)
	}
	user, err := ownerAccount(target)
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(opt.Log, "the data folder %s, to which %s points, is gone: starting afresh\n", target, link)
		if err := makeReachable(filepath.Dir(target)); err != nil {
			return cluster{}, err
		}
		user, err = serverAccount()
	}
	if err != nil {
		return cluster{}, err
	}
	return cluster{target, user, true}, nil
}

func readLink(link string) (string, error) {
	target, err := os.Readlink(link)
	if err == nil && !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(link), target)
	}
	return target, err
}

// create makes the cluster unless it is there. It appears under its name only when it is whole.
func (c cluster) create(ctx context.Context, opt *Options) error {
	version, err := os.ReadFile(filepath.Join(c.Data, "PG_VERSION"))
	if err == nil {
		if found := strings.TrimSpace(string(version)); found != Major {
			return fmt.Errorf("the data folder %s is of PostgreSQL %s, not %s: move it away to start afresh", c.Data, found, Major)
		}
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("data folder: %w", err)
	}
	if entries, err := os.ReadDir(c.Data); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s is not a data folder of PostgreSQL and not empty: move it away to start afresh", c.Data)
	}
	tmp := c.Data + ".new"
	if err := os.RemoveAll(tmp); err != nil {
		return fmt.Errorf("remove an interrupted cluster: %w", err)
	}
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	if err := c.User.own(tmp); err != nil {
		return fmt.Errorf("give the data folder to user %s: %w", c.User.Name, err)
	}
	if err := c.fill(ctx, opt, tmp); err != nil {
		return errors.Join(err, os.RemoveAll(tmp))
	}
	if err := os.Remove(c.Data); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("replace the empty data folder: %w", err)
	}
	if err := os.Rename(tmp, c.Data); err != nil {
		return fmt.Errorf("put the data folder into place: %w", err)
	}
	return nil
}

func (c cluster) fill(ctx context.Context, opt *Options, tmp string) error {
	if opt.Fill != nil {
		return opt.Fill(ctx, NewData{tmp, c.User})
	}
	if opt.CacheDir != "" {
		seed, err := seeded(ctx, opt, c.User)
		if err != nil {
			return err
		}
		if err := copyTree(seed, tmp, c.User, nil); err != nil {
			return fmt.Errorf("copy a fresh cluster: %w", err)
		}
		return nil
	}
	fmt.Fprintf(opt.Log, "making a cluster in %s\n", c.Data)
	return initdb(ctx, opt, c.User, tmp)
}

// NewData is a data folder that Options.Fill fills.
type NewData struct {
	path string
	user *account
}

// Copy copies another data folder into it, less the files for whose path skip answers true.
func (n NewData) Copy(from string, skip func(path string) bool) error {
	return copyTree(from, n.path, n.user, skip)
}

// Write puts a file into it.
func (n NewData) Write(name, text string) error {
	return replaceFile(filepath.Join(n.path, name), text, 0o600, n.user)
}

func initdb(ctx context.Context, opt *Options, user *account, data string) error {
	// The builtin provider sorts alike on every machine.
	args := []string{"-D", data, "-U", superuser, "-A", "trust", "-E", "UTF8",
		"--locale-provider=builtin", "--locale=C.UTF-8", "--no-instructions"}
	if opt.Ephemeral || opt.CacheDir != "" {
		args = append(args, "--no-sync")
	}
	if _, err := run(ctx, user, opt.Programs.program("initdb"), args...); err != nil {
		return fmt.Errorf("make a cluster: %w", err)
	}
	conf, err := os.OpenFile(filepath.Join(data, "postgresql.conf"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return fmt.Errorf("make a cluster: %w", err)
	}
	_, err = conf.WriteString("\ninclude_if_exists = '" + confName + "'\t# written at each start\n")
	if err = errors.Join(err, conf.Close()); err != nil {
		return fmt.Errorf("make a cluster: %w", err)
	}
	return nil
}

// seeded returns a cluster as initdb leaves it, kept in the cache for the next time.
func seeded(ctx context.Context, opt *Options, user *account) (_ string, err error) {
	// Each user has one, since only its owner may read a data folder.
	seed := filepath.Join(opt.CacheDir, fmt.Sprintf("cluster-%s-%d", opt.Programs.Version, os.Geteuid()))
	if _, err := os.Stat(seed); err == nil {
		return seed, nil
	}
	if err := makeReachable(opt.CacheDir); err != nil {
		return "", err
	}
	lock, err := lockFile(ctx, seed+".lock")
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if _, err := os.Stat(seed); err == nil {
		return seed, nil
	}
	// initdb runs as the server's user, who may not reach the cache: beside the cluster, then copied.
	made, err := os.MkdirTemp(opt.Dir, "initdb-")
	if err != nil {
		return "", fmt.Errorf("make a cluster: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(made)) }()
	if err := user.own(made); err != nil {
		return "", fmt.Errorf("make a cluster: %w", err)
	}
	if err := initdb(ctx, opt, user, made); err != nil {
		return "", err
	}
	tmp := seed + ".new"
	err = errors.Join(os.RemoveAll(tmp), os.Mkdir(tmp, 0o700), copyTree(made, tmp, nil, nil))
	if err == nil {
		err = os.Rename(tmp, seed)
	}
	if err != nil {
		return "", fmt.Errorf("keep a fresh cluster in the cache: %w", err)
	}
	return seed, nil
}

// configure writes the settings and who may connect.
func (c cluster) configure(settings map[string]string, hba string) error {
	var conf strings.Builder
	conf.WriteString("# Written at each start; settings of your own belong into postgresql.conf or ALTER SYSTEM.\n")
	names := make([]string, 0, len(settings))
	for name := range settings {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		quoted := strings.NewReplacer(`\`, `\\`, "'", "''", "\n", `\n`).Replace(settings[name])
		fmt.Fprintf(&conf, "%s = '%s'\n", name, quoted)
	}
	if err := replaceFile(filepath.Join(c.Data, confName), conf.String(), 0o600, c.User); err != nil {
		return fmt.Errorf("write the server's settings: %w", err)
	}
	if err := replaceFile(filepath.Join(c.Data, "pg_hba.conf"), hba, 0o600, c.User); err != nil {
		return fmt.Errorf("write who may connect: %w", err)
	}
	return nil
}

// accessRules is pg_hba.conf: everyone over the socket, which lies in a folder of the user's own, and
// over the loopback address with or without a password.
func accessRules(method string) string {
	var hba strings.Builder
	for _, database := range []string{"all", "replication"} {
		fmt.Fprintf(&hba, "local %s all trust\n", database)
		for _, address := range []string{"127.0.0.1/32", "::1/128"} {
			fmt.Fprintf(&hba, "host %s all %s %s\n", database, address, method)
		}
	}
	return hba.String()
}

var portLine = regexp.MustCompile(`(?m)^port = '(\d+)'$`)

// lastPort is where the server listened the last time, 0 if that is not known.
func (c cluster) lastPort() int {
	conf, err := os.ReadFile(filepath.Join(c.Data, confName))
	if err != nil {
		return 0
	}
	found := portLine.FindSubmatch(conf)
	if found == nil {
		return 0
	}
	port, _ := strconv.Atoi(string(found[1]))
	return port
}

// discard removes the data of an ephemeral server whose guard was killed. Data without the mark that
// they are such are somebody's, and refused.
func (c cluster) discard(opt *Options) error {
	mark := filepath.Join(opt.Dir, "ephemeral")
	if _, err := os.Lstat(c.Data); errors.Is(err, fs.ErrNotExist) {
		return replaceFile(mark, "The data in this folder are a test's: they are removed without asking.\n", 0o644, nil)
	}
	if _, err := os.Stat(mark); err != nil {
		return fmt.Errorf("the data in %s are not those of a server for tests, which would be removed: move them away: %w", c.Data, err)
	}
	if err := c.evict(func(format string, args ...any) { fmt.Fprintf(opt.Log, format+"\n", args...) }); err != nil {
		return err
	}
	if err := os.RemoveAll(c.Data); err != nil {
		return fmt.Errorf("remove what an earlier run left: %w", err)
	}
	return nil
}

// removeOutside removes the folder that stood in for an ephemeral server's.
func (c cluster) removeOutside() error {
	if !c.Outside {
		return nil
	}
	for _, path := range []string{c.Data + ".lock", filepath.Dir(c.Data)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the data's place: %w", err)
		}
	}
	return nil
}
