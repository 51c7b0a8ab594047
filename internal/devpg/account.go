package devpg

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// defaultOutside is where root keeps what the server's user must reach, when the folder asked for is
// out of its reach. Only root can write there, and no cleaner of temporary files empties it.
const defaultOutside = "/var/lib/pgtender"

// account is the unprivileged user as whom the server runs. A nil one is ourselves.
type account struct {
	Name string
	UID  uint32
	GID  uint32
}

// serverAccount is nil unless we are root; then it is postgres, or else nobody.
func serverAccount() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			return toAccount(u)
		}
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor a user nobody to run it as")
}

// ownerAccount is the user of an existing data folder, as whom its server must run.
func ownerAccount(data string) (*account, error) {
	info, err := os.Stat(data)
	if err != nil {
		return nil, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, fmt.Errorf("the owner of %s cannot be read", data)
	}
	if int(stat.Uid) == os.Geteuid() {
		if stat.Uid == 0 {
			return nil, fmt.Errorf("the data folder %s belongs to root, as whom PostgreSQL does not run: chown it, or remove it to start afresh", data)
		}
		return nil, nil
	}
	name := strconv.Itoa(int(stat.Uid))
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("the data folder %s belongs to user %s: run this as that user or as root, or remove the folder to start afresh", data, name)
	}
	return &account{Name: name, UID: stat.Uid, GID: stat.Gid}, nil
}

func toAccount(u *user.User) (*account, error) {
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", u.Username, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", u.Username, err)
	}
	return &account{Name: u.Username, UID: uint32(uid), GID: uint32(gid)}, nil
}

// attributes makes a process run as the account.
func (a *account) attributes() *syscall.SysProcAttr {
	if a == nil {
		return nil
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: a.UID, Gid: a.GID}}
}

// own gives a file or link to the account.
func (a *account) own(path string) error {
	if a == nil {
		return nil
	}
	return os.Lchown(path, int(a.UID), int(a.GID))
}

// reaches reports whether the account can enter the folder. It is tried, not reckoned: permissions
// are more than mode bits.
func (a *account) reaches(ctx context.Context, dir string) bool {
	if a == nil {
		return true
	}
	_, err := run(ctx, a, "/bin/sh", "-c", `cd -- "$1"`, "sh", dir)
	return err == nil
}

// standIn is the folder under outside that stands in for dir, always the same one.
func standIn(outside, dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return filepath.Join(outside, hex.EncodeToString(sum[:8]))
}

// makeReachable makes a folder, and its missing parents, that others may enter whatever the umask.
func makeReachable(dir string) error {
	var missing []string
	for at := dir; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err == nil && !info.IsDir() {
			return fmt.Errorf("%s is not a folder", at)
		}
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("folder %s: %w", dir, err)
		}
		missing = append(missing, at)
	}
	for i := len(missing) - 1; i >= 0; i-- {
		if err := os.Mkdir(missing[i], 0o755); errors.Is(err, fs.ErrExist) {
			continue
		} else if err != nil {
			return fmt.Errorf("make folder %s: %w", dir, err)
		}
		if err := os.Chmod(missing[i], 0o755); err != nil {
			return fmt.Errorf("make folder %s: %w", dir, err)
		}
	}
	return nil
}
