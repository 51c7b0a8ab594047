package asyncio

import (
	"context"
	"fmt"
	"time"

	"github.com/pgtender/pgtender/internal/pg"
)

// Evidence is what the server did while it was watched.
type Evidence struct {
	Samples int           `json:"samples"`
	Every   time.Duration `json:"every_ns"`
	// Seen is false for a role that may not see other sessions: the counts of workers and handles are then not known.
	Seen        bool    `json:"seen"`
	Workers     int     `json:"workers"`      // most I/O workers at once
	BusyMean    float64 `json:"busy_mean"`    // of Workers
	AllBusy     int     `json:"all_busy"`     // samples in which no worker was idle
	HandlesMax  int     `json:"handles_max"`  // most I/Os submitted and not yet done
	HandlesMean float64 `json:"handles_mean"` // per sample
	Saturated   int     `json:"saturated"`    // samples with all workers busy and at least twice as many handles submitted
	Waiting     int     `json:"waiting"`      // sessions found waiting for an AIO, over all samples
	// Read while watched, by all sessions, as far as they have reported: a running transaction's I/O is not in yet.
	Reads     int64   `json:"reads"`
	ReadBytes float64 `json:"read_bytes"`
	// Since the statistics were reset.
	TotalReads     int64     `json:"total_reads"`
	TotalReadBytes float64   `json:"total_read_bytes"`
	Since          time.Time `json:"since"`
}

// Throughput is bytes read per second while watched.
func (e *Evidence) Throughput() float64 {
	if e.Samples < 2 {
		return 0
	}
	return e.ReadBytes / (time.Duration(e.Samples-1) * e.Every).Seconds()
}

// MeanRead is the average size of a read in bytes, since the statistics were reset.
func (e *Evidence) MeanRead() float64 {
	if e.TotalReads == 0 {
		return 0
	}
	return e.TotalReadBytes / float64(e.TotalReads)
}

func (e *Evidence) String() string {
	span := time.Duration(max(e.Samples-1, 0)) * e.Every
	s := "one sample"
	if e.Samples != 1 {
		s = fmt.Sprintf("%d samples in %s; %.1f MB/s read", e.Samples, span, e.Throughput()/1e6)
	}
	if !e.Seen {
		return s + "; workers and handles are hidden from this role"
	}
	return s + fmt.Sprintf("; %.1f of %d I/O workers busy on average, all of them in %d samples; up to %d I/Os submitted at once; more was asked than the workers could take in %d samples",
		e.BusyMean*float64(e.Workers), e.Workers, e.AllBusy, e.HandlesMax, e.Saturated)
}

// An idle I/O worker waits in IoWorkerMain.
const sampleSQL = `
SELECT count(*) FILTER (WHERE backend_type = 'io worker'),
       count(*) FILTER (WHERE backend_type = 'io worker' AND wait_event IS DISTINCT FROM 'IoWorkerMain'),
       count(*) FILTER (WHERE wait_event IN ('AioIoCompletion', 'AioIoUringExecution', 'AioIoUringSubmit')),
       (SELECT count(*) FROM pg_aios WHERE state = 'SUBMITTED')
  FROM pg_stat_activity`

const totalsSQL = `
SELECT coalesce(sum(reads), 0)::bigint, coalesce(sum(read_bytes), 0)::float8, coalesce(max(stats_reset), 'epoch')
  FROM pg_stat_io WHERE object = 'relation'`

// Observe takes samples at an interval, and the totals before and after. It holds no transaction meanwhile.
func Observe(ctx context.Context, db pg.Querier, samples int, every time.Duration) (*Evidence, error) {
	e := Evidence{Every: every}
	err := db.QueryRow(ctx, "SELECT pg_has_role('pg_read_all_stats', 'USAGE') AND has_table_privilege('pg_aios', 'SELECT')").Scan(&e.Seen)
	if err != nil {
		return nil, fmt.Errorf("observe the server's I/O: %w", err)
	}
	var reads int64
	var bytes float64
	if err := db.QueryRow(ctx, totalsSQL).Scan(&reads, &bytes, &e.Since); err != nil {
		return nil, fmt.Errorf("observe the server's I/O: %w", err)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := range samples {
		if i > 0 {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-tick.C:
			}
		}
		if err := e.sample(ctx, db); err != nil {
			return nil, fmt.Errorf("observe the server's I/O: %w", err)
		}
	}
	if e.Samples > 0 {
		e.BusyMean /= float64(e.Samples)
		e.HandlesMean /= float64(e.Samples)
	}
	since := e.Since
	if err := db.QueryRow(ctx, totalsSQL).Scan(&e.TotalReads, &e.TotalReadBytes, &e.Since); err != nil {
		return nil, fmt.Errorf("observe the server's I/O: %w", err)
	}
	if e.Since.Equal(since) { // else the statistics were reset meanwhile
		e.Reads, e.ReadBytes = e.TotalReads-reads, e.TotalReadBytes-bytes
	}
	return &e, nil
}

func (e *Evidence) sample(ctx context.Context, db pg.Querier) error {
	e.Samples++
	if !e.Seen {
		return nil
	}
	var workers, busy, waiting, handles int
	if err := db.QueryRow(ctx, sampleSQL).Scan(&workers, &busy, &waiting, &handles); err != nil {
		return err
	}
	e.Workers = max(e.Workers, workers)
	e.HandlesMax = max(e.HandlesMax, handles)
	e.HandlesMean += float64(handles)
	e.Waiting += waiting
	if workers > 0 {
		e.BusyMean += float64(busy) / float64(workers)
		if busy == workers {
			e.AllBusy++
			if handles >= 2*workers {
				e.Saturated++
			}
		}
	}
	return nil
}
