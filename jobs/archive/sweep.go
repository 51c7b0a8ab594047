package archive

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/jobs"
)

// sweep is one walk through the rows of a transfer.
type sweep struct {
	*transfer
	pace    pace
	place   []string // the last batch ended here; nil: at the beginning
	moved   int64
	batches int
	longest time.Duration // transaction
	passed  int           // stretches left behind, since others hold rows in them
	tries   int           // of the present stretch at the least size
	begun   time.Time
	told    time.Time
	lagSeen time.Time
	late    bool // ended early: standbys do not keep up
	stays   stays
}

const (
	leastTries = 3                      // of a stretch of the least size that meets locks, before it is left for the next run
	lagBytes   = 64 << 20               // that a standby may be behind before a sweep waits for it
	lagEvery   = time.Second            // between two looks at the standbys
	lagLimit   = 2 * time.Minute        // for a standby to catch up, before the rest is left for the next run
	pauseLeast = 100 * time.Millisecond // after a lock
)

// timeouts and violations that a batch may meet. Source: PostgreSQL 18, appendix A.
const (
	uniqueViolation     = "23505"
	foreignKeyViolation = "23503"
)

// sweepRows moves all rows that are due, batch by batch. What was moved stays moved, whatever ends it.
func (j *Job) sweepRows(ctx context.Context, run *jobs.Run, t *transfer) (*sweep, error) {
	rowBytes := int64(0)
	if t.facts.Rows > 0 {
		rowBytes = t.facts.Bytes / t.facts.Rows
	}
	s := &sweep{transfer: t, pace: newPace(rowBytes), begun: time.Now(), told: time.Now()}
	walks, before := 1, int64(0)
	for {
		done, err := j.step(ctx, s)
		if err != nil {
			return s, err
		}
		s.tell(run, done)
		if done && !s.again(before, walks) {
			return s, j.look(ctx, s)
		}
		if done {
			walks, before = walks+1, s.moved
			s.place, s.passed = nil, 0
		}
		if err := j.heed(ctx, run, s); err != nil || s.late {
			return s, err
		}
	}
}

// step moves one stretch, and reports whether it was the last one.
func (j *Job) step(ctx context.Context, s *sweep) (done bool, err error) {
	upTo, err := j.edgeOf(ctx, s)
	if err == nil {
		var n int64
		begun := time.Now()
		n, err = j.batch(ctx, s, upTo)
		if err == nil {
			took := time.Since(begun)
			s.longest = max(s.longest, took)
			s.moved += n
			s.batches++
			s.pace.took(took)
			s.place, s.tries = upTo, 0
			return upTo == nil, nil
		}
	}
	slow := pg.Is(err, pg.QueryCanceled) && ctx.Err() == nil
	switch {
	case !slow && !pg.Retryable(err):
		return false, s.failed(err)
	case s.pace.tooMuch():
		return false, pause(ctx, pauseLeast)
	case s.finer(), slow && s.byKey():
		s.place = nil // what was moved is gone from there
		return false, pause(ctx, pauseLeast)
	}
	if s.tries++; s.tries < leastTries {
		return false, pause(ctx, time.Duration(s.tries)*pauseLeast)
	}
	if slow {
		return false, fmt.Errorf("%d rows of %s were not moved within %v: %w\nThe rows moved before are in the archive. If the server is overloaded, run `pgtender job run archive` again later; an index that begins with %s makes it faster",
			s.pace.rows, s.from, batchTimeout, err, s.key.Column)
	}
	// Somebody keeps a row of this stretch for longer: the next run takes it.
	s.passed++
	s.place, s.tries = upTo, 0
	return upTo == nil, nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// edgeOf looks where the next batch ends; nil: at the end of all. It is a statement of its own and holds nothing.
func (j *Job) edgeOf(ctx context.Context, s *sweep) (upTo []string, err error) {
	err = pgx.BeginFunc(ctx, j.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, s.limits(j)+"; SET LOCAL row_security = off"); err != nil {
			return err
		}
		err := tx.QueryRow(ctx, s.edge(s.place, s.pace.rows)).Scan(&upTo)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	return upTo, err
}

// limits are the settings of a batch's transactions: compiling a plan anew for each batch would cost more than it saves, and rows on their way
// need no file while they fit into memory. Nobody waits for the disk at the end of each: a server that crashes takes a batch back as a whole, out of
// both tables and the manifest, whoever has written since keeps it, since WAL has an order, and the entry in the ledger at the end of the run waits for all.
func (s *sweep) limits(j *Job) string {
	return fmt.Sprintf("SET LOCAL lock_timeout = %d; SET LOCAL statement_timeout = %d; SET LOCAL jit = off; SET LOCAL work_mem = '%dMB'; SET LOCAL synchronous_commit = off",
		j.Patience.LockTimeout.Milliseconds(), batchTimeout.Milliseconds(), batchMemory>>20)
}

// failed says what an error that waiting cannot mend means.
func (s *sweep) failed(err error) error {
	before := ""
	if s.moved > 0 {
		before = fmt.Sprintf("\n%s moved before that; it is complete where it is", counted(s.moved, "row was", "rows were"))
	}
	var advice string
	switch pg.Code(err) {
	case uniqueViolation:
		advice = fmt.Sprintf("\nThe same key is in both tables. Look at both rows, and delete the one that is wrong, in %s or in %s", s.from, s.to)
	case foreignKeyViolation:
		advice = "\nA row still points to one that was to go, or a row points to nothing; nothing of this batch was moved"
		if s.back {
			advice = "\nA row of this batch points to one that is not there, and none of the batch was moved. If that one is archived too, restore its table first:\n" +
				"pgtender archive restore --table <the table it points to> --from … --to …"
			if at := new(pgconn.PgError); errors.As(err, &at) && at.Detail != "" {
				advice = "\n" + at.Detail + advice
			}
		}
	case pg.InsufficientPrivilege:
		advice = "\nThe role lacks rights: `pgtender grants` prints what gives them"
	}
	return fmt.Errorf("move rows from %s to %s: %w%s%s", s.from, s.to, err, advice, before)
}

func counted(n int64, one, many string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, one)
	}
	return fmt.Sprintf("%d %s", n, many)
}

// tell reports progress every few seconds.
func (s *sweep) tell(run *jobs.Run, done bool) {
	if done || time.Since(s.told) < 5*time.Second {
		return
	}
	s.told = time.Now()
	run.Say("moved %d rows from %s to %s so far, %.0f a second, in batches of %d", s.moved, s.from, s.to, float64(s.moved)/time.Since(s.begun).Seconds(), s.pace.rows)
}

// heed looks at the standbys now and then, and waits for those that are far behind.
func (j *Job) heed(ctx context.Context, run *jobs.Run, s *sweep) error {
	if time.Since(s.lagSeen) < lagEvery {
		return nil
	}
	waited := time.Now()
	for {
		s.lagSeen = time.Now()
		var who string
		var lag int64
		// Standbys whose state this role may not see do not count. What is inserted counts, since batches do not wait until it is written.
		err := j.Pool.QueryRow(ctx, `SELECT coalesce(nullif(application_name, ''), 'a standby'), pg_wal_lsn_diff(pg_current_wal_insert_lsn(), coalesce(replay_lsn, flush_lsn, sent_lsn))::bigint
			FROM pg_stat_replication WHERE state = 'streaming' AND sent_lsn IS NOT NULL ORDER BY 2 DESC LIMIT 1`).Scan(&who, &lag)
		switch {
		case errors.Is(err, pgx.ErrNoRows), err == nil && lag < j.lag():
			return nil
		case err != nil:
			return fmt.Errorf("look how far the standbys are behind: %w", err)
		}
		s.pace.tooMuch()
		if time.Since(waited) > lagLimit {
			run.Say("stops here: %s is %d MB behind; the next run goes on", who, lag>>20)
			s.late = true
			return nil
		}
		if time.Since(s.told) > 5*time.Second {
			s.told = time.Now()
			run.Say("waits for %s, which is %d MB behind", who, lag>>20)
		}
		if err := pause(ctx, lagEvery); err != nil {
			return err
		}
	}
}

func (j *Job) lag() int64 {
	if j.LagBytes > 0 {
		return j.LagBytes
	}
	return lagBytes
}
