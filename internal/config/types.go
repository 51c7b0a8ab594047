package config

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/robfig/cron/v3"
)

// Pos is a place in a source file; Line and Column count from 1, and are 0 when the whole file is meant.
type Pos struct {
	File         string
	Line, Column int
}

func (p Pos) String() string {
	if p.File == "" {
		return ""
	}
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Table names a relation; Schema is never empty after loading.
type Table struct {
	Schema, Name string
}

func (t Table) String() string { return t.Schema + "." + t.Name }

// Env is one `env` block of atlas.hcl, validated: what it says is possible, though not yet held
// against the database.
type Env struct {
	Name    string
	File    string   // the file it was read from; empty when only flags were given
	URL     string   // the target; may carry a password: print it with pg.Redact only
	DevURL  string   // where scratch databases may be made; empty: the target's server
	Schemas []string // managed schemas
	// SchemasGiven is false when the file named none: then the schemas are public and those the sources create.
	SchemasGiven bool
	Exclude      []Pattern // left alone
	Sources      []Source  // in the order written
	Ignored      []Note    // what the file says to the atlas CLI only, by place; plan prints it

	Daemon     Daemon
	Partitions []Partition
	Archives   []Archive // both forms: inside a partition block, and of a table that is not partitioned
	Refreshes  []Refresh // by name; Views has those of refresh "*" as well
	Every      *Every    // refresh "*"; nil: the file has none
	IO         *IO       // nil: the file has no io block
	Jobs       []SQLJob
	Checks     []SQLCheck
	// CheckLimits are what the file says of checks that pgtender brings, by name; ask Limits.
	CheckLimits map[string]CheckLimits
}

// Note names a block or attribute of the atlas CLI that is accepted and has no effect here.
type Note struct {
	Pos    Pos
	Name   string // as in the file, such as "lint" or "schema.repo"
	Reason string
}

// Source is one entry of schema.src: a .hcl or .sql file, or a folder of them.
type Source struct {
	Path string // made absolute against the folder of atlas.hcl
	Raw  string // as written
	Pos  Pos
}

// ApplyMode says what the daemon does with a difference.
type ApplyMode string

// What the daemon applies by itself.
const (
	ApplySafe ApplyMode = "safe" // statements without a hazard
	ApplyOff  ApplyMode = "off"
)

// Daemon holds the settings of `pgtender run`.
type Daemon struct {
	Listen   string         // host:port
	Location *time.Location // cron schedules and partition boundaries; never nil
	Apply    ApplyMode
	History  Interval // how long the run ledger is kept
	Pos      Pos
}

// Schedule is a validated cron expression in the daemon's time zone.
type Schedule struct {
	Text string
	cron.Schedule
	Pos Pos
}

// Unit is the width of one partition.
type Unit string

// Widths of a partition.
const (
	Day     Unit = "day"
	Week    Unit = "week" // ISO week, from Monday
	Month   Unit = "month"
	Quarter Unit = "quarter"
	Year    Unit = "year"
)

// Partition keeps the partitions of one table ahead of the server's clock.
type Partition struct {
	Table    Table
	Interval Unit
	Ahead    int // whole intervals after the current one
	Schedule Schedule
	Archive  *Archive // nil: none; otherwise also in Env.Archives
	Pos      Pos
}

// Granularity says what an archive run moves.
type Granularity string

// What an archive run moves.
const (
	ByPartition Granularity = "partition" // whole partitions only
	ByRow       Granularity = "row"       // also single rows: those of the straddling month, or of a plain table
)

// Referenced says what happens when foreign keys of other tables point to an archived one.
type Referenced string

// What happens when foreign keys point to an archived table.
const (
	ReferencedRefuse Referenced = "refuse" // nothing is archived
	ReferencedWait   Referenced = "wait"   // by rows; a row that others point to stays until they are archived or gone
)

// Archive moves what is older than After out of Table into Into.
type Archive struct {
	Table       Table
	Into        Table
	Column      string // the time column of a table that is not partitioned; empty inside a partition block
	Partitioned bool   // declared inside a partition block
	Interval    Unit   // of the partition block; of the archive's own partitions; empty for a plain table
	After       Interval
	Schedule    Schedule
	Granularity Granularity
	// KeepForeignKeys: archived rows keep the foreign keys of the live ones, so a CASCADE reaches them.
	KeepForeignKeys bool
	Referenced      Referenced
	FireTriggers    bool     // the live table's DELETE triggers may fire for each row that is moved
	DropAfter       Interval // archived partitions older than this are dropped; zero: never. The file said allow_data_loss.
	Pos             Pos
}

// RefreshWhen says whether a refresh may be skipped when it is proved needless.
type RefreshWhen string

// When a refresh is made.
const (
	RefreshAlways RefreshWhen = "always"
	RefreshAuto   RefreshWhen = "auto"
)

// Refresh keeps one materialised view fresh.
type Refresh struct {
	View         Table
	Schedule     Schedule
	When         RefreshWhen
	MaxStaleness Interval // zero: none
	Concurrently bool     // default true
	Covered      bool     // by refresh "*", not by a block of its own
	Pos          Pos
}

// Every is refresh "*": the policy of every materialised view that has none of its own. Which these are, the database and the
// declared schema say; see Env.Cover.
type Every struct {
	Policy  Refresh // its View is empty
	covered atomic.Pointer[[]Refresh]
}

// Views are the policies of all views, sorted by name. Those of refresh "*" are among them once Cover was called.
func (e *Env) Views() []Refresh {
	if e.Every != nil {
		if all := e.Every.covered.Load(); all != nil {
			return *all
		}
	}
	return e.Refreshes
}

// HasViews tells whether any view has a policy, or may get one.
func (e *Env) HasViews() bool { return len(e.Refreshes) > 0 || e.Every != nil }

// Cover extends refresh "*" to those of the views that are managed, not excluded, and have no block of their own. Only the first
// call counts: what a process works on does not change under its hands.
func (e *Env) Cover(views []Table) {
	if e.Every == nil {
		return
	}
	all := slices.Clone(e.Refreshes)
	for _, view := range views {
		own := func(r Refresh) bool { return r.View == view }
		if e.untouchable(view) == "" && !slices.ContainsFunc(all, own) {
			r := e.Every.Policy
			r.View, r.Covered = view, true
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b Refresh) int { return compareTables(a.View, b.View) })
	e.Every.covered.CompareAndSwap(nil, &all)
}

// IOMode says how far the io job may go.
type IOMode string

// How far the io job goes.
const (
	IOObserve   IOMode = "observe"
	IORecommend IOMode = "recommend"
	IOApply     IOMode = "apply"
)

// IO is the asynchronous I/O policy of the server.
type IO struct {
	Mode       IOMode
	Schedule   Schedule
	MaxWorkers int // the most that io_workers is tried with; 0: by the server's cores
	Pos        Pos
}

// SQLJob is an own job: one SQL statement on a schedule.
type SQLJob struct {
	Name     string
	Schedule Schedule
	SQL      string
	Timeout  time.Duration // 0: the default
	Pos      Pos
}

// SQLCheck is an own check: SQL that yields one number, or (object, number) rows.
type SQLCheck struct {
	Name              string
	SQL               string
	Warning, Critical *float64
	Off               bool // it is not to be run
	Pos               Pos
}
