package archive

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/jobs"
)

// expire drops the archived partitions all of whose rows are older than drop_after, the oldest first: by their real upper bound,
// only what pgtender has archived itself, and only in a run after the one that archived and counted it. So the manifest, which keeps what
// went, has its count and checksum, and nothing goes from live to lost in one step.
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
		if p.tookIn(c) {
			p.later = append(p.later, c.Table.String())
			run.Say("%s of the archive is older than %s and stays for now: this run archived rows of it; a later run drops it for good", c.Table, p.policy.DropAfter)
			continue
		}
		if err := j.expireOne(ctx, run, p, c); err != nil {
			p.errs = append(p.errs, fmt.Errorf("drop the archived partition %s: %w", c.Table, err))
		}
	}
}

// tookIn reports whether this run moved anything into a partition of the archive.
func (p *pass) tookIn(c parts.Child) bool {
	return slices.ContainsFunc(p.moves, func(m move) bool { return m.child.OID == c.OID }) ||
		slices.ContainsFunc(p.sweeps, func(s *sweep) bool { return s.moved > 0 && s.to == c.Table })
}

// foretellExpiry says which of the partitions that the run would archive a later one would drop.
func (j *Job) foretellExpiry(run *jobs.Run, p *pass) {
	for _, c := range p.live.Due(p.policy.DropAfter.Before(p.live.Now, j.Location), j.Location) {
		moved := slices.ContainsFunc(p.moves, func(m move) bool { return m.child.OID == c.OID })
		if !moved && !slices.ContainsFunc(p.foretold, func(f foretold) bool { return f.table == c.Table }) {
			continue
		}
		what := "DROP TABLE " + ident(c.Table) + ";"
		if !moved {
			what = "DROP TABLE of the partition of " + ident(p.into.Table) + " that takes the rows of " + ident(c.Table)
		}
		run.Say("-- in a later run, drop for good what is older than %s: rows up to %s\n-- %s", p.policy.DropAfter, p.live.Key.Text(c.Upper), what)
		p.later = append(p.later, c.Table.String())
	}
}

// knownSQL reads the open rows of the manifest for a partition of the archive: how many there are, how many of them lack their count or
// checksum, why, and the rows that they count.
const knownSQL = `SELECT count(*), count(*) FILTER (WHERE rows IS NULL OR NOT rows_exact OR NOT detail ? 'digest'), coalesce(min(detail->>'not_counted'), ''), coalesce(sum(rows), 0)::bigint
	FROM pgtender.archived_partition WHERE gone_at IS NULL
	AND (live_schema, live_table, archive_schema, archive_table, partition_schema, partition_name) = ($1, $2, $3, $4, $5, $6)`

// known is what the manifest says of a partition of the archive.
type known struct {
	entries, uncounted int
	why                string // it could not be counted
	rows               int64
}

func readKnown(ctx context.Context, q pg.Querier, args []any) (k known, err error) {
	err = q.QueryRow(ctx, knownSQL, args...).Scan(&k.entries, &k.uncounted, &k.why, &k.rows)
	if err != nil {
		err = fmt.Errorf("look it up in pgtender.archived_partition: %w", err)
	}
	return k, err
}

// keeps says why a partition of the archive is not dropped; "": it may be.
func (k known) keeps() string {
	switch {
	case k.entries == 0:
		return "pgtender did not archive it"
	case k.uncounted > 0 && k.why != "":
		return "its rows could not be counted: " + k.why
	case k.uncounted > 0:
		return "its rows are not counted yet, and only what has been counted is dropped"
	}
	return ""
}

func (j *Job) expireOne(ctx context.Context, run *jobs.Run, p *pass, c parts.Child) error {
	args := []any{p.live.Table.Schema, p.live.Table.Name, p.into.Table.Schema, p.into.Table.Name, c.Table.Schema, c.Table.Name}
	k, err := readKnown(ctx, j.Pool, args)
	if err != nil {
		return err
	}
	if why := k.keeps(); why != "" {
		run.Say("%s of the archive is older than %s and stays: %s", c.Table, p.policy.DropAfter, why)
		return nil
	}
	drop := "DROP TABLE " + ident(c.Table)
	if run.DryRun {
		run.Say("-- drop for good what is older than %s: rows up to %s\n%s;", p.policy.DropAfter, p.live.Key.Text(c.Upper), drop)
		p.expire(c, k.rows)
		return nil
	}
	locks := []parts.Lock{{Table: p.into.Table, Mode: parts.AccessExclusive}, {Table: c.Table, Mode: parts.AccessExclusive}}
	patience := parts.Telling(ctx, j.Pool, j.Patience, run.Say, locks)
	gone := false
	err = patience.InTx(ctx, j.Pool, func(tx pgx.Tx) error {
		gone = false
		if err := parts.Claim(ctx, tx, p.live.Table); err != nil {
			return err
		}
		// Under the claim nobody else archives into it.
		if k, err = readKnown(ctx, tx, args); err != nil || k.keeps() != "" {
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
		p.expire(c, k.rows)
		run.Say("dropped %s with %s for good: all its rows are older than %s, up to %s", c.Table, counted(k.rows, "row", "rows"), p.policy.DropAfter, p.live.Key.Text(c.Upper))
	}
	return nil
}

func (p *pass) expire(c parts.Child, rows int64) {
	p.expired = append(p.expired, c.Table.String())
	p.expiredRows += rows
}
