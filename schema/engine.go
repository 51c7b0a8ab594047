package schema

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/schema/apply"
	"github.com/pgtender/pgtender/schema/catalog"
	"github.com/pgtender/pgtender/schema/desired"
	"github.com/pgtender/pgtender/schema/plan"
)

// Desired says what is declared.
type Desired interface {
	Load(ctx context.Context) (*desired.Result, error)
	// LoadBefore is Load with Result.Before, which is without the pending renames.
	LoadBefore(ctx context.Context, pending []catalog.Rename) (*desired.Result, error)
}

// Sources are the Desired of an env block: they are loaded each time they are asked for.
type Sources desired.Options

// Load loads the sources into a scratch database and reads it.
func (s Sources) Load(ctx context.Context) (*desired.Result, error) {
	return desired.Load(ctx, desired.Options(s))
}

// LoadBefore loads the sources, and reads them under the names before the renames too.
func (s Sources) LoadBefore(ctx context.Context, pending []catalog.Rename) (*desired.Result, error) {
	o := desired.Options(s)
	o.Pending = pending
	return desired.Load(ctx, o)
}

// Engine brings one database to what is declared. It is not for concurrent use.
type Engine struct {
	url      string
	desired  Desired
	log      *zap.Logger
	declared *desired.Result // the last one loaded
	memory   *memory         // what the database remembers of it
}

// New returns the engine of an env block.
func New(env *config.Env, log *zap.Logger) *Engine {
	return NewFrom(env.URL, Sources(desired.FromEnv(env, log)), log)
}

// NewFrom returns an engine for the database at url; log may be nil.
func NewFrom(url string, d Desired, log *zap.Logger) *Engine {
	if log == nil {
		log = zap.NewNop()
	}
	return &Engine{url: url, desired: d, log: log, memory: &memory{log: log}}
}

// Drift is how a database differs from what is declared.
type Drift struct {
	Differences []catalog.Difference
	Unmanaged   []catalog.Unmanaged // met in the database, not compared
	LeftAlone   []string
}

// Foreign are the objects within the managed schemas that pgtender can neither compare nor plan: the database differs by them, until they
// are excluded by name.
func (d *Drift) Foreign() []catalog.Unmanaged {
	return slices.DeleteFunc(slices.Clone(d.Unmanaged), func(u catalog.Unmanaged) bool { return u.Outside })
}

// Names are the objects by which the database differs: those that can be planned, then those that cannot.
func (d *Drift) Names() []string {
	var names []string
	for _, diff := range d.Differences {
		names = append(names, diff.Key.String())
	}
	for _, u := range d.Foreign() {
		names = append(names, u.String())
	}
	return names
}

// Drift compares the database with the sources and changes neither.
func (e *Engine) Drift(ctx context.Context) (*Drift, error) {
	live, declared, err := e.both(ctx)
	if err != nil {
		return nil, err
	}
	o, err := e.options(ctx, live)
	if err != nil {
		return nil, err
	}
	if o.Before != nil {
		declared = o.Before
	}
	differences := catalog.Diff(live, declared)
	for _, r := range o.Renames {
		differences = append(differences, r.Difference())
	}
	return &Drift{differences, live.Unmanaged, live.LeftAlone}, nil
}

// Plan plans the way from the database to the sources and changes neither. An *plan.UnplannedError names what
// cannot be planned.
func (e *Engine) Plan(ctx context.Context) (*plan.Plan, error) {
	live, _, err := e.both(ctx)
	if err != nil {
		return nil, err
	}
	return e.make(ctx, live)
}

// make plans from the live snapshot to what was loaded last.
func (e *Engine) make(ctx context.Context, live *catalog.Snapshot) (*plan.Plan, error) {
	o, err := e.options(ctx, live)
	if err != nil {
		return nil, err
	}
	return plan.Make(live, e.declared.Snapshot, o)
}

// options finds out which of the declared renames the database has still to see.
func (e *Engine) options(ctx context.Context, live *catalog.Snapshot) (plan.Options, error) {
	o := plan.Options{Database: pg.Redact(e.url)}
	pending, err := e.declared.Pending(live)
	if err != nil || len(pending) == 0 {
		return o, err
	}
	result, err := e.desired.LoadBefore(ctx, pending)
	if err != nil {
		return o, err
	}
	if result.Snapshot.Fingerprint() != e.declared.Snapshot.Fingerprint() {
		return o, errors.New("the sources were changed while they were read: try again; a daemon takes them up when it is started again")
	}
	o.Renames, o.Before = pending, result.Before
	return o, nil
}

// ApplyOptions say how a plan is run. Package apply tells what the fields mean.
type ApplyOptions struct {
	AllowHazards []plan.HazardName
	Patience     pg.Patience
	Builds       pg.Patience
	RunnerWait   time.Duration
	Instance     string
	Progress     func(apply.Event)
}

// runnerWait is how long another runner is waited for unless the caller says otherwise. One that was killed a moment ago
// may hold its lock until the server has noticed.
const runnerWait = 10 * time.Second

// OtherDatabaseError is a plan made for another database. Nothing was changed.
type OtherDatabaseError struct{ Plan, Target string }

func (e *OtherDatabaseError) Error() string {
	return fmt.Sprintf("the plan was made for %s, and this is %s. Nothing was changed. Make one for this database: pgtender plan", e.Plan, e.Target)
}

// Apply runs a plan that this engine, or an earlier one, has made for this database, and proves the result.
func (e *Engine) Apply(ctx context.Context, p *plan.Plan, o ApplyOptions) (apply.Report, error) {
	if here := pg.Redact(e.url); p.Database != "" && databaseOf(p.Database) != databaseOf(here) {
		return apply.Report{}, &OtherDatabaseError{p.Database, here}
	}
	return e.apply(ctx, p, o, false)
}

// SafeApply is what the daemon does with apply = "safe": it plans, and runs the statements that have no hazard and do not
// hang on one that has. What it left is in the report; that is no error.
func (e *Engine) SafeApply(ctx context.Context, o ApplyOptions) (apply.Report, error) {
	p, err := e.Plan(ctx)
	if err != nil {
		return apply.Report{}, err
	}
	if p.Empty() {
		return apply.Report{Already: true}, nil
	}
	return e.apply(ctx, p, o, true)
}

func (e *Engine) apply(ctx context.Context, p *plan.Plan, o ApplyOptions, safeOnly bool) (apply.Report, error) {
	// A plan made by this engine is verified against what it was made from, even if the files have changed since.
	if e.declared == nil || e.declared.Snapshot.Fingerprint() != p.To {
		if err := e.Load(ctx); err != nil {
			return apply.Report{}, err
		}
	}
	if o.RunnerWait == 0 {
		o.RunnerWait = runnerWait
	}
	report, err := apply.Run(ctx, apply.Options{
		URL: e.url, Plan: p, Declared: e.declared.Snapshot, Scope: e.declared.Scope, Remake: e.make,
		AllowHazards: o.AllowHazards, SafeOnly: safeOnly, Patience: o.Patience, Builds: o.Builds,
		RunnerWait: o.RunnerWait, Instance: o.Instance, Progress: o.Progress,
	})
	if err == nil {
		e.Remember(ctx)
	}
	return report, err
}

// Remember is for whoever applies, or had nothing to apply. It has the database remember what the sources declare, if pgtender's schema is
// there and this role may write to it, so that others can compare without a scratch database; and it completes plans in the journal
// that were killed before they could do so.
func (e *Engine) Remember(ctx context.Context) {
	if e.declared == nil {
		return
	}
	conn, err := pg.Dedicated(ctx, e.url, "")
	if err != nil {
		e.log.Debug("that the database is as declared is not noted there", zap.Error(err))
		return
	}
	defer func() { conn.Close(context.WithoutCancel(ctx)) }()
	if err := apply.Conclude(ctx, conn, e.declared.Snapshot.Fingerprint()); err != nil {
		e.log.Debug("plans that were killed stay open in the journal", zap.Error(err))
	}
	if e.memory.key == "" || e.memory.found {
		return
	}
	if err := e.memory.remember(ctx, conn, e.declared); err != nil {
		e.log.Debug("the sources will have to be loaded again", zap.Error(err))
	}
}

// Declared is what the last loading found declared; nil before the first.
func (e *Engine) Declared() *catalog.Snapshot {
	if e.declared == nil {
		return nil
	}
	return e.declared.Snapshot
}

// Ignored are the files and folders beside the sources that the last loading did not read.
func (e *Engine) Ignored() []string {
	if e.declared == nil {
		return nil
	}
	return e.declared.Ignored
}

// Load finds out what is declared: as the database remembers it, or from the sources.
func (e *Engine) Load(ctx context.Context) error {
	return e.connected(ctx, func(conn *pgx.Conn) error { return e.load(ctx, conn) })
}

func (e *Engine) connected(ctx context.Context, f func(conn *pgx.Conn) error) error {
	conn, err := pg.Dedicated(ctx, e.url, "")
	if err != nil {
		return err
	}
	defer func() { conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := pg.Preflight(ctx, conn); err != nil {
		return err
	}
	return f(conn)
}

// both finds out what is declared and reads the database. The database comes first: when it cannot be reached, nothing else
// matters. Its reading is spared when its catalogs have not changed since they equalled what is declared.
func (e *Engine) both(ctx context.Context) (live, declared *catalog.Snapshot, err error) {
	err = e.connected(ctx, func(conn *pgx.Conn) error {
		if err := e.load(ctx, conn); err != nil {
			return err
		}
		declared = e.declared.Snapshot
		stamp, err := catalog.Stamp(ctx, conn)
		if err != nil {
			return err
		}
		if stamp == e.memory.stamp {
			live = e.memory.spared(declared)
			return nil
		}
		if live, err = read(ctx, conn, e.declared.Scope); err == nil && live.Fingerprint() == declared.Fingerprint() {
			e.memory.note(ctx, conn, stamp, live)
		}
		return err
	})
	return live, declared, err
}

func (e *Engine) load(ctx context.Context, conn *pgx.Conn) error {
	memo, _ := e.desired.(*Memo)
	if memo == nil || memo.Loaded() == nil {
		var remembered *desired.Result
		if e.memory, remembered = recall(ctx, conn, e.desired, e.log); remembered != nil {
			e.declared = remembered
			if memo != nil {
				memo.seed(remembered)
			}
			return nil
		}
	}
	result, err := e.desired.Load(ctx)
	if err != nil {
		return err
	}
	for _, path := range result.Ignored {
		e.log.Debug("not a source, not read", zap.String("path", path))
	}
	e.declared = result
	return nil
}

// read reads the catalog, trying again while somebody holds a strong lock on what it prints.
func read(ctx context.Context, conn *pgx.Conn, scope catalog.Scope) (*catalog.Snapshot, error) {
	var out *catalog.Snapshot
	patience := pg.Gentle
	err := patience.Do(ctx, func() error {
		s, err := catalog.ReadDatabase(ctx, conn, scope, int(patience.LockTimeout.Milliseconds()))
		out = s
		return err
	})
	return out, err
}

// databaseOf is a redacted connection string without the user: the same database under another role is the same.
func databaseOf(redacted string) string {
	if _, after, ok := strings.Cut(redacted, "@"); ok {
		return after
	}
	return redacted
}
