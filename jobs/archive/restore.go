package archive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/jobs"
)

// RestoreJob is the name of restores in the ledger.
const RestoreJob = "archive restore"

// RestoreTask brings what was archived between two instants back to the live table. It takes the same locks as the archive job.
func RestoreTask(env *config.Env, pool *pgxpool.Pool, a config.Archive, from, to time.Time) jobs.Task {
	job := New(pool, env.Daemon.Location)
	locks := []string{a.Table.String(), a.Into.String()}
	slices.Sort(locks)
	return jobs.Task{Job: RestoreJob, Target: a.Table.String(), Schedule: a.Schedule.Schedule, Spec: a.Schedule.Text, Timeout: 4 * time.Hour, Locks: locks,
		Run: func(ctx context.Context, run *jobs.Run) (jobs.Result, error) {
			return job.Restore(ctx, run, a, from, to)
		}}
}

// Restore brings what was archived in [from, to) back. A whole partition changes hands in one transaction; rows move in batches, each
// in one place at any time. What came back is held: the archive job leaves it alone until it is released.
func (j *Job) Restore(ctx context.Context, run *jobs.Run, policy config.Archive, from, to time.Time) (jobs.Result, error) {
	policy.Referenced = config.ReferencedWait // to come back, being pointed to does no harm
	p, err := j.open(ctx, policy)
	if err == nil {
		err = j.alike(ctx, p)
	}
	if err != nil {
		return jobs.Result{Outcome: jobs.Failure}, restoring(err)
	}
	r := parts.Range{Lower: p.live.Key.At(p.live.Key.FromInstant(from, j.Location)), Upper: p.live.Key.At(p.live.Key.FromInstant(to, j.Location))}
	if r.Lower.Compare(r.Upper) >= 0 {
		return jobs.Result{Outcome: jobs.Failure}, restoring(refusal(policy.Table, fmt.Sprintf("from %s to %s is nothing", p.live.Key.Text(r.Lower), p.live.Key.Text(r.Upper)), "The end is exclusive: a month is --from 2025-01-01 --to 2025-02-01."))
	}
	if policy.Partitioned {
		err = j.restorePartitions(ctx, run, p, r)
	} else {
		err = j.restoreRows(ctx, run, p, p.into.Table, p.into.OID, p.live.Table, p.live.OID, r, nil)
	}
	if err == nil && len(p.moves) == 0 && p.rowsMoved() == 0 && len(p.foretold) == 0 {
		err = refusal(policy.Table, fmt.Sprintf("%s holds nothing from %s to %s", p.into.Table, p.live.Key.Text(r.Lower), p.live.Key.Text(r.Upper)), "`pgtender archive list` shows what was archived.")
	}
	result := p.restored(run.DryRun)
	if err != nil {
		result.Outcome = jobs.Failure
	}
	return result, restoring(err)
}

// restoring lets a refusal say that it is one of a restore.
func restoring(err error) error {
	var r *Refusal
	if errors.As(err, &r) {
		r.doing = RestoreJob
	}
	return err
}

// restored tells what came back.
func (p *pass) restored(dry bool) jobs.Result {
	r := jobs.Result{Outcome: jobs.Noop, Detail: map[string]any{}}
	var done, names []string
	for _, m := range p.moves {
		names = append(names, m.child.Table.String())
	}
	verb := "restored "
	if dry {
		verb = "would restore "
	}
	if len(names) > 0 {
		r.Detail["restored"] = names
		done = append(done, verb+strings.Join(names, ", ")+" to "+p.live.Table.String())
	}
	for _, f := range p.foretold {
		done = append(done, fmt.Sprintf("would restore about %s of %s", counted(f.rows, "row", "rows"), f.table))
	}
	for _, s := range p.sweeps {
		if s.moved > 0 {
			done = append(done, fmt.Sprintf("restored %s from %s to %s", counted(s.moved, "row", "rows"), s.from, s.to))
		}
	}
	p.reportRows(&r)
	if len(p.changed) > 0 && len(done) > 0 {
		r.Detail["changed"] = p.changed
		done = append(done, "WARNING: not what was archived: "+strings.Join(p.changed, ", "))
	}
	r.Summary = strings.Join(done, "; ")
	if !dry && len(done) > 0 {
		r.Outcome = jobs.Success
		r.Summary += "; held there until `pgtender archive release --table " + p.live.Table.Arg() + "`"
	}
	if r.Summary == "" {
		r.Summary = "nothing was restored"
	}
	return r
}

// restorePartitions brings whole partitions back. Everything that speaks against one is said before any is touched.
func (j *Job) restorePartitions(ctx context.Context, run *jobs.Run, p *pass, r parts.Range) error {
	if err := j.mend(ctx, p); err != nil {
		return err
	}
	var back []parts.Child
	for _, a := range p.into.Children {
		if !a.Overlaps(r) {
			continue
		}
		if a.Lower.Compare(r.Lower) < 0 || a.Upper.Compare(r.Upper) > 0 {
			return refusal(p.live.Table, fmt.Sprintf("partition %s of the archive holds more than was asked for: %s", a.Table, p.into.Key.ForValues(a.Range)),
				fmt.Sprintf("Whole partitions are restored. Ask for all of it: --from %s --to %s", pg.Word(p.into.Key.Text(a.Lower)), pg.Word(p.into.Key.Text(a.Upper))))
		}
		for _, there := range p.live.Children {
			if there.Overlaps(a.Range) && there.Range != a.Range {
				return refusal(p.live.Table, fmt.Sprintf("partition %s of the archive cannot come back: %s has %s for %s", a.Table, p.live.Table, there.Table, p.live.Key.ForValues(there.Range)),
					fmt.Sprintf("Detach that one first: ALTER TABLE %s DETACH PARTITION %s;", ident(p.live.Table), ident(there.Table)))
			}
		}
		back = append(back, a)
	}
	for _, a := range back {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := j.warnChanged(ctx, run, p, a); err != nil {
			return err
		}
		i := slices.IndexFunc(p.live.Children, func(c parts.Child) bool { return c.Range == a.Range })
		var err error
		if i < 0 {
			err = j.restoreWhole(ctx, run, p, a)
		} else {
			there := p.live.Children[i]
			err = j.restoreRows(ctx, run, p, a.Table, a.OID, there.Table, there.OID, a.Range, &a.Range)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// warnChanged says when a partition of the archive does not hold what was moved into it. It comes back as it is: somebody may want just that.
func (j *Job) warnChanged(ctx context.Context, run *jobs.Run, p *pass, a parts.Child) error {
	var known bool
	err := j.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pgtender.archived_partition WHERE gone_at IS NULL
		AND (live_schema, live_table, archive_schema, archive_table, partition_schema, partition_name) = ($1, $2, $3, $4, $5, $6))`,
		p.live.Table.Schema, p.live.Table.Name, p.into.Table.Schema, p.into.Table.Name, a.Table.Schema, a.Table.Name).Scan(&known)
	switch {
	case pg.Is(err, pg.UndefinedTable, pg.InvalidSchemaName):
		return nil // a dry run, before anything was ever done
	case err != nil:
		return fmt.Errorf("look %s up in pgtender.archived_partition: %w", a.Table, err)
	case !known:
		run.Say("note: pgtender did not archive %s, so nothing tells whether it is as it was; it comes back as it is", a.Table)
		return nil
	}
	v, err := verify(ctx, j.Pool, place{live: p.live.Table.String(), archive: p.into.Table, partition: a.Table})
	if err != nil {
		return fmt.Errorf("verify %s: %w", a.Table, err)
	}
	if v.Bad() {
		run.Say("WARNING: %s is not what was moved into the archive: %s. It comes back as it is", a.Table, v.What)
		p.changed = append(p.changed, fmt.Sprintf("%s (%s)", a.Table, v.What))
	}
	return nil
}

// restoreRows brings rows back in batches.
func (j *Job) restoreRows(ctx context.Context, run *jobs.Run, p *pass, from config.Table, fromOID uint32, to config.Table, toOID uint32, r parts.Range, bounds *parts.Range) error {
	t := &transfer{claim: p.live.Table, from: from, to: to, key: p.live.Key, due: within(p.live.Key, "x."+pg.Ident(p.live.Key.Column), r), back: true}
	if err := j.plan(ctx, t, p.policy, fromOID, toOID, fromOID); err != nil {
		return err
	}
	if run.DryRun {
		return j.foretell(ctx, &rowsRun{run}, p, t)
	}
	t.entry = j.newEntry(p, run.ID, t, bounds)
	t.entry.bounded = [2]*string{instant(p, r.Lower, j), instant(p, r.Upper, j)}
	s, err := j.sweepRows(ctx, run, t)
	p.sweeps = append(p.sweeps, s)
	if err == nil && (s.passed > 0 || s.late) {
		err = errors.New("not all rows came back, since others hold some, or a standby does not keep up; run the same command again")
	}
	return err
}

// restoreWhole lets one partition of the archive change hands. The live table's foreign keys are given to it beforehand, so that nothing is
// read under locks; the manifest says so meanwhile, for an archived partition must not keep them.
func (j *Job) restoreWhole(ctx context.Context, run *jobs.Run, p *pass, a parts.Child) error {
	if err := j.nothingInDefault(ctx, p, a); err != nil {
		return err
	}
	// The same as a move, with the two tables in each other's place.
	swapped := &pass{policy: p.policy, live: p.into, into: p.live}
	m, err := j.inspectOne(ctx, swapped, a)
	if err != nil {
		return err
	}
	if len(m.facts.Lacks) > 0 {
		return refusal(p.live.Table, fmt.Sprintf("%s lacks indexes that the live table has, and attaching it would build them while everybody waits:\n  %s", a.Table, strings.Join(m.facts.Lacks, "\n  ")),
			"Build them on it first.")
	}
	keys, err := j.liveKeys(ctx, p)
	if err != nil {
		return err
	}
	if p.policy.KeepForeignKeys {
		keys = nil // it has them
	}
	attach := []string{fmt.Sprintf("ALTER TABLE %s DETACH PARTITION %s", ident(p.into.Table), ident(a.Table)),
		fmt.Sprintf("ALTER TABLE %s ATTACH PARTITION %s %s", ident(p.live.Table), ident(a.Table), p.live.Key.ForValues(a.Range))}
	if run.DryRun {
		run.Say("-- restore %s: rows from %s to %s", a.Table, p.live.Key.Text(a.Lower), p.live.Key.Text(a.Upper))
		for _, s := range slices.Concat(m.proof(), addKeys(a, keys), attach) {
			run.Say("%s;", s)
		}
		p.moves = append(p.moves, m)
		return nil
	}
	if err := j.prepareReturn(ctx, run, p, a, m, keys); err != nil {
		return errors.Join(err, j.mend(context.WithoutCancel(ctx), p))
	}
	if m, err = j.inspectOne(ctx, swapped, a); err == nil {
		err = j.exchange(ctx, run, p, a, m, swapped, attach)
	}
	if err != nil {
		return errors.Join(err, j.mend(context.WithoutCancel(ctx), p))
	}
	p.moves = append(p.moves, m)
	run.Say("restored %s %s from %s to %s", a.Table, p.live.Key.ForValues(a.Range), p.into.Table, p.live.Table)
	return nil
}

// exchange is the transaction in which the partition comes back and the manifest says so.
func (j *Job) exchange(ctx context.Context, run *jobs.Run, p *pass, a parts.Child, m move, swapped *pass, attach []string) error {
	locks := m.locks(swapped, false)
	if p.live.Default != nil {
		locks = append(locks, parts.Lock{Table: p.live.Default.Table, Mode: parts.AccessExclusive})
	}
	patience := parts.Telling(ctx, j.Pool, j.Patience, run.Say, locks)
	err := patience.InTx(ctx, j.Pool, func(tx pgx.Tx) error {
		if err := parts.Claim(ctx, tx, p.live.Table); err != nil {
			return err
		}
		if still, err := stillDue(ctx, tx, swapped, m); err != nil || !still {
			if err == nil {
				err = errors.New("somebody else has taken it away meanwhile")
			}
			return err
		}
		if err := noteReturn(ctx, tx, run, j, p, m); err != nil {
			return fmt.Errorf("write it into pgtender.archived_partition: %w", err)
		}
		if err := parts.LockAll(ctx, tx, j.Patience, locks); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, strings.Join(attach, ";\n"))
		return err
	})
	return parts.Busy(context.WithoutCancel(ctx), j.Pool, err, locks)
}

// noteReturn closes the partition's rows in the manifest and holds it back from the next run. One that was attached by hand gets a row.
func noteReturn(ctx context.Context, tx pgx.Tx, run *jobs.Run, j *Job, p *pass, m move) error {
	const gone = `UPDATE pgtender.archived_partition SET gone_at = clock_timestamp(), gone_how = 'restored',
			detail = detail - 'restoring' || jsonb_build_object('hold', true, 'restored_by_run', $7::bigint)
		WHERE gone_at IS NULL AND (live_schema, live_table, archive_schema, archive_table, partition_schema, partition_name) = ($1, $2, $3, $4, $5, $6)`
	args := []any{p.live.Table.Schema, p.live.Table.Name, p.into.Table.Schema, p.into.Table.Name, m.child.Table.Schema, m.child.Table.Name, run.ID}
	tag, err := tx.Exec(ctx, gone, args...)
	if err != nil || tag.RowsAffected() > 0 {
		return err
	}
	if err := note(ctx, tx, run, j, p, m); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, gone, args...)
	return err
}

// nothingInDefault refuses when the live table's DEFAULT partition has rows of the range: ATTACH would.
func (j *Job) nothingInDefault(ctx context.Context, p *pass, a parts.Child) error {
	if p.live.Default == nil {
		return nil
	}
	var some bool
	sql := fmt.Sprintf("SELECT EXISTS (SELECT FROM %s AS x WHERE %s)", ident(p.live.Default.Table), within(p.live.Key, "x."+pg.Ident(p.live.Key.Column), a.Range))
	if err := j.Pool.QueryRow(ctx, sql).Scan(&some); err != nil {
		return fmt.Errorf("look for rows of %s in the DEFAULT partition: %w", a.Table, err)
	}
	if some {
		return refusal(p.live.Table, fmt.Sprintf("its DEFAULT partition %s holds rows of the range of %s", p.live.Default.Table, a.Table), "Move or delete them first.")
	}
	return nil
}

// liveKeys are the live table's own foreign keys, by name.
func (j *Job) liveKeys(ctx context.Context, p *pass) ([][2]string, error) {
	rows, err := j.Pool.Query(ctx, "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint k WHERE conrelid = $1 AND contype = 'f' AND NOT EXISTS (SELECT FROM pg_constraint up WHERE up.oid = k.conparentid AND up.conrelid = k.conrelid) ORDER BY conname", p.live.OID)
	if err == nil {
		var keys [][2]string
		keys, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (k [2]string, err error) {
			err = r.Scan(&k[0], &k[1])
			return k, err
		})
		if err == nil {
			return keys, nil
		}
	}
	return nil, fmt.Errorf("read the foreign keys of %s: %w", p.live.Table, err)
}

// addKeys are the statements that give a partition foreign keys: the first takes a lock for a moment, the second reads beside others.
func addKeys(a parts.Child, keys [][2]string) (list []string) {
	for _, k := range keys {
		def := strings.TrimSuffix(k[1], " NOT VALID")
		list = append(list, fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT %s %s NOT VALID", ident(a.Table), pg.Ident(k[0]), def))
		if def == k[1] {
			list = append(list, fmt.Sprintf("ALTER TABLE %s VALIDATE CONSTRAINT %s", ident(a.Table), pg.Ident(k[0])))
		}
	}
	return list
}

// prepareReturn proves the bounds and gives the partition the live table's foreign keys.
func (j *Job) prepareReturn(ctx context.Context, run *jobs.Run, p *pass, a parts.Child, m move, keys [][2]string) error {
	locks := []parts.Lock{{Table: a.Table, Mode: parts.AccessExclusive}}
	for _, k := range keys {
		if _, err := j.Pool.Exec(ctx, `UPDATE pgtender.archived_partition SET detail = detail || jsonb_build_object('restoring', coalesce(detail->'restoring', '[]') || to_jsonb($7::text))
			WHERE gone_at IS NULL AND (live_schema, live_table, archive_schema, archive_table, partition_schema, partition_name) = ($1, $2, $3, $4, $5, $6)`,
			p.live.Table.Schema, p.live.Table.Name, p.into.Table.Schema, p.into.Table.Name, a.Table.Schema, a.Table.Name, k[0]); err != nil {
			return fmt.Errorf("write into pgtender.archived_partition what is about to be done: %w", err)
		}
	}
	patience := parts.Telling(ctx, j.Pool, j.Patience, run.Say, locks)
	for _, s := range slices.Concat(m.proof(), addKeys(a, keys)) {
		err := patience.InTx(ctx, j.Pool, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, s)
			return err
		})
		if pg.Is(err, foreignKeyViolation) {
			return fmt.Errorf("%w\nA row of it points to one that is gone. Bring that one back first, or take the foreign key away; nothing was restored", err)
		}
		if err != nil {
			return parts.Busy(context.WithoutCancel(ctx), j.Pool, err, locks)
		}
	}
	return nil
}

// mend takes foreign keys away that a restore gave to partitions that are still in the archive: it failed, or was killed.
func (j *Job) mend(ctx context.Context, p *pass) error {
	rows, err := j.Pool.Query(ctx, `
		SELECT a.id, a.partition_schema, a.partition_name, ARRAY(SELECT jsonb_array_elements_text(a.detail->'restoring'))
		FROM pgtender.archived_partition a JOIN pg_namespace n ON n.nspname = a.partition_schema
		JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = a.partition_name JOIN pg_inherits i ON i.inhrelid = c.oid AND i.inhparent = $3
		WHERE a.live_schema = $1 AND a.live_table = $2 AND a.gone_at IS NULL AND a.detail ? 'restoring' ORDER BY a.id`, p.live.Table.Schema, p.live.Table.Name, p.into.OID)
	if pg.Is(err, pg.UndefinedTable, pg.InvalidSchemaName) {
		return nil
	}
	type left struct {
		id    int64
		table config.Table
		keys  []string
	}
	var list []left
	if err == nil {
		list, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (l left, err error) {
			err = r.Scan(&l.id, &l.table.Schema, &l.table.Name, &l.keys)
			return l, err
		})
	}
	if pg.Is(err, pg.UndefinedTable, pg.InvalidSchemaName) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for restores of %s that did not come to their end: %w", p.live.Table, err)
	}
	for _, l := range list {
		err := j.Patience.InTx(ctx, j.Pool, func(tx pgx.Tx) error {
			for _, k := range l.keys {
				if _, err := tx.Exec(ctx, fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT IF EXISTS %s", ident(l.table), pg.Ident(k))); err != nil {
					return err
				}
			}
			_, err := tx.Exec(ctx, "UPDATE pgtender.archived_partition SET detail = detail - 'restoring' WHERE id = $1", l.id)
			return err
		})
		if err != nil {
			return fmt.Errorf("take the foreign keys away again that a restore gave to %s: %w", l.table, err)
		}
	}
	return nil
}

// Release lets what was restored be archived again: all of a table, or what lies in a range; a zero time is open. It returns how much.
func Release(ctx context.Context, pool *pgxpool.Pool, table config.Table, from, to time.Time) (int64, error) {
	open := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		return &t
	}
	tag, err := pool.Exec(ctx, `UPDATE pgtender.archived_partition SET detail = detail - 'hold' || jsonb_build_object('released_at', clock_timestamp())
		WHERE live_schema = $1 AND live_table = $2 AND gone_how = 'restored' AND detail ? 'hold'
		  AND ($3::timestamptz IS NULL OR upper_at IS NULL OR upper_at > $3) AND ($4::timestamptz IS NULL OR lower_at IS NULL OR lower_at < $4)`,
		table.Schema, table.Name, open(from), open(to))
	if err != nil {
		return 0, fmt.Errorf("release what of %s is held: %w", table, err)
	}
	return tag.RowsAffected(), nil
}
