package partition

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/jobs"
)

// Many rows leave a DEFAULT partition without a strong lock but for the last moment:
//
//  1. The new partitions and a new DEFAULT one are made, empty, below a partitioned table of ours that nobody reads. A trigger on the
//     old DEFAULT partition notes each change from here on. A snapshot is taken while no writer is in the middle of one.
//  2. All rows of that snapshot are copied, in batches. Everybody goes on reading and writing the old DEFAULT partition.
//  3. The noted changes are done to the copy, until few are left. Copy and original are counted. Transactions that began before are
//     waited for. When many changes have come by then, this is done again.
//  4. In one transaction under lock: the last changes, the old DEFAULT partition is dropped, the new partitions and the new DEFAULT
//     one are attached. Valid CHECKs spare the server reading them.
//
// Until the end of step 4 the old DEFAULT partition is complete: whatever goes wrong before, the copy is dropped, by this run or the next.

// move is one such undertaking. Its objects bear one name, which no other one has.
type move struct {
	j       *Job
	run     *jobs.Run
	policy  config.Partition
	set     *parts.Set
	group   []design
	name    string       // in the schema pgtender
	rest    config.Table // the new DEFAULT partition
	columns []string     // quoted; not generated ones
	match   string       // a row r.before in the copy
	session *pgx.Conn    // holds the snapshot, and the lock that says that the move goes on
	xid     uint64       // a transaction after what is copied so far
	copied  time.Time    // when that was, by the server's clock
	rows    int64
}

// The trigger on a DEFAULT partition whose rows are being moved, and the CHECK that lets the new one be attached unread.
const (
	restCheck  = "pgtender_rest"
	aboveCheck = "pgtender_above"
)

const (
	copyBlocks = 2048 // of the DEFAULT partition in one statement: 16 MB
	fewChanges = 500  // are left when the lock is asked for
	mostLocked = 2000 // may have become of them when it is there
	mostRounds = 10   // of catching up, until the move is given up
	replayMost = 10000
)

func moveLock(t config.Table) string { return "move " + t.String() }

// moveAside makes the partitions of the group with the rows that lie in the DEFAULT one.
func (j *Job) moveAside(ctx context.Context, run *jobs.Run, policy config.Partition, group []design) (o outcome, err error) {
	m := &move{j: j, run: run, policy: policy, set: group[0].set, group: group,
		name: fmt.Sprintf("move_%d_%08x", group[0].set.Default.OID, rand.Uint32())}
	def := m.set.Default.Table
	m.rest = config.Table{Schema: def.Schema, Name: parts.Fit(def.Name, "_new")}
	o.locks, o.whole = group[0].locks(true), true
	if err := m.open(ctx); err != nil {
		return o, err
	}
	defer m.session.Close(context.WithoutCancel(ctx))
	begun := false
	fail := func(what string, err error) (outcome, error) {
		err = fmt.Errorf("%s of DEFAULT partition %s: %w", what, def, err)
		if begun {
			// The copy is of no use now. When it cannot be dropped, the next run does it.
			m.session.Close(context.WithoutCancel(ctx))
			clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), j.Tidy)
			defer cancel()
			if derr := j.discard(clean, m.set, []string{m.name}); derr != nil {
				err = errors.Join(err, &parts.LeftError{What: fmt.Sprintf("the triggers %s and %[1]s_all are left on %s, and what they note, pgtender.%s_log; "+
					"no row is lost by them, but writing is slower, and the notes grow. Take them away, as the next run does: `pgtender job run partition --table %s` (%v)",
					parts.MoveTrigger, def, m.name, pg.Word(m.set.Asked.String()), derr)})
			}
		}
		return outcome{locks: o.locks, whole: true}, err
	}
	if begun, err = m.begin(ctx); err != nil {
		return fail("begin to copy the rows", err)
	}
	run.Say("copying the rows of %s, so that the new partitions can take over from it", def)
	if err := m.copy(ctx); err != nil {
		return fail("copy the rows", err)
	}
	for round := 1; ; round++ {
		if err := m.catchUp(ctx); err != nil {
			return fail("copy what changed meanwhile", err)
		}
		if round == 1 {
			if err := m.compare(ctx); err != nil {
				return fail("compare the copy with the rows", err)
			}
		}
		if err := m.waitForSnapshots(ctx); err != nil {
			return fail("wait for the readers", err)
		}
		o.made, err = m.change(ctx)
		var behind *behindError
		switch {
		case err == nil:
			return o, nil
		case !errors.As(err, &behind) || round == mostRounds:
			return fail("change to the copy", err)
		}
		run.Say("%d changes of %s came meanwhile, and are copied before anybody is locked out", behind.changes, def)
	}
}

// behindError is a copy that lacks more changes than may be made up for while others wait.
type behindError struct{ changes int64 }

func (e *behindError) Error() string {
	return fmt.Sprintf("%d changes were not copied yet when it was locked, and more come each time: try again when less is written", e.changes)
}

// open opens a session of the move's own; the pool might have none to spare while all its others wait for one another.
func (m *move) open(ctx context.Context) (err error) {
	cfg := m.j.Pool.Config()
	if m.session, err = pgx.ConnectConfig(ctx, cfg.ConnConfig); err != nil {
		return pg.Explain(err)
	}
	if cfg.AfterConnect != nil {
		err = cfg.AfterConnect(ctx, m.session)
	}
	got := false
	if err == nil {
		got, err = pg.TryLock(ctx, m.session, moveLock(m.set.Asked))
	}
	if err == nil && !got {
		err = errMoving(m.set)
	}
	if err != nil {
		m.session.Close(context.WithoutCancel(ctx))
	}
	return err
}

// shell is the table that the copies lie below until they are attached.
func (m *move) shell() string   { return pg.Ident("pgtender", m.name) }
func (m *move) log() string     { return pg.Ident("pgtender", m.name+"_log") }
func (m *move) trigger() string { return pg.Ident("pgtender", m.name) + "()" }

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
	var key []string
	if err := tx.QueryRow(ctx, `
		SELECT pg_get_partition_constraintdef($1), ARRAY(
			SELECT a.attname::text FROM pg_index i CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY u(num, n)
			JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.num
			WHERE i.indrelid = $1 AND i.indisprimary ORDER BY u.n)`, m.set.OID).Scan(&above, &key); err != nil {
		return nil, err
	}
	m.identify(prints[m.set.Default.OID], key)

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
	return list, nil
}

// identify says how a row is found again in the copy: by the primary key, else by the whole row, of which one of several is as good as another.
func (m *move) identify(print *blueprint, key []string) {
	m.columns = nil
	for _, c := range print.Columns {
		if !c.Generated {
			m.columns = append(m.columns, pg.Ident(c.Name))
		}
	}
	var same []string
	for _, c := range key {
		same = append(same, fmt.Sprintf("s.%s = (r.before).%[1]s", pg.Ident(c)))
	}
	if len(key) == 0 {
		c := pg.Ident(m.set.Key.Column)
		same = append(same, fmt.Sprintf("(s.%s = (r.before).%[1]s OR s.%[1]s IS NULL AND (r.before).%[1]s IS NULL)", c),
			fmt.Sprintf("ROW(%s)::record OPERATOR(pg_catalog.*=) ROW(%s)::record", m.list("s."), m.list("(r.before).")))
	}
	m.match = strings.Join(same, " AND ")
}

func (m *move) list(prefix string) string { return prefix + strings.Join(m.columns, ", "+prefix) }

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
		fmt.Sprintf(`CREATE FUNCTION %s RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $f$
BEGIN
	IF TG_OP = 'INSERT' THEN
		INSERT INTO %s (op, after) VALUES (TG_OP, NEW);
	ELSIF TG_OP = 'UPDATE' THEN
		INSERT INTO %[2]s (op, before, after) VALUES (TG_OP, OLD, NEW);
	ELSIF TG_OP = 'DELETE' THEN
		INSERT INTO %[2]s (op, before) VALUES (TG_OP, OLD);
	ELSE
		INSERT INTO %[2]s (op) VALUES (TG_OP);
	END IF;
	RETURN NULL;
END $f$`, m.trigger(), m.log()),
		fmt.Sprintf("REVOKE ALL ON FUNCTION %s FROM PUBLIC", m.trigger()),
		fmt.Sprintf("CREATE TRIGGER %s AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION %s", parts.MoveTrigger, def, m.trigger()),
		fmt.Sprintf("CREATE TRIGGER %s_all AFTER TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION %s", parts.MoveTrigger, def, m.trigger()),
		fmt.Sprintf("ALTER TABLE %s ENABLE ALWAYS TRIGGER %s, ENABLE ALWAYS TRIGGER %[2]s_all", def, parts.MoveTrigger),
	}
}

// copy copies what the session's snapshot sees, some megabytes at a time.
func (m *move) copy(ctx context.Context) error {
	var blocks int64
	err := m.session.QueryRow(ctx, "SELECT pg_relation_size($1::oid) / current_setting('block_size')::bigint", m.set.Default.OID).Scan(&blocks)
	told := time.Now()
	for from := int64(0); err == nil && from < blocks; from += copyBlocks {
		tag, xerr := m.session.Exec(ctx, fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM ONLY %s WHERE ctid >= '(%d,0)'::tid AND ctid < '(%d,0)'::tid",
			m.shell(), m.list(""), m.list(""), ident(m.set.Default.Table), from, from+copyBlocks))
		m.rows, err = m.rows+tag.RowsAffected(), xerr
		if time.Since(told) > 5*time.Second {
			told = time.Now()
			m.run.Say("copied %d rows, %d%% of %s", m.rows, 100*min(from+copyBlocks, blocks)/blocks, m.set.Default.Table)
		}
	}
	if err == nil {
		_, err = m.session.Exec(ctx, "COMMIT")
	}
	return err
}

// replay does the noted changes to the copy, in their order. A row that is not found in the copy is an error.
func (m *move) replay() string {
	return fmt.Sprintf(`DO $replay$
DECLARE r record; t oid; c tid;
BEGIN
	FOR r IN WITH taken AS (DELETE FROM %[1]s WHERE seq IN (SELECT seq FROM %[1]s ORDER BY seq LIMIT %[2]d) RETURNING *) SELECT * FROM taken ORDER BY seq LOOP
		IF r.op = 'TRUNCATE' THEN
			DELETE FROM %[3]s;
		ELSIF r.op IN ('UPDATE', 'DELETE') THEN
			SELECT s.tableoid, s.ctid INTO t, c FROM %[3]s s WHERE %[4]s LIMIT 1;
			IF NOT FOUND THEN
				RAISE EXCEPTION 'a row that was changed meanwhile is not in the copy' USING ERRCODE = 'data_exception';
			END IF;
			DELETE FROM %[3]s s WHERE s.tableoid = t AND s.ctid = c;
		END IF;
		IF r.op IN ('INSERT', 'UPDATE') THEN
			INSERT INTO %[3]s (%[5]s) SELECT %[6]s;
		END IF;
	END LOOP;
END $replay$`, m.log(), replayMost, m.shell(), m.match, m.list(""), m.list("(r.after)."))
}

// catchUp does the noted changes until few are left, and notes when that was.
func (m *move) catchUp(ctx context.Context) error {
	last := int64(1) << 62
	for lagging := 0; ; {
		var backlog int64
		if err := m.j.Pool.QueryRow(ctx, fmt.Sprintf("SELECT count(*) FROM %s", m.log())).Scan(&backlog); err != nil {
			return err
		}
		if backlog <= fewChanges {
			return m.j.Pool.QueryRow(ctx, "SELECT pg_current_xact_id()::text::bigint, clock_timestamp()").Scan(&m.xid, &m.copied)
		}
		if backlog >= last {
			if lagging++; lagging == 100 {
				return fmt.Errorf("%d changes wait to be copied, and more come than can be: try again when less is written, or with a primary key or an index on %s",
					backlog, m.set.Key.Column)
			}
		}
		last = backlog
		err := m.j.Patience.InTx(ctx, m.j.Pool, func(tx pgx.Tx) error {
			if err := parts.Claim(ctx, tx, m.set.Asked); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, m.replay())
			return err
		})
		if err != nil {
			return err
		}
	}
}

// compare counts the rows on both sides.
func (m *move) compare(ctx context.Context) error {
	var original, copied int64
	err := m.j.Patience.InTx(ctx, m.j.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL row_security = off"); err != nil {
			return err
		}
		return tx.QueryRow(ctx, fmt.Sprintf(`
			WITH since AS (SELECT coalesce(max(seq), 0) AS seq FROM %[1]s WHERE op = 'TRUNCATE')
			SELECT (SELECT count(*) FROM ONLY %[2]s), CASE WHEN since.seq = 0 THEN (SELECT count(*) FROM %[3]s) ELSE 0 END +
			       (SELECT count(*) FILTER (WHERE op = 'INSERT') - count(*) FILTER (WHERE op = 'DELETE') FROM %[1]s l WHERE l.seq > since.seq)
			FROM since`, m.log(), ident(m.set.Default.Table), m.shell())).Scan(&original, &copied)
	})
	if err == nil && original != copied {
		err = fmt.Errorf("it holds %d rows, but the copy %d", original, copied)
	}
	return err
}

// waitForSnapshots waits until no transaction is left that would not see the copy: one that began before, in REPEATABLE READ, and
// first reads the table after the change.
func (m *move) waitForSnapshots(ctx context.Context) error {
	told := time.Now()
	for pause := m.j.Patience.Pause; ; pause = min(2*pause, time.Second) {
		var who *string
		err := m.j.Pool.QueryRow(ctx, `
			SELECT string_agg(format('pid %s (%s, in its transaction since %s)', pid, coalesce(usename, '-'), xact_start::timestamptz(0)), '; ')
			FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
			AND xact_start < $2 AND age(backend_xmin) >= age($1::text::xid8::xid)`, fmt.Sprint(m.xid), m.copied).Scan(&who)
		if err != nil || who == nil {
			return err
		}
		if time.Since(told) > 5*time.Second {
			told = time.Now()
			m.run.Say("waits for transactions that began before the copy was complete: %s", *who)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// change puts the copy in place of the DEFAULT partition, in one transaction. Only here others wait: for a few catalog changes, the
// last changes of rows, and, where the table has foreign keys, for the server to look the copied rows up.
func (m *move) change(ctx context.Context) (list []made, _ error) {
	locks := m.group[0].locks(true)
	patience := parts.Telling(ctx, m.j.Pool, m.j.Patience, m.run.Say, locks)
	err := patience.InTx(ctx, m.j.Pool, func(tx pgx.Tx) error {
		list = nil
		if err := parts.Claim(ctx, tx, m.set.Asked); err != nil {
			return err
		}
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
		var left int64
		if err := tx.QueryRow(ctx, fmt.Sprintf("SELECT count(*) FROM %s", m.log())).Scan(&left); err != nil {
			return err
		}
		if left > mostLocked {
			return &behindError{left}
		}
		if _, err := tx.Exec(ctx, m.replay()); err != nil {
			return err
		}
		names, err := m.names(ctx, tx)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, strings.Join(append(m.exchange(), names...), ";\n")); err != nil {
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
	var list []string
	for _, d := range m.group {
		list = append(list, fmt.Sprintf("ALTER TABLE %s DETACH PARTITION %s", m.shell(), ident(d.name)))
	}
	list = append(list, fmt.Sprintf("ALTER TABLE %s DETACH PARTITION %s", m.shell(), ident(m.rest)),
		fmt.Sprintf("DROP TABLE %s, %s", m.shell(), m.log()),
		"DROP TABLE "+def, "DROP FUNCTION "+m.trigger(),
		fmt.Sprintf("ALTER TABLE %s RENAME TO %s", ident(m.rest), pg.Ident(m.set.Default.Table.Name)))
	for _, d := range m.group {
		list = append(list, d.attach(), fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT IF EXISTS %s", ident(d.name), aboveCheck))
	}
	return append(list, fmt.Sprintf("ALTER TABLE %s ATTACH PARTITION %s DEFAULT", table, def),
		fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT %s, DROP CONSTRAINT IF EXISTS %s", def, restCheck, aboveCheck))
}

// names are statements that give the indexes and statistics of the new DEFAULT partition, once it is called so, the names of the
// old one's.
func (m *move) names(ctx context.Context, tx pgx.Tx) ([]string, error) {
	rows, err := tx.Query(ctx, `
		WITH found AS (
			SELECT 'INDEX' AS kind, i.indrelid AS rel, n.nspname AS nsp, c.relname AS name, row_number() OVER (PARTITION BY i.indrelid,
			       d.def, i.indisunique, i.indisprimary ORDER BY i.indexrelid) AS n, d.def || i.indisunique || i.indisprimary AS def
			FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
			CROSS JOIN LATERAL (SELECT substring(pg_get_indexdef(i.indexrelid) FROM ' USING .*') AS def) d WHERE i.indrelid IN ($1::regclass, $2::regclass)
			UNION ALL
			SELECT 'STATISTICS', x.stxrelid, n.nspname, x.stxname, row_number() OVER (PARTITION BY x.stxrelid, d.def ORDER BY x.oid), d.def
			FROM pg_statistic_ext x JOIN pg_namespace n ON n.oid = x.stxnamespace
			CROSS JOIN LATERAL (SELECT pg_get_statisticsobjdef_columns(x.oid) || x.stxkind::text AS def) d WHERE x.stxrelid IN ($1::regclass, $2::regclass))
		SELECT format('ALTER %s %I.%I RENAME TO %I', new.kind, new.nsp, new.name, old.name)
		FROM found old JOIN found new USING (kind, def, n) WHERE old.rel = $1::regclass AND new.rel = $2::regclass
		ORDER BY 1`, ident(m.set.Default.Table), ident(m.rest))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// discard drops what unfinished moves have left: copies only, at once; and the triggers, as soon as nobody uses the DEFAULT
// partition. Only then the notes, since a statement that is under way goes on writing to them. What another pgtender is working on is left alone.
func (j *Job) discard(ctx context.Context, set *parts.Set, names []string) error {
	def := ident(set.Default.Table)
	var idle, drop []string
	for _, n := range names {
		m := &move{name: n}
		idle = append(idle, fmt.Sprintf("CREATE OR REPLACE FUNCTION %s RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS 'BEGIN RETURN NULL; END'", m.trigger()),
			"DROP TABLE IF EXISTS "+m.shell())
		drop = append(drop, "DROP TABLE IF EXISTS "+m.log(), "DROP FUNCTION "+m.trigger())
	}
	drop = append([]string{fmt.Sprintf("DROP TRIGGER IF EXISTS %s ON %s", parts.MoveTrigger, def), fmt.Sprintf("DROP TRIGGER IF EXISTS %s_all ON %s", parts.MoveTrigger, def)}, drop...)
	for _, list := range [][]string{idle, drop} {
		err := j.Patience.InTx(ctx, j.Pool, func(tx pgx.Tx) error {
			if err := parts.Claim(ctx, tx, set.Asked); err != nil {
				return err
			}
			got, err := pg.TryLockTx(ctx, tx, moveLock(set.Asked))
			if err == nil && !got {
				return errMoving(set)
			}
			if err == nil {
				_, err = tx.Exec(ctx, strings.Join(list, ";\n"))
			}
			return err
		})
		var refusal *Refusal
		if err != nil && !errors.As(err, &refusal) {
			err = fmt.Errorf("drop what an interrupted move out of %s left (until then nothing is wrong, and the next run tries again): %w", set.Default.Table, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func errMoving(set *parts.Set) error {
	return &Refusal{set.Asked, "another pgtender is moving rows out of its DEFAULT partition " + set.Default.Table.String(), "It makes the partitions, too; `pgtender job list` shows when it has ended."}
}

// rehearseMove says what moveAside would do.
func (j *Job) rehearseMove(ctx context.Context, run *jobs.Run, group []design, found besides, p *pass) error {
	m := &move{j: j, run: run, set: group[0].set, group: group, name: fmt.Sprintf("move_%d", group[0].set.Default.OID)}
	def := m.set.Default.Table
	m.rest = config.Table{Schema: def.Schema, Name: parts.Fit(def.Name, "_new")}
	var build []string
	err := j.Patience.InTx(ctx, j.Pool, func(tx pgx.Tx) (err error) {
		build, err = m.build(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	say := func(statements []string) {
		for _, s := range statements {
			run.Say("%s;", s)
		}
	}
	run.Say("-- %s of %s belong to new partitions. Copies are made of it, empty at first:", rowCount(found.total()), def)
	say(build)
	run.Say("-- changes of its rows are noted, from one moment on, when nobody writes to it:")
	say(m.watch())
	run.Say("-- its rows as of that moment are copied, some megabytes at a time:")
	run.Say("INSERT INTO %s (%s) SELECT %s FROM ONLY %s;", m.shell(), m.list(""), m.list(""), ident(def))
	run.Say("-- the noted changes are done to the copy, again and again, until few are left:")
	say([]string{m.replay()})
	run.Say("-- the last of them, and the following, in one transaction that has locked %s against everybody:", m.set.Table)
	say(m.exchange())
	for _, d := range m.group {
		p.created = append(p.created, d.name.String())
	}
	return nil
}
