package parts

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
)

// query reads all tables at once. It asks only functions that lock nothing (pg_get_expr with a relation and
// pg_get_partkeydef would wait for its lock), so a reading never waits for a partition that somebody holds. It has the server print
// the bounds in one form, whatever the session's settings are; they come back with the end of the statement, or of the transaction.
//
// Below a table that is not itself partitioned by time, the branches that are count instead.
func query() string {
	return `
WITH RECURSIVE form AS (
	SELECT set_config('DateStyle', 'ISO', true), set_config('TimeZone', 'UTC', true)
), asked AS (
	SELECT a.ord, a.nsp, a.rel, c.oid, c.relkind
	FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS a(nsp, rel, ord)
	LEFT JOIN pg_namespace n ON n.nspname = a.nsp
	LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = a.rel
), node AS (
	SELECT a.ord, a.oid, 0 AS depth, k.*
	FROM asked a CROSS JOIN LATERAL (` + keyOf + ` WHERE p.partrelid = a.oid) k
	WHERE a.relkind = 'p'
	UNION ALL
	SELECT t.ord, i.inhrelid, t.depth + 1, k.*
	FROM node t JOIN pg_inherits i ON i.inhparent = t.oid
	CROSS JOIN LATERAL (` + keyOf + ` WHERE p.partrelid = i.inhrelid) k
	WHERE t.keytype IS NULL
), child AS (
	SELECT t.ord, t.oid AS parent, i.inhdetachpending, c.oid, c.relnamespace, c.relname, c.relkind, c.reltuples, c.relpages,
	       pg_get_expr(c.relpartbound, 0) AS expr
	FROM form, node t JOIN pg_inherits i ON i.inhparent = t.oid JOIN pg_class c ON c.oid = i.inhrelid
	WHERE t.keytype IS NOT NULL OFFSET 0 -- so that each bound is printed once
)
SELECT a.ord, t.oid, a.nsp, a.rel, a.oid IS NOT NULL, coalesce(a.relkind::text, ''), now(),
       n.nspname, c.relname, t.depth, t.keycolumn, t.keytype, t.keydef,
       NULL::oid, NULL::name, NULL::name, NULL::text, NULL::bigint, NULL::bigint, NULL::bool, NULL::text, NULL::bool, NULL::text[], NULL::text[]
FROM asked a LEFT JOIN node t ON t.ord = a.ord
LEFT JOIN pg_class c ON c.oid = t.oid LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
UNION ALL
SELECT b.ord, b.parent, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       b.oid, n.nspname, b.relname, b.relkind::text, b.reltuples::bigint, b.relpages::bigint, b.inhdetachpending, b.expr,
       EXISTS (SELECT FROM pg_constraint x WHERE x.conrelid = b.oid AND x.contype = 'c'
               AND x.conname = $3 AND x.convalidated),
       CASE WHEN b.expr = 'DEFAULT' THEN ARRAY(SELECT x.conname::text FROM pg_constraint x
            WHERE x.conrelid = b.oid AND x.contype = 'c' AND starts_with(x.conname, $4) ORDER BY 1) END,
       CASE WHEN b.expr = 'DEFAULT' THEN ARRAY(SELECT f.proname::text FROM pg_trigger x JOIN pg_proc f ON f.oid = x.tgfoid
            JOIN pg_namespace fn ON fn.oid = f.pronamespace WHERE x.tgrelid = b.oid AND x.tgname = $5 AND fn.nspname = 'pgtender' ORDER BY 1) END
FROM child b JOIN pg_namespace n ON n.oid = b.relnamespace`
}

// keyOf yields a partitioned table's key; keytype is null when it is none that can be tended.
const keyOf = `
	SELECT att.attname AS keycolumn,
	       CASE p.partstrat WHEN 'r' THEN 'RANGE' WHEN 'l' THEN 'LIST' ELSE 'HASH' END || ' (' ||
	       (SELECT string_agg(coalesce(x.attname || ' ' || format_type(x.atttypid, x.atttypmod), 'an expression'), ', ' ORDER BY u.n)
	        FROM unnest(p.partattrs::int2[]) WITH ORDINALITY AS u(attnum, n)
	        LEFT JOIN pg_attribute x ON x.attrelid = p.partrelid AND x.attnum = u.attnum AND u.attnum <> 0) || ')' AS keydef,
	       CASE WHEN p.partstrat = 'r' AND p.partnatts = 1 AND opc.opcdefault THEN
	       CASE coalesce(nullif(typ.typbasetype, 0), typ.oid)
	            WHEN 'pg_catalog.timestamptz'::regtype THEN 'timestamptz' WHEN 'pg_catalog.timestamp'::regtype THEN 'timestamp'
	            WHEN 'pg_catalog.date'::regtype THEN 'date' WHEN 'pg_catalog.uuid'::regtype THEN 'uuid' END END AS keytype
	FROM pg_partitioned_table p
	LEFT JOIN pg_attribute att ON att.attrelid = p.partrelid AND att.attnum = p.partattrs[0] AND p.partattrs[0] <> 0
	LEFT JOIN pg_type typ ON typ.oid = att.atttypid
	LEFT JOIN pg_opclass opc ON opc.oid = p.partclass[0]`

// row is one line of the query: a partitioned table that was asked for or lies below one, or a partition of it (child.oid is set).
type row struct {
	ord             int64
	oid             *uint32 // of the partitioned table
	askedSchema     *string
	askedName       *string
	exists          *bool
	askedKind       *string
	now             *time.Time
	schema, name    *string
	depth           *int
	column          *string
	keyType, keyDef *string
	child           childRow
}

type childRow struct {
	oid                *uint32
	schema, name, kind *string
	rows, pages        *int64
	pending            *bool
	bound              *string // FOR VALUES …, or DEFAULT
	bounded            *bool
	proofs, moves      []string
}

// Read reads the tables in one query: in the order given, one Set for each, or one for each branch (by depth and name) of
// a table whose branches are partitioned by time. A table that cannot be tended comes as a Set with a Problem. It waits
// for no lock.
func Read(ctx context.Context, q pg.Querier, tables []config.Table) ([]Set, error) {
	if len(tables) == 0 {
		return nil, nil
	}
	schemas, names := make([]string, len(tables)), make([]string, len(tables))
	for i, t := range tables {
		schemas[i], names[i] = t.Schema, t.Name
	}
	rows, err := q.Query(ctx, query(), schemas, names, BoundsCheck, ProofPrefix, MoveTrigger)
	if err != nil {
		return nil, fmt.Errorf("read the partitions: %w", err)
	}
	all, err := pgx.CollectRows(rows, scan)
	if err != nil {
		return nil, fmt.Errorf("read the partitions: %w", err)
	}
	return gather(all)
}

func scan(r pgx.CollectableRow) (row, error) {
	var x row
	c := &x.child
	err := r.Scan(&x.ord, &x.oid, &x.askedSchema, &x.askedName, &x.exists, &x.askedKind, &x.now,
		&x.schema, &x.name, &x.depth, &x.column, &x.keyType, &x.keyDef,
		&c.oid, &c.schema, &c.name, &c.kind, &c.rows, &c.pages, &c.pending, &c.bound, &c.bounded, &c.proofs, &c.moves)
	return x, err
}

// place is a partitioned table under one of the tables that were asked for.
type place struct {
	ord int64
	oid uint32
}

// gather makes sets of the rows.
func gather(all []row) ([]Set, error) {
	found := map[place]*Set{}
	first := map[int64]row{} // the table itself, or the uppermost that is known of it
	byOrd := map[int64][]*Set{}
	for _, r := range all {
		if r.child.oid != nil {
			continue
		}
		if f, ok := first[r.ord]; !ok || r.depth != nil && *r.depth < *f.depth {
			first[r.ord] = r
		}
		if r.oid != nil && r.keyType != nil {
			s := &Set{Asked: r.asked(), Table: config.Table{Schema: *r.schema, Name: *r.name}, OID: *r.oid,
				Key: Key{Column: *r.column, Type: Type(*r.keyType)}, Now: *r.now, depth: *r.depth}
			found[place{r.ord, *r.oid}] = s
			byOrd[r.ord] = append(byOrd[r.ord], s)
		}
	}
	for _, r := range all {
		if r.child.oid == nil {
			continue
		}
		if err := found[place{r.ord, *r.oid}].add(r.child); err != nil {
			return nil, err
		}
	}
	var sets []Set
	for _, ord := range slices.Sorted(maps.Keys(first)) {
		if len(byOrd[ord]) == 0 {
			r := first[ord]
			sets = append(sets, Set{Asked: r.asked(), Table: r.asked(), Now: *r.now, Problem: problem(r)})
			continue
		}
		slices.SortFunc(byOrd[ord], func(a, b *Set) int {
			return cmp.Or(cmp.Compare(a.depth, b.depth), cmp.Compare(a.Table.String(), b.Table.String()))
		})
		for _, s := range byOrd[ord] {
			s.arrange()
			sets = append(sets, *s)
		}
	}
	return sets, nil
}

func (r *row) asked() config.Table { return config.Table{Schema: *r.askedSchema, Name: *r.askedName} }

func (s *Set) add(r childRow) error {
	c, err := r.made(s.Key)
	if err != nil {
		return fmt.Errorf("read the bounds of partition %s: %w", c.Table, err)
	}
	if *r.bound == isDefault {
		s.Default = &c
	} else {
		s.Children = append(s.Children, c)
	}
	return nil
}

func (c *childRow) made(key Key) (Child, error) {
	child := Child{OID: *c.oid, Table: config.Table{Schema: *c.schema, Name: *c.name}, Pending: *c.pending,
		Kind: rune((*c.kind)[0]), Rows: *c.rows, Pages: *c.pages, Bounded: *c.bounded, Proofs: c.proofs, Moves: c.moves}
	if *c.bound == isDefault {
		return child, nil
	}
	var err error
	child.Range, err = key.parse(*c.bound)
	return child, err
}

const isDefault = "DEFAULT" // as pg_get_expr prints it

// problem says why an asked table has no set.
func problem(r row) *Problem {
	p := &Problem{Table: r.asked()}
	switch {
	case !*r.exists:
		p.Reason, p.What = NoSuchTable, "there is no such table"
		p.Advice = "Declare it in the schema's sources and run `pgtender apply`, or mend the name in the partition block."
	case *r.askedKind != "p":
		p.Reason, p.What = NotPartitioned, "it is "+kindName(*r.askedKind)+", not a partitioned table"
	default:
		p.Reason = UnsuitableKey
		p.What = "it is partitioned by " + *r.keyDef + ", and so are its branches, if it has any"
		p.Advice = "Partitions can be kept for PARTITION BY RANGE of one column of type timestamptz, timestamp, date or uuid (UUIDv7), " +
			"at the table itself or at every branch below a LIST, HASH or other RANGE. An expression or several columns cannot be counted in time: " +
			"partition by the column alone, and put the rest into an index or a LIST level above."
	}
	return p
}

func kindName(relkind string) string {
	switch relkind {
	case "r":
		return "an ordinary table"
	case "v":
		return "a view"
	case "m":
		return "a materialised view"
	case "f":
		return "a foreign table"
	case "S":
		return "a sequence"
	case "i", "I":
		return "an index"
	}
	return "a relation of kind " + relkind
}
