package archive

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/jobs"
)

// unusedQuery lists which of the archive's partitions $1 were made for rows of which none ever came: pgtender's CHECK is on them, their files
// have no page, so no snapshot sees a row in them, and the manifest knows of none.
const unusedQuery = `
SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = ANY ($1::oid[]) AND c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid AND inhparent = $2)
  AND EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c' AND k.conname = '` + parts.BoundsCheck + `')
  AND pg_relation_size(c.oid) = 0
  AND NOT EXISTS (SELECT FROM pgtender.archived_partition a WHERE a.gone_at IS NULL AND (a.partition_schema, a.partition_name) = (n.nspname, c.relname))`

// clearUnused takes partitions out of the archive that were made for the rows of one that is due as a whole by now, when a run ended before it moved
// any: so that one can still move in constant time. It returns those that are due without the ones that have to wait for a lock.
func (j *Job) clearUnused(ctx context.Context, run *jobs.Run, p *pass, due []parts.Child) []parts.Child {
	var landings []uint32
	for _, c := range due {
		if a := p.landing(c); a != nil {
			landings = append(landings, a.OID)
		}
	}
	if len(landings) == 0 || len(p.pointing) > 0 { // what is pointed to goes by rows anyway
		return due
	}
	unused, err := j.unused(ctx, p, landings)
	if err != nil {
		p.errs = append(p.errs, fmt.Errorf("look for unused partitions of %s: %w", p.into.Table, err))
		return nil
	}
	return slices.DeleteFunc(due, func(c parts.Child) bool {
		a := p.landing(c)
		if a == nil || !slices.Contains(unused, a.OID) {
			return false
		}
		if run.DryRun {
			run.Say("-- drop %s, which was made for rows of %s and never took one", a.Table, c.Table)
			p.forget(a.OID)
			return false
		}
		gone, err := j.dropUnused(ctx, run, p, *a)
		var busy *pg.BusyError
		switch {
		case errors.As(err, &busy), err != nil && ctx.Err() != nil:
			p.errs = append(p.errs, fmt.Errorf("drop %s, so that %s can take its place: %w", a.Table, c.Table, err))
			return true
		case err != nil:
			run.Say("%s is empty and cannot be dropped, so the rows of %s go there one by one: %v", a.Table, c.Table, err)
		case gone:
			run.Say("dropped %s, which was made for rows of %s and never took one", a.Table, c.Table)
			p.forget(a.OID)
		}
		return false
	})
}

// forget takes a partition out of what is known of the archive.
func (p *pass) forget(oid uint32) {
	p.into.Children = slices.DeleteFunc(p.into.Children, func(c parts.Child) bool { return c.OID == oid })
}

func (j *Job) unused(ctx context.Context, p *pass, landings []uint32) (list []uint32, err error) {
	err = j.Patience.InTx(ctx, j.Pool, func(tx pgx.Tx) error {
		list, err = unusedOf(ctx, tx, p, landings)
		return err
	})
	if pg.Is(err, pg.UndefinedTable, pg.InvalidSchemaName) {
		return nil, nil // a dry run, before anything was ever done
	}
	return list, err
}

func unusedOf(ctx context.Context, q pg.Querier, p *pass, oids []uint32) ([]uint32, error) {
	rows, err := q.Query(ctx, unusedQuery, oids, p.into.OID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[uint32])
}

// dropUnused looks again while everybody is kept out, and drops it.
func (j *Job) dropUnused(ctx context.Context, run *jobs.Run, p *pass, a parts.Child) (gone bool, err error) {
	locks := []parts.Lock{{Table: p.into.Table, Mode: parts.AccessExclusive}, {Table: a.Table, Mode: parts.AccessExclusive}}
	patience := parts.Telling(ctx, j.Pool, j.Patience, run.Say, locks)
	err = patience.InTx(ctx, j.Pool, func(tx pgx.Tx) error {
		gone = false
		if err := parts.Claim(ctx, tx, p.live.Table); err != nil {
			return err
		}
		if err := parts.LockAll(ctx, tx, j.Patience, locks); err != nil {
			return err
		}
		still, err := unusedOf(ctx, tx, p, []uint32{a.OID})
		if err != nil || len(still) == 0 {
			return err
		}
		_, err = tx.Exec(ctx, fmt.Sprintf("ALTER TABLE %s DETACH PARTITION %s; DROP TABLE %s", ident(p.into.Table), ident(a.Table), ident(a.Table)))
		gone = err == nil
		return err
	})
	return gone, parts.Busy(context.WithoutCancel(ctx), j.Pool, err, locks)
}
