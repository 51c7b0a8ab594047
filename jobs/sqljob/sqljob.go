// Package sqljob runs the jobs that users declare themselves: one SQL statement on a schedule, in a
// session of its own that ends with it.
package sqljob

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/jobs"
)

const (
	// DefaultTimeout bounds a job that names no timeout.
	DefaultTimeout = 10 * time.Minute
	// LockTimeout is for each lock, where the role has no lock_timeout of its own: a statement that waits
	// for a lock keeps everybody behind it waiting, too.
	LockTimeout = 30 * time.Second
	// cancelTime is for the server to confirm a cancelled statement.
	cancelTime = 3 * time.Second
	// Order places own jobs after pgtender's when they are due together.
	Order = 50
)

// New returns the task of an own job on the database of the connection string. The statement runs with the
// settings that the role and the database give a session, search_path among them, outside a transaction block, so that a
// procedure may commit; statement_timeout is the job's timeout. It is one statement: several belong
// into a procedure, or into jobs of their own.
func New(job config.SQLJob, url string) jobs.Task {
	timeout := job.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	return jobs.Task{
		Job: job.Name, Schedule: job.Schedule, Spec: job.Schedule.Text,
		Timeout: timeout + 2*cancelTime, // the server's own timeout comes first, with a better message
		Locks:   []string{"job " + job.Name},
		Order:   Order,
		Run: func(ctx context.Context, run *jobs.Run) (jobs.Result, error) {
			if run.DryRun {
				run.Say("%s", strings.TrimSpace(job.SQL))
				return jobs.Result{Outcome: jobs.Noop, Summary: "would run one statement"}, nil
			}
			return execute(ctx, url, job, timeout, run.Say)
		},
	}
}

func execute(ctx context.Context, url string, job config.SQLJob, timeout time.Duration, say func(string, ...any)) (jobs.Result, error) {
	conn, err := pg.Dedicated(ctx, url, "")
	if err != nil {
		return jobs.Result{}, err
	}
	defer hangUp(conn)
	if err := alone(ctx, conn, job.Name, say); err != nil {
		return jobs.Result{}, err
	}
	if err := settle(ctx, conn, timeout); err != nil {
		return jobs.Result{}, fmt.Errorf("set up the session: %w", err)
	}
	tag, rows, err := runOne(ctx, conn.PgConn(), job.SQL)
	if err != nil {
		return jobs.Result{}, explain(err)
	}
	return describe(tag, rows), nil
}

// alone waits until no other session runs the job's statement, and keeps others from it for as long as this session lives. The run's own locks
// do not do that: the server gives them back when the process is stopped, while it goes on with its statement.
func alone(ctx context.Context, conn *pgx.Conn, name string, say func(string, ...any)) error {
	lock := "statement of job " + name
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		got, err := pg.TryLock(ctx, conn, lock)
		if err != nil {
			return fmt.Errorf("lock the job's statement: %w", err)
		}
		if got {
			return nil
		}
		if pause == 800*time.Millisecond {
			say("waits: the server is still busy with the statement of an earlier run, whose process was lost or stopped")
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not begun, as the statement of an earlier run still runs on the server, though its process was lost or stopped; see it in pg_stat_activity, and end it by pg_cancel_backend: %w", ctx.Err())
		case <-time.After(pause):
		}
	}
}

// stopped is after how much silence the server ends the session of a process that was stopped when its statement had ended.
const stopped = 12 * time.Second

// settle gives the session the role's own settings back, and its limits.
func settle(ctx context.Context, conn *pgx.Conn, timeout time.Duration) error {
	if _, err := conn.Exec(ctx, "RESET ALL"); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, pg.NoticeLoss); err != nil {
		return err
	}
	_, err := conn.Exec(ctx, fmt.Sprintf(
		`SELECT pg_catalog.set_config('statement_timeout', '%d', false),
		        pg_catalog.set_config('idle_session_timeout', '%d', false),
		        CASE WHEN pg_catalog.current_setting('lock_timeout') = '0' THEN pg_catalog.set_config('lock_timeout', '%d', false) END`,
		timeout.Milliseconds(), stopped.Milliseconds(), LockTimeout.Milliseconds()))
	return err
}

// runOne sends the statement by the extended protocol, in which the server refuses more than one. When ctx ends it
// cancels the statement on the server and waits for the confirmation, so that what it returns is how it ended.
func runOne(ctx context.Context, conn *pgconn.PgConn, sql string) (tag pgconn.CommandTag, rows int64, err error) {
	if err := ctx.Err(); err != nil {
		return tag, 0, err
	}
	patient, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	cancelled := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(cancelled)
		insist(patient, conn)
		giveUp()
	})
	result := conn.ExecParams(patient, sql, nil, nil, nil, nil)
	for result.NextRow() {
		rows++
	}
	tag, err = result.Close()
	giveUp()
	if !stop() {
		<-cancelled
	}
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return tag, rows, err
}

// insist asks the server to cancel the statement, more than once because a request that comes before the statement
// is lost, until ctx ends or it has taken too long.
func insist(ctx context.Context, conn *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(ctx, cancelTime)
	defer cancel()
	for ctx.Err() == nil {
		if err := conn.CancelRequest(ctx); err != nil && ctx.Err() == nil {
			return // the connection itself is closed then
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// hangUp ends the session and waits until the server has been told.
func hangUp(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn.Close(ctx)
	select {
	case <-conn.PgConn().CleanupDone():
	case <-ctx.Done():
	}
}

// explain adds what to do about it to errors that a declaration can cause.
func explain(err error) error {
	var server *pgconn.PgError
	if !errors.As(err, &server) {
		return err
	}
	advice := ""
	switch {
	case server.Code == "42601" && strings.Contains(server.Message, "multiple commands"):
		advice = "a job is one statement: put several into a procedure and CALL it, into a DO block, or into jobs of their own"
	case server.Code == pg.QueryCanceled && strings.Contains(server.Message, "statement timeout"):
		advice = "its timeout can be set: timeout = \"30 minutes\""
	case server.Code == pg.LockNotAvailable:
		advice = "others held a lock for too long; it is tried again at its next time"
	case (server.Code == pg.UndefinedTable || server.Code == pg.UndefinedFunction) && !strings.Contains(server.Message, "."):
		advice = "the role's own search_path applies: write the schema before the name"
	}
	if server.Detail != "" {
		err = fmt.Errorf("%w\n%s", err, server.Detail)
	}
	if advice != "" {
		err = fmt.Errorf("%w\n%s", err, advice)
	}
	return err
}

// describe makes a result of the command tag: "UPDATE 12", "CALL".
func describe(tag pgconn.CommandTag, rows int64) jobs.Result {
	r := jobs.Result{Outcome: jobs.Success, Summary: tag.String()}
	changes := tag.Insert() || tag.Update() || tag.Delete() || strings.HasPrefix(tag.String(), "MERGE")
	if changes && tag.RowsAffected() == 0 {
		r.Outcome = jobs.Noop
	}
	if changes || tag.Select() {
		r.Detail = map[string]any{"rows": tag.RowsAffected()}
	}
	if rows > 0 && !tag.Select() {
		r.Detail = map[string]any{"rows": tag.RowsAffected(), "returned": rows}
	}
	return r
}
