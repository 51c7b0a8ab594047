package partition

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/jobs"
)

// Many rows leave a DEFAULT partition without a strong lock but for the last moment:
//
//  1. The new partitions and a new DEFAULT one are made, empty, below a partitioned table of ours that nobody reads. A trigger on the
//     old DEFAULT partition notes each change from here on. A snapshot is taken while no writer is in the middle of one.
//  2. All rows of that snapshot are copied, in batches. Everybody goes on reading and writing the old DEFAULT partition.
//  3. The noted changes are done to the copy, until few are left. Copy and original are counted.
//  4. While nobody writes, for a moment, the last of the notes are done to the copy. From then on the trigger does each change to the
//     copy, too, in the transaction that makes it: whoever sees a change sees it on both sides.
//  5. Transactions on a snapshot older than that are waited for, without any lock: they would miss rows of the copy. What such a one
//     writes is noted still, since it does not find its rows in the copy; then it begins again with 3.
//  6. In one transaction under lock the old DEFAULT partition is dropped, the new partitions and the new DEFAULT one are attached.
//     Valid CHECKs spare the server reading them.
//
// Until the end of step 6 the old DEFAULT partition is complete: whatever goes wrong before, the copy is dropped, by this run or the next.

// move is one such undertaking. Its objects bear one name, which no other one has.
type move struct {
	j       *Job
	run     *jobs.Run
	policy  config.Partition
	set     *parts.Set
	group   []design
	name    string       // in the schema pgtender
	rest    config.Table // the new DEFAULT partition
	columns []string     // quoted; not generated ones
	key     []string     // the columns of the primary key; none: a row is found by all columns
	session *pgx.Conn    // holds the snapshot, and the lock that says that the move goes on
	ended   bool         // that session
	xid     uint64       // a transaction after the last of the notes were copied
	copied  time.Time    // when that was, by the server's clock
	rows    int64
}

// The trigger on a DEFAULT partition whose rows are being moved, and the CHECK that lets the new one be attached unread.
const (
	restCheck  = "pgtender_rest"
	aboveCheck = "pgtender_above"
)

const (
	copyBlocks = 2048 // of the DEFAULT partition in one statement: 16 MB
	fewChanges = 500  // are left when writers are asked to wait
	mostLocked = 2000 // may have become of them when they do
	mostRounds = 10   // of catching up, until the move is given up
	replayMost = 10000
)

func moveLock(t config.Table) string { return "move " + t.String() }

// moveAside makes the partitions of the group with the rows that lie in the DEFAULT one.
func (j *Job) moveAside(ctx context.Context, run *jobs.Run, policy config.Partition, group []design) (o outcome, err error) {
	m := &move{j: j, run: run, policy: policy, set: group[0].set, group: group,
		name: fmt.Sprintf("move_%d_%08x", group[0].set.Default.OID, rand.Uint32())}
	def := m.set.Default.Table
	m.rest = config.Table{Schema: def.Schema, Name: parts.Fit(def.Name, "_new")}
	o.locks, o.whole = group[0].locks(true), true
	if err := m.open(ctx); err != nil {
		return o, err
	}
	defer m.leave(context.WithoutCancel(ctx))
	// Another one may have begun since the table was read, and have been lost: this session has the lock of those who go on.
	switch names, err := j.leftOn(ctx, m.set); {
	case err != nil:
		return o, err
	case len(names) > 0:
		if err := j.discard(ctx, m.set, names, true); err != nil {
			return o, err
		}
	}
	begun := false
	fail := func(what string, err error) (outcome, error) {
		err = fmt.Errorf("%s of DEFAULT partition %s: %w", what, def, err)
		var taken *takenError
		if begun && !errors.As(err, &taken) {
			// The copy is of no use now. When it cannot be dropped, the next run does it.
			clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), j.Tidy)
			defer cancel()
			m.leave(clean)
			if derr := j.discard(clean, m.set, []string{m.name}, false); derr != nil {
				var goingOn *goingOnError
				if errors.As(derr, &goingOn) {
					return outcome{locks: o.locks, whole: true}, err // that one clears up
				}
				err = errors.Join(err, &parts.LeftError{What: fmt.Sprintf("the triggers %s and %[1]s_all are left on %s, and what they write to, pgtender.%s and pgtender.%[3]s_log; "+
					"no row is lost by them, but writing is slower, and what they write grows. Take them away, as the next run does: `pgtender job run partition --table %s` (%v)",
					parts.MoveTrigger, def, m.name, pg.Word(m.set.Asked.String()), derr)})
			}
		}
		return outcome{locks: o.locks, whole: true}, err
	}
	if begun, err = m.begin(ctx); err != nil {
		return fail("begin to copy the rows", err)
	}
	run.Say("copying the rows of %s, so that the new partitions can take over from it", def)
	if err := m.copy(ctx); err != nil {
		return fail("copy the rows", err)
	}
	for round := 1; ; round++ {
		what, err := m.round(ctx, round == 1, &o)
		var behind *behindError
		switch {
		case err == nil:
			return o, nil
		case !errors.As(err, &behind) || round == mostRounds:
			return fail(what, err)
		}
		run.Say("%d changes of %s came meanwhile, and are copied before anybody has to wait for them", behind.changes, def)
	}
}

// round tries to come to an end. It says what it was about.
func (m *move) round(ctx context.Context, first bool, o *outcome) (what string, err error) {
	if err := m.catchUp(ctx); err != nil {
		return "copy what changed meanwhile", err
	}
	if first {
		if err := m.compare(ctx); err != nil {
			return "compare the copy with the rows", err
		}
	}
	if err := m.join(ctx); err != nil {
		return "copy the last that changed", err
	}
	if err := m.waitForSnapshots(ctx); err != nil {
		return "wait for the readers", err
	}
	o.made, err = m.change(ctx)
	return "change to the copy", err
}

// behindError is a copy that lacks more changes than may be made up for while others wait: in join while writers do, in change while
// everybody does, where any is too many.
type behindError struct{ changes int64 }

func (e *behindError) Error() string {
	return fmt.Sprintf("%d changes were not copied yet when it was locked, for the %dth time: more come than can be copied. Nothing was changed; try again when less is written", e.changes, mostRounds)
}

// open opens a session of the move's own; the pool might have none to spare while all its others wait for one another.
func (m *move) open(ctx context.Context) (err error) {
	cfg := m.j.Pool.Config()
	if m.session, err = pgx.ConnectConfig(ctx, cfg.ConnConfig); err != nil {
		return pg.Explain(err)
	}
	if cfg.AfterConnect != nil {
		err = cfg.AfterConnect(ctx, m.session)
	}
	got := false
	if err == nil {
		got, err = pg.TryLock(ctx, m.session, moveLock(m.set.Asked))
	}
	if err == nil && !got {
		err = &goingOnError{m.set}
	}
	if err != nil {
		m.session.Close(context.WithoutCancel(ctx))
	}
	return err
}

// leave ends the move's session and waits, no longer than j.Tidy, until the server has noticed. It may be busy with a statement of it, or
// slow; until then the session's lock says that the move goes on, and would keep whoever comes next from the table, this run too.
func (m *move) leave(ctx context.Context) {
	if m.ended {
		return
	}
	m.ended = true
	ctx, cancel := context.WithTimeout(ctx, m.j.Tidy)
	defer cancel()
	m.session.Close(ctx)
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		var held bool
		err := m.j.Pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = $1)", m.session.PgConn().PID()).Scan(&held)
		if err != nil || !held {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// shell is the table that the copies lie below until they are attached.
func (m *move) shell() string   { return pg.Ident("pgtender", m.name) }
func (m *move) log() string     { return pg.Ident("pgtender", m.name+"_log") }
func (m *move) trigger() string { return pg.Ident("pgtender", m.name) + "()" }

func (m *move) list(prefix string) string { return prefix + strings.Join(m.columns, ", "+prefix) }
