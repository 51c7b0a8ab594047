package checks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
)

// archiveLag tells for how long the oldest live data has been due for the archive. Source: the upper bound of the oldest partition;
// for a table that is not partitioned, the least value of its time column, by an index. What was restored and is held does not count. Unit: seconds. Warning from two periods: of the
// partitions, or of the schedule. Remedy: run the archive job.
func archiveLag(r *readings, l limits) Check {
	return Check{Name: "archive_lag", Group: "archive", Unit: "seconds", Every: 30 * time.Second, Deadline: 5 * time.Second, Bundle: bundle,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			sets, err := r.read(ctx, tx)
			if err != nil {
				return nil, err
			}
			held, err := readHolds(ctx, tx)
			if err != nil {
				return nil, err
			}
			var out []Finding
			for _, a := range r.env.Archives {
				if !a.Partitioned {
					f, err := lagOfRows(ctx, tx, a, held[a.Table], r.env.Daemon.Location, l)
					if err != nil {
						return nil, fmt.Errorf("oldest row of %s: %w", a.Table, err)
					}
					out = append(out, f)
					continue
				}
				for i := range sets {
					if sets[i].Asked == a.Table {
						f := partitionsLag(a, &sets[i], held[a.Table], r.env.Daemon.Location, l)
						if err := inDefault(ctx, tx, a, &sets[i], r.env.Daemon.Location, &f); err != nil {
							return nil, err
						}
						out = append(out, f)
					}
				}
			}
			return out, nil
		}}
}

// hold is a range of time that was restored and is not to be archived again; nil: without an end.
type hold struct{ from, to *time.Time }

func readHolds(ctx context.Context, tx pgx.Tx) (map[config.Table][]hold, error) {
	rows, err := tx.Query(ctx, `SELECT live_schema, live_table, lower_at, upper_at FROM pgtender.archived_partition
		WHERE gone_how = 'restored' AND detail ? 'hold' ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("what is held: %w", err)
	}
	all := map[config.Table][]hold{}
	var t config.Table
	var h hold
	_, err = pgx.ForEachRow(rows, []any{&t.Schema, &t.Name, &h.from, &h.to}, func() error {
		all[t] = append(all[t], h)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("what is held: %w", err)
	}
	return all, nil
}

// holds reports whether a partition has a part in a hold.
func (h hold) holds(s *parts.Set, c parts.Child, loc *time.Location) bool {
	return (h.from == nil || s.Key.Instant(c.Upper.Time, loc).After(*h.from)) && (h.to == nil || s.Key.Instant(c.Lower.Time, loc).Before(*h.to))
}

func partitionsLag(a config.Archive, s *parts.Set, held []hold, loc *time.Location, l limits) Finding {
	if s.Problem != nil {
		return Finding{Object: s.Asked.String(), Status: Unknown, Message: s.Problem.What, Remedy: s.Problem.Advice}
	}
	cut := a.After.Before(s.Now, loc)
	kept := 0
	due := slices.DeleteFunc(s.Due(cut, loc), func(c parts.Child) bool {
		is := slices.ContainsFunc(held, func(h hold) bool { return h.holds(s, c, loc) })
		if is {
			kept++
		}
		return is
	})
	lag := 0.0
	if len(due) > 0 {
		lag = cut.Sub(s.Key.Instant(due[0].Upper.Time, loc)).Seconds()
	}
	f := lagFinding(a, s.Table, lag, times(l, length(a.Interval).Seconds()))
	if len(due) == 0 && kept > 0 {
		f.Message = fmt.Sprintf("no partition older than %s is live but %s, restored and held (`pgtender archive list`)", a.After.Text, many(int64(kept), "partition"))
	}
	if len(due) > 0 {
		f.Message += fmt.Sprintf("; %s, the oldest is %s", many(int64(len(due)), "partition"), due[0].Table)
	}
	return f
}

// smallDefault is the size of a DEFAULT partition that is read through without an index, in bytes.
const smallDefault = 8 << 20

// inDefault adds what the DEFAULT partition holds that is old enough: no job archives it. It takes half a second at most; what cannot be told by then is
// said to be unknown, and is no trouble by itself: default_partition_rows counts what lies there.
func inDefault(ctx context.Context, tx pgx.Tx, a config.Archive, s *parts.Set, loc *time.Location, f *Finding) error {
	if s.Problem != nil || s.Default == nil {
		return nil
	}
	old := fmt.Sprintf("%s < %s::%s", pg.Ident(s.Key.Column), pg.Literal(s.Key.Text(s.Key.At(s.Key.FromInstant(a.After.Before(s.Now, loc), loc)))), s.Key.Type)
	inner, err := tx.Begin(ctx) // so that what fails here costs no more than this
	if err != nil {
		return err
	}
	defer inner.Rollback(context.WithoutCancel(ctx))
	some, why, err := oldRows(ctx, inner, s, old)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		why = err.Error()
	}
	switch {
	case why != "":
		f.Message += fmt.Sprintf("; whether its DEFAULT partition %s holds rows as old is not known: %s", s.Default.Table, why)
	case some:
		f.Message += fmt.Sprintf("; rows as old are in its DEFAULT partition %s, where no job archives them: make partitions for their times, or delete them", s.Default.Table)
		f.Status = max(f.Status, Warning)
		if f.Remedy == "" {
			f.Remedy = fmt.Sprintf("SELECT date_trunc('%s', %s), count(*) FROM %s WHERE %s GROUP BY 1 ORDER BY 1;  -- what is there; then see the remedy of default_partition_rows",
				a.Interval, pg.Ident(s.Key.Column), quoted(s.Default.Table), old)
		}
	}
	return nil
}

// oldRows reports whether the DEFAULT partition has a row of the condition, or why that is not looked at.
func oldRows(ctx context.Context, tx pgx.Tx, s *parts.Set, old string) (some bool, why string, err error) {
	var readable, indexed, leaf bool
	var size int64
	_, err = tx.Exec(ctx, "SET LOCAL row_security = off; SET LOCAL statement_timeout = 500")
	if err == nil {
		err = tx.QueryRow(ctx, `
			SELECT has_table_privilege(c.oid, 'SELECT'), coalesce(pg_relation_size(c.oid), 0), c.relkind = 'r', EXISTS (
			         SELECT FROM pg_index i JOIN pg_attribute att ON att.attrelid = c.oid AND att.attnum = i.indkey[0]
			          WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL AND att.attname = $2)
			  FROM pg_class c WHERE c.oid = $1`, s.Default.OID, s.Key.Column).Scan(&readable, &size, &leaf, &indexed)
	}
	switch {
	case errors.Is(err, pgx.ErrNoRows): // gone since
		return false, "", nil
	case err != nil:
		return false, "", err
	case leaf && size == 0:
		return false, "", nil
	case !readable:
		return false, "this role may not read it", nil
	case !leaf:
		return false, "it is divided further", nil
	case !indexed && size > smallDefault:
		return false, "it is large, and no index of it begins with " + s.Key.Column, nil
	}
	err = tx.QueryRow(ctx, fmt.Sprintf("SELECT EXISTS (SELECT FROM %s WHERE %s)", quoted(s.Default.Table), old)).Scan(&some)
	return some, "", err
}

// lagFinding words a lag of seconds.
func lagFinding(a config.Archive, t config.Table, lag float64, l limits) Finding {
	f := Finding{Object: t.String(), Value: lag, Message: "nothing older than " + a.After.Text + " is live", Status: judge(lag, l),
		Samples: []Sample{{"pgtender_archive_lag_seconds", []string{t.Schema, t.Name}, lag}}}
	if lag > 0 {
		f.Message = fmt.Sprintf("its oldest data has been due for the archive for %s", span(seconds(lag)))
	}
	if f.Status != OK {
		f.Remedy = jobCommand("archive", a.Table.String())
	}
	return f
}

// lagOfRows is rowsLag, where a table that somebody has locked, or that may not be read, is unknown and no other for its sake.
func lagOfRows(ctx context.Context, tx pgx.Tx, a config.Archive, held []hold, loc *time.Location, l limits) (Finding, error) {
	inner, err := tx.Begin(ctx)
	if err != nil {
		return Finding{}, err
	}
	defer inner.Rollback(context.WithoutCancel(ctx))
	f, err := rowsLag(ctx, inner, a, held, loc, l)
	if !pg.Is(err, pg.LockNotAvailable, pg.InsufficientPrivilege) {
		return f, err
	}
	f = Finding{Object: a.Table.String(), Status: Unknown, Message: "its oldest row is not known: " + err.Error(), Remedy: cure(err)}
	if pg.Is(err, pg.LockNotAvailable) {
		f.Message = fmt.Sprintf("its oldest row is not known: another session has locked it (waited %s)", lockTimeout)
		f.Remedy = fmt.Sprintf("SELECT a.pid, l.mode, a.state, a.query FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.granted AND l.relation = %s::regclass;  -- who holds it",
			pg.Literal(quoted(a.Table)))
	}
	return f, nil
}

// rowsLag is the lag of a table that is not partitioned. Without an index it would mean reading the whole table, so it is not asked.
func rowsLag(ctx context.Context, tx pgx.Tx, a config.Archive, held []hold, loc *time.Location, l limits) (Finding, error) {
	var kind string
	var indexed bool
	err := tx.QueryRow(ctx, `
		SELECT coalesce(min(att.atttypid::regtype::text), ''), coalesce(bool_or(EXISTS (
		         SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL AND i.indkey[0] = att.attnum)), false)
		  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute att ON att.attrelid = c.oid
		 WHERE n.nspname = $1 AND c.relname = $2 AND att.attname = $3`, a.Table.Schema, a.Table.Name, a.Column).Scan(&kind, &indexed)
	unknown := Finding{Object: a.Table.String(), Status: Unknown}
	naive := kind == "timestamp without time zone" || kind == "date"
	switch {
	case err != nil:
		return unknown, err
	case kind == "":
		unknown.Message, unknown.Remedy = "there is no such table with a column "+a.Column, "pgtender apply"
		return unknown, nil
	case !naive && kind != "timestamp with time zone":
		unknown.Message = fmt.Sprintf("its oldest row is not known: column %s is of type %s", a.Column, kind)
		return unknown, nil
	case !indexed:
		unknown.Message = fmt.Sprintf("its oldest row is not known: no index begins with %s", a.Column)
		unknown.Remedy = parts.IndexAdvice(a.Table, a.Column)
		return unknown, nil
	}
	var now time.Time
	var oldest *time.Time
	sql := fmt.Sprintf("SELECT now(), min(%s)::timestamptz FROM %s%s", pg.Ident(a.Column), quoted(a.Table), outside(pg.Ident(a.Column), held, naive, loc))
	if err := tx.QueryRow(ctx, sql).Scan(&now, &oldest); err != nil {
		return unknown, err
	}
	lag := 0.0
	if oldest != nil {
		at := *oldest
		if naive {
			at = config.OnWall(at.UTC(), loc)
		}
		lag = max(a.After.Before(now, loc).Sub(at).Seconds(), 0)
	}
	next := a.Schedule.Next(now.In(loc))
	f := lagFinding(a, a.Table, lag, times(l, a.Schedule.Next(next).Sub(next).Seconds()))
	if lag == 0 && len(held) > 0 {
		f.Message += " but what is restored and held (`pgtender archive list`)"
	}
	return f, nil
}

// outside is the WHERE clause for rows that are in no hold.
func outside(column string, held []hold, naive bool, loc *time.Location) string {
	literal := func(t time.Time) string {
		if naive {
			return pg.Literal(t.In(loc).Format("2006-01-02 15:04:05.999999"))
		}
		return pg.Literal(t.Format("2006-01-02 15:04:05.999999-07:00"))
	}
	var list []string
	for _, h := range held {
		in := []string{"true"}
		if h.from != nil {
			in = append(in, column+" >= "+literal(*h.from))
		}
		if h.to != nil {
			in = append(in, column+" < "+literal(*h.to))
		}
		list = append(list, "NOT ("+strings.Join(in, " AND ")+")")
	}
	if len(list) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(list, " AND ")
}
