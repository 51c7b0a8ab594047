package archive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
)

// batch moves the rows of one stretch and notes them, in one transaction.
func (j *Job) batch(ctx context.Context, s *sweep, upTo []string) (n int64, err error) {
	id := int64(0)
	copies := s.copies()
	options := pgx.TxOptions{IsoLevel: pgx.ReadCommitted}
	if copies {
		options.IsoLevel = pgx.RepeatableRead
	}
	err = pgx.BeginTxFunc(ctx, j.Pool, options, func(tx pgx.Tx) error {
		// From here on nobody can add a trigger, a rule or a foreign key: those wait for these locks. They come first, since neither
		// they nor settings take a snapshot: the one of a copy must be later, to see what came before.
		sql := fmt.Sprintf("%s; LOCK TABLE ONLY %s, ONLY %s IN ROW EXCLUSIVE MODE", s.limits(j), ident(s.from), ident(s.to))
		if _, err := tx.Exec(ctx, sql); err != nil {
			return err
		}
		if err := parts.Join(ctx, tx, s.claim); err != nil {
			return err
		}
		var found string
		if copies {
			n, found, err = s.copyOver(ctx, tx, upTo)
		} else {
			n, found, err = s.takeOver(ctx, tx, upTo)
		}
		if err != nil || n == 0 {
			return err
		}
		id, err = s.entry.add(ctx, tx, n, found)
		return err
	})
	if err != nil {
		return 0, err
	}
	if id != 0 {
		s.entry.id = id
	}
	return n, nil
}

// copies reports whether a batch may be two statements on one snapshot, INSERT … SELECT and DELETE, which keep no row in memory. Otherwise the
// DELETE hands the rows over: a trigger may keep some, locks must be older than the look at who points to a row, and where foreign
// keys of the target are checked, whoever updates the rows that they point to would make one snapshot fail again and again.
func (t *transfer) copies() bool {
	return !t.wait && len(t.facts.Triggers)+len(t.facts.TargetTriggers)+t.facts.TargetKeys == 0
}

// copyOver copies the rows of the stretch and deletes them, as one snapshot shows them. A row that somebody inserts meanwhile is in
// none of it; one that somebody changes or deletes makes the DELETE fail, and the whole batch with it.
func (s *sweep) copyOver(ctx context.Context, tx pgx.Tx, upTo []string) (n int64, found string, err error) {
	begun := time.Now()
	where := s.source() + " WHERE " + strings.Join(append(s.stretch(s.place, upTo), s.due), " AND ")
	var guard string
	err = tx.QueryRow(ctx, fmt.Sprintf("SELECT count(*), %s, %s FROM %s", s.entry.figures(), s.guard(), where)).Scan(&n, &found, &guard)
	if err == nil {
		err = s.unchanged(guard)
	}
	if err != nil || n == 0 {
		return 0, "", err
	}
	names, columns := s.columns()
	// The target may be the live table, on the way back: its identity takes the numbers as they are.
	insert := fmt.Sprintf("INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM %s", ident(s.to), strings.Join(names, ", "), strings.Join(columns, ", "), where)
	for _, step := range []struct{ done, sql string }{
		{fmt.Sprintf("arrived in %s", s.to), insert}, {fmt.Sprintf("left %s", s.from), "DELETE FROM " + where},
	} {
		left := max(batchTimeout-time.Since(begun), time.Millisecond)
		tag, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL statement_timeout = %d; %s", left.Milliseconds(), step.sql))
		if err != nil {
			return 0, "", err
		}
		if got := tag.RowsAffected(); got != n {
			return 0, "", fmt.Errorf("of %d rows of %s only %d %s, so it was rolled back", n, s.from, got, step.done)
		}
	}
	// The manifest must not fail for want of time.
	_, err = tx.Exec(ctx, fmt.Sprintf("SET LOCAL statement_timeout = %d", batchTimeout.Milliseconds()))
	return n, found, err
}

// takeOver moves the rows of the stretch by one statement.
func (s *sweep) takeOver(ctx context.Context, tx pgx.Tx, upTo []string) (n int64, found string, err error) {
	var held []string
	if s.wait {
		if held, err = texts(ctx, tx, s.hold(s.place, upTo)); err != nil || len(held) == 0 {
			return 0, "", err
		}
	}
	var gone int64
	var guard string
	if err := tx.QueryRow(ctx, s.handOver(s.place, upTo, held)).Scan(&gone, &n, &found, &guard); err != nil {
		return 0, "", err
	}
	if gone != n {
		return 0, "", fmt.Errorf("%d rows left %s and %d arrived in %s, so it was rolled back", gone, s.from, n, s.to)
	}
	return n, found, s.unchanged(guard)
}

// guard is asked for in each batch: see guardSQL.
func (t *transfer) guard() string {
	return fmt.Sprintf("(SELECT %s FROM pg_class f, pg_class t WHERE (f.oid, t.oid) = (%s::regclass, %s::regclass))", guardSQL, pg.Literal(ident(t.from)), pg.Literal(ident(t.to)))
}

func (t *transfer) unchanged(guard string) error {
	if guard != t.facts.Guard {
		return errors.New("the table, or a trigger, rule or foreign key on it, was changed meanwhile; the next run will look at it anew")
	}
	return nil
}

// columns are those that are written, and the same of x.
func (t *transfer) columns() (names, ofX []string) {
	for _, c := range t.facts.Columns {
		if !c.Generated {
			names, ofX = append(names, pg.Ident(c.Name)), append(ofX, "x."+pg.Ident(c.Name))
		}
	}
	return names, ofX
}

// hold is the statement that keeps others from beginning to point to rows, and returns which: until the transaction ends nobody can.
func (t *transfer) hold(after, upTo []string) string {
	where := append(append(t.stretch(after, upTo), t.due), t.free()...)
	return fmt.Sprintf("SELECT x.ctid::text FROM %s WHERE %s FOR UPDATE OF x SKIP LOCKED", t.source(), strings.Join(where, " AND "))
}

// handOver is the statement that takes the rows of the stretch, or those held, and puts what it got into the other table.
func (t *transfer) handOver(after, upTo, held []string) string {
	where := append(t.stretch(after, upTo), t.due)
	if t.wait {
		where = append(append(where, t.free()...), "x.ctid = ANY ("+pg.Literal("{"+`"`+strings.Join(held, `","`)+`"`+"}")+"::tid[])")
	}
	names, gone := t.columns()
	for _, c := range t.entry.figured() { // a generated one, too
		if name := "x." + pg.Ident(c.Name); !slices.Contains(gone, name) {
			gone = append(gone, name)
		}
	}
	columns := strings.Join(names, ", ")
	// The figures are those of the rows that left. Of those that arrived only the number is asked: the server keeps both sets in memory until the
	// end, and numbers are smaller than rows. The target may be the live table, on the way back: its identity takes the numbers as they are.
	return fmt.Sprintf(`WITH gone AS (DELETE FROM %s WHERE %s RETURNING %s),
put AS (INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM gone RETURNING 1)
SELECT count(*), (SELECT count(*) FROM put), %s, %s FROM gone`,
		t.source(), strings.Join(where, " AND "), strings.Join(gone, ", "), ident(t.to), columns, columns, t.entry.figures(), t.guard())
}
