package checks

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/pgtender/pgtender/internal/pgtest"
)

func TestReplicas(t *testing.T) {
	b, primary := newServer(t)
	standby := pgtest.Standby(t, primary, "hot_standby_feedback=on", "wal_receiver_status_interval=1")
	there := &bench{t: t, url: standby.URL("postgres")}
	there.pool = pgtest.Pool(t, there.url)
	pgtest.Eventually(t, b.url, "SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'")
	var name string
	if err := b.pool.QueryRow(t.Context(), "SELECT application_name FROM pg_stat_replication").Scan(&name); err != nil {
		t.Fatal(err)
	}
	const level = "SELECT count(*) = 1 FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()"

	// Replay is paused: replay_lag stands still, and the check does not believe it.
	check, behind := replicaLag(from(soon, 0)), replicaLag(from(soon, 0))
	pgtest.Eventually(t, b.url, level)
	b.want(check, name, OK, "it has replayed all that was written")
	there.want(behind, "", OK, "this standby has replayed all that it has received")
	b.exec(burn(1))
	pgtest.Eventually(t, there.url, "SELECT pg_last_xact_replay_timestamp() IS NOT NULL")
	there.exec("SELECT pg_wal_replay_pause()")
	b.exec("CREATE TABLE public.t (a int)")
	b.ask(check) // which remembers how far the primary is
	pgtest.Eventually(t, there.url, "SELECT pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn() AND clock_timestamp() - pg_last_xact_replay_timestamp() > interval '60 ms'")
	seen := time.Now()
	for time.Since(seen) < 60*time.Millisecond { // the check's own history must be that old
		b.exec("SELECT 1")
	}
	b.want(check, name, Warning, "behind", "pg_is_wal_replay_paused")
	b.want(replicaLag(defaults("replica_lag")), name, OK)
	f := there.want(behind, "", Warning, "this standby replays what was written")
	there.exec(f.Remedy[strings.Index(f.Remedy, "SELECT"):])
	pgtest.Eventually(t, b.url, level)
	b.want(check, name, OK)
	there.want(behind, "", OK)

	// A query of the standby keeps dead rows of the primary.
	horizon := xminHorizon(from(50, 0))
	b.want(horizon, "standby", OK)
	// The slot of the standby carries its horizon, as pg_stat_replication does where there is none.
	conn := pgtest.Session(t, there.url)
	if _, err := conn.Exec(t.Context(), "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class"); err != nil {
		t.Fatal(err)
	}
	b.exec(burn(60))
	pgtest.Eventually(t, b.url, "SELECT coalesce(max(age(xmin)) >= 50, false) FROM pg_replication_slots")
	b.want(horizon, "slot", Warning, "physical replication slot "+name)
	conn.Close(context.Background())
	pgtest.Eventually(t, b.url, "SELECT max(age(xmin)) < 50 FROM pg_replication_slots")
	b.want(horizon, "slot", OK)

	// Without a slot the horizon is the walsender's own.
	there.exec("ALTER SYSTEM SET primary_slot_name = ''", "SELECT pg_reload_conf()")
	pgtest.Eventually(t, b.url, "SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming' AND NOT EXISTS (SELECT FROM pg_replication_slots WHERE active)")
	conn = pgtest.Session(t, there.url)
	if _, err := conn.Exec(t.Context(), "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class"); err != nil {
		t.Fatal(err)
	}
	b.exec(burn(60))
	pgtest.Eventually(t, b.url, "SELECT coalesce(max(age(backend_xmin)) >= 50, false) FROM pg_stat_replication")
	b.want(horizon, "standby", Warning, "a query on standby "+name)
	conn.Close(context.Background())
	pgtest.Eventually(t, b.url, "SELECT coalesce(max(age(backend_xmin)), 0) < 50 FROM pg_stat_replication")
	b.want(horizon, "standby", OK)

	// The primary is cut off.
	there.exec("ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()")
	pgtest.Eventually(t, there.url, "SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver WHERE pid IS NOT NULL) AND clock_timestamp() - pg_last_xact_replay_timestamp() > interval '60 ms'")
	there.want(behind, "", Warning, "this standby receives nothing from its primary")
	pgtest.Eventually(t, b.url, "SELECT NOT EXISTS (SELECT FROM pg_stat_replication)")
	b.want(check, "", OK, "no replica is connected")
}

func TestWALHistory(t *testing.T) {
	t.Parallel()
	var h walHistory
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for i := range 3 * historyPoints {
		h.add(at.Add(time.Duration(i)*time.Second), float64(100*i))
	}
	now := at.Add(3 * historyPoints * time.Second)
	if got := h.since(now, 100*3*historyPoints); got != 0 {
		t.Errorf("level: %g", got)
	}
	if got := h.since(now, 100*(3*historyPoints-11)); got != 10 {
		t.Errorf("ten seconds behind: %g", got)
	}
	if got := h.since(now, 1); got != historyPoints {
		t.Errorf("further behind than is remembered: %g", got)
	}
	h.add(now, 5) // another server, after a failover
	if got := h.since(now.Add(time.Second), 1); got != 1 {
		t.Errorf("after a failover: %g", got)
	}
}
