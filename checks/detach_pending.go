package checks

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
)

// detachPending tells of partitions whose DETACH CONCURRENTLY was begun and not ended: new sessions see none of their rows, and
// their bounds stay taken. While a session still works at it, all is well. Source: pg_inherits.inhdetachpending, pg_locks. Unit:
// partitions. Warning above 0. Remedy: FINALIZE.
func detachPending(r *readings, l limits) Check {
	return partitionCheck("detach_pending", "partitions", r, func(ctx context.Context, tx pgx.Tx, all []kept) ([]Finding, error) {
		busy, err := beingDetached(ctx, tx, all)
		if err != nil {
			return nil, err
		}
		return each(func(k kept) Finding {
			pending := k.Pending()
			f := Finding{Value: float64(len(pending)), Message: "no DETACH is unfinished"}
			switch {
			case len(pending) == 0:
			case busy:
				f.Message = fmt.Sprintf("partition %s is being detached now", pending[0].Table)
			default:
				f.Status = judge(f.Value, l)
				f.Message = fmt.Sprintf("the DETACH CONCURRENTLY of partition %s was interrupted: its rows are invisible, its bounds taken", pending[0].Table)
				f.Remedy = fmt.Sprintf("ALTER TABLE %s DETACH PARTITION %s FINALIZE;", pg.Ident(k.Table.Schema, k.Table.Name),
					pg.Ident(pending[0].Table.Schema, pending[0].Table.Name))
			}
			return f
		})(ctx, tx, all)
	})
}

// beingDetached reports whether a session may be at work on a DETACH CONCURRENTLY: it waits for transactions to end, holding no lock,
// as CREATE INDEX CONCURRENTLY does; at its ends it locks the parent.
func beingDetached(ctx context.Context, tx pgx.Tx, all []kept) (busy bool, err error) {
	oids := make([]uint32, len(all))
	for i, k := range all {
		oids[i] = k.OID
	}
	err = tx.QueryRow(ctx, `
		SELECT EXISTS (
		  SELECT FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
		   WHERE a.datname = current_database()
		     AND (l.locktype = 'virtualxid' AND NOT l.granted
		          OR l.locktype = 'relation' AND l.relation = ANY ($1) AND l.mode = 'ShareUpdateExclusiveLock'))`, oids).Scan(&busy)
	return busy, err
}
