package archive

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/jobs"
)

// expire drops the archived partitions all of whose rows are older than drop_after, the oldest first: by their real upper bound,
// and only what pgtender has archived itself. Manifest and ledger keep what went.
func (j *Job) expire(ctx context.Context, run *jobs.Run, p *pass) {
	sets, err := parts.Read(ctx, j.Pool, []config.Table{p.into.Table})
	if err != nil {
		p.errs = append(p.errs, err)
		return
	}
	if len(sets) != 1 || sets[0].OID != p.into.OID {
		return // changed meanwhile; the next run will tell
	}
	cut := p.policy.DropAfter.Before(p.live.Now, j.Location)
	for _, c := range sets[0].Due(cut, j.Location) {
		if ctx.Err() != nil {
			return
		}
		if err := j.expireOne(ctx, run, p, c); err != nil {
			p.errs = append(p.errs, fmt.Errorf("drop the archived partition %s: %w", c.Table, err))
		}
	}
}

// knownSQL counts the open rows of the manifest for a partition of the archive.
const knownSQL = `SELECT count(*) FROM pgtender.archived_partition WHERE gone_at IS NULL
	AND (live_schema, live_table, archive_schema, archive_table, partition_schema, partition_name) = ($1, $2, $3, $4, $5, $6)`

func (j *Job) expireOne(ctx context.Context, run *jobs.Run, p *pass, c parts.Child) error {
	args := []any{p.live.Table.Schema, p.live.Table.Name, p.into.Table.Schema, p.into.Table.Name, c.Table.Schema, c.Table.Name}
	var known int
	if err := j.Pool.QueryRow(ctx, knownSQL, args...).Scan(&known); err != nil {
		return err
	}
	if known == 0 {
		run.Say("%s of the archive is older than %s and stays: pgtender did not archive it", c.Table, p.policy.DropAfter)
		return nil
	}
	drop := "DROP TABLE " + ident(c.Table)
	if run.DryRun {
		run.Say("-- drop for good what is older than %s: rows up to %s\n%s;", p.policy.DropAfter, p.live.Key.Text(c.Upper), drop)
		p.expired = append(p.expired, c.Table.String())
		return nil
	}
	locks := []parts.Lock{{Table: p.into.Table, Mode: parts.AccessExclusive}, {Table: c.Table, Mode: parts.AccessExclusive}}
	patience := parts.Telling(ctx, j.Pool, j.Patience, run.Say, locks)
	gone := false
	err := patience.InTx(ctx, j.Pool, func(tx pgx.Tx) error {
		gone = false
		if err := parts.Claim(ctx, tx, p.live.Table); err != nil {
			return err
		}
		if err := parts.LockAll(ctx, tx, j.Patience, locks); err != nil {
			return err
		}
		// Under the locks: it may have been restored, or changed hands, meanwhile.
		sets, err := parts.Read(ctx, tx, []config.Table{p.into.Table})
		if err != nil || len(sets) != 1 {
			return err
		}
		for _, now := range sets[0].Children {
			gone = gone || now.OID == c.OID && now.Range == c.Range && !now.Pending
		}
		if !gone {
			return nil
		}
		note := append(args, map[string]any{"dropped_by_run": run.ID, "drop_after": p.policy.DropAfter.Text})
		if _, err := tx.Exec(ctx, `UPDATE pgtender.archived_partition SET gone_at = clock_timestamp(), gone_how = 'dropped', detail = detail || $7::jsonb WHERE gone_at IS NULL
			AND (live_schema, live_table, archive_schema, archive_table, partition_schema, partition_name) = ($1, $2, $3, $4, $5, $6)`, note...); err != nil {
			return fmt.Errorf("write it into pgtender.archived_partition: %w", err)
		}
		_, err = tx.Exec(ctx, drop)
		return err
	})
	if err != nil {
		return parts.Busy(context.WithoutCancel(ctx), j.Pool, err, locks)
	}
	if gone {
		p.expired = append(p.expired, c.Table.String())
		run.Say("dropped %s for good: all its rows are older than %s, up to %s", c.Table, p.policy.DropAfter, p.live.Key.Text(c.Upper))
	}
	return nil
}
