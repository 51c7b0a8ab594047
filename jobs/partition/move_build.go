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
)

// begin makes all that the move needs. When it returns, each change of the DEFAULT partition is noted that the session's snapshot
// does not see.
func (m *move) begin(ctx context.Context) (begun bool, _ error) {
	patience := parts.Telling(ctx, m.j.Pool, m.j.Patience, m.run.Say, []parts.Lock{{Table: m.set.Default.Table, Mode: parts.ShareRowExclusive}})
	err := patience.InTx(ctx, m.j.Pool, func(tx pgx.Tx) error {
		if _, err := m.session.Exec(ctx, "ROLLBACK"); err != nil { // of an earlier attempt; otherwise only a warning
			return err
		}
		if err := parts.Claim(ctx, tx, m.set.Asked); err != nil {
			return err
		}
		build, err := m.build(ctx, tx)
		if err == nil {
			_, err = tx.Exec(ctx, strings.Join(build, ";\n"))
		}
		if err != nil {
			return err
		}
		if err := parts.LockAll(ctx, tx, m.j.Patience, []parts.Lock{{Table: m.set.Default.Table, Mode: parts.ShareRowExclusive}}); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, strings.Join(m.watch(), ";\n")); err != nil {
			return err
		}
		// All who wrote have ended, and nobody writes: the snapshot and the notes join without a gap.
		_, err = m.session.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ; SET LOCAL row_security = off; SELECT pg_current_snapshot()")
		return err
	})
	if pg.Is(err, pg.InvalidSchemaName) {
		err = fmt.Errorf("%w\nThe move needs the schema pgtender: `pgtender run` makes it", err)
	}
	return err == nil, err
}

// build makes the new partitions, and a new DEFAULT one like the old, all empty.
func (m *move) build(ctx context.Context, tx pgx.Tx) ([]string, error) {
	known, names, err := around(ctx, tx, m.group)
	if err != nil {
		return nil, err
	}
	if m.run.DryRun {
		forget(names)
	}
	if !known {
		return nil, fmt.Errorf("partitions of %s came or went meanwhile; the next run will look at it anew", m.set.Table)
	}
	prints, err := readBlueprints(ctx, tx, []uint32{m.set.OID, m.set.Default.OID}, []uint32{m.set.Default.OID})
	if err != nil {
		return nil, err
	}
	if prints[m.set.OID] == nil || prints[m.set.Default.OID] == nil {
		return nil, fmt.Errorf("%s was changed meanwhile; the next run will look at it anew", m.set.Table)
	}
	if err := prints[m.set.Default.OID].requireOwner(m.set.Asked, m.set.Default.Table); err != nil {
		return nil, err
	}
	var above *string
	if err := tx.QueryRow(ctx, `
		SELECT pg_get_partition_constraintdef($1), ARRAY(
			SELECT a.attname::text FROM pg_index i CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY u(num, n)
			JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.num
			WHERE i.indrelid = $1 AND i.indisprimary ORDER BY u.n)`, m.set.OID).Scan(&above, &m.key); err != nil {
		return nil, err
	}
	m.write(prints[m.set.Default.OID])

	list := []string{fmt.Sprintf("CREATE TABLE %s (LIKE %s INCLUDING GENERATED) PARTITION BY RANGE (%s)", m.shell(), ident(m.set.Table), pg.Ident(m.set.Key.Column))}
	under := func(t config.Table, values string) {
		if above != nil {
			list = append(list, fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT %s CHECK (%s)", ident(t), aboveCheck, *above))
		}
		list = append(list, fmt.Sprintf("ALTER TABLE %s ATTACH PARTITION %s %s", m.shell(), ident(t), values))
	}
	for i, d := range m.group {
		leftover, d, err := d.settle(names)
		if err == nil && leftover {
			err = d.requireEmpty(ctx, tx)
		}
		if err != nil {
			return nil, err
		}
		m.group[i] = d
		if leftover {
			list = append(list, d.adopt()...)
		} else {
			list = append(list, d.build()...)
		}
		under(d.name, d.set.Key.ForValues(d.want.Range))
	}
	like := node{}
	if tree := prints[m.set.OID].Models[m.set.Default.OID]; len(tree) > 0 {
		like = tree[0]
	}
	d := design{set: m.set, print: prints[m.set.Default.OID]}
	list = append(list, fmt.Sprintf("CREATE TABLE %s (LIKE %s INCLUDING ALL EXCLUDING IDENTITY, CONSTRAINT %s CHECK (%s))%s",
		ident(m.rest), ident(m.set.Default.Table), restCheck, m.remainder(), d.where(like)))
	list = slices.Concat(list, design{set: m.set, print: prints[m.set.OID]}.include(m.rest), d.finish(m.rest))
	under(m.rest, "DEFAULT")
	add, _ := m.finders()
	return append(list, add...), nil
}

// write notes the columns that can be written.
func (m *move) write(print *blueprint) {
	m.columns = nil
	for _, c := range print.Columns {
		if !c.Generated {
			m.columns = append(m.columns, pg.Ident(c.Name))
		}
	}
}

// finders are indexes on the copies by which a row without a primary key is found there. They go before the copies are attached.
func (m *move) finders() (add, drop []string) {
	if len(m.key) > 0 {
		return nil, nil
	}
	copies := []config.Table{m.rest}
	for _, d := range m.group {
		copies = append(copies, d.name)
	}
	for i, t := range copies {
		name := fmt.Sprintf("%s_%d", m.name, i)
		add = append(add, fmt.Sprintf("CREATE INDEX %s ON %s (%s)", pg.Ident(name), ident(t), pg.Ident(m.set.Key.Column)))
		drop = append(drop, "DROP INDEX "+pg.Ident(t.Schema, name))
	}
	return add, drop
}

// remainder is what the new DEFAULT partition may hold, in the form in which the server puts it.
func (m *move) remainder() string {
	var ranges []parts.Range
	for _, c := range m.set.Children {
		ranges = append(ranges, c.Range)
	}
	for _, d := range m.group {
		ranges = append(ranges, d.want.Range)
	}
	return m.set.Key.CheckNone(ranges)
}

// watch notes every change of the DEFAULT partition, whoever makes it.
func (m *move) watch() []string {
	def := ident(m.set.Default.Table)
	return []string{
		fmt.Sprintf("CREATE TABLE %s (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, op text NOT NULL, before %s, after %[2]s)", m.log(), def),
		"CREATE FUNCTION " + m.noting(),
		fmt.Sprintf("REVOKE ALL ON FUNCTION %s FROM PUBLIC", m.trigger()),
		fmt.Sprintf("CREATE TRIGGER %s AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION %s", parts.MoveTrigger, def, m.trigger()),
		fmt.Sprintf("CREATE TRIGGER %s_all AFTER TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION %s", parts.MoveTrigger, def, m.trigger()),
		fmt.Sprintf("ALTER TABLE %s ENABLE ALWAYS TRIGGER %s, ENABLE ALWAYS TRIGGER %[2]s_all", def, parts.MoveTrigger),
	}
}
