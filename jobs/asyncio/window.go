package asyncio

import (
	"context"
	"fmt"
	"time"
)

// Window is what the server did during one stretch of a trial.
type Window struct {
	Value   string  `json:"value"`   // of the setting
	Seconds float64 `json:"seconds"` // by the server's clock
	Bytes   float64 `json:"bytes"`   // read, by all sessions
	Commits float64 `json:"commits"` // in all databases
	// Means and maxima over samples a second apart.
	Busy      float64 `json:"busy"`      // I/O workers at work
	Handles   float64 `json:"handles"`   // I/Os submitted and not yet done
	Running   float64 `json:"running"`   // sessions and I/O workers that wait for nothing: on a CPU, or wanting one
	Rollbacks float64 `json:"rollbacks"` // in all databases
	Lag       float64 `json:"lag"`       // most bytes of WAL that a standby was behind
	// Unfit says why the window proves nothing; empty when it does.
	Unfit string `json:"unfit,omitempty"`
}

// Throughput is bytes read per second.
func (w Window) Throughput() float64 { return w.Bytes / max(w.Seconds, 1e-9) }

// CommitRate is commits per second.
func (w Window) CommitRate() float64 { return w.Commits / max(w.Seconds, 1e-9) }

// reading is the server's counters at one moment.
type reading struct {
	at, statsReset, started time.Time
	bytes, commits          float64
	checkpoints             int64 // requested, not on time: WAL or a person asked for them
	open                    map[int32]transaction
}

// transaction is one that was open at a reading. Its I/O is counted when it ends.
type transaction struct {
	began     time.Time
	idleSince *time.Time // idle in transaction since; nil: at work
}

// The tuner's own transactions are reported at once, so that they can be taken off the count.
const readingSQL = `
SELECT clock_timestamp(), pg_postmaster_start_time(), pg_stat_force_next_flush()::text,
       (SELECT coalesce(max(stats_reset), 'epoch') FROM pg_stat_io),
       (SELECT coalesce(sum(read_bytes), 0)::float8 FROM pg_stat_io WHERE object = 'relation'),
       (SELECT coalesce(sum(xact_commit), 0)::float8 FROM pg_stat_database),
       (SELECT num_requested FROM pg_stat_checkpointer),
       a.pids, a.began, a.idle
  FROM (SELECT coalesce(array_agg(pid), '{}') AS pids, coalesce(array_agg(xact_start), '{}') AS began,
               coalesce(array_agg(CASE WHEN state LIKE 'idle in transaction%' THEN state_change END), '{}') AS idle
          FROM pg_stat_activity
         WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid() AND backend_type <> 'parallel worker') a`

func (h *hand) reading(ctx context.Context) (reading, error) {
	var r reading
	var pids []int32
	var began []time.Time
	var idle []*time.Time
	err := h.db.QueryRow(ctx, readingSQL).Scan(&r.at, &r.started, nil, &r.statsReset, &r.bytes, &r.commits, &r.checkpoints, &pids, &began, &idle)
	if err != nil {
		return r, fmt.Errorf("read the server's counters: %w", err)
	}
	r.open = map[int32]transaction{}
	for i, pid := range pids {
		r.open[pid] = transaction{began[i], idle[i]}
	}
	return r, nil
}

// sample is one look in a window.
type sample struct {
	busy, handles           int
	running, rollbacks, lag float64
}

// An idle I/O worker waits in IoWorkerMain.
const trialSampleSQL = `
SELECT pg_stat_force_next_flush()::text, count(*) FILTER (WHERE backend_type = 'io worker' AND wait_event IS DISTINCT FROM 'IoWorkerMain'),
       (SELECT count(*) FROM pg_aios WHERE state = 'SUBMITTED'),
       (count(*) FILTER (WHERE wait_event IS NULL AND pid <> pg_backend_pid() AND (state = 'active' OR backend_type = 'io worker')))::float8,
       (SELECT coalesce(sum(xact_rollback), 0)::float8 FROM pg_stat_database),
       (SELECT coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)), 0)::float8 FROM pg_stat_replication WHERE state = 'streaming')
  FROM pg_stat_activity`

func (h *hand) sample(ctx context.Context) (sample, error) {
	var s sample
	err := h.db.QueryRow(ctx, trialSampleSQL).Scan(nil, &s.busy, &s.handles, &s.running, &s.rollbacks, &s.lag)
	if err != nil {
		return s, fmt.Errorf("watch the server: %w", err)
	}
	return s, nil
}

// measure watches one window. alarm is asked after each sample and ends the window at once with the error it returns.
func (h *hand) measure(ctx context.Context, p Pace, value string, alarm func(Window) error) (Window, error) {
	w := Window{Value: value}
	before, err := h.reading(ctx)
	if err != nil {
		return w, err
	}
	first, err := h.sample(ctx)
	if err != nil {
		return w, err
	}
	n := 0.0
	tick := time.NewTicker(p.Sample)
	defer tick.Stop()
	for end := time.Now().Add(p.Window); time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return w, ctx.Err()
		case <-tick.C:
		}
		s, err := h.sample(ctx)
		if err != nil {
			return w, err
		}
		n++
		w.Busy += (float64(s.busy) - w.Busy) / n
		w.Handles += (float64(s.handles) - w.Handles) / n
		w.Running += (s.running - w.Running) / n
		w.Lag = max(w.Lag, s.lag)
		w.Rollbacks = s.rollbacks - first.rollbacks
		w.Seconds = n * p.Sample.Seconds()
		if err := alarm(w); err != nil {
			return w, err
		}
	}
	after, err := h.reading(ctx)
	if err != nil {
		return w, err
	}
	w.Seconds = after.at.Sub(before.at).Seconds()
	ours := n + 2 // the first reading, the first sample, and n samples
	w.Bytes, w.Commits = after.bytes-before.bytes, max(0, after.commits-before.commits-ours)
	w.Unfit = unfit(before, after, p, w)
	return w, nil
}

// unfit says why a window proves nothing, or "".
func unfit(before, after reading, p Pace, w Window) string {
	switch {
	case !after.started.Equal(before.started):
		return "the server was restarted"
	case !after.statsReset.Equal(before.statsReset), w.Bytes < 0, w.Commits < 0:
		return "the statistics were reset"
	case after.checkpoints != before.checkpoints:
		return "a checkpoint was forced"
	case w.Throughput() < p.MinThroughput:
		return fmt.Sprintf("too little was read (%.1f MB/s)", w.Throughput()/1e6)
	}
	for pid, t := range before.open {
		later, still := after.open[pid]
		still = still && later.began.Equal(t.began)
		if !still && before.at.Sub(t.began) > p.Window/2 {
			return "a long transaction ended, whose earlier reads were counted only then"
		}
	}
	for _, t := range after.open {
		slept := t.idleSince != nil && !t.idleSince.After(before.at)
		if !t.began.After(before.at) && !slept {
			return "a transaction ran through it, whose reads are counted when it ends"
		}
	}
	return ""
}
