package archive

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
)

// facts are what the catalog says of a partition that is due.
type facts struct {
	Expr     string       // its partition constraint
	Proved   bool         // a valid CHECK says the same
	Bytes    int64        // with indexes and TOAST
	Rows     int64        // the planner's estimate; -1: never analysed
	Keys     []foreignKey // of it and what is below it
	Defaults []column     // whose default is a sequence of the live table
	Lacks    []string     // indexes of the archive that it does not have
}

type foreignKey struct {
	Schema, Table, Name string
	RefSchema, RefTable string
	Lockable            bool
}

type column struct{ Schema, Table, Name string }

// move is one partition on its way.
type move struct {
	child   parts.Child
	facts   facts
	counted *int64 // rows, counted after the move
}

// differencesQuery lists why no partition of $1 can be attached to $2 as it is.
const differencesQuery = `
WITH col AS (
	SELECT attrelid, attname, attnotnull, concat_ws(' ', format_type(atttypid, atttypmod),
	       CASE WHEN attcollation <> t.typcollation THEN 'COLLATE ' || attcollation::regcollation::text END,
	       CASE attgenerated WHEN 's' THEN 'GENERATED STORED' WHEN 'v' THEN 'GENERATED VIRTUAL' END) AS def
	FROM pg_attribute JOIN pg_type t ON t.oid = atttypid
	WHERE attrelid IN ($1::oid, $2::oid) AND attnum > 0 AND NOT attisdropped
), live AS (SELECT * FROM col WHERE attrelid = $1), into_ AS (SELECT * FROM col WHERE attrelid = $2)
SELECT what FROM (
	SELECT format('column %I: %s in the live table, %s in the archive', attname, coalesce(live.def, 'missing'), coalesce(into_.def, 'missing')) AS what
	FROM live FULL JOIN into_ USING (attname) WHERE live.def IS DISTINCT FROM into_.def
	UNION ALL
	SELECT format('column %I: NOT NULL in the archive only', attname) FROM live JOIN into_ USING (attname) WHERE into_.attnotnull AND NOT live.attnotnull
	UNION ALL
	SELECT format('constraint %I of the archive is missing or another in the live table: %s', a.conname, pg_get_constraintdef(a.oid)) FROM pg_constraint a
	WHERE a.conrelid = $2 AND a.contype = 'c' AND NOT EXISTS (SELECT FROM pg_constraint l
	      WHERE l.conrelid = $1 AND l.contype = 'c' AND l.conname = a.conname AND pg_get_constraintdef(l.oid) = pg_get_constraintdef(a.oid))
	UNION ALL
	SELECT format('foreign key %I of the archive ties its rows to %s', conname, confrelid::regclass) FROM pg_constraint
	WHERE NOT $3 AND conrelid = $2 AND contype = 'f' AND conparentid = 0
) found ORDER BY what`

// pointingQuery asks for the foreign keys that point to a table, or to one that it is a branch of.
const pointingQuery = `SELECT coalesce((SELECT ` + referencesSQL + `
	WHERE k.confrelid IN (SELECT $1::oid UNION SELECT relid FROM pg_partition_ancestors($1::oid)) AND k.contype = 'f' AND k.conparentid = 0), '[]')`

const factsQuery = `
WITH RECURSIVE tree AS (
	SELECT p AS part, p AS oid FROM unnest($1::oid[]) p
	UNION ALL SELECT t.part, i.inhrelid FROM tree t JOIN pg_inherits i ON i.inhparent = t.oid
), idx AS (
	SELECT indrelid, indexrelid, concat_ws(' ', CASE WHEN contype IN ('p', 'u', 'x') THEN contype::text END, CASE WHEN indisunique THEN 'UNIQUE' END,
	       regexp_replace(substring(pg_get_indexdef(indexrelid) FROM ' USING .*'), ' WITH \([^)]*\)', '')) AS def
	FROM pg_index LEFT JOIN pg_constraint ON conindid = indexrelid AND conrelid = indrelid AND contype IN ('p', 'u', 'x')
	WHERE indrelid = $2::oid OR indrelid = ANY ($1) AND indisvalid
)
SELECT p.oid, json_build_object(
	'Expr', e.expr,
	'Proved', EXISTS (SELECT FROM pg_constraint WHERE conrelid = p.oid AND contype = 'c' AND convalidated AND pg_get_constraintdef(oid) = 'CHECK (' || e.expr || ')'),
	'Bytes', (SELECT sum(pg_total_relation_size(t.oid)) FROM tree t WHERE t.part = p.oid),
	'Rows', p.reltuples::bigint,
	'Keys', (SELECT json_agg(json_build_object('Schema', n.nspname, 'Table', r.relname, 'Name', k.conname, 'RefSchema', fn.nspname, 'RefTable', f.relname,
	                'Lockable', has_table_privilege(f.oid, 'UPDATE, DELETE, TRUNCATE, MAINTAIN')) ORDER BY n.nspname, r.relname, k.conname)
	         FROM tree t JOIN pg_constraint k ON k.conrelid = t.oid AND k.contype = 'f'
	         JOIN pg_class r ON r.oid = t.oid JOIN pg_namespace n ON n.oid = r.relnamespace
	         JOIN pg_class f ON f.oid = k.confrelid JOIN pg_namespace fn ON fn.oid = f.relnamespace
	         WHERE t.part = p.oid AND NOT EXISTS (SELECT FROM pg_constraint up JOIN tree u ON u.oid = up.conrelid WHERE up.oid = k.conparentid AND u.part = p.oid)),
	'Defaults', (SELECT json_agg(json_build_object('Schema', n.nspname, 'Table', r.relname, 'Name', a.attname) ORDER BY n.nspname, r.relname, a.attnum)
	         FROM tree t JOIN pg_attrdef d ON d.adrelid = t.oid JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.adnum
	         JOIN pg_class r ON r.oid = t.oid JOIN pg_namespace n ON n.oid = r.relnamespace
	         WHERE t.part = p.oid AND EXISTS (
	               SELECT FROM pg_depend uses JOIN pg_class s ON s.oid = uses.refobjid AND s.relkind = 'S'
	               JOIN pg_depend owned ON owned.objid = s.oid AND owned.classid = 'pg_class'::regclass AND owned.deptype IN ('a', 'i') AND owned.refobjid IN (SELECT $3::oid UNION SELECT relid FROM pg_partition_ancestors($3::oid))
	               WHERE uses.classid = 'pg_attrdef'::regclass AND uses.objid = d.oid AND uses.refclassid = 'pg_class'::regclass)),
	'Lacks', (SELECT json_agg(pg_get_indexdef(a.indexrelid) ORDER BY a.def) FROM idx a
	         WHERE a.indrelid = $2 AND NOT EXISTS (SELECT FROM idx m WHERE m.indrelid = p.oid AND m.def = a.def)))
FROM pg_class p CROSS JOIN LATERAL (SELECT pg_get_partition_constraintdef(p.oid) AS expr) e
WHERE p.oid = ANY ($1)`

// alike refuses when nothing of this table can be archived: its archive is not like it, or foreign keys point to it. Some
// catalog functions wait for locks, hence the patience.
func (j *Job) alike(ctx context.Context, p *pass) error {
	var differences []string
	var pointing []byte
	err := j.Patience.InTx(ctx, j.Pool, func(tx pgx.Tx) (err error) {
		if differences, err = texts(ctx, tx, differencesQuery, p.live.OID, p.into.OID, p.policy.KeepForeignKeys); err != nil {
			return err
		}
		return tx.QueryRow(ctx, pointingQuery, p.live.OID).Scan(&pointing)
	})
	if err == nil {
		err = json.Unmarshal(pointing, &p.pointing)
	}
	switch {
	case err != nil:
		return fmt.Errorf("compare %s with its archive: %w", p.live.Table, err)
	case len(p.pointing) > 0 && p.policy.Referenced != config.ReferencedWait:
		return pointedAt(p.policy, p.pointing)
	case len(differences) > 0:
		return refusal(p.live.Table, fmt.Sprintf("its archive %s is not like it:\n  %s", p.into.Table, strings.Join(differences, "\n  ")),
			"`pgtender plan` shows what brings the archive in line, `pgtender apply` does it.")
	}
	return nil
}

// inspectOne is inspect for one partition, which must be there.
func (j *Job) inspectOne(ctx context.Context, p *pass, c parts.Child) (move, error) {
	moves, err := j.inspect(ctx, p, []parts.Child{c})
	if err == nil && len(moves) != 1 {
		err = fmt.Errorf("partition %s is gone", c.Table)
	}
	if err != nil {
		return move{}, err
	}
	return moves[0], nil
}

// inspect reads what the moves need to know. Some catalog functions wait for locks, hence the patience.
func (j *Job) inspect(ctx context.Context, p *pass, due []parts.Child) ([]move, error) {
	oids := make([]uint32, len(due))
	for i, c := range due {
		oids[i] = c.OID
	}
	var found map[uint32]facts
	err := j.Patience.InTx(ctx, j.Pool, func(tx pgx.Tx) (err error) {
		found, err = readFacts(ctx, tx, oids, p)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look at the due partitions of %s: %w", p.live.Table, err)
	}
	var moves []move
	for _, c := range due {
		if f, ok := found[c.OID]; ok { // otherwise it is gone since
			moves = append(moves, move{child: c, facts: f})
		}
	}
	return moves, nil
}

func texts(ctx context.Context, q pg.Querier, sql string, args ...any) ([]string, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func readFacts(ctx context.Context, q pg.Querier, oids []uint32, p *pass) (map[uint32]facts, error) {
	rows, err := q.Query(ctx, factsQuery, oids, p.into.OID, p.live.OID)
	if err != nil {
		return nil, err
	}
	found := map[uint32]facts{}
	var oid uint32
	var text []byte
	_, err = pgx.ForEachRow(rows, []any{&oid, &text}, func() error {
		var f facts
		if err := json.Unmarshal(text, &f); err != nil {
			return err
		}
		found[oid] = f
		return nil
	})
	return found, err
}

// refusal says why this one partition cannot be moved, or nothing.
func (m move) refusal(p *pass) error {
	refuse := func(advice, format string, args ...any) error {
		return refusal(p.live.Table, fmt.Sprintf("partition %s: ", m.child.Table)+fmt.Sprintf(format, args...), advice)
	}
	if m.child.Kind == 'f' {
		return refuse("Detach it by hand.", "it is a foreign table")
	}
	for _, a := range p.into.Children {
		if a.Overlaps(m.child.Range) {
			return overlap(p, m.child, a)
		}
	}
	if len(m.facts.Lacks) > 0 {
		return refuse("Build them on the partition first, or run `pgtender plan` to see whether the archive should have them.",
			"the archive has indexes that it lacks, and attaching it would build them while everybody waits:\n  %s", strings.Join(m.facts.Lacks, "\n  "))
	}
	return nil
}
