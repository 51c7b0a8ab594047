package asyncio

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/jobs"
)

// JobName is the job's name in the ledger, the metrics and on the command line.
const JobName = "io"

// order is the job's place among runs due at the same moment: after what moves data.
const order = 40

// ErrNotSupported is what changing settings comes to in this version.
var ErrNotSupported = errors.New("changing I/O settings is not supported yet; pgtender io recommend prints the SQL to run by hand. Nothing was changed")

// Validate refuses an io policy that this version cannot carry out, by its place in the file.
func Validate(env *config.Env) error {
	if env.IO == nil || env.IO.Mode != config.IOApply {
		return nil
	}
	return fmt.Errorf(`%s: io mode "apply": %w. Write mode = "recommend"`, env.IO.Pos, ErrNotSupported)
}

// Apply would try settings on the server and keep what proves better. Not supported yet: it changes nothing and returns ErrNotSupported.
func Apply(context.Context, *pgxpool.Pool) error { return fmt.Errorf("io apply: %w", ErrNotSupported) }

// Revert would put back what Apply changed. Not supported yet: it changes nothing and returns ErrNotSupported.
func Revert(context.Context, *pgxpool.Pool) error {
	return fmt.Errorf("io revert: %w", ErrNotSupported)
}

// Options are what the task works with.
type Options struct {
	Pool *pgxpool.Pool
	// Samples and Every say how long a run watches; zero: ten samples, a second apart.
	Samples int
	Every   time.Duration
}

func (o Options) withDefaults() Options {
	if o.Samples == 0 {
		o.Samples = minSamples
	}
	if o.Every == 0 {
		o.Every = time.Second
	}
	return o
}

// Tasks returns the io job, or nothing when the file has no io block.
func Tasks(env *config.Env, o Options) []jobs.Task {
	if env.IO == nil {
		return nil
	}
	o = o.withDefaults()
	policy := *env.IO
	return []jobs.Task{{
		Job: JobName, Schedule: policy.Schedule, Spec: policy.Schedule.Text, Order: order,
		Timeout: time.Duration(o.Samples)*o.Every + time.Minute, Locks: []string{"io settings"},
		Run: func(ctx context.Context, run *jobs.Run) (jobs.Result, error) {
			if err := Validate(env); err != nil {
				return jobs.Result{}, err
			}
			return look(ctx, o, policy.Mode, run)
		},
	}}
}

// Report is a look at the server with what follows from it, for the job and for `pgtender io`.
type Report struct {
	Status   *Status   `json:"status"`
	Evidence *Evidence `json:"evidence"`
	Advice   []Advice  `json:"advice"`
}

// Look reads the settings, watches the server for a while, and judges.
func Look(ctx context.Context, o Options) (*Report, error) {
	o = o.withDefaults()
	s, err := Read(ctx, o.Pool)
	if err != nil {
		return nil, err
	}
	e, err := Observe(ctx, o.Pool, o.Samples, o.Every)
	if err != nil {
		return nil, err
	}
	return &Report{Status: s, Evidence: e, Advice: Recommend(s, e)}, nil
}

func look(ctx context.Context, o Options, mode config.IOMode, run *jobs.Run) (jobs.Result, error) {
	report, err := Look(ctx, o)
	if err != nil {
		return jobs.Result{}, err
	}
	result := jobs.Result{Outcome: jobs.Noop, Detail: map[string]any{
		"mode": string(mode), "settings": inForce(report.Status), "evidence": report.Evidence,
	}}
	if mode == config.IOObserve {
		result.Summary = "observed: " + report.Evidence.String()
		return result, nil
	}
	result.Detail["advice"] = report.Advice
	var due []string
	for _, a := range report.Advice {
		run.Say("%s %s: %s", a.Weight, a.Setting, a.Reason)
		if a.Weight != Note {
			due = append(due, a.Setting)
		}
	}
	result.Summary = "nothing to change; " + report.Evidence.String()
	if len(due) > 0 {
		result.Summary = fmt.Sprintf("advice on %s (see: pgtender io recommend); %s", strings.Join(due, ", "), report.Evidence)
	}
	return result, nil
}

func inForce(s *Status) map[string]string {
	out := map[string]string{}
	for _, t := range s.Settings {
		out[t.Name] = t.Effective
	}
	return out
}
