package jobs

import (
	"context"
	"maps"
	"time"

	"github.com/pgtender/pgtender/internal/leader"
	"github.com/pgtender/pgtender/internal/pg"
)

// RunRecord is one run, as the ledger has it.
type RunRecord struct {
	ID        int64     `json:"id"`
	Job       string    `json:"job"`
	Target    string    `json:"target,omitempty"`
	Trigger   Trigger   `json:"trigger"`
	Scheduled time.Time `json:"scheduled_for,omitzero"`
	Started   time.Time `json:"started_at"` // the server's clock
	Finished  time.Time `json:"finished_at,omitzero"`
	Outcome   Outcome   `json:"outcome,omitempty"`
	Summary   string    `json:"summary,omitempty"`
	Error     string    `json:"error,omitempty"`
	Instance  string    `json:"instance,omitempty"`
}

// TaskStatus is what is known of one task. In a daemon that stands by it comes from the ledger, at most Options.Look old.
type TaskStatus struct {
	Job    string    `json:"job"`
	Target string    `json:"target,omitempty"`
	Spec   string    `json:"schedule"`
	Next   time.Time `json:"next_run_at,omitzero"` // the scheduled time served next; zero: none
	// Running is since when this process has been at it; zero: it is not.
	Running time.Time `json:"running_since,omitzero"`
	// Last is the last run that has ended, whoever ran it; nil: none.
	Last *RunRecord `json:"last,omitempty"`
	// LastSuccess is the end of the last run that ended well: success, noop, or skipped because the job
	// itself found it needless. A run that was skipped because it overlapped or its objects were busy does not count.
	LastSuccess time.Time `json:"last_success_at,omitzero"`
	// Counts are this process's runs by outcome.
	Counts map[Outcome]int64 `json:"counts,omitempty"`
}

// Observer is told of each run of this process when it has ended, also of those skipped by the runner, and from
// several goroutines at once. It must not block.
type Observer interface {
	Finished(task Task, r Result, err error, d time.Duration)
}

// Report is how one run ended.
type Report struct {
	Task     Task
	Run      int64 // in the ledger; 0: it is not there
	Result   Result
	Err      error
	Started  time.Time
	Duration time.Duration
}

// Status returns one entry for each task, in the order in which they run when they are due together.
func (r *Runner) Status() []TaskStatus {
	now := r.opt.Clock.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]TaskStatus, len(r.status))
	for i, s := range r.status {
		s.Counts = maps.Clone(s.Counts)
		if s.Next.IsZero() && r.schedules[i] != nil {
			s.Next = r.schedules[i].Next(now)
		}
		out[i] = s
	}
	return out
}

// History returns the status as the ledger has it, for a process that runs nothing. A database without a ledger has none.
func (r *Runner) History(ctx context.Context) ([]TaskStatus, error) {
	all, err := r.ledger.histories(ctx, r.tasks)
	if err != nil && !pg.Is(err, pg.UndefinedTable, pg.InvalidSchemaName) {
		return nil, err
	}
	r.learn(all)
	return r.Status(), nil
}

// Leadership tells where this process stands among the daemons of the database.
func (r *Runner) Leadership() leader.Status { return r.candidate.Status() }

// learn takes over what the ledger says.
func (r *Runner) learn(all []history) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, h := range all {
		s := &r.status[i]
		if h.last != nil && (s.Last == nil || h.last.ID == s.Last.ID || h.last.Started.After(s.Last.Started)) {
			s.Last = h.last
		}
		if h.good.After(s.LastSuccess) {
			s.LastSuccess = h.good
		}
	}
}

// count notes a run of this process that has ended.
func (r *Runner) count(task int, rec RunRecord, good bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.status[task]
	s.Counts[rec.Outcome]++
	s.Last = &rec
	if good {
		s.LastSuccess = rec.Finished
	}
}

// setNext notes when each task is due next, for as long as this process leads; nil: it does not.
func (r *Runner) setNext(tt *timetable, q *queue) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.status {
		r.status[i].Next = time.Time{}
		if tt == nil {
			continue
		}
		if r.status[i].Next = q.since(i); r.status[i].Next.IsZero() {
			r.status[i].Next = tt.next[i]
		}
	}
}
