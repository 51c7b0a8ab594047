package asyncio

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/robfig/cron/v3"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/jobs"
)

// JobName is the job's name in the ledger, the metrics and on the command line.
const JobName = "io"

// order is the job's place among runs due at the same moment: after what moves data.
const order = 40

// Options are what the task works with.
type Options struct {
	Pool *pgxpool.Pool
	URL  string // of the same database: the tuner has a session of its own
	// Samples and Every say how long a run watches; zero: ten samples, a second apart.
	Samples int
	Every   time.Duration
	Pace    Pace // of trials
	// Unfinished adds the task though the file has no io block: a trial was left in the middle, and nobody else would put it back.
	Unfinished bool

	open func(ctx context.Context, url string) (*hand, error) // the tests' own
}

func (o Options) withDefaults() Options {
	if o.Samples == 0 {
		o.Samples = minSamples
	}
	if o.Every == 0 {
		o.Every = time.Second
	}
	if o.open == nil {
		o.open = dedicatedHand
	}
	o.Pace = o.Pace.withDefaults()
	return o
}

// Unfinished tells whether the journal has a trial that was left in the middle.
func Unfinished(ctx context.Context, db pg.Querier) bool {
	open, err := readChanges(ctx, db, " AND state = 'begun' LIMIT 1")
	return err == nil && len(open) > 0
}

// Tasks returns the io job, or nothing when the file has no io block.
func Tasks(env *config.Env, o Options) []jobs.Task {
	policy := config.IO{Mode: config.IOObserve}
	switch {
	case env.IO != nil:
		policy = *env.IO
	case !o.Unfinished:
		return nil
	}
	t := &tuner{Options: o.withDefaults(), policy: policy}
	return []jobs.Task{t.task(t.run)}
}

// ApplyTask is one run of the io job that may change settings, whatever mode the file says, for a person at a shell. want, "name=value", is
// tried at once; without it, what the evidence asks for.
func ApplyTask(policy *config.IO, want string, o Options) (jobs.Task, error) {
	t := &tuner{Options: o.withDefaults(), policy: config.IO{Mode: config.IOApply}, byHand: true}
	if policy != nil {
		t.policy.MaxWorkers = policy.MaxWorkers
	}
	if want != "" {
		name, value, ok := cutWish(want)
		if !ok {
			return jobs.Task{}, fmt.Errorf("%q: write the setting and the value to try, such as io_workers=8", want)
		}
		t.want = &candidate{setting: strings.ToLower(name), to: value, why: "asked for at a shell"}
	}
	return t.task(t.run), nil
}

// RevertTask puts back what trials have kept: the last change, or all of them.
func RevertTask(all bool, o Options) jobs.Task {
	t := &tuner{Options: o.withDefaults(), byHand: true}
	return t.task(func(ctx context.Context, run *jobs.Run) (jobs.Result, error) { return t.revert(ctx, run, all) })
}

// tuner is the io job.
type tuner struct {
	Options
	policy config.IO
	want   *candidate
	byHand bool // a person waits for it: what cannot be done is an error
}

func (t *tuner) task(run func(context.Context, *jobs.Run) (jobs.Result, error)) jobs.Task {
	timeout := time.Duration(t.Samples)*t.Every + time.Minute
	if t.policy.Mode == config.IOApply {
		timeout += t.Pace.longest()
	}
	var schedule cron.Schedule = t.policy.Schedule
	spec := t.policy.Schedule.Text
	if spec == "" { // of no file
		schedule, spec = cron.Every(time.Hour), "@hourly"
	}
	return jobs.Task{
		Job: JobName, Schedule: schedule, Spec: spec, Order: order, AtStart: true,
		Timeout: timeout, Locks: []string{"io settings"}, Run: run,
	}
}

// Report is a look at the server with what follows from it, for the job and for `pgtender io`.
type Report struct {
	Status   *Status   `json:"status"`
	Evidence *Evidence `json:"evidence"`
	Advice   []Advice  `json:"advice"`
	// Journal is what was changed by pgtender, newest first.
	Journal []Change `json:"journal"`
	// Local is there when the server runs on this machine.
	Local *Local `json:"local,omitempty"`
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
	journal, err := Journal(ctx, o.Pool, 20)
	if err != nil {
		return nil, err
	}
	local, err := FindLocal(ctx, o.Pool)
	if err != nil {
		return nil, err
	}
	r := &Report{Status: s, Evidence: e, Advice: Recommend(s, e), Journal: journal, Local: local}
	for i := range r.Advice {
		if err := r.Advice[i].preflight(ctx, r); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// run looks, says what follows, and in apply mode tries what the evidence asks for.
func (t *tuner) run(ctx context.Context, run *jobs.Run) (jobs.Result, error) {
	if !run.DryRun && Unfinished(ctx, t.Pool) {
		if err := t.withHand(ctx, func(h *hand) error { _, err := h.reconcile(ctx, run.Say); return err }); err != nil {
			return jobs.Result{}, err
		}
	}
	report, err := Look(ctx, t.Options)
	if err != nil {
		return jobs.Result{}, err
	}
	result := jobs.Result{Outcome: jobs.Noop, Detail: map[string]any{
		"mode": string(t.policy.Mode), "settings": inForce(report.Status), "evidence": report.Evidence,
	}}
	switch t.policy.Mode {
	case config.IOObserve:
		result.Summary = "observed: " + report.Evidence.String()
	case config.IOApply:
		return t.tune(ctx, run, report, result)
	default:
		recommend(run, report, &result)
	}
	return result, nil
}

func recommend(run *jobs.Run, report *Report, result *jobs.Result) {
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
}

// tune makes one trial at most.
func (t *tuner) tune(ctx context.Context, run *jobs.Run, report *Report, result jobs.Result) (jobs.Result, error) {
	refusal := report.Status.mayTune()
	if t.want != nil && refusal == nil {
		refusal = t.wish(report.Status)
	}
	if refusal != nil {
		if t.byHand {
			return result, fmt.Errorf("nothing was changed: %w%s", refusal, t.unfinished(ctx))
		}
		recommend(run, report, &result)
		result.Detail["refused"] = refusal
		result.Summary = "only recommending, as " + strings.TrimRight(oneLine(refusal.Error()), ";") + ". " + result.Summary
		return result, nil
	}
	if run.DryRun {
		return t.rehearse(ctx, run, report, result)
	}
	err := t.withHand(ctx, func(h *hand) error {
		c, why, err := t.pick(ctx, h, report)
		if err != nil {
			return err
		}
		if c == nil {
			recommend(run, report, &result)
			result.Summary = "nothing to try: " + why + "; " + report.Evidence.String()
			return nil
		}
		trial, err := h.try(ctx, t.Pace, run.ID, *c, run.Say)
		if err != nil && Unfinished(context.WithoutCancel(ctx), t.Pool) { // the session may be dead, and not the server
			err = errors.Join(err, t.rescue(ctx, run))
		}
		result.Detail["trial"] = trial
		if trial != nil {
			result.Outcome, result.Summary = told(trial)
		}
		return err
	})
	var rival *RivalError
	if errors.As(err, &rival) && !t.byHand {
		result.Outcome, result.Summary = jobs.Skipped, rival.Error()
		return result, nil
	}
	return result, err
}

// rescue puts back in a new session what the trial's own could not.
func (t *tuner) rescue(ctx context.Context, run *jobs.Run) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoWait)
	defer cancel()
	h, err := t.open(ctx, t.URL) // not registered as the tuner: the dead session may still be seen
	if err != nil {
		return err
	}
	defer h.close()
	_, err = h.reconcile(ctx, run.Say)
	return err
}

// unfinished says what an interrupted trial has left, or nothing.
func (t *tuner) unfinished(ctx context.Context) string {
	open, err := readChanges(ctx, t.Pool, " AND state = 'begun' ORDER BY id DESC")
	if err != nil || len(open) == 0 {
		return ""
	}
	return "\n" + open[0].left()
}

func told(t *Trial) (jobs.Outcome, string) {
	switch {
	case t.Kept:
		return jobs.Success, fmt.Sprintf("kept %s = %s instead of %s: %s", t.Setting, t.To, t.From, t.Verdict.Reason)
	case t.Alarm != "":
		return jobs.Noop, fmt.Sprintf("tried %s = %s and put %s back: %s", t.Setting, t.To, t.From, t.Alarm)
	case len(t.Pairs) == 0:
		return jobs.Skipped, fmt.Sprintf("%s = %s was not tried: %s", t.Setting, t.To, t.Verdict.Reason)
	}
	reason := t.Verdict.Reason
	if len(t.Pairs) > t.Verdict.Pairs {
		reason += "; of the others: " + t.Pairs[len(t.Pairs)-1].unfitOr("one was not usable")
	}
	return jobs.Noop, fmt.Sprintf("tried %s = %s and put %s back: %s", t.Setting, t.To, t.From, reason)
}

func (p Pair) unfitOr(other string) string {
	if p.Unfit != "" {
		return p.Unfit
	}
	return other
}

// pick is the wish, or what the evidence asks for.
func (t *tuner) pick(ctx context.Context, h *hand, report *Report) (*candidate, string, error) {
	if t.want != nil {
		return t.want, "", nil
	}
	c, why, err := h.choose(ctx, report.Status, report.Evidence, t.maxWorkers(report.Local))
	if c == nil && why == "" {
		why = "the evidence asks for no change"
	}
	return c, why, err
}

func (t *tuner) rehearse(ctx context.Context, run *jobs.Run, report *Report, result jobs.Result) (jobs.Result, error) {
	recommend(run, report, &result)
	if left := t.unfinished(ctx); left != "" {
		run.Say("%s", strings.TrimSpace(left))
	}
	c := t.want
	if c == nil {
		all := candidates(report.Status, report.Evidence, nil, t.maxWorkers(report.Local))
		if len(all) == 0 {
			return result, nil
		}
		c = &all[0]
	}
	result.Summary = fmt.Sprintf("would try %s = %s for at most %s: %s", c.setting, c.to, t.Pace.longest().Round(time.Second), c.why)
	return result, ctx.Err()
}

// maxWorkers is what the file says, or four for each core of the server where they can be counted.
func (t *tuner) maxWorkers(l *Local) int {
	switch {
	case t.policy.MaxWorkers > 0:
		return t.policy.MaxWorkers
	case l != nil:
		return workersPerCore * l.Cores
	}
	return defaultMaxWorkers
}

// wish checks a setting and value that a person named.
func (t *tuner) wish(s *Status) *Refusal {
	if r := Forbidden(s, t.want.setting); r != nil {
		return r
	}
	if r := s.mayChange(t.want.setting); r != nil {
		return r
	}
	setting := s.Setting(t.want.setting)
	value, err := setting.canonical(t.want.to)
	if err != nil {
		return &Refusal{Reason: err.Error()}
	}
	t.want.to = value
	if setting.Value == t.want.to {
		return &Refusal{Reason: fmt.Sprintf("%s is %s already", t.want.setting, t.want.to)}
	}
	return nil
}

func (t *tuner) withHand(ctx context.Context, f func(h *hand) error) error {
	h, err := openHand(ctx, t.Options)
	if err != nil {
		return err
	}
	defer h.close()
	return f(h)
}

func inForce(s *Status) map[string]string {
	out := map[string]string{}
	for _, t := range s.Settings {
		out[t.Name] = t.Effective
	}
	return out
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
