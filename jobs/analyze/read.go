package analyze

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
)

// parent is a table as the catalog and the statistics show it; for a sub-partitioned one there is an entry for each
// partitioned table below, too.
type parent struct {
	name        config.Table
	oid         uint32 // 0: there is no such table
	partitioned bool
	role        string // who asks
	may         bool
	analyzed    *time.Time // by anybody; nil: never
	leaves      leaves
	blank       bool // there are rows, but no statistics of the whole

	base *base // nil: never seen
}

// leaves holds, by oid, the rows changed since the counting began and the rows there are.
type leaves map[uint32][2]float64

// base is what was noted at the last ANALYZE.
type base struct {
	oid      uint32
	analyzed time.Time
	leaves   leaves
}

// settings of autovacuum, and whether the server counts at all.
type settings struct {
	threshold, factor float64
	counting          bool
	now               time.Time
}

// catalogSQL reads all tables at once. It walks pg_inherits by itself, since pg_partition_tree() would wait for locks.
const catalogSQL = `
WITH RECURSIVE wanted AS (
    SELECT u.schema, u.name, c.oid, c.relkind
    FROM unnest($1::text[], $2::text[]) AS u (schema, name)
    LEFT JOIN pg_namespace n ON n.nspname = u.schema
    LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = u.name
), down (oid) AS (
    SELECT oid FROM wanted WHERE relkind = 'p'
    UNION
    SELECT i.inhrelid FROM down p JOIN pg_inherits i ON i.inhparent = p.oid JOIN pg_class c ON c.oid = i.inhrelid WHERE c.relkind = 'p'
), up (oid) AS ( -- of a branch with a policy of its own
    SELECT oid FROM wanted WHERE relkind = 'p'
    UNION
    SELECT i.inhparent FROM up p JOIN pg_inherits i ON i.inhrelid = p.oid
), parents (oid) AS (
    SELECT oid FROM down UNION SELECT oid FROM up
), below (parent, member) AS (
    SELECT oid, oid FROM parents
    UNION ALL
    SELECT b.parent, i.inhrelid FROM below b JOIN pg_inherits i ON i.inhparent = b.member
), counted AS (
    SELECT b.parent, jsonb_object_agg(c.oid, jsonb_build_array(
               pg_stat_get_tuples_inserted(c.oid) + pg_stat_get_tuples_updated(c.oid) + pg_stat_get_tuples_deleted(c.oid),
               greatest(c.reltuples, pg_stat_get_live_tuples(c.oid)))) AS leaves
    FROM below b JOIN pg_class c ON c.oid = b.member WHERE c.relkind IN ('r', 'f') GROUP BY b.parent
)
SELECT schema, name, coalesce(oid, 0), false, current_user::text, true, NULL::timestamptz, '{}'::jsonb, false FROM wanted WHERE relkind IS DISTINCT FROM 'p'
UNION ALL
SELECT n.nspname, c.relname, c.oid, true, current_user::text, has_table_privilege(c.oid, 'MAINTAIN'),
       greatest(pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid)), coalesce(l.leaves, '{}'),
       c.reltuples > 0 AND has_table_privilege(c.oid, 'SELECT') AND NOT row_security_active(c.oid) AND t.tablename IS NULL
       AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attstattarget IS DISTINCT FROM 0)
FROM parents p JOIN pg_class c ON c.oid = p.oid JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN counted l ON l.parent = p.oid
LEFT JOIN (SELECT DISTINCT schemaname, tablename FROM pg_stats WHERE inherited) t ON t.schemaname = n.nspname AND t.tablename = c.relname
ORDER BY 1, 2`

// read makes three queries, however many tables there are.
func read(ctx context.Context, q pg.Querier, tables []config.Table) (s settings, all []parent, err error) {
	err = q.QueryRow(ctx, `SELECT current_setting('autovacuum_analyze_threshold')::float8, current_setting('autovacuum_analyze_scale_factor')::float8,
		current_setting('track_counts')::bool, now()`).Scan(&s.threshold, &s.factor, &s.counting, &s.now)
	if err != nil {
		return s, nil, fmt.Errorf("read the settings of autovacuum: %w", err)
	}
	schemas, names := make([]string, len(tables)), make([]string, len(tables))
	for i, t := range tables {
		schemas[i], names[i] = t.Schema, t.Name
	}
	rows, err := q.Query(ctx, catalogSQL, schemas, names)
	if err == nil {
		all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (p parent, err error) {
			err = row.Scan(&p.name.Schema, &p.name.Name, &p.oid, &p.partitioned, &p.role, &p.may, &p.analyzed, &p.leaves, &p.blank)
			return p, err
		})
	}
	if err != nil {
		return s, nil, fmt.Errorf("read the partitioned tables and their counters: %w", err)
	}
	noted, err := readBases(ctx, q)
	for i, p := range all {
		if b, ok := noted[p.name]; ok && b.oid == p.oid {
			all[i].base = &b
		}
	}
	return s, all, err
}

func readBases(ctx context.Context, q pg.Querier) (map[config.Table]base, error) {
	noted := map[config.Table]base{}
	rows, err := q.Query(ctx, "SELECT table_schema, table_name, table_oid, analyzed_at, leaves FROM pgtender.analyze_state")
	if err == nil {
		var t config.Table
		var b base
		_, err = pgx.ForEachRow(rows, []any{&t.Schema, &t.Name, &b.oid, &b.analyzed, &b.leaves}, func() error {
			noted[t], b.leaves = b, nil
			return nil
		})
	}
	if pg.Is(err, pg.UndefinedTable, pg.InvalidSchemaName) {
		return noted, nil // a dry run on a database that pgtender does not know yet
	}
	if err != nil {
		return nil, fmt.Errorf("read what was analysed before: %w", err)
	}
	return noted, nil
}

// verdict on one table.
type verdict struct {
	due           bool
	note          bool // somebody else has analysed it
	changed, rows float64
	why           string
}

// blind is how often a table is analysed whose changes the server does not count.
const blind = 24 * time.Hour

func (s settings) judge(p parent) verdict {
	var v verdict
	for _, leaf := range p.leaves {
		v.rows += max(0, leaf[1])
	}
	if !p.partitioned {
		return v
	}
	changed, reset := p.changed()
	v.changed = changed
	limit := s.threshold + s.factor*v.rows
	switch {
	case p.analyzed == nil:
		v.due, v.why = v.rows > 0 || v.changed > 0, "never analysed"
	case !s.counting:
		v.due, v.why = s.now.Sub(*p.analyzed) >= blind, "analysed a day ago, and track_counts is off"
	case p.base == nil:
		v.due, v.why = v.rows > 0 || v.changed > 0, "not known what changed since it was analysed"
	case p.blank && v.rows > 0:
		v.due, v.why = true, "its statistics are gone, as when the type of a column was changed"
	case p.analyzed.After(p.base.analyzed):
		v.note = true
	case reset:
		v.due, v.why = true, "the counters were reset since it was analysed"
	default:
		v.due, v.why = v.changed > limit, fmt.Sprintf("%.0f changes since it was analysed, more than %.0f; it has about %.0f rows", v.changed, limit, v.rows)
	}
	return v
}

// changed is how many rows came, went or were updated since the base was noted; partitions that came or went
// count with all their rows. After a crash of the server, the counters begin anew.
func (p parent) changed() (sum float64, reset bool) {
	var before leaves
	if p.base != nil {
		before = p.base.leaves
	}
	for oid, now := range p.leaves {
		then, known := before[oid]
		switch {
		case !known:
			sum += max(now[0], now[1])
		case now[0] < then[0]:
			sum, reset = sum+now[0], true
		case now[1] <= 0 && then[1] > 0: // emptied: TRUNCATE counts no row
			sum += max(now[0]-then[0], then[1])
		default:
			sum += now[0] - then[0]
		}
	}
	for oid, then := range before {
		if _, still := p.leaves[oid]; !still {
			sum += max(0, then[1])
		}
	}
	return sum, reset
}
