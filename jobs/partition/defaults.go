package partition

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/jobs"
)

// Attaching a partition beside a DEFAULT one locks that one against everybody and reads all of it, and fails when a row of
// the new range is found there. So before:
//
//   - a small DEFAULT without such rows is left to ATTACH: reading it is short;
//   - of a large one, a CHECK proves that it has none. It is added NOT VALID, validated while others work, and
//     dropped again with the attach, or when that does not come within a few seconds. In between a row of the new range is refused,
//     not lost, so this is not done for a range that has begun or soon will;
//   - where such rows are, they are copied before, with all the others: see move. Moved in the transaction that attaches, even few
//     would be missed by a transaction whose snapshot is older.

// besides is what a look at the DEFAULT partition found.
type besides struct {
	Rows  map[parts.Range]int64 // of each new range
	Bytes int64                 // of its heap
}

func (b besides) of(d design) int64 { return b.Rows[d.want.Range] }

func (b besides) total() (n int64) {
	for _, rows := range b.Rows {
		n += rows
	}
	return n
}

// look reads the DEFAULT partition once, under an ordinary reader's lock.
func (j *Job) look(ctx context.Context, group []design) (found besides, err error) {
	def, key := group[0].set.Default, group[0].set.Key
	counts := make([]string, len(group))
	for i, d := range group {
		counts[i] = fmt.Sprintf("count(*) FILTER (WHERE %s)", key.Check(d.want.Range))
	}
	span := parts.Range{Lower: group[0].want.Lower, Upper: group[len(group)-1].want.Upper}
	rows := make([]int64, len(group))
	err = j.Patience.InTx(ctx, j.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL row_security = off"); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, `
			WITH RECURSIVE tree AS (SELECT $1::oid AS oid UNION ALL SELECT i.inhrelid FROM tree t JOIN pg_inherits i ON i.inhparent = t.oid)
			SELECT coalesce(sum(pg_relation_size(oid)), 0)::bigint FROM tree`, def.OID).Scan(&found.Bytes); err != nil {
			return err
		}
		return tx.QueryRow(ctx, fmt.Sprintf("SELECT ARRAY[%s] FROM %s WHERE %s", strings.Join(counts, ", "), ident(def.Table), key.Check(span))).Scan(&rows)
	})
	if err != nil {
		return found, fmt.Errorf("count the rows of %s in the DEFAULT partition %s: %w", key.ForValues(span), def.Table, err)
	}
	found.Rows = map[parts.Range]int64{}
	for i, d := range group {
		found.Rows[d.want.Range] = rows[i]
	}
	return found, nil
}

// prove makes the server know that the DEFAULT partition holds no row of the new ranges. They are all proved in one reading.
func (j *Job) prove(ctx context.Context, run *jobs.Run, group []design) error {
	def := group[0].set.Default.Table
	var add, validate []string
	for _, d := range group {
		name := pg.Ident(d.proof())
		add = append(add, "DROP CONSTRAINT IF EXISTS "+name, fmt.Sprintf("ADD CONSTRAINT %s CHECK (NOT (%s)) NOT VALID", name, d.set.Key.Check(d.want.Range)))
		validate = append(validate, "VALIDATE CONSTRAINT "+name)
	}
	patience := parts.Telling(ctx, j.Pool, j.Patience, run.Say, []parts.Lock{{Table: def, Mode: parts.AccessExclusive}})
	for _, actions := range [][]string{add, validate} {
		err := patience.InTx(ctx, j.Pool, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, fmt.Sprintf("ALTER TABLE %s %s", ident(def), strings.Join(actions, ", ")))
			return err
		})
		if err != nil {
			return fmt.Errorf("prove that the DEFAULT partition %s holds no row of %s to %s: %w", def, group[0].name, group[len(group)-1].name, err)
		}
	}
	return nil
}

// disprove takes the proof away again; it is harmless when there is none.
func (d design) disprove() string {
	return fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT IF EXISTS %s", ident(d.set.Default.Table), pg.Ident(d.proof()))
}

// withdraw drops the proofs after a failure, which it returns: for as long as they stand, rows are refused.
func (j *Job) withdraw(ctx context.Context, group []design, failure error) error {
	def := group[0].set.Default.Table
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), j.Tidy)
	defer cancel()
	var drops, names []string
	for _, d := range group {
		drops, names = append(drops, "DROP CONSTRAINT IF EXISTS "+pg.Ident(d.proof())), append(names, d.proof())
	}
	err := j.Patience.InTx(clean, j.Pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(clean, fmt.Sprintf("ALTER TABLE %s %s", ident(def), strings.Join(drops, ", ")))
		return err
	})
	if err != nil {
		return errors.Join(failure, &parts.LeftError{What: fmt.Sprintf("CHECKs are left on %s and refuse rows of the partitions that were to be made: %s. "+
			"Drop them, as the next run does: `pgtender job run partition --table %s` (%v)", def, strings.Join(names, ", "), pg.Word(group[0].set.Asked.String()), err)})
	}
	return failure
}

// tidy drops what a crash left: a copy that nobody completes, and proofs, which would refuse rows for ever. A dry run says so.
func (j *Job) tidy(ctx context.Context, run *jobs.Run, set *parts.Set) error {
	if set.Default == nil {
		return nil
	}
	if len(set.Default.Moves) > 0 {
		discard := func() error { return j.discard(ctx, set, set.Default.Moves, false) }
		if run.DryRun {
			discard = func() error { return j.rehearseDiscard(ctx, run, set) }
		}
		if err := discard(); err != nil {
			return err
		}
	}
	if len(set.Default.Proofs) == 0 {
		return nil
	}
	var drops []string
	for _, p := range set.Default.Proofs {
		drops = append(drops, "DROP CONSTRAINT IF EXISTS "+pg.Ident(p))
	}
	statement := fmt.Sprintf("ALTER TABLE %s %s", ident(set.Default.Table), strings.Join(drops, ", "))
	if run.DryRun {
		run.Say("-- an interrupted run has left CHECKs on %s, which refuse rows:", set.Default.Table)
		run.Say("%s;", statement)
		return nil
	}
	err := j.Patience.InTx(ctx, j.Pool, func(tx pgx.Tx) error {
		// Another pgtender may be between adding a proof and using it.
		if err := parts.Claim(ctx, tx, set.Asked); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, statement)
		return err
	})
	if err != nil {
		return fmt.Errorf("drop a CHECK that a crash left on %s: %w", set.Default.Table, err)
	}
	return nil
}

// way is how new partitions come beside a DEFAULT one.
type way int

const (
	attachOnly way = iota // no row of theirs is there, and reading it is short
	proveFirst            // no row of theirs is there, and it is large
	moveAside             // rows of theirs are there: they are copied before
)

// soon is how near the time of a new range may be for its rows to be refused while the DEFAULT partition is proved to have none.
const soon = time.Hour

// choose says how to go about it. The error is a refusal: it names the rows and what a person can do.
func (j *Job) choose(ctx context.Context, group []design, found besides) (way, error) {
	set := group[0].set
	near := group[0].want.Lower.Compare(set.Key.At(set.Key.FromInstant(set.Now.Add(soon), j.Location))) <= 0
	switch {
	case found.total() == 0 && found.Bytes <= j.ScanBytes:
		return attachOnly, nil
	case found.total() == 0 && !near:
		return proveFirst, nil
	}
	all, err := parts.Obstacles(ctx, j.Pool, set)
	if err != nil {
		return 0, err
	}
	if found.total() == 0 && found.Bytes <= j.ReadBytes {
		return attachOnly, nil
	}
	var why []string
	for _, o := range all {
		if o.Aside {
			why = append(why, o.What)
		}
	}
	switch {
	case len(why) == 0:
		return moveAside, nil
	case found.total() == 0:
		return proveFirst, nil // nothing is to be moved
	}
	d := group[slices.IndexFunc(group, func(d design) bool { return found.of(d) > 0 })]
	return 0, &Refusal{
		Table: set.Asked,
		What: fmt.Sprintf("the DEFAULT partition %s holds %s that belong into %s (%s), and are not moved: %s",
			set.Default.Table, rowCount(found.of(d)), d.name, set.Key.ForValues(d.want.Range), strings.Join(why, "; ")),
		Advice: d.byHand(all),
	}
}

// byHand says what a person can do about the obstacles, which loses nothing.
func (d design) byHand(all []parts.Obstacle) string {
	var first, before, after []string
	for _, o := range all {
		if o.Never {
			first = append(first, o.First)
		}
		before, after = append(before, o.Before...), append(after, o.After...)
	}
	if len(first) > 0 {
		return strings.Join(first, "\n")
	}
	list := []string{"BEGIN", "SET LOCAL row_security = off", fmt.Sprintf("LOCK TABLE %s IN ACCESS EXCLUSIVE MODE", ident(d.set.Table))}
	list = append(append(list, before...), d.build()...)
	list = append(append(list, d.move()), after...)
	return "When others may wait, move them in one transaction:\n" + script(append(list, d.attach(), "COMMIT"))
}

func script(statements []string) string {
	return "  " + strings.Join(statements, ";\n  ") + ";"
}
