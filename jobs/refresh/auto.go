package refresh

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
)

// verdict is what a look before a refresh yields.
type verdict struct {
	skip   bool
	reason string
	since  time.Time // of the refresh that is still good
}

// memory is what is known of the last refresh of a view.
type memory struct {
	oid       uint32
	basis     *basis
	cannot    string // why there is no basis
	refreshed time.Time
	took      time.Duration
	mostly    int // refreshes in a row that changed most rows
	deadLeft  int64
	now       time.Time
}

// recall returns nil when nothing is known.
func recall(ctx context.Context, q pg.Querier, view config.Table) (*memory, error) {
	var m memory
	var text string
	var refreshed *time.Time
	var seconds float64
	err := q.QueryRow(ctx, `
		SELECT view_oid, coalesce(fingerprint, ''), refreshed_at, coalesce(detail ->> 'no_proof', ''), coalesce((detail ->> 'duration_seconds')::float8, 0),
		       coalesce((detail ->> 'mostly_changed_runs')::int, 0), coalesce((detail ->> 'dead_rows_left')::bigint, 0), now()
		  FROM pgtender.refresh_state WHERE view_schema = $1 AND view_name = $2`, view.Schema, view.Name).
		Scan(&m.oid, &text, &refreshed, &m.cannot, &seconds, &m.mostly, &m.deadLeft, &m.now)
	if errors.Is(err, pgx.ErrNoRows) || pg.Is(err, pg.UndefinedTable, pg.InvalidSchemaName) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what is known of the last refresh: %w", err)
	}
	if refreshed != nil {
		m.refreshed = *refreshed
	}
	m.basis, m.took = parseBasis(text), time.Duration(seconds*float64(time.Second))
	return &m, nil
}

// judge tells whether a refresh now is proved needless: that nothing committed before this call is missing from the view. doc.go says
// why it is a proof. Each statement is a transaction of its own, so that none sees statistics cached by another.
func (r *refresher) judge(ctx context.Context, conn *pgxpool.Conn, v *view, m *memory, say func(string, ...any)) (verdict, error) {
	switch {
	case !v.Populated:
		return verdict{reason: "it was never populated"}, nil
	case m == nil || m.oid != v.OID || m.refreshed.IsZero():
		return verdict{reason: "pgtender has not refreshed it yet"}, nil
	case m.basis == nil && m.cannot != "":
		return verdict{reason: "it cannot be proved needless: " + m.cannot}, nil
	case m.basis == nil:
		return verdict{reason: "what it was made of was not noted at its last refresh"}, nil
	}
	if why := r.stale(m); why != "" {
		return verdict{reason: why}, nil
	}
	if err := pg.Count(ctx, conn.Conn()); err != nil { // what this session did before
		return verdict{}, err
	}
	return r.prove(ctx, conn, m, say)
}

// prove looks at the sessions, then at the counters, again and again while only sessions are in doubt and it pays to wait.
func (r *refresher) prove(ctx context.Context, conn *pgxpool.Conn, m *memory, say func(string, ...any)) (verdict, error) {
	w := &watch{known: m.basis.Crowd, now: time.Now, seen: map[string]time.Time{}}
	over := time.Now().Add(r.worth(m.took))
	for pause, told := 50*time.Millisecond, false; ; pause = min(2*pause, time.Second) {
		why, err := hidden(ctx, conn)
		if err != nil || why != "" {
			return verdict{reason: why}, err
		}
		crowd, err := readCrowd(ctx, conn)
		if err != nil {
			return verdict{}, err
		}
		doubtful := w.doubtful(crowd)
		// After the sessions: one that has gone by now counted what it did as it went.
		now, err := readBasis(ctx, conn, m.basis.closure())
		if err != nil {
			return verdict{}, err
		}
		if what := now.changed(m.basis); what != "" {
			return verdict{reason: what}, nil
		}
		if len(doubtful) == 0 {
			return verdict{skip: true, since: m.refreshed,
				reason: "nothing that it reads has changed since its refresh of " + m.refreshed.UTC().Format("2006-01-02 15:04:05Z")}, nil
		}
		if time.Now().Add(pause).After(over) {
			return verdict{reason: doubt(doubtful)}, nil
		}
		if !told && pause > 500*time.Millisecond {
			told = true
			say("%s: nothing is known to have changed; waiting up to %s for %s", r.policy.View, r.worth(m.took).Round(time.Second), doubt(doubtful))
		}
		// The run of another view may be looking at this session in the same way, and began at the same tick: let it see
		// that there is nothing uncounted here, and do not look whenever it does.
		if err := pg.Count(ctx, conn.Conn()); err != nil {
			return verdict{}, err
		}
		select {
		case <-ctx.Done():
			return verdict{}, ctx.Err()
		case <-time.After(pause/2 + rand.N(pause)):
		}
	}
}

// doubt says whom the proof fails for.
func doubt(sessions []session) string {
	more := ""
	if len(sessions) > 1 {
		more = fmt.Sprintf(" and %d more", len(sessions)-1)
	}
	s := sessions[0]
	if s.Kind != "client backend" && s.Kind != "walsender" && s.Kind != "" {
		return fmt.Sprintf("a %s is at work in this database (%s)%s, whose changes are counted at times of its own", s.Kind, s.Describe, more)
	}
	return fmt.Sprintf("%s%s: may have committed what is not counted yet", s.Describe, more)
}

// worth is how long a run waits for sessions in doubt: no longer than a refresh takes twice, which it may save.
func (r *refresher) worth(took time.Duration) time.Duration {
	return min(max(2*took, r.doubt/20), r.doubt)
}

// stale says that max_staleness wants a refresh: the last one is as old as that, or would be before the next scheduled run.
func (r *refresher) stale(m *memory) string {
	limit := r.policy.MaxStaleness
	if limit.IsZero() {
		return ""
	}
	zone := r.zone
	if zone == nil {
		zone = time.UTC
	}
	age := m.now.Sub(m.refreshed).Round(time.Second)
	if !m.refreshed.After(limit.Before(m.now, zone)) {
		return fmt.Sprintf("its last refresh is %s old, and max_staleness is %s", age, limit)
	}
	if r.policy.Schedule.Schedule == nil {
		return ""
	}
	if next := r.policy.Schedule.Next(m.now.In(zone)); !next.IsZero() && !m.refreshed.After(limit.Before(next, zone)) {
		return fmt.Sprintf("its last refresh is %s old, and would be older than max_staleness, %s, before the next scheduled run", age, limit)
	}
	return ""
}

// before reads, before a refresh begins, what the view is about to be made of. A nil basis has its reason in cannot.
func (r *refresher) before(ctx context.Context, conn *pgxpool.Conn, v *view) (b *basis, cannot string, err error) {
	err = pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		c, err := readClosure(ctx, tx, v.OID)
		if err != nil || c.cannot != "" {
			cannot = c.cannot
			return err
		}
		crowd, err := readCrowd(ctx, tx)
		if err != nil {
			return err
		}
		if b, err = readBasis(ctx, tx, c); err == nil {
			b.Crowd = marks(crowd)
		}
		return err
	})
	if err != nil || cannot != "" {
		return nil, cannot, err
	}
	// After the sessions: a prepared transaction that is gone by now can be seen by the refresh.
	why, err := hidden(ctx, conn)
	if err != nil || why != "" {
		return nil, why, err
	}
	return b, "", nil
}
