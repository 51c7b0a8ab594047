package archive

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
)

// relation is one of the two tables of a policy for a table that is not partitioned.
type relation struct {
	OID    *uint32
	Kind   string
	Column string // type of the time column; "": there is none
	Key    string // the same in the terms of parts; "": no time
}

const relationQuery = `
SELECT c.oid, coalesce(c.relkind::text, ''), coalesce(format_type(a.atttypid, a.atttypmod), ''),
       coalesce(CASE coalesce(nullif(t.typbasetype, 0), t.oid) WHEN 'pg_catalog.timestamptz'::regtype THEN 'timestamptz'
                WHEN 'pg_catalog.timestamp'::regtype THEN 'timestamp' WHEN 'pg_catalog.date'::regtype THEN 'date' END, ''), now()
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w (nsp, rel, n)
LEFT JOIN pg_namespace s ON s.nspname = w.nsp LEFT JOIN pg_class c ON c.relnamespace = s.oid AND c.relname = w.rel
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = $3 AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_type t ON t.oid = a.atttypid ORDER BY w.n`

// openPlain reads a table that is not partitioned and its archive, and refuses what cannot be archived at all.
func (j *Job) openPlain(ctx context.Context, policy config.Archive) (*pass, error) {
	rows, err := j.Pool.Query(ctx, relationQuery, []string{policy.Table.Schema, policy.Into.Schema}, []string{policy.Table.Name, policy.Into.Name}, policy.Column)
	if err != nil {
		return nil, fmt.Errorf("read %s and %s: %w", policy.Table, policy.Into, err)
	}
	var now time.Time
	found, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (x relation, err error) {
		err = r.Scan(&x.OID, &x.Kind, &x.Column, &x.Key, &now)
		return x, err
	})
	if err != nil {
		return nil, fmt.Errorf("read %s and %s: %w", policy.Table, policy.Into, err)
	}
	live, into := found[0], found[1]
	refuse := refuser(policy)
	switch {
	case live.OID == nil:
		return refuse("there is no such table", "Declare it in the schema's sources and run `pgtender apply`, or mend the name in the archive block.")
	case live.Kind == "p":
		return refuse("it is partitioned", "Put the archive block into its partition block.")
	case live.Kind != "r":
		return refuse("it is no ordinary table", "Take the policy out.")
	case live.Column == "":
		return refuse(fmt.Sprintf("it has no column %s", policy.Column), "Mend `column` in the archive block.")
	case live.Key == "":
		return refuse(fmt.Sprintf("its column %s is of type %s; only timestamptz, timestamp and date say how old a row is", policy.Column, live.Column),
			"Name another column in the archive block.")
	case into.OID == nil:
		return refuse(fmt.Sprintf("its archive %s does not exist", policy.Into), "`pgtender apply` creates it.")
	case into.Kind != "r":
		return refuse(fmt.Sprintf("its archive %s is no ordinary table, as the live one is", policy.Into), "Rename it; `pgtender apply` then creates the archive, like the live table.")
	}
	key := parts.Key{Column: policy.Column, Type: parts.Type(live.Key)}
	p := &pass{policy: policy,
		live: parts.Set{Asked: policy.Table, Table: policy.Table, OID: *live.OID, Key: key, Now: now},
		into: parts.Set{Asked: policy.Into, Table: policy.Into, OID: *into.OID, Key: key, Now: now}}
	return p, j.settle(ctx, p)
}

// settle adds to a pass where the cut is and what is held back.
func (j *Job) settle(ctx context.Context, p *pass) (err error) {
	p.cut = p.policy.After.Before(p.live.Now, j.Location)
	p.edge = p.live.Key.At(p.live.Key.FromInstant(p.cut, j.Location))
	p.holds, err = j.readHolds(ctx, p)
	return err
}

// readHolds are the ranges that were brought back and are not to be archived again until they are released.
func (j *Job) readHolds(ctx context.Context, p *pass) ([]parts.Range, error) {
	rows, err := j.Pool.Query(ctx, `
		SELECT lower_at, upper_at FROM pgtender.archived_partition
		WHERE live_schema = $1 AND live_table = $2 AND gone_how = 'restored' AND detail ? 'hold' ORDER BY lower_at, upper_at`, p.live.Table.Schema, p.live.Table.Name)
	var holds []parts.Range
	if err == nil {
		var lower, upper *time.Time
		_, err = pgx.ForEachRow(rows, []any{&lower, &upper}, func() error {
			h := parts.Range{Lower: parts.Bound{Kind: parts.Min}, Upper: parts.Bound{Kind: parts.Max}}
			if lower != nil {
				h.Lower = p.live.Key.At(p.live.Key.FromInstant(*lower, j.Location))
			}
			if upper != nil {
				h.Upper = p.live.Key.At(p.live.Key.FromInstant(*upper, j.Location))
			}
			holds = append(holds, h)
			return nil
		})
	}
	switch {
	case pg.Is(err, pg.UndefinedTable, pg.InvalidSchemaName):
		return nil, nil // a dry run, before anything was ever done
	case err != nil:
		return nil, fmt.Errorf("read what of %s is held back: %w", p.live.Table, err)
	}
	return holds, nil
}

// held reports whether a part of the range was brought back and is held.
func (p *pass) held(r parts.Range) bool {
	for _, h := range p.holds {
		if h.Overlaps(r) {
			return true
		}
	}
	return false
}

// literal is a bound as a constant of the key's type.
func literal(k parts.Key, b parts.Bound) string {
	return pg.Literal(k.Text(b)) + "::" + string(k.Type)
}

// due is the condition for rows that are old enough and not held back.
func (p *pass) due() string {
	column := "x." + pg.Ident(p.live.Key.Column)
	cond := column + " < " + literal(p.live.Key, p.edge)
	for _, h := range p.holds {
		cond += " AND NOT (" + within(p.live.Key, column, h) + ")"
	}
	return cond
}

func within(k parts.Key, column string, r parts.Range) string {
	cond := column + " IS NOT NULL"
	if r.Lower.Kind == parts.At {
		cond += " AND " + column + " >= " + literal(k, r.Lower)
	}
	if r.Upper.Kind == parts.At {
		cond += " AND " + column + " < " + literal(k, r.Upper)
	}
	return cond
}

// runPlain archives the old rows of a table that is not partitioned.
func (j *Job) runPlain(ctx context.Context, r *rowsRun, p *pass) error {
	t := &transfer{claim: p.live.Table, from: p.live.Table, to: p.into.Table, key: p.live.Key, due: p.due()}
	if err := j.alike(ctx, p); err != nil {
		return err
	}
	if err := j.plan(ctx, t, p.policy, p.live.OID, p.into.OID, p.live.OID); err != nil {
		return err
	}
	if r.run.DryRun {
		return j.foretell(ctx, r, p, t)
	}
	t.entry = j.newEntry(p, r.run.ID, t, nil)
	before, err := j.sizeOf(ctx, t.to)
	if err != nil {
		return err
	}
	s, err := j.sweepRows(ctx, r.run, t)
	p.sweeps = append(p.sweeps, s)
	if s.moved > 0 {
		after, serr := j.sizeOf(context.WithoutCancel(ctx), t.to)
		if serr == nil {
			serr = t.entry.measure(context.WithoutCancel(ctx), j.Pool, max(after-before, 0))
		}
		err = errors.Join(err, serr)
	}
	return err
}

func (j *Job) sizeOf(ctx context.Context, t config.Table) (bytes int64, err error) {
	err = j.Patience.Do(ctx, func() error {
		return j.Pool.QueryRow(ctx, `SELECT greatest(pg_total_relation_size($1::regclass), (SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree($1::regclass)))::bigint`, ident(t)).Scan(&bytes)
	})
	if err != nil {
		return 0, fmt.Errorf("read the size of %s: %w", t, err)
	}
	return bytes, nil
}
