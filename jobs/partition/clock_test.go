package partition

import (
	"fmt"
	"testing"
	"time"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/internal/state"
	"github.com/pgtender/pgtender/jobs"
)

// wrong is a daemon's clock that is off.
type wrong time.Duration

func (w wrong) Now() time.Time { return time.Now().Add(time.Duration(w)) }

func (w wrong) After(d time.Duration) (<-chan time.Time, func()) {
	timer := time.NewTimer(d)
	return timer.C, func() { timer.Stop() }
}

// The clocks of the daemon, of the server's sessions and of the policy's zone disagree: partitions, runway and what is covered are by the
// server's clock, in the policy's zone.
func TestTheServersClockCounts(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{-20 * 365 * 24 * time.Hour, -13 * time.Hour, 13 * time.Hour, 20 * 365 * 24 * time.Hour} {
		for _, zone := range []string{"Pacific/Kiritimati", "America/St_Johns"} {
			t.Run(fmt.Sprint(off, zone), func(t *testing.T) {
				t.Parallel()
				loc, err := time.LoadLocation(zone)
				if err != nil {
					t.Fatal(err)
				}
				b := newBench(t, `CREATE TABLE public.t (at timestamptz) PARTITION BY RANGE (at);
					DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET TimeZone = ''Pacific/Pago_Pago''', current_database()); END $$`)
				if err := state.Ensure(t.Context(), b.pool); err != nil {
					t.Fatal(err)
				}
				p := policy("t", config.Day, 2)
				if p.Schedule, err = config.ParseSchedule("@hourly", loc); err != nil {
					t.Fatal(err)
				}
				env := &config.Env{Daemon: config.Daemon{Location: loc}, Partitions: []config.Partition{p}}
				runner, err := jobs.NewRunner(jobs.Options{URL: b.url, Pool: b.pool, Location: loc, Clock: wrong(off)}, Tasks(env, b.pool))
				if err != nil {
					t.Fatal(err)
				}
				reports, err := runner.RunOnce(t.Context(), jobs.Once{Say: func(jobs.Task, string) {}, Ended: func(jobs.Report) {}})
				if err != nil || len(reports) != 1 || reports[0].Err != nil {
					t.Fatalf("%+v, %v", reports, err)
				}
				if got := b.one(fmt.Sprintf(`SELECT (string_agg(v::timestamptz::text, ' ' ORDER BY v::timestamptz) = string_agg(((date_trunc('day', now() AT TIME ZONE '%[1]s') + n * interval '1 day') AT TIME ZONE '%[1]s')::text, ' ' ORDER BY n))::text AS same
					FROM (SELECT row_number() OVER (ORDER BY v::timestamptz) - 1 AS n, v FROM (SELECT DISTINCT unnest(ARRAY[split_part(e, '''', 2), split_part(e, '''', 4)]) AS v
						FROM (SELECT pg_get_expr(relpartbound, oid) AS e FROM pg_class WHERE relispartition AND relkind = 'r') y) z) x`, zone)); got != "true" {
					t.Errorf("bounds %v", b.bounds("t"))
				}
				set := b.read("t")[0]
				end := parts.Boundaries(config.Day, set.Now, 3, loc)[3]
				if got, want := set.Runway(loc), end.Sub(set.Now).Seconds(); got != want || len(set.Holes()) != 0 {
					t.Errorf("runway %v, want %v", got, want)
				}
				pgtest.Eventually(t, b.url, "SELECT abs(extract(epoch FROM started_at - now())) < 3600 FROM pgtender.run")
			})
		}
	}
}
