package checks

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Drift is what the last comparison of the live schema with the declared one found.
type Drift struct {
	At      time.Time // when it was made; zero: never
	Objects []string  // that differ, such as "index public.orders_pkey"
	Err     error     // why the last comparison failed
	// Unread is why the ledger, which keeps this, cannot be asked at present; the rest is then what it said last.
	Unread error
}

// driftMaxAge is how long a comparison is believed.
const driftMaxAge = 26 * time.Hour

// schemaDrift tells how many objects differ between the live schema and the declared one. Source: the last run of the drift
// job, in the ledger. Unit: objects. Warning above 0. Remedy: see what differs; plan and apply it, or exclude it by name.
func schemaDrift(now func() time.Time, last func() Drift, l limits) Check {
	return Check{Name: "schema_drift", Group: "schema", Unit: "objects", Every: 5 * time.Second, Deadline: time.Second, Memory: true,
		Run: func(context.Context, pgx.Tx) ([]Finding, error) {
			d := last()
			switch {
			case d.Unread != nil:
				return nil, fmt.Errorf("what the last comparison found cannot be read: %w", d.Unread)
			case d.Err != nil:
				return nil, fmt.Errorf("the last comparison of the schema failed: %w", d.Err)
			case d.At.IsZero():
				return nil, notYetError("the schema was not compared yet")
			}
			age := now().Sub(d.At)
			if age > driftMaxAge {
				return nil, fmt.Errorf("the schema was last compared %s ago", span(age))
			}
			n := float64(len(d.Objects))
			f := Finding{Value: n, Message: fmt.Sprintf("the live schema equals the declared one (compared %s ago)", span(age)),
				Samples: []Sample{{"pgtender_schema_compared_timestamp_seconds", nil, unix(d.At)}, {"pgtender_schema_drift_objects", nil, n}}}
			if n > 0 {
				f.Status, f.Remedy = judge(n, l), "pgtender drift"
				f.Message = fmt.Sprintf("%s from the declared schema (compared %s ago): %s", differing(len(d.Objects)), span(age), firstOf(d.Objects, 5))
			}
			return []Finding{f}, nil
		}}
}

func differing(n int) string {
	if n == 1 {
		return "1 object differs"
	}
	return fmt.Sprintf("%d objects differ", n)
}
