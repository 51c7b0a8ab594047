package partition

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/jobs"
)

// together is how many partitions of one table are made in one transaction: enough that commits and round trips do not count, few
// enough that a lock is short.
const together = 12

// outcome is what became of some wanted partitions of one table.
type outcome struct {
	made    []made
	refused []error // each names its partition; the others were made all the same
	locks   []parts.Lock
	whole   bool // what failed for all would fail for each
}

type made struct {
	design
	moved int64 // rows out of the DEFAULT partition
}

// checkViolation is the server's word for a row of the new range in the DEFAULT partition. Source: PostgreSQL 18, appendix A.
const checkViolation = "23514"

// create makes wanted partitions of one table, in one transaction but for what a large DEFAULT partition needs before.
func (j *Job) create(ctx context.Context, r *jobs.Run, policy config.Partition, group []design) (outcome, error) {
	for attempt := 1; ; attempt++ {
		patience, proven := j.Patience, false
		var found besides
		if group[0].set.Default != nil {
			var err error
			if found, err = j.look(ctx, group); err != nil {
				return outcome{}, err
			}
			how, err := j.choose(ctx, group, found)
			switch {
			case err != nil:
				return outcome{}, err
			case how == moveAside:
				o, err := j.moveAside(ctx, r, policy, group)
				for i := range o.made {
					o.made[i].moved = found.of(o.made[i].design)
				}
				return o, failed(group, err)
			case how == proveFirst:
				patience, proven = j.Proven, true
				if err := j.prove(ctx, r, group); err != nil {
					return outcome{}, j.withdraw(ctx, group, failed(group, err))
				}
			}
		}
		var o outcome
		locks := group[0].locks(false)
		err := parts.Telling(ctx, j.Pool, patience, r.Say, locks).InTx(ctx, j.Pool, func(tx pgx.Tx) (err error) {
			o, err = j.createIn(ctx, tx, policy, group)
			return err
		})
		if proven && err != nil {
			err = j.withdraw(ctx, group, err)
		}
		if pg.Is(err, checkViolation) && group[0].set.Default != nil && attempt < 3 {
			continue // a row of the range came into the DEFAULT partition after the look
		}
		o.locks = locks
		return o, failed(group, err)
	}
}

// createIn does the work within the transaction. Until the locks are taken nobody has to wait for it.
func (j *Job) createIn(ctx context.Context, tx pgx.Tx, policy config.Partition, group []design) (o outcome, _ error) {
	set := group[0].set
	if err := parts.Claim(ctx, tx, set.Asked); err != nil {
		return o, err
	}
	known, names, err := around(ctx, tx, group)
	if err != nil {
		return o, err
	}
	if !known {
		if group, err = stillMissing(ctx, tx, policy, group, j.Location); err != nil || len(group) == 0 {
			return o, err
		}
	}
	var build, attach []string
	for _, d := range group {
		leftover, d, err := d.settle(names)
		if err == nil && leftover {
			err = d.requireEmpty(ctx, tx)
		}
		var refusal *Refusal
		switch {
		case errors.As(err, &refusal):
			o.refused = append(o.refused, err)
			continue
		case err != nil:
			return o, err
		case leftover:
			build = append(build, d.adopt()...)
		default:
			build = append(build, d.build()...)
		}
		attach = append(attach, d.attach())
		if set.Default != nil {
			attach = append(attach, d.disprove())
		}
		o.made = append(o.made, made{design: d})
	}
	if len(o.made) == 0 {
		return o, nil
	}
	return o, j.carryOut(ctx, tx, &o, build, attach)
}

// carryOut makes the tables, takes the locks and attaches.
func (j *Job) carryOut(ctx context.Context, tx pgx.Tx, o *outcome, build, attach []string) error {
	locks := o.made[0].locks(false)
	if len(locks) > 1 { // a single one has the whole timeout in ATTACH itself
		if _, err := tx.Exec(ctx, strings.Join(build, ";\n")); err != nil {
			return err
		}
		build = nil
		if err := parts.LockAll(ctx, tx, j.Patience, locks); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, strings.Join(append(build, attach...), ";\n")); err != nil {
		return err
	}
	for _, m := range o.made {
		if err := j.afterAttach(ctx, tx, m.design); err != nil {
			return err
		}
	}
	return nil
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

// taken is what bears a name already.
type taken struct {
	Kind   string
	Parent uint32 // 0: none
	Ours   bool   // bears our CHECK
	Moving bool   // it lies below a table of a move's
}

// around looks, under the claim, whether the table has no partitions but those that were read and those that this run
// made, and what bears the names that the new ones might get.
func around(ctx context.Context, q pg.Querier, group []design) (known bool, names map[string]taken, _ error) {
	d := group[0]
	var wanted []string
	for _, g := range group {
		wanted = append(wanted, g.want.Name, g.want.Spare)
	}
	var text []byte
	err := q.QueryRow(ctx, `
		SELECT NOT EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		                   WHERE i.inhparent = $1 AND i.inhrelid <> ALL ($2::oid[]) AND c.relname <> ALL ($3::name[])),
		       coalesce((SELECT json_object_agg(c.relname, json_build_object('Kind', c.relkind, 'Parent', coalesce((SELECT inhparent FROM pg_inherits WHERE inhrelid = c.oid LIMIT 1), 0)::bigint,
		                 'Ours', EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c' AND k.conname = $6),
		                 'Moving', EXISTS (SELECT FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace pn ON pn.oid = p.relnamespace
		                                   WHERE i.inhrelid = c.oid AND pn.nspname = 'pgtender')))
		                 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $4 AND c.relname = ANY ($5::name[])), '{}')`,
		d.set.OID, d.set.Members(), d.made, d.name.Schema, wanted, parts.BoundsCheck).Scan(&known, &text)
	if err == nil {
		err = json.Unmarshal(text, &names)
	}
	if err != nil {
		return false, nil, fmt.Errorf("look what is called like a partition of %s: %w", d.set.Table, err)
	}
	return known, names, nil
}

// forget leaves out what an unfinished move has made: a dry run has said that it would be dropped.
func forget(names map[string]taken) {
	maps.DeleteFunc(names, func(_ string, t taken) bool { return t.Moving })
}

// stillMissing is what of the group another pgtender, or a person, has not made meanwhile.
func stillMissing(ctx context.Context, tx pgx.Tx, policy config.Partition, group []design, loc *time.Location) ([]design, error) {
	set := group[0].set
	sets, err := parts.Read(ctx, tx, []config.Table{set.Table})
	if err != nil {
		return nil, err
	}
	if len(sets) != 1 || sets[0].Problem != nil || sets[0].OID != set.OID {
		return nil, fmt.Errorf("%s was changed meanwhile; the next run will look at it anew", set.Table)
	}
	missing := sets[0].Missing(policy.Interval, policy.Ahead, loc)
	return slices.DeleteFunc(slices.Clone(group), func(d design) bool {
		return !slices.ContainsFunc(missing, func(w parts.Wanted) bool { return w.Range == d.want.Range })
	}), nil
}

// settle finds the partition's name. A partition of the same table that is merely called so
// makes it take its spare name. A table with our CHECK that is no partition was left by a DETACH or a crash, and may be taken
// as the partition if it is empty. One that a move has filled is left to the move. Anything else is somebody's, and refused.
func (d design) settle(names map[string]taken) (leftover bool, _ design, _ error) {
	for _, name := range []string{d.want.Name, d.want.Spare} {
		d.name.Name = name
		t, ok := names[name]
		switch {
		case !ok:
			return false, d, nil
		case t.Parent == d.set.OID:
			continue
		case t.Moving && d.set.Default != nil:
			return false, d, &goingOnError{d.set}
		case t.Kind == "r" && t.Parent == 0 && t.Ours:
			return true, d, nil
		case t.Kind == "r" && t.Parent == 0:
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

// requireEmpty refuses a leftover with rows. It holds the table until the transaction ends, so that it stays empty.
func (d design) requireEmpty(ctx context.Context, tx pgx.Tx) error {
	var some bool
	_, err := tx.Exec(ctx, fmt.Sprintf("LOCK TABLE %s IN ACCESS EXCLUSIVE MODE", ident(d.name)))
	if err == nil {
		err = tx.QueryRow(ctx, fmt.Sprintf("SELECT EXISTS (SELECT FROM %s)", ident(d.name))).Scan(&some)
	}
	switch {
	case err != nil:
		return fmt.Errorf("look whether %s is empty: %w", d.name, err)
	case some:
		return d.refuseTable(", and it holds rows")
	}
	return nil
}

// adopt makes an empty leftover what build would have made.
func (d design) adopt() []string {
	check := fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT %s, ADD CONSTRAINT %s CHECK (%s)", ident(d.name), parts.BoundsCheck, parts.BoundsCheck, d.set.Key.Check(d.want.Range))
	return slices.Concat([]string{check}, d.include(d.name), d.finish(d.name))
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
