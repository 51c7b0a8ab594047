package checks

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// longTransaction tells how long the oldest transaction of this database has been open: it keeps VACUUM from removing dead rows, and
// holds locks. Source: pg_stat_activity.xact_start, for pg_monitor. Unit: seconds. Warning from 300. Remedy: end the session.
func longTransaction(l limits) Check {
	return Check{Name: "long_transaction", Group: "sessions", Unit: "seconds", Every: 15 * time.Second, Deadline: 5 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			o, err := worstSession(ctx, tx, "clock_timestamp() - xact_start", "xact_start IS NOT NULL", l)
			return judgeSessions(o, l, "transaction", "open"), err
		}}
}

// judgeSessions words what a check of sessions found.
func judgeSessions(o offender, l limits, what, state string) []Finding {
	if !o.sees {
		return []Finding{blind(o.user)}
	}
	f := Finding{Value: o.age.Seconds(), Status: judge(o.age.Seconds(), l)}
	switch {
	case o.pid == 0:
		f.Message = "no " + what
	case f.Status == OK:
		f.Message = fmt.Sprintf("the oldest %s has been %s for %s", what, state, span(o.age))
	default:
		f.Message = fmt.Sprintf("%s too old; the oldest has been %s for %s: %s", many(int64(o.count), what), state, span(o.age), o.who())
		f.Remedy = cancel(o.pid)
	}
	return []Finding{f}
}
