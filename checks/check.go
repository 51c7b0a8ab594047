// Package checks looks at the health of the database and of pgtender's own work, one file a check,
// in the background, and keeps the last answers in memory for whoever asks: a scrape, the status page, `pgtender check`.
package checks

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Status is the state of one object under one check.
type Status int

// The states; the numbers are the metric's values and the exit codes of `pgtender check`.
const (
	OK Status = iota
	Warning
	Critical
	Unknown
)

func (s Status) String() string { return [...]string{"ok", "warning", "critical", "unknown"}[s] }

// Finding is one object's state.
type Finding struct {
	Object  string  `json:"object"` // "public.training_records", or "" for the database
	Status  Status  `json:"status"`
	Value   float64 `json:"value"`
	Message string  `json:"message"`          // what is the case
	Remedy  string  `json:"remedy,omitempty"` // SQL or a command
}

// Check is one question to the database.
type Check struct {
	Name     string // label-safe: partition_runway
	Group    string // partitions, archive, views, schema, sessions, own
	Unit     string // of Value: seconds, rows, ratio …
	Every    time.Duration
	Deadline time.Duration
	// Run reads within a read-only transaction that has a lock_timeout and a statement_timeout.
	Run func(ctx context.Context, tx pgx.Tx) ([]Finding, error)
}
