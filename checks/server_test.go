package checks

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pgtender/pgtender/internal/devpg"
	"github.com/pgtender/pgtender/internal/pgtest"
)

// burn uses up transactions.
func burn(n int) string {
	return fmt.Sprintf("DO $$ BEGIN FOR i IN 1..%d LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$", n)
}

// server is a bench on a server of its own, for faults that others would see.
func newServer(t *testing.T, settings ...string) (*bench, *devpg.Server) {
	t.Helper()
	t.Parallel()
	s := pgtest.Private(t, settings...)
	b := &bench{t: t, url: s.URL("postgres")}
	b.pool = pgtest.Pool(t, b.url)
	return b, s
}

// TestServerFaults plants one fault after the other on one server.
func TestServerFaults(t *testing.T) {
	b, s := newServer(t, "max_prepared_transactions=5", "wal_level=logical", "archive_mode=on", "archive_command=true", "io_workers=1", "min_wal_size=32MB", "max_wal_size=64MB")
	for _, c := range []struct {
		name string
		test func(t *testing.T, b *bench, s *devpg.Server)
	}{
		{"xid_age", xidAgeFault}, {"multixact_age", multixactAgeFault},
		{"prepared_transactions", preparedTransactionsFault}, {"xmin_horizon", xminHorizonFault}, {"connections", connectionsFault},
		{"replication_slots", replicationSlotsFault}, {"slot_inactive", slotInactiveFault}, {"wal_archiving", walArchivingFault},
		{"pending_restart", pendingRestartFault}, {"config_files", configFilesFault}, {"collation_version", collationVersionFault},
		{"io_activity", ioActivityFault}, {"checksum_failures", checksumFailuresFault},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.test(t, &bench{t: t, url: b.url, pool: b.pool}, s)
		})
	}
}

// freezeAll brings the horizons of every database to now.
func freezeAll(b *bench, s *devpg.Server) {
	b.exec("ALTER DATABASE template0 ALLOW_CONNECTIONS true")
	for _, database := range []string{"template0", "template1", "postgres"} {
		pgtest.Exec(b.t, s.URL(database), "VACUUM (FREEZE)")
	}
	b.exec("ALTER DATABASE template0 ALLOW_CONNECTIONS false")
}

func xidAgeFault(t *testing.T, b *bench, s *devpg.Server) {
	b.exec("CREATE TABLE public.old (a int)")
	freezeAll(b, s)
	b.want(xidAge(newHorizons(), from(200, 0)), "", OK)
	b.exec(burn(250))
	b.want(xidAge(newHorizons(), from(100, 200)), "", Critical)
	b.want(xidAge(newHorizons(), defaults("xid_age")), "", OK)
	b.want(xidAge(newHorizons(), from(200, 0)), "", Warning, "transactions old, in database")
	freezeAll(b, s)
	b.want(xidAge(newHorizons(), from(200, 0)), "", OK)
	b.exec("ALTER DATABASE template0 ALLOW_CONNECTIONS true", burn(250))
	for _, database := range []string{"template0", "template1"} {
		pgtest.Exec(t, s.URL(database), "VACUUM (FREEZE)")
	}
	b.exec("ALTER DATABASE template0 ALLOW_CONNECTIONS false")
	f := b.want(xidAge(newHorizons(), from(200, 0)), "", Warning, "in database postgres, there in ")
	if !strings.HasPrefix(f.Remedy, "VACUUM (FREEZE, VERBOSE) ") {
		t.Errorf("remedy %q", f.Remedy)
	}
	freezeAll(b, s)
	b.want(xidAge(newHorizons(), from(200, 0)), "", OK)
}

func multixactAgeFault(t *testing.T, b *bench, s *devpg.Server) {
	b.exec("CREATE TABLE public.locked (a int)", "INSERT INTO public.locked VALUES (1)")
	freezeAll(b, s)
	b.want(multixactAge(newHorizons(), from(2, 0)), "", OK)
	for range 3 {
		_, end := b.session("SELECT FROM public.locked FOR SHARE")
		b.exec("SELECT FROM public.locked FOR SHARE")
		end()
	}
	b.want(multixactAge(newHorizons(), from(2, 0)), "", Warning, "multixacts old")
	freezeAll(b, s)
	b.want(multixactAge(newHorizons(), from(2, 0)), "", OK, "the oldest is 0 multixacts old")
}

func preparedTransactionsFault(t *testing.T, b *bench, _ *devpg.Server) {
	check := preparedTransactions(from(soon, 0))
	b.want(check, "", OK, "no prepared transaction")
	b.exec("BEGIN; CREATE TABLE public.prepared (); PREPARE TRANSACTION 'it''s mine'")
	pgtest.Eventually(t, b.url, "SELECT clock_timestamp() - prepared > interval '60 ms' FROM pg_prepared_xacts")
	b.want(preparedTransactions(defaults("prepared_transactions")), "", OK, "1 prepared transaction")
	f := b.want(check, "", Warning, `"it's mine" of postgres in database postgres`)
	b.exec(f.Remedy)
	b.want(check, "", OK)
}

func xminHorizonFault(t *testing.T, b *bench, _ *devpg.Server) {
	check := xminHorizon(from(50, 0))
	calm := func() {
		t.Helper()
		for _, source := range []string{"activity", "slot", "prepared", "standby"} {
			b.want(check, source, OK)
		}
	}
	calm()
	pid, end := b.session("SELECT pg_current_xact_id()")
	b.exec(burn(60))
	b.want(check, "activity", Warning, fmt.Sprintf("the transaction of pid %d (postgres) keeps dead rows of the last", pid), fmt.Sprintf("pg_terminate_backend(%d)", pid))
	b.want(check, "slot", OK)
	end()
	pgtest.Eventually(t, b.url, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)", pid)
	calm()

	b.exec("SELECT pg_create_logical_replication_slot('s', 'pgoutput')", burn(60))
	f := b.want(check, "slot", Warning, "logical replication slot s keeps")
	b.exec(f.Remedy)
	calm()

	b.exec("BEGIN; SELECT pg_current_xact_id(); PREPARE TRANSACTION 'p'", burn(60))
	f = b.want(check, "prepared", Warning, `prepared transaction "p" of postgres`)
	b.exec(f.Remedy)
	calm()
}

func connectionsFault(t *testing.T, b *bench, _ *devpg.Server) {
	var most float64
	if err := b.pool.QueryRow(t.Context(), "SELECT setting::float8 - 3 FROM pg_settings WHERE name = 'max_connections'").Scan(&most); err != nil {
		t.Fatal(err)
	}
	check := connections(from(15/most, 0))
	b.want(check, "", OK, fmt.Sprintf("of %.0f connections are taken", most))
	var ends []func()
	for range 16 {
		_, end := b.session()
		ends = append(ends, end)
	}
	b.want(check, "", Warning, "by role postgres in database postgres", "pg_stat_activity")
	for _, end := range ends {
		end()
	}
	pgtest.Eventually(t, b.url, "SELECT count(*) < 12 FROM pg_stat_activity WHERE backend_type = 'client backend'")
	b.want(check, "", OK)
}

func replicationSlotsFault(t *testing.T, b *bench, _ *devpg.Server) {
	check := replicationSlots(newSlots(), from(20e6, 0))
	b.want(check, "", OK, "there is no replication slot")
	b.exec("SELECT pg_create_physical_replication_slot('kept', true)", "SELECT pg_create_physical_replication_slot('empty')")
	b.want(check, "kept", OK)
	wal := []string{"SELECT pg_logical_emit_message(false, 'x', 'y')", "SELECT pg_switch_wal()"}
	b.exec(append(wal, wal...)...)
	f := b.want(check, "kept", Warning, "keeps 2", " MB of WAL; nobody reads from it")
	b.want(check, "empty", OK)
	b.exec("SELECT pg_replication_slot_advance('kept', pg_current_wal_lsn())")
	b.want(check, "kept", OK)
	b.exec(append(wal, wal...)...)
	b.exec("ALTER SYSTEM SET max_slot_wal_keep_size = '16MB'", "SELECT pg_reload_conf()")
	pgtest.Eventually(t, b.url, "SELECT current_setting('max_slot_wal_keep_size') = '16MB'")
	b.want(replicationSlots(newSlots(), limits{}), "kept", Critical, "the next checkpoint removes it")
	b.exec("CHECKPOINT")
	b.want(replicationSlots(newSlots(), limits{}), "kept", Critical, "the WAL that its reader needs is gone (wal_removed)")
	b.exec(f.Remedy[strings.Index(f.Remedy, "SELECT"):], "SELECT pg_drop_replication_slot('empty')", "ALTER SYSTEM RESET max_slot_wal_keep_size", "SELECT pg_reload_conf()")
	b.want(check, "", OK)
}

func slotInactiveFault(t *testing.T, b *bench, _ *devpg.Server) {
	check := slotInactive(newSlots(), from(soon, 0))
	b.want(check, "", OK, "no replication slot is without a reader")
	b.exec("SELECT pg_create_physical_replication_slot('left', true)")
	pgtest.Eventually(t, b.url, "SELECT clock_timestamp() - inactive_since > interval '60 ms' FROM pg_replication_slots")
	b.want(slotInactive(newSlots(), defaults("slot_inactive")), "left", OK)
	f := b.want(check, "left", Warning, "nobody has read from it for")
	b.exec(f.Remedy[strings.Index(f.Remedy, "SELECT"):])
	b.want(check, "", OK)
}

func walArchivingFault(t *testing.T, b *bench, _ *devpg.Server) {
	age, backlog := walArchiving(newArchiver(), from(0, soon)), walArchiveBacklog(newArchiver(), from(2, 0))
	pgtest.Eventually(t, b.url, "SELECT NOT EXISTS (SELECT FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready')")
	b.want(age, "", OK)
	b.want(backlog, "", OK, "no WAL file waits to be archived")
	b.exec("ALTER SYSTEM SET archive_command = 'false'", "SELECT pg_reload_conf()")
	pgtest.Eventually(t, b.url, "SELECT current_setting('archive_command') = 'false'")
	wal := []string{"SELECT pg_logical_emit_message(false, 'x', 'y')", "SELECT pg_switch_wal()"}
	b.exec(append(wal, wal...)...)
	pgtest.Eventually(t, b.url, "SELECT count(*) >= 2 AND clock_timestamp() - min(modification) > interval '60 ms' FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'")
	pgtest.Eventually(t, b.url, "SELECT failed_count > 0 FROM pg_stat_archiver")
	b.want(walArchiving(newArchiver(), defaults("wal_archiving")), "", OK, "the last try, of 0000")
	b.want(age, "", Critical, "WAL files wait to be archived, the oldest for", "failed", "archive_command")
	b.want(backlog, "", Warning, "WAL files wait")
	b.exec("ALTER SYSTEM SET archive_command = 'true'", "SELECT pg_reload_conf()")
	pgtest.Eventually(t, b.url, "SELECT NOT EXISTS (SELECT FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready')")
	b.want(age, "", OK)
	b.want(backlog, "", OK)
}

func pendingRestartFault(t *testing.T, b *bench, _ *devpg.Server) {
	check := pendingRestart(defaults("pending_restart"))
	b.want(check, "", OK)
	b.exec("ALTER SYSTEM SET max_worker_processes = 9", "ALTER SYSTEM SET io_max_concurrency = 9", "SELECT pg_reload_conf()")
	pgtest.Eventually(t, b.url, "SELECT count(*) = 2 FROM pg_settings WHERE pending_restart")
	f := b.want(check, "", Warning, "1 setting with a new value for the next restart: max_worker_processes")
	take := strings.Split(f.Remedy[strings.Index(f.Remedy, "ALTER"):], "; ")
	b.exec(take...)
	pgtest.Eventually(t, b.url, "SELECT count(*) = 1 FROM pg_settings WHERE pending_restart")
	b.want(check, "", OK)
}

func configFilesFault(t *testing.T, b *bench, s *devpg.Server) {
	check := configFiles(defaults("config_files"))
	b.want(check, "", OK, "have no error") // though a setting waits for a restart
	for file, line := range map[string]string{"postgresql.conf": "work_mem = 'lots'\n", "pg_hba.conf": "local nonsense\n", "pg_ident.conf": "oneword\n"} {
		path := filepath.Join(s.Data, file)
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		write := func(text []byte) {
			t.Helper()
			if err := os.WriteFile(path, text, 0o600); err != nil { // keeps the owner
				t.Fatal(err)
			}
		}
		write(append(before[:len(before):len(before)], "\n"+line...))
		b.want(check, "", Warning, "1 error in the configuration files: "+file+":")
		write(before)
		b.want(check, "", OK)
	}
}

func collationVersionFault(t *testing.T, b *bench, _ *devpg.Server) {
	check := collationVersion(defaults("collation_version"))
	b.want(check, "", OK)
	b.exec("CREATE COLLATION public.mine (provider = icu, locale = 'en')", "UPDATE pg_collation SET collversion = '1' WHERE collname = 'mine'")
	b.want(check, "", OK) // nothing is sorted by it
	b.exec("CREATE TABLE public.words (w text COLLATE public.mine)")
	f := b.want(check, "", Warning, "1 collation changed by the operating system: collation public.mine", "REINDEX")
	b.exec(f.Remedy[strings.Index(f.Remedy, "ALTER"):])
	b.want(check, "", OK)
	b.exec("UPDATE pg_database SET datcollversion = '0' WHERE datname = 'postgres'")
	f = b.want(check, "", Warning, "database postgres", "REINDEX DATABASE CONCURRENTLY postgres")
	var was any
	if err := b.pool.QueryRow(t.Context(), "SELECT pg_database_collation_actual_version(oid) FROM pg_database WHERE datname = 'postgres'").Scan(&was); err != nil {
		t.Fatal(err)
	}
	if was == nil { // the C locale has no version
		b.exec("UPDATE pg_database SET datcollversion = NULL WHERE datname = 'postgres'")
	} else {
		b.exec(f.Remedy[strings.Index(f.Remedy, "ALTER"):])
	}
	b.want(check, "", OK)
}

// The only I/O worker is stopped, so what was handed to it stays in flight.
func ioActivityFault(t *testing.T, b *bench, s *devpg.Server) {
	check := ioActivity(one)
	b.exec("CREATE TABLE public.cold AS SELECT i, repeat('x', 500) FROM generate_series(1, 30000) i", "CREATE EXTENSION pg_buffercache", "CHECKPOINT",
		"SELECT count(*) FROM pg_buffercache, LATERAL pg_buffercache_evict(bufferid) WHERE relfilenode = pg_relation_filenode('public.cold')")
	b.want(check, "", OK, "io_method is worker; 0 operations in flight; 0 of 1 I/O workers busy")
	var worker int
	if err := b.pool.QueryRow(t.Context(), "SELECT pid FROM pg_stat_activity WHERE backend_type = 'io worker'").Scan(&worker); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(worker, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	conn := pgtest.Session(t, b.url)
	go func() {
		_, err := conn.Exec(context.WithoutCancel(t.Context()), "SET max_parallel_workers_per_gather = 0; SELECT count(*) FROM public.cold")
		done <- err
	}()
	func() {
		defer func() {
			if err := syscall.Kill(worker, syscall.SIGCONT); err != nil {
				t.Error(err)
			}
		}()
		pgtest.Eventually(t, b.url, "SELECT count(*) > 0 FROM pg_aios")
		b.want(check, "", Warning, "in flight", "pgtender io status")
	}()
	if err := <-done; err != nil {
		t.Error(err)
	}
	b.want(check, "", OK)
}

func checksumFailuresFault(t *testing.T, b *bench, s *devpg.Server) {
	check := checksumFailures(defaults("checksum_failures"))
	b.want(check, "", OK, "no page failed its checksum")
	b.exec("CREATE TABLE public.damaged AS SELECT i FROM generate_series(1, 1000) i", "CHECKPOINT")
	var path string
	if err := b.pool.QueryRow(t.Context(), "SELECT pg_relation_filepath('public.damaged')").Scan(&path); err != nil {
		t.Fatal(err)
	}
	if err := s.Down(t.Context(), devpg.Fast); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(filepath.Join(s.Data, path), os.O_WRONLY, fs.ModePerm)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt([]byte("damage"), 8000); err != nil {
		t.Fatal(err)
	}
	file.Close()
	if err := s.Up(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	b.pool.Reset() // its sessions ended with the server
	conn := pgtest.Session(t, b.url)
	if _, err := conn.Exec(t.Context(), "SELECT count(*) FROM public.damaged"); err == nil || !strings.Contains(err.Error(), "invalid page") {
		t.Fatalf("reading a damaged page: %v", err)
	}
	pgtest.Eventually(t, b.url, "SELECT sum(checksum_failures) > 0 FROM pg_stat_database")
	f := b.want(check, "", Critical, "of a checksum in postgres, the last", "the server's log names the file")
	b.exec("DROP TABLE public.damaged", f.Remedy[strings.Index(f.Remedy, "SELECT"):])
	b.want(check, "", OK)
}
