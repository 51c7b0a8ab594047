package checks

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
)

func TestLeader(t *testing.T) {
	b := newBench(t)
	check := leader(from(soon, 0))
	session := pgtest.Session(t, b.url)
	if got, err := pg.TryLock(t.Context(), session, "leader"); err != nil || !got {
		t.Fatal(got, err)
	}
	b.want(check, "", OK, "a daemon leads")
	session.Close(context.Background())
	pgtest.Eventually(t, b.url, "SELECT NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))")
	b.want(check, "", OK, "no daemon leads this database at this moment")
	b.exec("SELECT pg_sleep(0.06)") // longer than the threshold
	b.want(check, "", Warning, "no daemon has led this database for", "pgtender run")
	b.want(leader(defaults("leader")), "", OK)
	session = pgtest.Session(t, b.url)
	if got, err := pg.TryLock(t.Context(), session, "leader"); err != nil || !got {
		t.Fatal(got, err)
	}
	b.want(check, "", OK, "a daemon leads")
}

func TestJobSuccess(t *testing.T) {
	b := newBench(t)
	env := full(t)
	env.Partitions[0].Schedule = schedule(t, "@every 10m")
	env.Jobs = []config.SQLJob{{Name: "own", Schedule: schedule(t, "@every 10m")}}
	check := jobSuccess(env, defaults("job_success"))
	run := func(job, target, age, outcome, problem string) string {
		covered := "now()"
		if outcome == "failure" {
			covered = "NULL"
		}
		return fmt.Sprintf(`INSERT INTO pgtender.run (job, target, trigger, started_at, finished_at, outcome, error, covered_until)
			VALUES ('%s', '%s', 'manual', now() - interval '%s', now() - interval '%s', '%s', '%s', %s)`, job, target, age, age, outcome, problem, covered)
	}
	const object = "partition public.events"
	b.want(check, object, OK, "it has not run yet; schedule @every 10m")
	b.exec(run("partition", "public.events", "24 minutes", "noop", ""))
	b.want(check, object, OK, "it last ended well 24 min ago")
	b.exec("UPDATE pgtender.run SET finished_at = now() - interval '26 minutes'", run("partition", "public.events", "6 minutes", "failure", "disk full"))
	b.want(check, object, Warning, "it last ended well 26 min ago; schedule @every 10m; the last run failed: disk full", "pgtender job run partition --table public.events")
	b.exec(run("partition", "public.events", "1 minute", "success", ""))
	if f := b.want(check, object, OK); f.Value < 59 || f.Value > 70 {
		t.Errorf("value %g", f.Value)
	}
	b.exec(run("own", "", "30 minutes", "failure", "no"), run("own", "", "1 minutes", "failure", "no"))
	b.want(check, "own", Warning, "it has never ended well", "pgtender job run own")
	b.want(check, "refresh public.mv", OK)
	b.want(check, "archive public.events", OK)
	b.exec(run("own", "", "1 second", "success", ""))
	b.want(check, "own", OK)
}

func TestDDLWaiting(t *testing.T) {
	b := newBench(t, "CREATE TABLE public.t ()")
	check := ddlWaiting(newWaiters(), from(soon, 3600))
	b.want(check, "", OK, "no DDL waits")
	holder, end := b.session("LOCK TABLE public.t IN ACCESS SHARE MODE")
	start := func(sql string) (*pgx.Conn, chan error) {
		conn, done := pgtest.Session(t, b.url), make(chan error, 1)
		go func() {
			_, err := conn.Exec(context.WithoutCancel(t.Context()), sql)
			done <- err
		}()
		pgtest.Eventually(t, b.url, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND clock_timestamp() - waitstart > interval '60 ms' AND pid = $1)", conn.PgConn().PID())
		return conn, done
	}
	ddl, altered := start("ALTER TABLE public.t ADD a int")
	_, read := start("SELECT FROM public.t")
	b.want(lockWaits(newWaiters(), from(soon, 3600)), "", Warning, "2 waiting for locks")
	b.want(ddlWaiting(newWaiters(), defaults("ddl_waiting")), "", OK, "1 session waits behind it")
	f := b.want(check, "", Warning, fmt.Sprintf("pid %d wants AccessExclusiveLock on public.t, for 0 s; 1 session waits behind it; it is blocked by pid %d", ddl.PgConn().PID(), holder))
	b.want(ddlWaiting(newWaiters(), from(soon/10, soon)), "", Critical)
	b.exec(f.Remedy)
	if err := <-altered; err == nil {
		t.Error("the ALTER TABLE was not cancelled")
	}
	if err := <-read; err != nil { // the others go on
		t.Error(err)
	}
	b.want(check, "", OK)
	end()
}
