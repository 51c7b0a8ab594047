package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/devpg"
	"github.com/pgtender/pgtender/internal/pg"
)

// Private starts a server of the test's own, with settings such as "io_method=sync", which stops when
// the test ends. The test may do with it what it likes: Down, Up, Restart.
func Private(t testing.TB, settings ...string) *devpg.Server {
	t.Helper()
	return private(t, devpg.TempDir(), devpg.Options{Settings: settingsOf(t, settings)})
}

// PrivateOnDisk is Private with its data on the disk, where Private and the shared server have them in
// memory if there is plenty: for tests of reading and writing.
func PrivateOnDisk(t testing.TB, settings ...string) *devpg.Server {
	t.Helper()
	return private(t, os.TempDir(), devpg.Options{Settings: settingsOf(t, settings)})
}

// PrivateWithPassword is Private whose superuser needs the password. The other roles that the test makes
// need one, too, over TCP.
func PrivateWithPassword(t testing.TB, password string, settings ...string) *devpg.Server {
	t.Helper()
	return private(t, devpg.TempDir(), devpg.Options{Password: password, Settings: settingsOf(t, settings)})
}

// Standby starts a hot standby of a private server, which stops when the test ends. It streams from
// the primary by a replication slot of its own and can be promoted.
func Standby(t testing.TB, primary *devpg.Server, settings ...string) *devpg.Server {
	t.Helper()
	name := unique("standby")
	Exec(t, primary.URL("postgres"), "SELECT pg_create_physical_replication_slot("+pg.Literal(name)+", true)")
	all := settingsOf(t, settings)
	all["primary_conninfo"] = fmt.Sprintf("host=%s port=%d user=postgres application_name=%s", primary.Sockets, primary.Port, name)
	all["primary_slot_name"] = name
	return private(t, devpg.TempDir(), devpg.Options{Settings: all, Fill: func(ctx context.Context, data devpg.NewData) error {
		return backUp(ctx, primary, data)
	}})
}

// backUp copies a running server's data folder, as pg_basebackup would, which not every PostgreSQL
// package has.
func backUp(ctx context.Context, primary *devpg.Server, data devpg.NewData) error {
	// The backup ends with the session that began it.
	conn, err := pgx.Connect(ctx, primary.SocketURL("postgres"))
	if err != nil {
		return fmt.Errorf("back up the primary: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "SELECT pg_backup_start('pgtest', fast => true)"); err != nil {
		return fmt.Errorf("back up the primary: %w", err)
	}
	// The standby streams its WAL from the start of the backup; the slot has kept it.
	err = data.Copy(primary.Data, func(path string) bool {
		in := func(dir string) bool { return strings.HasPrefix(path, dir+string(filepath.Separator)) }
		return path == "postmaster.pid" || path == "postmaster.opts" || in("pg_wal") || in("pg_replslot") || in("pg_dynshmem")
	})
	if err != nil {
		return fmt.Errorf("copy the primary: %w", err)
	}
	var label string
	if err := conn.QueryRow(ctx, "SELECT labelfile FROM pg_backup_stop(wait_for_archive => false)").Scan(&label); err != nil {
		return fmt.Errorf("end the backup of the primary: %w", err)
	}
	return errors.Join(data.Write("backup_label", label), data.Write("standby.signal", ""))
}

func private(t testing.TB, parent string, opt devpg.Options) *devpg.Server {
	t.Helper()
	process.Lock()
	main := process.main
	process.Unlock()
	if !main {
		t.Fatal("pgtest: the package needs func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }")
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	base, err := baseFolder(parent)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	if opt.Programs, err = devpg.Programs(ctx, cacheFolder(), os.Stderr); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	if opt.Dir, err = os.MkdirTemp(base, "private-"); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	if err := os.Chmod(opt.Dir, 0o755); err != nil { // the server may run as another user
		t.Fatalf("pgtest: %v", err)
	}
	opt.Log, opt.Ephemeral, opt.Private, opt.CacheDir = os.Stderr, true, true, cacheFolder()
	server, err := devpg.Start(ctx, opt)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := server.Stop(ctx); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return server
}
