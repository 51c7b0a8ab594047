package archive

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
)

// State says whether the archive still holds what was moved.
type State string

// The states of a partition of the archive, or of the archive of a table that is not partitioned.
const (
	Intact  State = "intact"  // rows and checksum are those of the manifest
	Counted State = "counted" // as many rows as were moved; there is no checksum to hold against them
	Changed State = "CHANGED" // other rows than were moved
	Gone    State = "MISSING" // not in the archive
	Unknown State = "unknown" // the manifest does not say yet how many there were, or this role may not see them
)

// Verdict is what was found of one place in the archive.
type Verdict struct {
	Table     string   `json:"table"`
	Partition string   `json:"partition"`
	State     State    `json:"state"`
	Moved     int64    `json:"rows_moved"`
	Found     int64    `json:"rows_found"`
	Covers    []string `json:"checksum_covers"` // columns
	What      string   `json:"what"`            // in words; empty: nothing is wrong
}

// Bad reports whether the archive does not hold what was moved.
func (v Verdict) Bad() bool { return v.State == Changed || v.State == Gone }

// moved is one row of the manifest as far as verifying goes.
type moved struct {
	Kind   string
	Rows   *int64
	Exact  bool
	Back   bool
	Digest *string
	Of     []string
}

const placesQuery = `
SELECT DISTINCT live_schema || '.' || live_table, archive_schema, archive_table, partition_schema, partition_name, min(upper_at) OVER w
FROM pgtender.archived_partition WHERE gone_at IS NULL AND ($2 = '' OR live_table = $2) AND ($1 = '' OR live_schema = $1)
WINDOW w AS (PARTITION BY live_schema, live_table, partition_schema, partition_name)
ORDER BY 1, 6, 4, 5`

// place is where rows were moved to.
type place struct {
	live               string
	archive, partition config.Table
}

// Verify counts what is in the archive and holds it against the manifest, place by place, each in one snapshot; an empty table is every table.
// each is told of a verdict as soon as it stands. It reads all archived rows and locks nothing.
func Verify(ctx context.Context, pool *pgxpool.Pool, schema, table string, each func(Verdict)) error {
	rows, err := pool.Query(ctx, placesQuery, schema, table)
	if err != nil {
		return err
	}
	var at any
	places, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (p place, err error) {
		err = r.Scan(&p.live, &p.archive.Schema, &p.archive.Name, &p.partition.Schema, &p.partition.Name, &at)
		return p, err
	})
	if err != nil {
		return err
	}
	for _, p := range places {
		v, err := verify(ctx, pool, p)
		if err != nil {
			return fmt.Errorf("verify %s: %w", p.partition, err)
		}
		each(v)
	}
	return nil
}

func verify(ctx context.Context, pool *pgxpool.Pool, p place) (v Verdict, err error) {
	v = Verdict{Table: p.live, Partition: p.partition.String(), State: Unknown, Covers: []string{}}
	err = pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		moves, err := readMoved(ctx, tx, p)
		if err != nil {
			return err
		}
		want, known := expected(moves)
		v.Moved, v.Covers = want.rows, notNil(want.of)
		oid, how, err := whereIs(ctx, tx, p)
		switch {
		case err != nil:
			return err
		case oid == 0:
			v.State, v.What = Gone, how
			return nil
		case !known:
			v.What = "its rows are not counted yet: the next run of the archive job does"
			return nil
		}
		return v.look(ctx, tx, p, oid, want)
	})
	if pg.Is(err, pg.InsufficientPrivilege) {
		v.What = err.Error()
		return v, nil
	}
	return v, err
}

func notNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func readMoved(ctx context.Context, tx pgx.Tx, p place) ([]moved, error) {
	// Of whole moves only the last counts: the ones before were undone by hand.
	var text []byte
	err := tx.QueryRow(ctx, `
		SELECT coalesce(json_agg(json_build_object('Kind', kind, 'Rows', rows, 'Exact', rows_exact, 'Back', detail ? 'taken_back', 'Digest', detail->>'digest', 'Of', detail->'digest_of') ORDER BY id), '[]')
		FROM pgtender.archived_partition m
		WHERE (archive_schema, archive_table, partition_schema, partition_name) = ($1, $2, $3, $4) AND live_schema || '.' || live_table = $5
		  AND (gone_at IS NULL OR detail ? 'taken_back')
		  AND id >= coalesce((SELECT max(id) FROM pgtender.archived_partition w WHERE w.kind = 'partition' AND w.gone_at IS NULL
		      AND (w.archive_schema, w.archive_table, w.partition_schema, w.partition_name) = ($1, $2, $3, $4) AND w.live_schema || '.' || w.live_table = $5), 0)`,
		p.archive.Schema, p.archive.Name, p.partition.Schema, p.partition.Name, p.live).Scan(&text)
	if err != nil {
		return nil, err
	}
	var list []moved
	return list, json.Unmarshal(text, &list)
}

// sum is what several moves make together.
type sum struct {
	rows   int64
	back   int64 // of those that were moved, brought back
	digest int64
	of     []string // what the digest covers; nil: there is none for all of them
}

// expected adds moves up, and takes away what went back. Digests of the same columns add up by XOR.
func expected(moves []moved) (s sum, known bool) {
	for i, m := range moves {
		if m.Rows == nil || !m.Exact {
			return sum{}, false
		}
		n := *m.Rows
		if m.Back {
			s.back += n
			n = -n
		}
		s.rows += n
		var digest int64
		ok := m.Digest != nil
		if ok {
			_, err := fmt.Sscan(*m.Digest, &digest)
			ok = err == nil
		}
		switch {
		case !ok, i > 0 && !slices.Equal(s.of, m.Of):
			s.of = nil
		case i == 0:
			s.of = m.Of
		}
		s.digest ^= digest
	}
	return s, true
}

// whereIs finds the place in the archive; 0 and what became of it when it is not there.
func whereIs(ctx context.Context, tx pgx.Tx, p place) (oid uint32, how string, err error) {
	var in bool
	var found *uint32
	err = tx.QueryRow(ctx, `
		SELECT c.oid, c.oid = a.oid OR EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid AND i.inhparent = a.oid)
		FROM (SELECT to_regclass($1) AS oid) p LEFT JOIN pg_class c ON c.oid = p.oid LEFT JOIN pg_class a ON a.oid = to_regclass($2)`,
		ident(p.partition), ident(p.archive)).Scan(&found, &nullBool{&in})
	switch {
	case err != nil:
		return 0, "", err
	case found == nil:
		return 0, "there is no such table", nil
	case !in:
		return 0, "it is no partition of " + p.archive.String(), nil
	}
	return *found, "", nil
}

// nullBool scans null as false.
type nullBool struct{ to *bool }

func (n *nullBool) Scan(src any) error {
	b, _ := src.(bool)
	*n.to = b
	return nil
}

// look counts the rows and holds them against what was moved.
func (v *Verdict) look(ctx context.Context, tx pgx.Tx, p place, oid uint32, want sum) error {
	if _, err := tx.Exec(ctx, "SET LOCAL row_security = off"); err != nil {
		return err
	}
	f, err := readRowFacts(ctx, tx, oid, oid, "", oid)
	if err != nil {
		return err
	}
	var columns []keyColumn
	var lacks []string
	for _, name := range want.of {
		i := slices.IndexFunc(f.Columns, func(c keyColumn) bool { return c.Name == name && c.Hashable })
		if i < 0 {
			lacks = append(lacks, name)
			continue
		}
		columns = append(columns, f.Columns[i])
	}
	sums := len(columns) > 0 && len(lacks) == 0
	of := "'0'"
	if sums {
		of = digest(columns)
	}
	var text string
	if err := tx.QueryRow(ctx, fmt.Sprintf("SELECT count(*), %s FROM %s", of, ident(p.partition))).Scan(&v.Found, &text); err != nil {
		return err
	}
	switch {
	case v.Found < v.Moved:
		v.State, v.What = Changed, counted(v.Moved-v.Found, "row is missing", "rows are missing")
	case v.Found > v.Moved:
		v.State, v.What = Changed, counted(v.Found-v.Moved, "row is there that was not moved", "rows are there that were not moved")
	case sums && text != fmt.Sprint(want.digest):
		v.State, v.What = Changed, "as many rows, but others: the checksum over "+strings.Join(want.of, ", ")+" differs"
	case sums:
		v.State = Intact
		switch {
		case v.Found > 0:
		case want.back == 0:
			v.What = "it was empty when it was moved"
		default:
			v.What = "it is empty: all that was moved into it has been brought back"
		}
	case len(lacks) > 0:
		v.State, v.What = Counted, "the checksum covers columns that have changed since: "+strings.Join(lacks, ", ")
	default:
		v.State, v.What = Counted, "there is no checksum over all of it"
	}
	return nil
}
