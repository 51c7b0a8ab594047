package partition

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/jobs"
)

// outcome is what became of one wanted partition.
type outcome struct {
	name  config.Table
	made  bool  // false: somebody else made it meanwhile
	moved int64 // rows out of the DEFAULT partition
	// moving: rows were to be moved, so the parent had to be closed to everybody.
	moving bool
}

// checkViolation is the server's word for a row of the new range in the DEFAULT partition. Source: PostgreSQL 18, appendix A.
const checkViolation = "23514"

// create makes one wanted partition, in one transaction but for the proof about a large DEFAULT partition.
func (j *Job) create(ctx context.Context, run *jobs.Run, policy config.Partition, d design) (outcome, error) {
	for attempt := 1; ; attempt++ {
		var found besides
		if d.set.Default != nil {
			var err error
			if found, err = j.look(ctx, d); err != nil {
				return outcome{}, err
			}
			switch {
			case found.Rows > 0:
				err = j.mayMove(ctx, d, found)
			case found.Bytes > j.ScanBytes:
				err = j.prove(ctx, run, d)
			}
			if err != nil {
				return outcome{}, err
			}
		}
		var o outcome
		patience := parts.Telling(ctx, j.Pool, j.Patience, run.Say, d.locks(found.Rows > 0))
		err := patience.InTx(ctx, j.Pool, func(tx pgx.Tx) (err error) {
			o, err = j.createIn(ctx, tx, policy, d, found)
			return err
		})
		if pg.Is(err, checkViolation) && d.set.Default != nil && attempt < 3 {
			continue // a row of the range came into the DEFAULT partition after the look
		}
		o.moving = found.Rows > 0
		return o, d.failed(err)
	}
}

// failed says which partition an error is about; a refusal does so itself.
func (d design) failed(err error) error {
	var refusal *Refusal
	switch {
	case err == nil || errors.As(err, &refusal):
		return err
	case pg.Is(err, pg.InsufficientPrivilege):
		return fmt.Errorf("make partition %s of %s: %w\nThe role lacks rights: `pgtender grants` prints what gives them", d.name, d.set.Table, err)
	}
	return fmt.Errorf("make partition %s of %s: %w", d.name, d.set.Table, err)
}

// createIn does the work within the transaction. Until the locks are taken nobody has to wait for it.
func (j *Job) createIn(ctx context.Context, tx pgx.Tx, policy config.Partition, d design, found besides) (outcome, error) {
	if err := parts.Claim(ctx, tx, d.set.Asked); err != nil {
		return outcome{}, err
	}
	if still, err := stillMissing(ctx, tx, policy, d, j.Location); err != nil || !still {
		return outcome{name: d.name}, err
	}
	leftover, d, err := settleName(ctx, tx, d)
	if err != nil {
		return outcome{}, err
	}
	build := d.build()
	if leftover {
		empty, err := isEmpty(ctx, tx, d.name)
		if err != nil {
			return outcome{}, err
		}
		if !empty {
			return outcome{}, d.refuseTable(", and it holds rows")
		}
		build = d.adopt()
	}
	if _, err := tx.Exec(ctx, strings.Join(build, ";\n")); err != nil {
		return outcome{}, err
	}
	if locks := d.locks(found.Rows > 0); len(locks) > 1 { // a single one has the whole timeout in ATTACH itself
		if err := parts.LockAll(ctx, tx, j.Patience, locks); err != nil {
			return outcome{}, err
		}
	}
	o := outcome{name: d.name, made: true}
	if found.Rows > 0 {
		tag, err := tx.Exec(ctx, d.move())
		if err != nil {
			return outcome{}, fmt.Errorf("move rows out of %s: %w", d.set.Default.Table, err)
		}
		o.moved = tag.RowsAffected()
	}
	attach := d.attach()
	if d.set.Default != nil {
		attach += "; " + d.disprove()
	}
	if _, err := tx.Exec(ctx, attach); err != nil {
		return outcome{}, err
	}
	return o, j.afterAttach(ctx, tx, d)
}

// locks are what ATTACH takes by itself, asked for in one go so that they share one timeout. To move rows the parent is
// closed to everybody: a reader that had already looked up its partitions would miss the rows.
func (d design) locks(moving bool) []parts.Lock {
	parent := parts.Lock{Table: d.set.Table, Mode: parts.ShareUpdateExclusive}
	if moving {
		parent.Mode = parts.AccessExclusive
	}
	list := []parts.Lock{parent}
	if d.set.Default != nil {
		list = append(list, parts.Lock{Table: d.set.Default.Table, Mode: parts.AccessExclusive})
	}
	for _, r := range d.print.Referenced {
		if r.Lockable {
			list = append(list, parts.Lock{Table: config.Table{Schema: r.Schema, Name: r.Name}, Mode: parts.ShareRowExclusive})
		}
	}
	return list
}

// stillMissing looks again under the claim: another pgtender may have been faster. When there are no partitions but those that
// were read and those that this run made, that is answer enough; otherwise they are read anew.
func stillMissing(ctx context.Context, tx pgx.Tx, policy config.Partition, d design, loc *time.Location) (bool, error) {
	var known bool
	err := tx.QueryRow(ctx, `
		SELECT NOT EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		                   WHERE i.inhparent = $1 AND i.inhrelid <> ALL ($2::oid[]) AND c.relname <> ALL ($3::name[]))`,
		d.set.OID, d.set.Members(), d.made).Scan(&known)
	if err != nil || known {
		return known, err
	}
	sets, err := parts.Read(ctx, tx, []config.Table{d.set.Table})
	if err != nil {
		return false, err
	}
	if len(sets) != 1 || sets[0].Problem != nil || sets[0].OID != d.set.OID {
		return false, fmt.Errorf("%s was changed meanwhile; the next run will look at it anew", d.set.Table)
	}
	for _, w := range sets[0].Missing(policy.Interval, policy.Ahead, loc) {
		if w.Range == d.want.Range {
			return true, nil
		}
	}
	return false, nil
}

// settleName finds out what bears the partition's name already. A partition of the same table that is merely called so
// makes it take its spare name. A table with our CHECK that is no partition was left by a DETACH or a crash, and may be taken
// as the partition if it is empty. Anything else is somebody's, and refused.
func settleName(ctx context.Context, q pg.Querier, d design) (leftover bool, _ design, _ error) {
	for _, name := range []string{d.want.Name, d.want.Spare} {
		d.name.Name = name
		var parent *uint32
		var kind string
		var ours bool
		err := q.QueryRow(ctx, `
			SELECT c.relkind::text, i.inhparent,
			       EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c' AND k.conname = $3)
			FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
			WHERE n.nspname = $1 AND c.relname = $2 LIMIT 1`, d.name.Schema, name, parts.BoundsCheck).Scan(&kind, &parent, &ours)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return false, d, nil
		case err != nil:
			return false, d, fmt.Errorf("look for another %s: %w", d.name, err)
		case parent != nil && *parent == d.set.OID:
			continue
		case kind == "r" && parent == nil && ours:
			return true, d, nil
		case kind == "r" && parent == nil:
			return false, d, d.refuseTable("")
		}
		return false, d, &Refusal{d.set.Asked, fmt.Sprintf("%s is wanted as a partition of %s, but something else is called so", d.name, d.set.Table),
			"Rename it or drop it; the next run then makes the partition."}
	}
	return false, d, &Refusal{d.set.Asked, fmt.Sprintf("partitions of %s that hold other ranges are called %s and %s", d.set.Table, d.want.Name, d.want.Spare),
		"Rename one of them; the next run then makes the partition " + d.set.Key.ForValues(d.want.Range) + "."}
}

func (d design) refuseTable(more string) error {
	return &Refusal{d.set.Asked, fmt.Sprintf("%s is wanted as a partition of %s, but a table of that name is there that is no partition%s", d.name, d.set.Table, more),
		fmt.Sprintf("If it is that partition, attach it:\n  %s;\nOtherwise rename it or drop it; the next run then makes the partition.", d.attach())}
}

// isEmpty holds the table until the transaction ends, so that it stays so.
func isEmpty(ctx context.Context, tx pgx.Tx, t config.Table) (bool, error) {
	var some bool
	_, err := tx.Exec(ctx, fmt.Sprintf("LOCK TABLE %s IN ACCESS EXCLUSIVE MODE", ident(t)))
	if err == nil {
		err = tx.QueryRow(ctx, fmt.Sprintf("SELECT EXISTS (SELECT FROM %s)", ident(t))).Scan(&some)
	}
	if err != nil {
		return false, fmt.Errorf("look whether %s is empty: %w", t, err)
	}
	return !some, nil
}

// adopt makes an empty leftover what build would have made.
func (d design) adopt() []string {
	return append([]string{fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT %s, ADD CONSTRAINT %s CHECK (%s)",
		ident(d.name), parts.BoundsCheck, parts.BoundsCheck, d.set.Key.Check(d.want.Range))}, d.finish(d.name)...)
}

// afterAttach does what needs the parent's indexes and statistics matched with the partition's.
func (j *Job) afterAttach(ctx context.Context, tx pgx.Tx, d design) error {
	if d.print.Identity != "i" && !d.print.StatTarget {
		return nil
	}
	rows, err := tx.Query(ctx, `
		WITH RECURSIVE tree AS (SELECT to_regclass($2)::oid AS oid UNION ALL SELECT i.inhrelid FROM tree t JOIN pg_inherits i ON i.inhparent = t.oid),
		replica AS (
			SELECT indexrelid AS oid FROM pg_index WHERE indrelid = $1 AND indisreplident
			UNION ALL SELECT i.inhrelid FROM replica r JOIN pg_inherits i ON i.inhparent = r.oid)
		SELECT format('ALTER TABLE %s REPLICA IDENTITY USING INDEX %I', x.indrelid::regclass, c.relname)
		FROM replica r JOIN pg_index x ON x.indexrelid = r.oid JOIN pg_class c ON c.oid = r.oid JOIN tree ON tree.oid = x.indrelid
		UNION ALL
		SELECT format('ALTER STATISTICS %I.%I SET STATISTICS %s', n.nspname, mine.stxname, theirs.stxstattarget)
		FROM pg_statistic_ext theirs JOIN pg_statistic_ext mine ON mine.stxkind = theirs.stxkind
		     AND pg_get_statisticsobjdef_columns(mine.oid) = pg_get_statisticsobjdef_columns(theirs.oid)
		JOIN tree ON tree.oid = mine.stxrelid JOIN pg_namespace n ON n.oid = mine.stxnamespace
		WHERE theirs.stxrelid = $1 AND theirs.stxstattarget IS NOT NULL
		ORDER BY 1`, d.set.OID, ident(d.name))
	if err != nil {
		return err
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(list) == 0 {
		return err
	}
	_, err = tx.Exec(ctx, strings.Join(list, "; "))
	return err
}
