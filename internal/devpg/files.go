package devpg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// errHeld is a lock that somebody else holds.
var errHeld = errors.New("the lock is held")

// flock takes a lock on an open file, without waiting; the kernel gives it back when the file is
// closed or the process ends, however it ends.
func flock(f *os.File, how int) error {
	for {
		err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EWOULDBLOCK):
			return errHeld
		case err != nil:
			return fmt.Errorf("lock %s: %w", f.Name(), err)
		default:
			return nil
		}
	}
}

// openLock opens a file to be locked. One that another user made can be locked all the same.
func openLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if errors.Is(err, fs.ErrPermission) {
		f, err = os.Open(path)
	}
	if err != nil {
		return nil, fmt.Errorf("open the lock file: %w", err)
	}
	return f, nil
}

// lockFile takes an exclusive lock on a file, waiting for others as long as ctx allows. Close it to
// give the lock back.
func lockFile(ctx context.Context, path string) (*os.File, error) {
	f, err := openLock(path)
	if err != nil {
		return nil, err
	}
	if err := waitLock(ctx, f, syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func waitLock(ctx context.Context, f *os.File, how int) error {
	for {
		err := flock(f, how)
		if !errors.Is(err, errHeld) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the lock %s: %w", f.Name(), ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// copyTree copies the tree from into the folder to, which must be there, and gives the copies to
// owner (nil: ourselves). What skip (nil: nothing) answers true for, given its path below from, is
// left out, and so is what vanishes meanwhile: a running server's temporary files.
func copyTree(from, to string, owner *account, skip func(path string) bool) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path != from {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if skip != nil && skip(rel) {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		return copyEntry(path, filepath.Join(to, rel), entry, owner)
	})
}

func copyEntry(from, to string, entry fs.DirEntry, owner *account) error {
	info, err := entry.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	switch {
	case entry.IsDir():
		if err := os.Mkdir(to, info.Mode().Perm()); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	case entry.Type()&fs.ModeSymlink != 0:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		if err := os.Symlink(target, to); err != nil {
			return err
		}
	case entry.Type().IsRegular():
		if err := copyFile(from, to, info.Mode().Perm()); errors.Is(err, errVanished) {
			return nil
		} else if err != nil {
			return err
		}
	default:
		return nil // a socket or a pipe belongs to a process, not to the tree
	}
	return owner.own(to)
}

// errVanished is a file that was there a moment ago.
var errVanished = errors.New("the file is gone")

func copyFile(from, to string, mode fs.FileMode) error {
	in, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return errVanished
	}
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

// replaceFile writes a file under a temporary name and moves it into place, so that a reader or a
// crash meets the old text or the new one, and a link planted there is not followed.
func replaceFile(path, text string, mode fs.FileMode, owner *account) error {
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(text); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := owner.own(tmp); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// TempDir is the temporary folder for ephemeral servers: in memory where there is plenty of it, unless
// TMPDIR says where, since making and removing a server or a database is mostly making and removing
// hundreds of small files. It goes by what the machine has, not by what is free, so that all processes come to the
// same answer.
func TempDir() string {
	const memory = "/dev/shm"
	if os.Getenv("TMPDIR") != "" {
		return os.TempDir()
	}
	var stat syscall.Statfs_t
	if err := syscall.Statfs(memory, &stat); err != nil || uint64(stat.Blocks)*uint64(stat.Bsize) < 8<<30 {
		return os.TempDir()
	}
	return memory
}
