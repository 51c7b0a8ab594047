package checks

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pgtest"
)

const soon = 0.05 // seconds

// longer waits until the session's state or transaction is older than the limit of these tests, by the server's clock.
func (b *bench) longer(pid uint32, column string) {
	b.t.Helper()
	pgtest.Eventually(b.t, b.url, "SELECT clock_timestamp() - "+column+" > interval '60 ms' FROM pg_stat_activity WHERE pid = $1", pid)
}

func TestLongTransaction(t *testing.T) {
	b := newBench(t)
	check := longTransaction(from(soon, 0))
	b.want(check, "", OK, "no transaction")
	pid, end := b.session("SELECT 1")
	b.want(longTransaction(from(3600, 0)), "", OK, "the oldest transaction has been open")
	b.longer(pid, "xact_start")
	f := b.want(check, "", Warning, fmt.Sprintf("pid %d (postgres", pid), fmt.Sprintf("pg_terminate_backend(%d)", pid))
	if f.Value < 0.05 {
		t.Errorf("age %g", f.Value)
	}
	b.exec(f.Remedy)
	pgtest.Eventually(t, b.url, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)", pid)
	b.want(check, "", OK, "no transaction")
	end()
}

func TestIdleInTransaction(t *testing.T) {
	b := newBench(t)
	check := idleInTransaction(from(soon, 0))
	b.want(check, "", OK)
	pid, end := b.session("SELECT 1")
	b.longer(pid, "state_change")
	b.want(check, "", Warning, fmt.Sprintf("pid %d", pid), "has been idle for")
	end()
	pgtest.Eventually(t, b.url, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)", pid)
	b.want(check, "", OK)
}

func TestSessionsAreUnknownToTheUnprivileged(t *testing.T) {
	b := newBench(t)
	url := pgtest.Role(t, b.url)
	pool := pgtest.Pool(t, url)
	for _, check := range []Check{longTransaction(from(soon, 0)), idleInTransaction(from(soon, 0))} {
		r := ask(t, pool, check)
		if r.Status() != Unknown || r.Findings[0].Remedy != `GRANT pg_monitor TO "`+user(url)+`";` {
			t.Fatalf("%s: %+v", check.Name, r)
		}
		b.exec(r.Findings[0].Remedy)
		if r := ask(t, pool, check); r.Status() != OK {
			t.Errorf("%s after the grant: %+v", check.Name, r)
		}
		b.exec("REVOKE pg_monitor FROM " + user(url))
	}
}

func TestLockWaits(t *testing.T) {
	b := newBench(t, "CREATE TABLE public.t ()")
	check := lockWaits(newWaiters(), from(soon, 3600))
	b.want(check, "", OK, "nobody waits")
	holder, end := b.session("LOCK TABLE public.t")
	conn, err := pgx.Connect(t.Context(), b.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := conn.Exec(context.WithoutCancel(t.Context()), "SELECT FROM public.t")
		done <- err
	}()
	pgtest.Eventually(t, b.url, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND clock_timestamp() - waitstart > interval '60 ms' AND pid = $1)", conn.PgConn().PID())
	b.want(check, "", Warning, fmt.Sprintf("pid %d wants AccessShareLock on public.t and is blocked by pid %d", conn.PgConn().PID(), holder),
		fmt.Sprintf("pg_terminate_backend(%d)", holder))
	b.want(lockWaits(newWaiters(), from(soon/10, soon)), "", Critical)
	end()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	b.want(check, "", OK)
}

func TestIOSettings(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t, "io_combine_limit=64", "io_max_combine_limit=32")
	b := &bench{t: t, url: server.URL("postgres")}
	b.pool = pgtest.Pool(t, b.url)
	check := ioSettings()
	f := b.want(check, "", OK)
	for name, want := range map[string]float64{"io_combine_limit": 32, "io_max_combine_limit": 32, "effective_io_concurrency": 16, "track_io_timing": 0, "io_workers": 3} {
		if got := sample(t, f, "pgtender_io_setting", name); got != want {
			t.Errorf("%s = %g, want %g", name, got, want)
		}
	}
	sample(t, f, "pgtender_io_method_info", "worker")
	if sample(t, f, "pgtender_io_pending_restart", "io_method") != 0 {
		t.Error("io_method waits for a restart")
	}
	b.exec("ALTER SYSTEM SET io_method = 'sync'", "SELECT pg_reload_conf()")
	pgtest.Eventually(t, b.url, "SELECT pending_restart FROM pg_settings WHERE name = 'io_method'")
	f = b.want(check, "io_method", Warning, "pgtender io recommend")
	if sample(t, f, "pgtender_io_pending_restart", "io_method") != 1 || sample(t, f, "pgtender_io_setting", "io_workers") != 3 {
		t.Errorf("finding: %+v", f)
	}
	b.exec("ALTER SYSTEM SET io_method = 'worker'", "SELECT pg_reload_conf()") // RESET would leave pending_restart as it is
	pgtest.Eventually(t, b.url, "SELECT NOT pending_restart FROM pg_settings WHERE name = 'io_method'")
	b.want(check, "", OK)
}
