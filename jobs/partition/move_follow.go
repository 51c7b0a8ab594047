package partition

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
)

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
	if err == nil { // else what the copying counted would come on top of what ANALYZE counts
		_, err = m.session.Exec(ctx, "SELECT pg_stat_force_next_flush()")
	}
	if err == nil { // so that rows are found by their indexes, and readers of the new partitions are planned well from the first
		_, err = m.session.Exec(ctx, "ANALYZE "+m.shell())
	}
	return err
}

// replay does the noted changes to the copy, in their order. A row that is not found in the copy is an error.
func (m *move) replay() string {
	return fmt.Sprintf(`DO $replay$
<<move>>
DECLARE r record; t oid; c tid;
BEGIN
	FOR r IN WITH taken AS (DELETE FROM %[1]s WHERE seq IN (SELECT seq FROM %[1]s ORDER BY seq LIMIT %[2]d) RETURNING *) SELECT * FROM taken ORDER BY seq LOOP
		IF r.op = 'TRUNCATE' THEN
			DELETE FROM %[3]s;
		ELSIF r.op IN ('UPDATE', 'DELETE') THEN
			%[4]s
			IF NOT FOUND THEN
				RAISE EXCEPTION 'a row that was changed meanwhile is not in the copy' USING ERRCODE = 'data_exception';
			END IF;
		END IF;
		IF r.op IN ('INSERT', 'UPDATE') THEN
			%[5]s;
		END IF;
	END LOOP;
END $replay$`, m.log(), replayMost, m.shell(), m.remove("(r.before)."), m.insert("(r.after)."))
}

// remove takes one row out of the copy, in PL/pgSQL. Without a primary key one of several equal rows is as good as another, but
// for one that another transaction is about to take.
func (m *move) remove(row string) string {
	var same []string
	for _, c := range m.key {
		same = append(same, fmt.Sprintf("s.%s = %s%[1]s", pg.Ident(c), row))
	}
	if len(m.key) == 0 {
		c := pg.Ident(m.set.Key.Column)
		same = append(same, fmt.Sprintf("(s.%s = %s%[1]s OR s.%[1]s IS NULL AND %[2]s%[1]s IS NULL)", c, row),
			fmt.Sprintf("ROW(%s)::record OPERATOR(pg_catalog.*=) ROW(%s)::record", m.list("s."), m.list(row)))
	}
	return fmt.Sprintf(`SELECT s.tableoid, s.ctid INTO move.t, move.c FROM %[1]s s WHERE %[2]s LIMIT 1 FOR UPDATE SKIP LOCKED;
			DELETE FROM %[1]s s WHERE s.tableoid = move.t AND s.ctid = move.c;`, m.shell(), strings.Join(same, " AND "))
}

func (m *move) insert(row string) string {
	return fmt.Sprintf("INSERT INTO %s (%s) SELECT %s", m.shell(), m.list(""), m.list(row))
}

// noting is the trigger's function while changes are noted.
func (m *move) noting() string { return m.function("", m.note()) }

// note writes one change down, in PL/pgSQL.
func (m *move) note() string {
	return fmt.Sprintf(`IF TG_OP = 'INSERT' THEN
		INSERT INTO %s (op, after) VALUES (TG_OP, NEW);
	ELSIF TG_OP = 'UPDATE' THEN
		INSERT INTO %[1]s (op, before, after) VALUES (TG_OP, OLD, NEW);
	ELSIF TG_OP = 'DELETE' THEN
		INSERT INTO %[1]s (op, before) VALUES (TG_OP, OLD);
	ELSE
		INSERT INTO %[1]s (op) VALUES (TG_OP);
	END IF;`, m.log())
}

// doing is the trigger's function once all notes up to the transaction have been done: it does each change to the copy. It notes it
// when its snapshot does not see all of the copy, and while there are notes, since they come before it.
func (m *move) doing(xid string) string {
	return m.function("\n<<move>>\nDECLARE t oid; c tid;", fmt.Sprintf(`IF pg_catalog.pg_visible_in_snapshot(%s::xid8, pg_catalog.pg_current_snapshot()) AND NOT EXISTS (SELECT FROM %s) THEN
		IF TG_OP = 'TRUNCATE' THEN
			DELETE FROM %s;
			RETURN NULL;
		ELSIF TG_OP = 'INSERT' THEN
			%[4]s;
			RETURN NULL;
		END IF;
			%[5]s
		IF FOUND THEN
			IF TG_OP = 'UPDATE' THEN
				%[4]s;
			END IF;
			RETURN NULL;
		END IF;
	END IF;
	%[6]s`, pg.Literal(xid), m.log(), m.shell(), m.insert("NEW."), m.remove("OLD."), m.note()))
}

func (m *move) function(declare, body string) string {
	return fmt.Sprintf(`%s RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $f$%s
BEGIN
	%s
	RETURN NULL;
END $f$`, m.trigger(), declare, body)
}

// catchUp does the noted changes until few are left.
func (m *move) catchUp(ctx context.Context) error {
	last := int64(1) << 62
	for lagging := 0; ; {
		var backlog int64
		err := m.claimed(ctx, m.j.Patience, func(tx pgx.Tx) error {
			return tx.QueryRow(ctx, "SELECT count(*) FROM "+m.log()).Scan(&backlog)
		})
		if err != nil {
			return err
		}
		if backlog <= fewChanges {
			return nil
		}
		if backlog >= last {
			if lagging++; lagging == 100 {
				return fmt.Errorf("%d changes wait to be copied, and more come than can be: try again when less is written, or with a primary key or an index on %s",
					backlog, m.set.Key.Column)
			}
		}
		last = backlog
		err = m.claimed(ctx, m.j.Patience, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, m.replay())
			return err
		})
		if err != nil {
			return err
		}
	}
}

// join does the last notes to the copy while nobody writes, and has the trigger do from then on what it noted before.
func (m *move) join(ctx context.Context) error {
	locks := []parts.Lock{{Table: m.set.Default.Table, Mode: parts.ShareRowExclusive}}
	patience := parts.Telling(ctx, m.j.Pool, m.j.Patience, m.run.Say, locks)
	err := m.claimed(ctx, patience, func(tx pgx.Tx) error {
		if err := parts.LockAll(ctx, tx, m.j.Patience, locks); err != nil {
			return err
		}
		if err := m.behind(ctx, tx, mostLocked); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, m.replay()); err != nil {
			return err
		}
		var xid string
		if err := tx.QueryRow(ctx, "SELECT pg_current_xact_id()::text").Scan(&xid); err != nil {
			return err
		}
		// Emptied, the notes are looked at fast. All who wrote with the old function have ended; whoever waits to write looks it up again.
		_, err := tx.Exec(ctx, strings.Join(m.joining(xid), ";\n"))
		return err
	})
	if err == nil {
		err = m.j.Pool.QueryRow(ctx, "SELECT pg_current_xact_id()::text::bigint, clock_timestamp()").Scan(&m.xid, &m.copied)
	}
	return err
}

func (m *move) joining(xid string) []string {
	return []string{"TRUNCATE " + m.log(), "CREATE OR REPLACE FUNCTION " + m.doing(xid)}
}

// behind is an error when there are more notes than that.
func (m *move) behind(ctx context.Context, tx pgx.Tx, most int64) error {
	var left int64
	if err := tx.QueryRow(ctx, "SELECT count(*) FROM "+m.log()).Scan(&left); err != nil {
		return err
	}
	if left > most {
		return &behindError{left}
	}
	return nil
}

// compare counts the rows on both sides.
func (m *move) compare(ctx context.Context) error {
	var original, copied int64
	err := m.j.Patience.InTx(ctx, m.j.Pool, func(tx pgx.Tx) error { // it takes long, so nobody is kept from the table
		if err := m.there(ctx, tx); err != nil {
			return err
		}
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
