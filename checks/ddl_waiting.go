package checks

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// ddlWaiting tells how long a session has waited for an ACCESS EXCLUSIVE lock on a relation, as DDL does: every later query of the
// relation waits behind it, reads too. Source: pg_locks, which every role may read. Unit: seconds. Warning from 30, critical from 60.
// Remedy: cancel the waiter, which lets the others go on, or end the session that blocks it.
func ddlWaiting(w *shared[[]waiter], l limits) Check {
	return Check{Name: "ddl_waiting", Group: "sessions", Unit: "seconds", Every: 10 * time.Second, Deadline: 5 * time.Second, Bundle: locksBundle,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			all, err := w.get(ctx, tx)
			if err != nil {
				return nil, err
			}
			for i, ddl := range all {
				if ddl.rel == 0 || ddl.mode != "AccessExclusiveLock" {
					continue
				}
				behind := 0
				for _, other := range all[i+1:] {
					if other.rel == ddl.rel {
						behind++
					}
				}
				f := Finding{Value: ddl.age.Seconds(), Status: judge(ddl.age.Seconds(), l)}
				f.Message = fmt.Sprintf("%s, for %s; %s behind it", ddl, span(ddl.age), map[bool]string{true: "1 session waits", false: fmt.Sprintf("%d sessions wait", behind)}[behind == 1])
				if f.Status != OK {
					_, said, err := blockers(ctx, tx, ddl.pid)
					if err != nil {
						return nil, err
					}
					f.Message += "; it is blocked by " + said
					f.Remedy = fmt.Sprintf("SELECT pg_cancel_backend(%d);  -- its statement fails and can be tried again; the others go on", ddl.pid)
				}
				return []Finding{f}, nil
			}
			return []Finding{{Message: "no DDL waits for a lock"}}, nil
		}}
}
