package partition

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/jobs"
)

// Attaching a partition beside a DEFAULT one locks that one against everybody and reads all of it, and fails when a row of
// the new range is found there. So before:
//
//   - a small DEFAULT without such rows is left to ATTACH: reading it is short;
//   - of a large one, a CHECK proves that it has none. It is added NOT VALID, validated while others work, and
//     dropped again with the attach. In between a row of the new range is refused, not lost;
//   - a few rows of the range are moved in the transaction that attaches, under a lock on the parent, so that nobody ever
//     misses them;
//   - many rows are refused by name: moving them would make everybody wait.

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

// tidy drops proofs that a crash left: they would refuse rows for ever.
func (j *Job) tidy(ctx context.Context, run *jobs.Run, set *parts.Set) error {
	if run.DryRun || set.Default == nil || len(set.Default.Proofs) == 0 {
		return nil
	}
	var drops []string
	for _, p := range set.Default.Proofs {
		drops = append(drops, "DROP CONSTRAINT IF EXISTS "+pg.Ident(p))
	}
	err := j.Patience.InTx(ctx, j.Pool, func(tx pgx.Tx) error {
		// Another pgtender may be between adding a proof and using it.
		if err := parts.Claim(ctx, tx, set.Asked); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, fmt.Sprintf("ALTER TABLE %s %s", ident(set.Default.Table), strings.Join(drops, ", ")))
		return err
	})
	if err != nil {
		return fmt.Errorf("drop a CHECK that a crash left on %s: %w", set.Default.Table, err)
	}
	return nil
}

// obstacles lists what makes moving rows out of the DEFAULT partition unsafe: each would take the DELETE for more
// than it is.
func (j *Job) obstacles(ctx context.Context, d design) ([]string, error) {
	def := d.set.Default
	if def.Kind != 'r' {
		return []string{"it is not an ordinary table"}, nil
	}
	rows, err := j.Pool.Query(ctx, `
		WITH RECURSIVE up AS (SELECT $1::oid AS oid UNION ALL SELECT i.inhparent FROM up u JOIN pg_inherits i ON i.inhrelid = u.oid)
		SELECT DISTINCT what FROM (
			SELECT CASE WHEN t.tgisinternal THEN format('foreign key %s of %s points to its rows', k.conname, k.conrelid::regclass)
			       ELSE format('trigger %s would take the moved rows for deleted ones', t.tgname) END AS what
			FROM pg_trigger t LEFT JOIN pg_constraint k ON k.oid = t.tgconstraint
			WHERE t.tgrelid = $1 AND t.tgtype & 8 <> 0 AND t.tgenabled <> 'D'
			UNION ALL
			SELECT format('rule %s would take the moved rows for deleted ones', rulename) FROM pg_rewrite WHERE ev_class = $1 AND ev_type = '4'
			UNION ALL
			SELECT format('publication %s would send the deletion of the moved rows, and not their insertion', p.pubname)
			FROM pg_publication p
			WHERE p.puballtables OR EXISTS (SELECT FROM pg_publication_rel r JOIN up ON r.prrelid = up.oid WHERE r.prpubid = p.oid)
			   OR EXISTS (SELECT FROM pg_publication_namespace n JOIN pg_class c ON c.relnamespace = n.pnnspid JOIN up ON up.oid = c.oid WHERE n.pnpubid = p.oid)
		) found ORDER BY what`, def.OID)
	if err != nil {
		return nil, fmt.Errorf("look for what hinders moving rows out of %s: %w", def.Table, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look for what hinders moving rows out of %s: %w", def.Table, err)
	}
	return list, nil
}

// mayMove says whether the rows found in the DEFAULT partition may be moved while others wait; if not, the error
// names them and what a person can do.
func (j *Job) mayMove(ctx context.Context, group []design, found besides) error {
	i := slices.IndexFunc(group, func(d design) bool { return found.of(d) > 0 })
	d := group[i]
	why, err := j.obstacles(ctx, d)
	if err != nil {
		return err
	}
	if found.total() > j.MoveRows {
		why = append(why, fmt.Sprintf("moving more than %d would make others wait", j.MoveRows))
	}
	if found.Bytes > j.MoveBytes {
		why = append(why, fmt.Sprintf("reading its %d MB would make others wait", found.Bytes>>20))
	}
	if len(why) == 0 {
		return nil
	}
	table := d.set.Default.Table
	return &Refusal{
		Table: d.set.Asked,
		What: fmt.Sprintf("the DEFAULT partition %s holds %s that belong into %s (%s), and are not moved: %s",
			table, rowCount(found.of(d)), d.name, d.set.Key.ForValues(d.want.Range), strings.Join(why, "; ")),
		Advice: "When others may wait, move them in one transaction:\n" + script(d.byHand()),
	}
}

// byHand is what a person would run in one transaction.
func (d design) byHand() []string {
	list := []string{"BEGIN", fmt.Sprintf("LOCK TABLE %s IN ACCESS EXCLUSIVE MODE", ident(d.set.Table))}
	list = append(list, d.build()...)
	return append(list, d.move(), d.attach(), "COMMIT")
}

func script(statements []string) string {
	return "  " + strings.Join(statements, ";\n  ") + ";"
}

// Refusal is a partition that was not made, in words for the person who must decide. Nothing was changed.
type Refusal struct {
	Table  config.Table // the policy's
	What   string
	Advice string
}

func (r *Refusal) Error() string {
	s := fmt.Sprintf("partition %s: %s", r.Table, r.What)
	if r.Advice != "" {
		s += "\n" + r.Advice
	}
	return s
}
