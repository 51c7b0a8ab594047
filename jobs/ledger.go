package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgtender/pgtender/internal/leader"
	"github.com/pgtender/pgtender/internal/pg"
)

// ledger reads and writes pgtender.run.
type ledger struct {
	pool     *pgxpool.Pool
	instance string
}

// ending is what the ledger keeps of the end of a run.
type ending struct {
	Result
	Err string
	// covers is false when the scheduled time still needs a run: this one was interrupted, or never began.
	covers bool
	void   bool // told to stop before it began: as if it had not been
}

// execer is what a statement without rows needs: a pool, a connection, a transaction.
type execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	pg.Querier
}

// leaderLock is the name of the lock that the leader holds.
const leaderLock = "leader"

func runLock(id int64) string { return fmt.Sprintf("run %d", id) }

// errNotLeading is a scheduled run that came to begin when another daemon leads: this process had been asleep.
var errNotLeading = errors.New("this daemon no longer leads")

// begin writes the row of a run that is about to begin, if the server process leads (0: whoever does). The session holds the run's lock from before the row can be
// seen until the run ends, by whatever cause: a row without an outcome whose lock is free is a dead one.
func (l *ledger) begin(ctx context.Context, session *leader.Session, t *Task, trigger Trigger, at time.Time, leads uint32) (id int64, err error) {
	err = session.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			err := tx.QueryRow(ctx, `
				INSERT INTO pgtender.run (job, target, trigger, scheduled_for, instance, backend_pid, backend_start)
				SELECT $1, $2, $3, $4, $5, pid, backend_start FROM pg_stat_get_activity(pg_backend_pid())
				WHERE $6 = 0 OR EXISTS (SELECT FROM pg_locks WHERE pid = $6 AND locktype = 'advisory' AND granted AND objsubid = 1
				    AND (classid::bigint << 32 | objid::bigint) = $7 AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
				RETURNING id`,
				t.Job, t.Target, string(trigger), orNull(at), l.instance, int32(leads), pg.LockKey(leaderLock)).Scan(&id)
			if errors.Is(err, pgx.ErrNoRows) {
				return errNotLeading
			}
			if err != nil {
				return err
			}
			got, err := pg.TryLock(ctx, conn, runLock(id))
			if err == nil && !got {
				err = fmt.Errorf("somebody holds the lock of run %d", id)
			}
			return err
		})
	})
	if err != nil {
		return 0, fmt.Errorf("write the run into the ledger: %w", err)
	}
	return id, nil
}

const endSQL = `
UPDATE pgtender.run SET finished_at = clock_timestamp(), outcome = $2, summary = $3, error = $4, detail = $5,
       covered_until = CASE WHEN NOT $6 THEN NULL WHEN trigger <> 'manual' THEN scheduled_for WHEN $2 <> 'failure' THEN started_at END
WHERE id = $1 AND outcome IS NULL`

// end completes a run's row, unless that has been done: by the job in its own transaction, which this
// waits for when it is not over yet, or by another daemon that took this one for dead.
func (l *ledger) end(ctx context.Context, db execer, id int64, e ending) (written bool, err error) {
	tag, err := db.Exec(ctx, endSQL, id, string(e.Outcome), clean(e.Summary), orNullText(clean(e.Err)), e.json(), e.covers)
	if err != nil {
		return false, fmt.Errorf("complete run %d in the ledger: %w", id, err)
	}
	return tag.RowsAffected() == 1, nil
}

// ended reads the end of a run that somebody else has written.
func (l *ledger) ended(ctx context.Context, db execer, id int64) (e ending, err error) {
	err = db.QueryRow(ctx, "SELECT outcome, summary, coalesce(error, ''), detail, covered_until IS NOT NULL FROM pgtender.run WHERE id = $1", id).
		Scan(&e.Outcome, &e.Summary, &e.Err, &e.Detail, &e.covers)
	if err != nil {
		err = fmt.Errorf("read run %d in the ledger: %w", id, err)
	}
	return e, err
}

// amend adds to a row that the job completed in its own transaction what showed only after that. What was committed stays.
func (l *ledger) amend(ctx context.Context, db execer, id int64, e ending) error {
	_, err := db.Exec(ctx, "UPDATE pgtender.run SET detail = $2::jsonb || detail WHERE id = $1 AND outcome = $3 AND NOT detail @> $2::jsonb", id, e.json(), string(e.Outcome))
	if err != nil {
		return fmt.Errorf("add figures to run %d in the ledger: %w", id, err)
	}
	return nil
}

// commit is the Commit of one run.
func (l *ledger) commit(id int64) Commit {
	return func(ctx context.Context, tx pgx.Tx, r Result) error {
		if r.Outcome == "" {
			r.Outcome = Success
		}
		written, err := l.end(ctx, tx, id, ending{Result: r, covers: true})
		if err == nil && !written {
			err = fmt.Errorf("run %d has its result in the ledger already, perhaps from another daemon that took this one for dead; nothing was changed", id)
		}
		return err
	}
}

// note writes a run that did not come to begin: because it overlaps, or somebody else works on its objects.
func (l *ledger) note(ctx context.Context, db execer, t *Task, trigger Trigger, at time.Time, e ending) (id int64, err error) {
	err = db.QueryRow(ctx, `
		INSERT INTO pgtender.run (job, target, trigger, scheduled_for, started_at, finished_at, outcome, summary, error, detail, instance)
		SELECT $1, $2, $3, $4, now, now, $5, $6, $7, $8, $9 FROM clock_timestamp() AS now RETURNING id`,
		t.Job, t.Target, string(trigger), orNull(at), string(e.Outcome), clean(e.Summary), orNullText(clean(e.Err)), e.json(), l.instance).Scan(&id)
	if err != nil {
		err = fmt.Errorf("write the run into the ledger: %w", err)
	}
	return id, err
}

// idleRun is a run that was found needless by a Glance.
type idleRun struct {
	task *Task
	due
	ending
}

// noteIdle writes runs that took so long until now, in one statement, and returns their numbers by task.
func (l *ledger) noteIdle(ctx context.Context, took time.Duration, list []idleRun) (map[int]int64, error) {
	n := len(list)
	jobs, targets, triggers, outcomes, summaries, details := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	times := make([]*time.Time, n)
	numbers := map[[2]string]int{}
	for i, r := range list {
		jobs[i], targets[i], triggers[i], times[i] = r.task.Job, r.task.Target, string(r.trigger), orNull(r.at)
		outcomes[i], summaries[i], details[i] = string(r.Outcome), clean(r.Summary), string(r.json())
		numbers[[2]string{r.task.Job, r.task.Target}] = r.due.task
	}
	rows, err := l.pool.Query(ctx, `
		INSERT INTO pgtender.run (job, target, trigger, scheduled_for, started_at, finished_at, outcome, summary, detail, instance, covered_until)
		SELECT u.job, u.target, u.trigger, u.at, now.began, now.ended, u.outcome, u.summary, u.detail::jsonb, $8,
		       CASE WHEN u.trigger = 'manual' THEN now.began ELSE u.at END
		FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::text[], $7::text[])
		     WITH ORDINALITY AS u (job, target, trigger, at, outcome, summary, detail, n)
		CROSS JOIN (SELECT t - $9::bigint * interval '1 microsecond' AS began, t AS ended FROM clock_timestamp() t) AS now
		ORDER BY u.n RETURNING job, target, id`,
		jobs, targets, triggers, times, outcomes, summaries, details, l.instance, took.Microseconds())
	ids := map[int]int64{}
	var job, target string
	var id int64
	if err == nil {
		_, err = pgx.ForEachRow(rows, []any{&job, &target, &id}, func() error { ids[numbers[[2]string{job, target}]] = id; return nil })
	}
	if err != nil {
		return nil, fmt.Errorf("write the idle runs into the ledger: %w", err)
	}
	return ids, nil
}

// reconcile completes the rows of runs whose session is gone, except those of this process, which knows
// better how they ended. From then on such a run can commit nothing more by its Commit.
func (l *ledger) reconcile(ctx context.Context, db pg.Querier, mine []int64) (dead []RunRecord, err error) {
	rows, err := db.Query(ctx, "SELECT id FROM pgtender.run WHERE outcome IS NULL AND id <> ALL ($1) ORDER BY id LIMIT 10000", notNil(mine))
	if err != nil {
		return nil, fmt.Errorf("look for interrupted runs: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	keys := make([]int64, len(ids))
	for i, id := range ids {
		keys[i] = pg.LockKey(runLock(id))
	}
	// A row that is locked is being completed by a transaction that is not over: the next time will tell.
	rows, err = db.Query(ctx, `
		WITH gone AS MATERIALIZED (
		    SELECT id FROM (SELECT id, pg_try_advisory_xact_lock(key) AS free FROM unnest($1::bigint[], $2::bigint[]) AS u (id, key)) AS tried WHERE free
		), open AS MATERIALIZED (
		    SELECT r.id FROM pgtender.run r JOIN gone USING (id) WHERE r.outcome IS NULL ORDER BY r.id FOR UPDATE OF r SKIP LOCKED
		)
		UPDATE pgtender.run r SET finished_at = clock_timestamp(), outcome = 'failure',
		       error = 'interrupted: the process that ran it (' || r.instance || ') ended or lost the server; what it had not committed was rolled back'
		FROM open WHERE r.id = open.id
		RETURNING `+recordColumns, ids, keys)
	if err != nil {
		return nil, fmt.Errorf("complete interrupted runs: %w", err)
	}
	dead, err = pgx.CollectRows(rows, scanRecord)
	if err != nil {
		return nil, fmt.Errorf("complete interrupted runs: %w", err)
	}
	return dead, nil
}

// prune deletes rows that ended before the cut, a thousand at most, and returns how many. What tells up to when a schedule is
// served, and when a job last ended well, stays.
func (l *ledger) prune(ctx context.Context, cut time.Time) (int64, error) {
	tag, err := l.pool.Exec(ctx, `
		DELETE FROM pgtender.run WHERE id IN (
		    SELECT r.id FROM pgtender.run r
		    WHERE r.finished_at < $1
		      AND (r.covered_until IS NULL
		           OR EXISTS (SELECT FROM pgtender.run n WHERE n.job = r.job AND n.target = r.target
		                      AND (n.covered_until, n.id) > (r.covered_until, r.id))
		          AND (r.outcome = 'failure'
		               OR EXISTS (SELECT FROM pgtender.run n WHERE n.job = r.job AND n.target = r.target AND n.id > r.id
		                          AND n.outcome <> 'failure' AND n.covered_until IS NOT NULL)))
		    ORDER BY r.finished_at LIMIT 1000)`, cut)
	if err != nil {
		return 0, fmt.Errorf("prune the ledger: %w", err)
	}
	return tag.RowsAffected(), nil
}

// history is what the ledger says of one task.
type history struct {
	covered time.Time // zero: never run
	good    time.Time // the end of the last run that ended well; zero: none
	last    *RunRecord
}

const recordColumns = `r.id, r.job, r.target, r.trigger, r.scheduled_for, r.started_at, r.finished_at, coalesce(r.outcome, ''), r.summary, coalesce(r.error, ''), r.instance`

func scanRecord(row pgx.CollectableRow) (RunRecord, error) {
	var r RunRecord
	var scheduled, finished *time.Time
	err := row.Scan(&r.ID, &r.Job, &r.Target, &r.Trigger, &scheduled, &r.Started, &finished, &r.Outcome, &r.Summary, &r.Error, &r.Instance)
	r.Scheduled, r.Finished = orZero(scheduled), orZero(finished)
	return r, err
}

// histories reads what is known of each task, in the order of the tasks.
func (l *ledger) histories(ctx context.Context, tasks []Task) ([]history, error) {
	jobs, targets := make([]string, len(tasks)), make([]string, len(tasks))
	for i, t := range tasks {
		jobs[i], targets[i] = t.Job, t.Target
	}
	rows, err := l.pool.Query(ctx, `
		SELECT t.n, c.covered_until, g.finished_at, r.id IS NOT NULL, coalesce(r.id, 0), t.job, t.target, coalesce(r.trigger, ''), r.scheduled_for,
		       r.started_at, r.finished_at, coalesce(r.outcome, ''), coalesce(r.summary, ''), coalesce(r.error, ''), coalesce(r.instance, '')
		FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS t (job, target, n)
		LEFT JOIN LATERAL (SELECT * FROM pgtender.run r WHERE r.job = t.job AND r.target = t.target AND r.outcome IS NOT NULL ORDER BY r.id DESC LIMIT 1) r ON true
		LEFT JOIN LATERAL (SELECT finished_at FROM pgtender.run g WHERE g.job = t.job AND g.target = t.target AND g.outcome <> 'failure' AND g.covered_until IS NOT NULL ORDER BY g.id DESC LIMIT 1) g ON true
		LEFT JOIN LATERAL (SELECT covered_until FROM pgtender.run c WHERE c.job = t.job AND c.target = t.target AND c.covered_until IS NOT NULL ORDER BY c.covered_until DESC LIMIT 1) c ON true
		ORDER BY t.n`, jobs, targets)
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", pg.Explain(err))
	}
	out, err := pgx.CollectRows(rows, scanHistory)
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	return out, nil
}

func scanHistory(row pgx.CollectableRow) (history, error) {
	var n int64
	var found bool
	var covered, good, scheduled, started, finished *time.Time
	var r RunRecord
	err := row.Scan(&n, &covered, &good, &found, &r.ID, &r.Job, &r.Target, &r.Trigger, &scheduled, &started, &finished, &r.Outcome, &r.Summary, &r.Error, &r.Instance)
	h := history{covered: orZero(covered), good: orZero(good)}
	if found {
		r.Scheduled, r.Started, r.Finished = orZero(scheduled), orZero(started), orZero(finished)
		h.last = &r
	}
	return h, err
}

// busy says who holds the lock on an object.
func (l *ledger) busy(ctx context.Context, db execer, object string) string {
	var pid int32
	var application string
	err := db.QueryRow(ctx, `
		SELECT l.pid, coalesce(nullif(a.application_name, ''), 'an unnamed program')
		FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
		WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND (l.classid::bigint << 32 | l.objid::bigint) = $1
		  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) LIMIT 1`,
		pg.LockKey(ObjectLock(object))).Scan(&pid, &application)
	if err != nil {
		return fmt.Sprintf("%s is being worked on by another process", object)
	}
	return fmt.Sprintf("%s is being worked on by %s (server process %d)", object, application, pid)
}

func (e ending) json() []byte {
	if len(e.Detail) == 0 {
		return []byte("{}")
	}
	text, err := json.Marshal(e.Detail)
	if err != nil {
		text, _ = json.Marshal(map[string]string{"detail_error": clean(err.Error())})
	}
	// jsonb has no NUL.
	return bytes.ReplaceAll(text, []byte(`\u0000`), []byte(`\ufffd`))
}

// maxText bounds what one run can put into the ledger's text columns.
const maxText = 16 << 10

// clean makes a text that the server will store.
func clean(s string) string {
	if len(s) > maxText {
		s = s[:maxText] + " …"
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "\ufffd")
}

func orNullText(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

func notNil(ids []int64) []int64 {
	if ids == nil {
		return []int64{}
	}
	return ids
}

// gone tells whether the ledger itself is not there yet.
func gone(err error) bool {
	return pg.Is(err, pg.UndefinedTable, pg.InvalidSchemaName) || errors.Is(err, pgx.ErrNoRows)
}
