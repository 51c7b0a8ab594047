package refresh

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/jobs"
)

// counts are rows written and removed, as this session's statistics count them before they are flushed.
type counts struct{ inserted, deleted int64 }

func counted(ctx context.Context, tx pgx.Tx, oid uint32) (counts, error) {
	var c counts
	err := tx.QueryRow(ctx, "SELECT pg_stat_get_xact_tuples_inserted($1), pg_stat_get_xact_tuples_deleted($1)", oid).
		Scan(&c.inserted, &c.deleted)
	return c, err
}

// measured are figures that the server has for sessions and databases, at one moment.
type measured struct {
	known bool
	wal   int64 // bytes that this session has logged since it began
	temp  int64 // bytes of temporary files of the whole database
}

// measure reads them; a session's own show after its transaction has ended and was counted.
func measure(ctx context.Context, conn *pgxpool.Conn) measured {
	var m measured
	if pg.Count(ctx, conn.Conn()) != nil {
		return m
	}
	err := conn.QueryRow(ctx, `
		SELECT (SELECT wal_bytes::bigint FROM pg_stat_get_backend_wal(pg_backend_pid())), pg_stat_get_db_temp_bytes(oid)
		  FROM pg_database WHERE datname = current_database()`).Scan(&m.wal, &m.temp)
	m.known = err == nil
	return m
}

// manyRows is from how many changed rows on it is worth a word that most rows changed.
const manyRows = 1000

// mostlyChanged counts refreshes in a row that changed at least half of the rows, and from the third on says what would be cheaper.
func mostlyChanged(v *view, written int64, p *preparation, detail map[string]any) string {
	if written < manyRows || float64(written) < v.rows()/2 {
		return ""
	}
	runs := 1
	if p.memory != nil && p.memory.oid == v.OID {
		runs += p.memory.mostly
	}
	detail["mostly_changed_runs"] = runs
	if runs < 3 {
		return ""
	}
	return fmt.Sprintf("; most rows changed, as in the %d refreshes before: a plain one (concurrently = false) would cost far less, but readers would wait for it", runs-1)
}

// vacuumFrom and vacuumPart say when VACUUM pays: so many dead rows more than the last one left, and that part of the live ones.
const (
	vacuumFrom = 10_000
	vacuumPart = 0.2
)

// after adds what shows only when the refresh is committed: WAL, temporary bytes, dead rows; and runs VACUUM when that pays. Nothing of it
// makes the refresh a failure.
func (r *refresher) after(ctx context.Context, conn *pgxpool.Conn, run *jobs.Run, oid uint32, before measured, p *preparation, result jobs.Result) {
	figures := map[string]any{}
	if now := measure(ctx, conn); now.known && before.known {
		if wal := now.wal - before.wal; wal >= 0 {
			figures["wal_bytes"] = wal
		}
		if temp := now.temp - before.temp; temp >= 0 { // the statistics may have been reset
			figures["temp_bytes"] = temp
		}
	}
	var left int64
	if p.memory != nil && p.memory.oid == oid {
		left = p.memory.deadLeft
	}
	if dead, live, err := deadRows(ctx, conn, oid); err == nil {
		figures["dead_rows"] = dead
		left = min(left, dead)
		if float64(dead-left) >= max(vacuumFrom, vacuumPart*float64(live)) {
			left = r.vacuum(ctx, conn, run, oid, dead, figures)
		}
	}
	figures["dead_rows_left"] = left
	for name, value := range figures {
		result.Detail[name] = value
	}
	if _, err := conn.Exec(ctx, "UPDATE pgtender.refresh_state SET detail = detail || $1 WHERE run_id = $2 AND view_schema = $3 AND view_name = $4",
		figures, run.ID, r.policy.View.Schema, r.policy.View.Name); err != nil && ctx.Err() == nil {
		run.Say("%s is refreshed, but its WAL and dead rows could not be noted: %v", r.policy.View, err)
	}
	_ = pg.Count(ctx, conn.Conn()) // so that the views on this one can tell at once; the pool does it again
}

func deadRows(ctx context.Context, conn *pgxpool.Conn, oid uint32) (dead, live int64, err error) {
	err = conn.QueryRow(ctx, "SELECT pg_stat_get_dead_tuples($1), pg_stat_get_live_tuples($1)", oid).Scan(&dead, &live)
	return dead, live, err
}

// vacuum removes dead rows as gently as autovacuum would, not at all when somebody has a lock on the view, and returns how many are
// left: a long transaction may still see them.
func (r *refresher) vacuum(ctx context.Context, conn *pgxpool.Conn, run *jobs.Run, oid uint32, dead int64, figures map[string]any) int64 {
	name := pg.Ident(r.policy.View.Schema, r.policy.View.Name)
	run.Say("VACUUM %s: %d dead rows", name, dead)
	_, err := conn.Exec(ctx, "SET vacuum_cost_delay = '2ms'")
	if err == nil {
		_, err = conn.Exec(ctx, "VACUUM (SKIP_LOCKED, TRUNCATE false) "+name)
		_, resetErr := conn.Exec(ctx, "RESET vacuum_cost_delay")
		if err == nil {
			err = resetErr
		}
	}
	if err != nil {
		figures["vacuum_error"] = err.Error()
		run.Say("%s is refreshed, but VACUUM did not end: %v", r.policy.View, err)
		return 0
	}
	_ = pg.Count(ctx, conn.Conn())
	left, _, err := deadRows(ctx, conn, oid)
	if err != nil {
		return 0
	}
	figures["vacuumed_rows"] = max(dead-left, 0)
	if left > dead/2 {
		run.Say("VACUUM left %d dead rows of %s: an open transaction may still see them, or another session has a lock on the view", left, r.policy.View)
	}
	return left
}
