package partition

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
)

// change puts the copy in place of the DEFAULT partition, in one transaction. Only here readers wait: for a few catalog changes and,
// where the table has foreign keys, for the server to look the copied rows up.
func (m *move) change(ctx context.Context) (list []made, _ error) {
	locks := m.group[0].locks(true)
	patience := parts.Telling(ctx, m.j.Pool, m.j.Patience, m.run.Say, locks)
	err := m.claimed(ctx, patience, func(tx pgx.Tx) error {
		list = nil
		if err := parts.LockAll(ctx, tx, m.j.Patience, locks); err != nil {
			return err
		}
		known, _, err := around(ctx, tx, m.group)
		if err != nil {
			return err
		}
		if !known {
			return fmt.Errorf("partitions of %s came or went meanwhile; the next run begins anew", m.set.Table)
		}
		if err := m.behind(ctx, tx, 0); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, strings.Join(m.exchange(), ";\n")); err != nil {
			return err
		}
		for _, d := range m.group {
			if err := m.j.afterAttach(ctx, tx, d); err != nil {
				return err
			}
			list = append(list, made{design: d})
		}
		rest := m.group[0]
		rest.name = m.set.Default.Table
		return m.j.afterAttach(ctx, tx, rest)
	})
	return list, err
}

// exchange is what is done under the strong lock.
func (m *move) exchange() []string {
	def, table := ident(m.set.Default.Table), ident(m.set.Table)
	_, list := m.finders()
	for _, d := range m.group {
		list = append(list, fmt.Sprintf("ALTER TABLE %s DETACH PARTITION %s", m.shell(), ident(d.name)))
	}
	list = append(list, fmt.Sprintf("ALTER TABLE %s DETACH PARTITION %s", m.shell(), ident(m.rest)),
		fmt.Sprintf("DROP TABLE %s, %s", m.shell(), m.log()),
		m.naming(), "DROP FUNCTION "+m.trigger(),
		fmt.Sprintf("ALTER TABLE %s RENAME TO %s", ident(m.rest), pg.Ident(m.set.Default.Table.Name)))
	for _, d := range m.group {
		list = append(list, d.attach(), fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT IF EXISTS %s", ident(d.name), aboveCheck))
	}
	return append(list, fmt.Sprintf("ALTER TABLE %s ATTACH PARTITION %s DEFAULT", table, def),
		fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT %s, DROP CONSTRAINT IF EXISTS %s", def, restCheck, aboveCheck))
}

// naming gives the indexes and statistics of the new DEFAULT partition the names of the old one's, before that one goes.
func (m *move) naming() string {
	return fmt.Sprintf(`DO $naming$
DECLARE pairs text[]; pair text;
BEGIN
	WITH found AS (
		SELECT 'INDEX' AS kind, i.indrelid AS rel, n.nspname AS nsp, c.relname AS name, row_number() OVER (PARTITION BY i.indrelid,
		       d.def, i.indisunique, i.indisprimary ORDER BY i.indexrelid) AS n, d.def || i.indisunique || i.indisprimary AS def
		FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		CROSS JOIN LATERAL (SELECT substring(pg_catalog.pg_get_indexdef(i.indexrelid) FROM ' USING .*') AS def) d WHERE i.indrelid IN (%[1]s::regclass, %[2]s::regclass)
		UNION ALL
		SELECT 'STATISTICS', x.stxrelid, n.nspname, x.stxname, row_number() OVER (PARTITION BY x.stxrelid, d.def ORDER BY x.oid), d.def
		FROM pg_catalog.pg_statistic_ext x JOIN pg_catalog.pg_namespace n ON n.oid = x.stxnamespace
		CROSS JOIN LATERAL (SELECT pg_catalog.pg_get_statisticsobjdef_columns(x.oid) || x.stxkind::text AS def) d WHERE x.stxrelid IN (%[1]s::regclass, %[2]s::regclass))
	SELECT pg_catalog.array_agg(pg_catalog.format('ALTER %%s %%I.%%I RENAME TO %%I', new.kind, new.nsp, new.name, old.name) ORDER BY new.kind, new.name) INTO pairs
	FROM found old JOIN found new USING (kind, def, n) WHERE old.rel = %[1]s::regclass AND new.rel = %[2]s::regclass;
	DROP TABLE %[3]s;
	FOREACH pair IN ARRAY coalesce(pairs, '{}') LOOP EXECUTE pair; END LOOP;
END $naming$`, pg.Literal(ident(m.set.Default.Table)), pg.Literal(ident(m.rest)), ident(m.set.Default.Table))
}
