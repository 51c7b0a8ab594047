package refresh

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
)

// idleFlush is after how long an idle session has surely counted what it did: the server does so 10 s after it became idle
// (PGSTAT_IDLE_INTERVAL, pgstat.c); the rest is for a machine that is slow to wake it.
const idleFlush = 15 * time.Second

// session is another session of this database, as one look shows it.
type session struct {
	Process  string // pid and start: no other session ever has it
	Kind     string // backend_type
	State    string // "": not ours to see
	Mark     string // what stays the same while it stays idle, or within one transaction; "": neither
	Idle     float64
	Counted  bool // its last statement was pg.Counted
	First    bool // it holds pg.FirstSinceCount
	Streams  bool // a walsender that streams
	Describe string
}

// The mark of a transaction is its virtual transaction id. The row of pg_locks has it twice: as the lock's name, and as
// the holder's present transaction, which is cleared in the same instant in which its changes become visible. While both agree it is
// not over.
const crowdSQL = `
SELECT format('%s/%s', a.pid, extract(epoch FROM a.backend_start)), coalesce(a.backend_type, ''), coalesce(a.state, ''),
       CASE WHEN a.state = 'idle' OR a.state = 'active' AND w.streams
            THEN format('%s/%s/%s/%s', a.pid, extract(epoch FROM a.backend_start), a.state, extract(epoch FROM a.state_change))
            WHEN v.virtualxid IS NOT NULL
            THEN format('%s/%s/%s', a.pid, extract(epoch FROM a.backend_start), v.virtualxid) ELSE '' END,
       coalesce(extract(epoch FROM clock_timestamp() - a.state_change), 0)::float8,
       a.state = 'idle' AND a.query = $1 AS counted, coalesce(f.yes, false), w.streams,
       format('pid %s (%s%s), %s', a.pid, coalesce(a.usename, a.backend_type, 'unknown'), coalesce(', ' || nullif(a.application_name, ''), ''),
              coalesce(a.state, 'in a state that cannot be seen'))
  FROM pg_stat_activity a
  CROSS JOIN LATERAL (SELECT coalesce(a.backend_type = 'walsender' AND a.xact_start IS NULL AND a.query LIKE 'START\_REPLICATION%', false)) w (streams)
  LEFT JOIN (SELECT pid, min(virtualxid) AS virtualxid FROM pg_locks
              WHERE locktype = 'virtualxid' AND granted AND mode = 'ExclusiveLock' AND virtualxid = virtualtransaction GROUP BY pid) v ON v.pid = a.pid
  LEFT JOIN (SELECT DISTINCT l.pid, true AS yes FROM pg_locks l
              WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.virtualtransaction NOT LIKE '%/0'
                AND (l.classid::bigint << 32 | l.objid::bigint) = $2
                AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())) f ON f.pid = a.pid
 WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
 ORDER BY a.pid`

// readCrowd reads the other sessions of the database, those left out that write no rows: parallel workers, whose leader
// is there as well, and autovacuum.
func readCrowd(ctx context.Context, q pg.Querier) ([]session, error) {
	rows, err := q.Query(ctx, crowdSQL, pg.Counted, pg.FirstSinceCount())
	var out []session
	if err == nil {
		out, err = pgx.CollectRows(rows, pgx.RowToStructByPos[session])
	}
	if err != nil {
		return nil, fmt.Errorf("look at the other sessions: %w", err)
	}
	return slices.DeleteFunc(out, func(s session) bool { return s.Kind == "parallel worker" || s.Kind == "autovacuum worker" }), nil
}

// marks are what is stored of a crowd. Who has been idle for long needs no mark: either it is still idle then, or its
// mark has changed.
func marks(crowd []session) []string {
	out := []string{}
	for _, s := range crowd {
		if s.Mark != "" && (s.State != "idle" || s.Idle < idleFlush.Seconds()) {
			out = append(out, s.Mark)
		}
	}
	return out
}

// watch follows the sessions from the beginning of a run, until none of them can have committed something before that
// which is not counted yet.
type watch struct {
	known []string // marks of the crowd before the last refresh
	now   func() time.Time
	seen  map[string]time.Time // by Process: when it was first seen idle in this run
}

// settled is how long a session must have been idle for the server to have done what it does when a session becomes idle.
const settled = time.Second

// doubtful returns the sessions that may have uncounted changes.
func (w *watch) doubtful(crowd []session) []session {
	var out []session
	for _, s := range crowd {
		if !w.clear(s) {
			out = append(out, s)
		}
	}
	return out
}

func (w *watch) clear(s session) bool {
	if s.Kind != "client backend" && s.Kind != "walsender" {
		return false // a worker: it counts when it likes, or its kind cannot be seen
	}
	if s.Mark != "" && slices.Contains(w.known, s.Mark) {
		return true // as it was before the refresh: nothing was committed since
	}
	if s.State != "idle" {
		return s.First
	}
	if s.Counted || s.Idle > idleFlush.Seconds() {
		return true
	}
	// A session that is used again and again: what it had committed before it was first seen idle is counted at its next pause
	// after the server's timer, which began then at the latest.
	first, ok := w.seen[s.Process]
	if !ok {
		w.seen[s.Process] = w.now()
		return false
	}
	return s.Idle >= settled.Seconds() && w.now().Sub(first) >= idleFlush+settled
}
