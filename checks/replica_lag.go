package checks

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// replicaLag tells how far each replica is behind this server; on a standby, how far this server is behind. Source: on a primary
// pg_stat_replication, for pg_monitor: replay_lag, which stands still while replay is paused, and besides for how long, by what this
// process has seen, the replica has not reached where the primary was. On a standby pg_last_xact_replay_timestamp while there is something
// to replay or nothing is received; before the first replay, the start of the server. Unit: seconds. Warning from 300. Remedy: look at the replica.
func replicaLag(l limits) Check {
	past := &walHistory{}
	return Check{Name: "replica_lag", Group: "replication", Unit: "seconds", Every: 15 * time.Second, Deadline: 5 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			sees, user, err := sight(ctx, tx)
			if err != nil || !sees {
				return []Finding{blind(user)}, err
			}
			var standby bool
			if err := tx.QueryRow(ctx, "SELECT pg_is_in_recovery()").Scan(&standby); err != nil {
				return nil, err
			}
			if standby {
				return standbyLag(ctx, tx, l)
			}
			return replicas(ctx, tx, past, l)
		}}
}

func standbyLag(ctx context.Context, tx pgx.Tx, l limits) ([]Finding, error) {
	var receives, level bool
	var behind float64
	err := tx.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM pg_stat_wal_receiver WHERE pid IS NOT NULL),
		       coalesce(pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn(), false),
		       extract(epoch FROM clock_timestamp() - coalesce(pg_last_xact_replay_timestamp(), pg_postmaster_start_time()))::float8`).Scan(&receives, &level, &behind)
	f := Finding{Value: max(behind, 0)}
	switch {
	case receives && level:
		f.Value, f.Message = 0, "this standby has replayed all that it has received"
	case receives:
		f.Message = "this standby replays what was written " + span(seconds(f.Value)) + " ago"
	default:
		f.Message = "this standby receives nothing from its primary; it last replayed what was written " + span(seconds(f.Value)) + " ago"
	}
	if f.Status = judge(f.Value, l); f.Status != OK {
		f.Remedy = "look at primary_conninfo, at the primary, and at pg_is_wal_replay_paused(): SELECT pg_wal_replay_resume();"
	}
	return []Finding{f}, err
}

func replicas(ctx context.Context, tx pgx.Tx, past *walHistory, l limits) ([]Finding, error) {
	var now time.Time
	var written float64
	if err := tx.QueryRow(ctx, "SELECT clock_timestamp(), pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8").Scan(&now, &written); err != nil {
		return nil, err
	}
	past.add(now, written)
	rows, err := tx.Query(ctx, `
		SELECT coalesce(nullif(application_name, ''), client_addr::text, 'pid ' || pid), coalesce(pg_wal_lsn_diff(replay_lsn, '0/0'), 0)::float8,
		       replay_lsn IS NOT NULL, coalesce(extract(epoch FROM replay_lag), 0)::float8
		  FROM pg_stat_replication WHERE state IN ('streaming', 'catchup') ORDER BY 1, 2`)
	if err != nil {
		return nil, err
	}
	worst := map[string]Finding{} // replicas may share a name
	var name string
	var replayed, lag float64
	var reports bool
	_, err = pgx.ForEachRow(rows, []any{&name, &replayed, &reports, &lag}, func() error {
		f := Finding{Object: name, Message: "it has replayed all that was written"}
		switch {
		case !reports: // pg_receivewal and the like
			f.Message = "it keeps WAL and replays none"
		case replayed < written:
			f.Value = max(lag, past.since(now, replayed))
			f.Status = judge(f.Value, l)
			f.Message = span(seconds(f.Value)) + " behind, " + size(written-replayed) + " of WAL"
		}
		if f.Status != OK {
			f.Remedy = "look at the replica: its log, its load, and SELECT pg_is_wal_replay_paused();"
		}
		if old, ok := worst[name]; !ok || f.Value > old.Value {
			worst[name] = f
		}
		return nil
	})
	if err == nil && len(worst) == 0 {
		return []Finding{{Message: "no replica is connected"}}, nil
	}
	var out []Finding
	for _, f := range worst {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b Finding) int { return cmp.Or(cmp.Compare(b.Value, a.Value), cmp.Compare(a.Object, b.Object)) })
	return capped(out), err
}

// walHistory remembers how far the WAL was written when.
type walHistory struct {
	mu     sync.Mutex
	points []walPoint // each later and further than the one before
}

type walPoint struct {
	at  time.Time
	lsn float64
}

// historyPoints bounds the history: four hours of four readings a minute.
const historyPoints = 960

func (h *walHistory) add(at time.Time, lsn float64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(h.points); n > 0 {
		last := h.points[n-1]
		if lsn < last.lsn || at.Before(last.at) { // another server has taken its place
			h.points = nil
		} else if lsn == last.lsn {
			return
		}
	}
	if len(h.points) == historyPoints {
		h.points = slices.Delete(h.points, 0, 1)
	}
	h.points = append(h.points, walPoint{at, lsn})
}

// since is for how many seconds, at least, WAL beyond the place has been written.
func (h *walHistory) since(now time.Time, lsn float64) float64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.points {
		if p.lsn > lsn {
			return max(now.Sub(p.at).Seconds(), 0)
		}
	}
	return 0
}
