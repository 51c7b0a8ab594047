package cli

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgtender/pgtender/checks"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/web"
	"github.com/pgtender/pgtender/jobs/drift"
)

const (
	watchEvery    = 5 * time.Second
	watchDeadline = 3 * time.Second
)

// watch looks every few seconds whether the database can be reached and what the last drift run found, so that
// probes and pages answer from memory.
type watch struct {
	pool *pgxpool.Pool
	url  string        // without password
	now  chan struct{} // to look at once

	mu       sync.Mutex
	database web.Database
	drift    drift.Last
	unread   error // why drift could not be read anew
}

func newWatch(pool *pgxpool.Pool, url string) *watch {
	redacted := pg.Redact(url)
	return &watch{pool: pool, url: redacted, now: make(chan struct{}, 1), database: web.Database{URL: redacted, Problem: "not tried yet"}}
}

// run looks until ctx ends.
func (w *watch) run(ctx context.Context) {
	for {
		w.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(watchEvery):
		case <-w.now:
		}
	}
}

// soon has it look at once, for the news that a drift run has ended.
func (w *watch) soon() {
	select {
	case w.now <- struct{}{}:
	default:
	}
}

func (w *watch) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, watchDeadline)
	defer cancel()
	now := web.Database{URL: w.url}
	server, err := pg.Preflight(ctx, w.pool)
	var last drift.Last
	if err == nil {
		now.Connected, now.Version, now.Standby, now.Answered = true, server.Version, server.InRecovery, time.Now()
		last, err = drift.Latest(ctx, w.pool)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unread = pg.Unanswered(err, watchDeadline)
	if err != nil {
		now.Version, now.Standby, now.Problem = w.database.Version, w.database.Standby, w.unread.Error()
		if now.Answered.IsZero() {
			now.Answered = w.database.Answered
		}
	} else {
		w.drift = last
	}
	w.database = now
}

// troubled notes why the daemon cannot begin yet.
func (w *watch) troubled(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.database.Problem = err.Error()
}

func (w *watch) state() web.Database {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.database
}

// lastDrift is for the drift check.
func (w *watch) lastDrift() checks.Drift {
	w.mu.Lock()
	defer w.mu.Unlock()
	return checks.Drift{At: w.drift.At, Objects: w.drift.Objects, Err: w.drift.Err, Unread: w.unread}
}

// ready tells what must hold before traffic may rely on this database being kept.
func (w *watch) ready(declares, checked bool) []web.Condition {
	w.mu.Lock()
	defer w.mu.Unlock()
	conditions := []web.Condition{{Name: "connected", OK: w.database.Connected, Why: w.database.Problem}}
	if declares {
		why := ""
		switch {
		case w.drift.Err != nil:
			why = w.drift.Err.Error()
		case w.drift.At.IsZero():
			why = "it was not compared with the declared one yet"
		}
		conditions = append(conditions, web.Condition{Name: "schema in place", OK: why == "", Why: why})
	}
	return append(conditions, web.Condition{Name: "first checks done", OK: checked, Why: "not every check has had an answer yet"})
}
