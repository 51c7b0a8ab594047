package archive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/jobs"
)

// proof are the statements that make the server know the partition's bounds, each in a transaction of its own: the first
// needs a strong lock for a moment, the second reads the partition while others work.
func (m move) proof() []string {
	if m.facts.Proved {
		return nil
	}
	table := ident(m.child.Table)
	return []string{
		fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT IF EXISTS %s, ADD CONSTRAINT %s CHECK (%s) NOT VALID", table, parts.BoundsCheck, parts.BoundsCheck, m.facts.Expr),
		fmt.Sprintf("ALTER TABLE %s VALIDATE CONSTRAINT %s", table, parts.BoundsCheck),
	}
}

// statements are the move itself, in one transaction.
func (m move) statements(p *pass) []string {
	table := ident(m.child.Table)
	list := []string{fmt.Sprintf("ALTER TABLE %s DETACH PARTITION %s", ident(p.live.Table), table)}
	for _, k := range m.facts.Keys {
		if p.policy.KeepForeignKeys {
			break
		}
		list = append(list, fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT %s", pg.Ident(k.Schema, k.Table), pg.Ident(k.Name)))
	}
	// A default that draws from the live table's sequence would tie the archive to it.
	for _, c := range m.facts.Defaults {
		list = append(list, fmt.Sprintf("ALTER TABLE ONLY %s ALTER COLUMN %s DROP DEFAULT", pg.Ident(c.Schema, c.Table), pg.Ident(c.Name)))
	}
	return append(list, fmt.Sprintf("ALTER TABLE %s ATTACH PARTITION %s %s", ident(p.into.Table), table, p.live.Key.ForValues(m.child.Range)))
}

// locks are all that the statements take, so that they share one timeout. Dropping a foreign key closes the table that it
// points to for the moment. Sessions that hold that table and want the live one, or the reverse, would wait for us as we
// for them; since there are both, the order alternates from attempt to attempt.
func (m move) locks(p *pass, pointedFirst bool) []parts.Lock {
	list := []parts.Lock{{Table: p.live.Table, Mode: parts.AccessExclusive}}
	if p.live.Default != nil {
		list = append(list, parts.Lock{Table: p.live.Default.Table, Mode: parts.AccessExclusive})
	}
	list = append(list, parts.Lock{Table: m.child.Table, Mode: parts.AccessExclusive}, parts.Lock{Table: p.into.Table, Mode: parts.ShareUpdateExclusive})
	var pointed []parts.Lock
	for _, k := range m.facts.Keys {
		l := parts.Lock{Table: config.Table{Schema: k.RefSchema, Name: k.RefTable}, Mode: parts.AccessExclusive}
		if k.Lockable && !slices.Contains(list, l) && !slices.Contains(pointed, l) {
			pointed = append(pointed, l)
		}
	}
	if pointedFirst {
		return append(pointed, list...)
	}
	return append(list, pointed...)
}

// move proves the bounds and moves the partition. It reports false when somebody else has taken it away meanwhile.
func (j *Job) move(ctx context.Context, run *jobs.Run, p *pass, m move) (moved bool, err error) {
	locks := []parts.Lock{{Table: m.child.Table, Mode: parts.AccessExclusive}}
	patience := parts.Telling(ctx, j.Pool, j.Patience, run.Say, locks)
	for i, s := range m.proof() {
		err := patience.InTx(ctx, j.Pool, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, s)
			return err
		})
		if err != nil {
			return false, fmt.Errorf("prove its bounds: %w", parts.Busy(context.WithoutCancel(ctx), j.Pool, err, locks))
		}
		if i == 0 {
			p.proved = append(p.proved, m.child.Table.String())
		}
	}
	locks = m.locks(p, false)
	patience = parts.Telling(ctx, j.Pool, j.Patience, run.Say, locks)
	attempt := 0
	err = patience.InTx(ctx, j.Pool, func(tx pgx.Tx) (err error) {
		attempt++
		moved, err = j.moveIn(ctx, tx, run, p, m, m.locks(p, attempt%2 == 0))
		return err
	})
	return moved && err == nil, parts.Busy(context.WithoutCancel(ctx), j.Pool, err, locks)
}

func (j *Job) moveIn(ctx context.Context, tx pgx.Tx, run *jobs.Run, p *pass, m move, locks []parts.Lock) (bool, error) {
	if err := parts.Claim(ctx, tx, p.live.Table); err != nil {
		return false, err
	}
	if still, err := stillDue(ctx, tx, p, m); err != nil || !still {
		return false, err
	}
	if err := note(ctx, tx, run, j, p, m); err != nil {
		return false, err
	}
	if err := parts.LockAll(ctx, tx, j.Patience, locks); err != nil {
		return false, err
	}
	// One round trip while everybody waits.
	_, err := tx.Exec(ctx, strings.Join(m.statements(p), ";\n"))
	return err == nil, err
}

// stillDue looks again under the claim: another pgtender, or a person, may have been faster.
func stillDue(ctx context.Context, tx pgx.Tx, p *pass, m move) (bool, error) {
	sets, err := parts.Read(ctx, tx, []config.Table{p.live.Table, p.into.Table})
	if err != nil {
		return false, err
	}
	if len(sets) != 2 || sets[0].OID != p.live.OID || sets[1].OID != p.into.OID {
		return false, errors.New("the live table or its archive was changed meanwhile; the next run will look at them anew")
	}
	return slices.ContainsFunc(sets[0].Children, func(c parts.Child) bool {
		return c.OID == m.child.OID && c.Range == m.child.Range && !c.Pending
	}), nil
}

// note writes the manifest's row, which counts only if the move is committed. The rows are those that the planner believes in until
// they are counted.
func note(ctx context.Context, tx pgx.Tx, run *jobs.Run, j *Job, p *pass, m move) error {
	key := p.live.Key
	var rows *int64
	if m.facts.Rows >= 0 {
		rows = &m.facts.Rows
	}
	var id *int64
	if run.ID != 0 {
		id = &run.ID
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO pgtender.archived_partition (live_schema, live_table, archive_schema, archive_table, partition_schema, partition_name,
			lower_bound, upper_bound, lower_at, upper_at, rows, bytes, run_id)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		p.live.Table.Schema, p.live.Table.Name, p.into.Table.Schema, p.into.Table.Name, m.child.Table.Schema, m.child.Table.Name,
		key.Text(m.child.Lower), key.Text(m.child.Upper), key.Instant(m.child.Lower.Time, j.Location), key.Instant(m.child.Upper.Time, j.Location),
		rows, m.facts.Bytes, id)
	if err != nil {
		return fmt.Errorf("write it into pgtender.archived_partition: %w", err)
	}
	return nil
}

// failed says which partition an error is about.
func (m move) failed(err error) error {
	if pg.Is(err, pg.InsufficientPrivilege) {
		return fmt.Errorf("archive partition %s: %w\nThe role lacks rights: `pgtender grants` prints what gives them", m.child.Table, err)
	}
	return fmt.Errorf("archive partition %s: %w", m.child.Table, err)
}

// count counts the rows of moved partitions, now that nobody writes to them, and completes the manifest: also of those
// that an earlier run could not count any more.
func (j *Job) count(ctx context.Context, run *jobs.Run, p *pass) error {
	rows, err := j.Pool.Query(ctx, `
		SELECT a.id, a.partition_schema, a.partition_name
		FROM pgtender.archived_partition a JOIN pg_namespace n ON n.nspname = a.partition_schema
		JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = a.partition_name JOIN pg_inherits i ON i.inhrelid = c.oid AND i.inhparent = $3
		WHERE a.live_schema = $1 AND a.live_table = $2 AND a.kind = 'partition' AND a.gone_at IS NULL AND NOT a.rows_exact AND NOT a.detail ? 'not_counted'
		ORDER BY a.id`, p.live.Table.Schema, p.live.Table.Name, p.into.OID)
	if err != nil {
		return fmt.Errorf("read which archived partitions of %s are not counted: %w", p.live.Table, err)
	}
	type entry struct {
		ID int64
		config.Table
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (e entry, err error) {
		err = r.Scan(&e.ID, &e.Schema, &e.Name)
		return e, err
	})
	if err != nil {
		return fmt.Errorf("read which archived partitions of %s are not counted: %w", p.live.Table, err)
	}
	for _, e := range list {
		n, err := j.countOne(ctx, p, e.ID, e.Table)
		if err != nil {
			return fmt.Errorf("count the rows of the archived partition %s: %w", e.Table, err)
		}
		for i := range p.moves {
			if p.moves[i].child.Table == e.Table && n >= 0 {
				p.moves[i].counted = &n
				noun := "rows"
				if n == 1 {
					noun = "row"
				}
				run.Say("counted %d %s in %s", n, noun, e.Table)
			}
		}
	}
	return nil
}

// countOne completes one row of the manifest; -1 means that the role may not see all rows, which the row then says.
func (j *Job) countOne(ctx context.Context, p *pass, id int64, t config.Table) (n int64, err error) {
	err = j.Patience.InTx(ctx, j.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL row_security = off"); err != nil {
			return err
		}
		e, err := wholeEntry(ctx, tx, t, p.live.Key)
		if err != nil {
			return err
		}
		var found string
		if err := tx.QueryRow(ctx, fmt.Sprintf("SELECT count(*), %s FROM %s", e.figures(), ident(t))).Scan(&n, &found); err != nil {
			return err
		}
		number := ""
		if e.number != nil {
			number = e.number.Name
		}
		_, err = tx.Exec(ctx, `UPDATE pgtender.archived_partition SET rows = $2, rows_exact = true,
			detail = detail || jsonb_strip_nulls($3::jsonb || jsonb_build_object('number', nullif($4::text, ''), 'digest_of', $5::jsonb, 'counted_at', clock_timestamp())) WHERE id = $1`,
			id, n, found, number, mustJSON(names(e.digested)))
		return err
	})
	if pg.Is(err, pg.InsufficientPrivilege) {
		_, err = j.Pool.Exec(ctx, "UPDATE pgtender.archived_partition SET detail = detail || jsonb_build_object('not_counted', $2::text) WHERE id = $1", id, err.Error())
		return -1, err
	}
	return n, err
}
