package overview

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
)

// State is what a piece of a table's time is.
type State string

// The states.
const (
	Archived  State = "archived"  // in the archive table
	Live      State = "live"      // a partition of the past, or without a lower bound
	Current   State = "current"   // the partition that holds this moment
	Ahead     State = "ahead"     // a partition of the future
	Hole      State = "hole"      // between partitions, and held by none
	Missing   State = "missing"   // wanted by the policy, and held by none
	Detaching State = "detaching" // its DETACH CONCURRENTLY is not finished
	Default   State = "default"   // the DEFAULT partition, which has no place in time
)

// Piece is one partition, or a range that none holds.
type Piece struct {
	State State
	Name  string    // schema.name; of what no partition holds: empty
	From  time.Time // an instant; zero: no lower bound
	To    time.Time // not included; zero: no upper bound
	Rows  int64     // -1: not known
	Bytes int64     // with indexes and TOAST; -1: not known
	Exact bool      // Rows were counted, not estimated
}

// Table is what a partition or archive policy keeps: a table, or a branch of one.
type Table struct {
	Table, Asked config.Table // Asked is what the policy names: Table, or above it
	Into         config.Table // its archive; zero: it has none
	Problem      string       // why its partitions cannot be read; then there are no live pieces
	Pieces       []Piece      // in the order of time; the DEFAULT partition is the last
	Now          time.Time    // the server's
}

// tables reads all partitioned tables of the policies with what was archived of them, and what was archived of plain ones.
func tables(ctx context.Context, q pg.Querier, env *config.Env) ([]Table, error) {
	var names []config.Table
	for _, p := range env.Partitions {
		names = append(names, p.Table)
	}
	for _, a := range env.Archives {
		if a.Partitioned && !slices.Contains(names, a.Table) {
			names = append(names, a.Table)
		}
	}
	sets, err := parts.Read(ctx, q, names)
	if err != nil {
		return nil, err
	}
	sizes, err := sizes(ctx, q, sets)
	if err != nil {
		return nil, err
	}
	moved, err := archived(ctx, q)
	if err != nil && !pg.Is(err, pg.UndefinedTable, pg.InvalidSchemaName) {
		return nil, err
	}
	var out []Table
	for i := range sets {
		out = append(out, of(&sets[i], env, sizes, moved[sets[i].Table]))
	}
	for _, a := range env.Archives {
		if !a.Partitioned {
			out = append(out, Table{Table: a.Table, Asked: a.Table, Into: a.Into, Pieces: moved[a.Table]})
		}
	}
	return out, nil
}

// of puts one table's time together.
func of(s *parts.Set, env *config.Env, sizes map[uint32]size, moved []Piece) Table {
	out := Table{Table: s.Table, Asked: s.Asked, Now: s.Now, Pieces: slices.Clone(moved)}
	for _, a := range env.Archives {
		if a.Table == s.Asked {
			out.Into = a.Into
		}
	}
	if s.Problem != nil {
		out.Problem = s.Problem.What
		return out
	}
	loc := env.Daemon.Location
	instant := func(b parts.Bound) time.Time {
		if b.Kind != parts.At {
			return time.Time{}
		}
		return s.Key.Instant(b.Time, loc)
	}
	for _, c := range s.Children {
		p := piece(c, sizes)
		p.From, p.To = instant(c.Lower), instant(c.Upper)
		switch {
		case c.Pending:
			p.State = Detaching
		case !p.From.IsZero() && p.From.After(s.Now):
			p.State = Ahead
		case p.To.IsZero() || p.To.After(s.Now):
			p.State = Current
		}
		out.Pieces = append(out.Pieces, p)
	}
	empty := func(state State, r parts.Range) {
		out.Pieces = append(out.Pieces, Piece{State: state, From: instant(r.Lower), To: instant(r.Upper), Rows: -1, Bytes: -1})
	}
	holes := s.Holes()
	for _, h := range holes {
		empty(Hole, h)
	}
	for _, p := range env.Partitions {
		if p.Table != s.Asked {
			continue
		}
		for _, w := range s.Missing(p.Interval, p.Ahead, loc) {
			if !slices.ContainsFunc(holes, w.Overlaps) {
				empty(Missing, w.Range)
			}
		}
	}
	slices.SortStableFunc(out.Pieces, func(a, b Piece) int { return cmp.Or(a.From.Compare(b.From), cmp.Compare(a.Name, b.Name)) })
	if s.Default != nil {
		p := piece(*s.Default, sizes)
		p.State = Default
		out.Pieces = append(out.Pieces, p)
	}
	return out
}

func piece(c parts.Child, sizes map[uint32]size) Piece {
	s, ok := sizes[c.OID]
	if !ok { // it went away meanwhile
		s = size{-1, -1}
	}
	return Piece{State: Live, Name: c.Table.String(), Rows: s.rows, Bytes: s.bytes}
}

type size struct{ rows, bytes int64 }

// sizes reads rows and bytes of all partitions at once, without a lock: rows as the statistics count them, or as they were at the last
// VACUUM or ANALYZE; pages, with those of indexes and TOAST, as of then. A partition that is partitioned itself is the sum of its leaves.
func sizes(ctx context.Context, q pg.Querier, sets []parts.Set) (map[uint32]size, error) {
	var oids []uint32
	for i := range sets {
		oids = append(oids, sets[i].Members()...)
	}
	rows, err := q.Query(ctx, `
		WITH RECURSIVE member AS (
			SELECT u.oid AS top, u.oid FROM unnest($1::oid[]) AS u (oid)
			UNION ALL
			SELECT m.top, i.inhrelid FROM member m JOIN pg_inherits i ON i.inhparent = m.oid
		), relation AS (
			SELECT m.top, c.oid, c.relpages, c.reltuples, c.reltoastrelid, pg_stat_get_live_tuples(c.oid) AS counted
			FROM member m JOIN pg_class c ON c.oid = m.oid WHERE c.relkind = 'r'
		)
		SELECT r.top, sum(coalesce(nullif(r.counted, 0), greatest(r.reltuples, 0)))::bigint,
		       sum(r.relpages + coalesce(i.pages, 0) + coalesce(t.relpages, 0))::bigint * current_setting('block_size')::bigint,
		       bool_or(r.counted > 0 OR r.reltuples >= 0)
		FROM relation r
		LEFT JOIN pg_class t ON t.oid = r.reltoastrelid
		LEFT JOIN LATERAL (SELECT sum(c.relpages) AS pages FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid WHERE x.indrelid = r.oid) i ON true
		GROUP BY r.top`, oids)
	if err != nil {
		return nil, fmt.Errorf("read the sizes: %w", err)
	}
	out := map[uint32]size{}
	var oid uint32
	var s size
	var known bool
	_, err = pgx.ForEachRow(rows, []any{&oid, &s.rows, &s.bytes, &known}, func() error {
		if !known { // neither filled since the statistics began nor ever analysed: empty, as far as anybody knows
			s = size{-1, -1}
		}
		out[oid] = s
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the sizes: %w", err)
	}
	return out, nil
}

// maxArchived bounds what is read of the manifest for one table: its newest partitions.
const maxArchived = 500

// archived reads the manifest: what is in the archive of each table now, in the order of time.
func archived(ctx context.Context, q pg.Querier) (map[config.Table][]Piece, error) {
	rows, err := q.Query(ctx, `
		SELECT live_schema, live_table, name, lower_at, upper_at, rows, bytes, exact FROM (
			SELECT live_schema, live_table, partition_schema || '.' || partition_name AS name, min(lower_at) AS lower_at, max(upper_at) AS upper_at,
			       coalesce(sum(rows), -1)::bigint AS rows, coalesce(max(bytes), -1) AS bytes, bool_and(rows_exact) AS exact,
			       row_number() OVER (PARTITION BY live_schema, live_table ORDER BY max(upper_at) DESC NULLS LAST) AS n
			FROM pgtender.archived_partition WHERE gone_at IS NULL
			GROUP BY live_schema, live_table, partition_schema, partition_name) AS p
		WHERE n <= $1 ORDER BY 1, 2, 4 NULLS FIRST, 3`, maxArchived)
	if err != nil {
		return nil, fmt.Errorf("read the manifest of the archive: %w", err)
	}
	out := map[config.Table][]Piece{}
	var t config.Table
	var p Piece
	var from, to *time.Time
	_, err = pgx.ForEachRow(rows, []any{&t.Schema, &t.Name, &p.Name, &from, &to, &p.Rows, &p.Bytes, &p.Exact}, func() error {
		p.State, p.From, p.To = Archived, orZero(from), orZero(to)
		out[t] = append(out[t], p)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the manifest of the archive: %w", err)
	}
	return out, nil
}

func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
