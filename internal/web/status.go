package web

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/pgtender/pgtender/checks"
	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/overview"
)

// Source is where the status comes from. Every function answers from memory; a nil one leaves its part empty.
type Source struct {
	Version  string
	Env      *config.Env
	Now      func() time.Time // nil: time.Now
	Results  func() []checks.Result
	Database func() Database
	Leader   func() Leader
	Jobs     func() []Job
	Ready    func() []Condition
	Drift    func() checks.Drift
	Overview func() overview.Reading
}

// Status is what /status.json has, and /status shows. Fields are added, never changed; what is not known is null. docs/status.md
// describes each, and a test compares.
type Status struct {
	Version  string            `json:"version"`
	Env      string            `json:"env,omitempty"`
	Now      time.Time         `json:"now"`
	Status   string            `json:"status"` // the worst of wrong
	Ready    bool              `json:"ready"`
	Missing  []string          `json:"missing,omitempty"` // what keeps it from being ready
	Database Database          `json:"database"`
	Leader   Leader            `json:"leader"`
	Wrong    []Trouble         `json:"wrong"` // the worst first
	Checks   checks.Report     `json:"checks"`
	Tables   []Table           `json:"tables"` // of partition and archive policies
	Jobs     []Job             `json:"jobs"`
	Views    []View            `json:"views"` // of refresh policies
	IOMethod string            `json:"io_method,omitempty"`
	IO       []Setting         `json:"io"`
	Changes  []overview.Change `json:"io_changes"` // the last entries of the journal, the newest first
	Schema   Schema            `json:"schema"`
	Read     Reads             `json:"read"` // how old the parts are that checks do not bring
}

// Database is the target.
type Database struct {
	URL       string    `json:"url"` // without password
	Version   string    `json:"server_version,omitempty"`
	Standby   bool      `json:"standby"`
	Connected bool      `json:"connected"` // at the last try
	Answered  time.Time `json:"last_answer_at,omitzero"`
	Problem   string    `json:"problem,omitempty"`
}

// Leader is where this process stands among the daemons of its database.
type Leader struct {
	Leading bool      `json:"leading"`
	State   string    `json:"state"` // connecting, standby, leading
	Since   time.Time `json:"since,omitzero"`
	Why     string    `json:"why,omitempty"` // why not, or the last problem
}

// Job is one job on one target.
type Job struct {
	Job         string         `json:"job"`
	Target      string         `json:"target,omitempty"`
	Schedule    string         `json:"schedule"`
	Next        time.Time      `json:"next_run_at,omitzero"`
	Running     time.Time      `json:"running_since,omitzero"`
	Outcome     string         `json:"last_outcome,omitempty"` // of the last run that has ended: success, failure, skipped, noop
	Started     time.Time      `json:"last_started_at,omitzero"`
	Finished    time.Time      `json:"last_finished_at,omitzero"`
	Summary     string         `json:"last_summary,omitempty"`
	Error       string         `json:"last_error,omitempty"`
	LastSuccess time.Time      `json:"last_success_at,omitzero"`
	Runs        []overview.Run `json:"runs,omitempty"` // the last ones that ended, the newest first
}

// Table is one table, or branch of one, that a partition or archive policy keeps.
type Table struct {
	Schema       string   `json:"schema"`
	Table        string   `json:"table"`
	Partitions   *float64 `json:"partitions"`
	Runway       *float64 `json:"runway_seconds"` // null too when it has no end
	Endless      bool     `json:"runway_endless"`
	Gaps         *float64 `json:"gaps"`
	DefaultRows  *float64 `json:"default_rows"`
	ArchiveLag   *float64 `json:"archive_lag_seconds"`
	ArchivedRows *float64 `json:"archived_rows"`
	Archive      string   `json:"archive_table,omitempty"`
	Problem      string   `json:"problem,omitempty"`
	Pieces       []Piece  `json:"timeline"`
}

// Piece is one partition, or a range of time that none holds.
type Piece struct {
	State string    `json:"state"` // archived, live, current, ahead, hole, missing, detaching, default
	Name  string    `json:"partition,omitempty"`
	From  time.Time `json:"from,omitzero"`
	To    time.Time `json:"to,omitzero"`
	Rows  *int64    `json:"rows"`
	Exact bool      `json:"rows_exact"` // counted, not estimated
	Bytes *int64    `json:"bytes"`      // with indexes and TOAST, as of the last VACUUM or ANALYZE
}

// View is one materialised view that a refresh policy keeps.
type View struct {
	Schema       string    `json:"schema"`
	View         string    `json:"view"`
	Schedule     string    `json:"schedule"`
	When         string    `json:"when"`
	MaxStaleness string    `json:"max_staleness,omitempty"`
	Age          *float64  `json:"age_seconds"`
	Populated    *bool     `json:"populated"`
	Checked      time.Time `json:"proved_fresh_at,omitzero"`
	Refreshed    time.Time `json:"refreshed_at,omitzero"`
	Rows         *int64    `json:"rows"`
	Bytes        *int64    `json:"bytes"`
	Outcome      string    `json:"last_outcome,omitempty"`
	Summary      string    `json:"last_summary,omitempty"` // of its last refresh

	limit float64 // max_staleness in seconds, for the page; 0: none
}

// Setting is one I/O setting.
type Setting struct {
	Name           string   `json:"name"`
	Value          *float64 `json:"value"` // null: it is no number, or not known
	Text           string   `json:"text,omitempty"`
	Source         string   `json:"source,omitempty"`
	Context        string   `json:"context,omitempty"`
	PendingRestart bool     `json:"pending_restart"`
}

// Schema is the state of the declared schema.
type Schema struct {
	Drift     *float64        `json:"drift_objects"` // null: not compared, or not lately
	Objects   []string        `json:"objects"`       // that differ
	Compared  time.Time       `json:"compared_at,omitzero"`
	Problem   string          `json:"problem,omitempty"` // why the last comparison failed
	LastApply time.Time       `json:"last_apply_at,omitzero"`
	Plans     []overview.Plan `json:"plans"` // the last ones, the newest first
}

// Trouble is one thing that is wrong, or not known.
type Trouble struct {
	What    string   `json:"what"` // the check's name; "job" or "database"
	Object  string   `json:"object,omitempty"`
	Status  string   `json:"status"` // critical, unknown, warning
	Message string   `json:"message"`
	Remedy  string   `json:"remedy,omitempty"`
	Age     *float64 `json:"age_seconds"`    // since it was seen; null: not known
	Also    []string `json:"also,omitempty"` // further checks of which the same is true; of the database: what is not known since
}

// Reads says when each part was read.
type Reads struct {
	Tables   ReadAt `json:"tables"`
	Runs     ReadAt `json:"runs"`
	Views    ReadAt `json:"views"`
	Settings ReadAt `json:"io"`
	Changes  ReadAt `json:"io_changes"`
	Plans    ReadAt `json:"plans"`
}

// ReadAt is when a part was read last, and why the last try failed.
type ReadAt struct {
	At      time.Time `json:"at,omitzero"`
	Problem string    `json:"problem,omitempty"`
}

// status puts together what is known at this moment.
func (s Source) status() *Status {
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	out := &Status{Version: s.Version, Now: now().UTC().Truncate(time.Millisecond), Tables: []Table{}, Jobs: []Job{}, Views: []View{}, IO: []Setting{},
		Changes: []overview.Change{}}
	var results []checks.Result
	if s.Results != nil {
		results = s.Results()
	}
	out.Checks = checks.NewReport(results, out.Now)
	out.Missing = missing(s.Ready)
	out.Ready = len(out.Missing) == 0
	if s.Database != nil {
		out.Database = s.Database()
	}
	if s.Leader != nil {
		out.Leader = s.Leader()
	}
	var seen overview.Reading
	if s.Overview != nil {
		seen = s.Overview()
	}
	out.Read = Reads{readAt(seen.Tables), readAt(seen.Runs), readAt(seen.Views), readAt(seen.Settings), readAt(seen.Changes), readAt(seen.Plans)}
	if s.Jobs != nil {
		out.Jobs = append(out.Jobs, s.Jobs()...)
	}
	for i := range out.Jobs {
		out.Jobs[i].Runs = seen.Runs.Value[overview.Task{Job: out.Jobs[i].Job, Target: out.Jobs[i].Target}]
	}
	known := samples(results)
	if s.Env != nil {
		out.Env = s.Env.Name
		out.Tables = s.tables(known, seen.Tables.Value)
		out.Views = s.views(known, out.Jobs, seen.Views.Value, out.Now)
	}
	out.IO, out.IOMethod = ioSettings(known, seen.Settings.Value)
	out.Changes = append(out.Changes, seen.Changes.Value...)
	out.Schema = s.schema(known, seen.Plans.Value)
	out.Wrong = wrong(out)
	out.Status = worst(out)
	return out
}

// location is where clocks of the page hang.
func (s Source) location() *time.Location {
	if s.Env != nil && s.Env.Daemon.Location != nil {
		return s.Env.Daemon.Location
	}
	return time.UTC
}

func readAt[T any](p overview.Part[T]) ReadAt {
	out := ReadAt{At: p.At.UTC()}
	if p.At.IsZero() {
		out.At = time.Time{}
	}
	if p.Err != nil {
		out.Problem = p.Err.Error()
	}
	return out
}

// tables lists what policies name, and the branches that were found below it.
func (s Source) tables(known known, seen []overview.Table) []Table {
	places := map[config.Table]int{}
	out := []Table{}
	add := func(t config.Table) *Table {
		if i, ok := places[t]; ok {
			return &out[i]
		}
		places[t] = len(out)
		out = append(out, known.table(t))
		return &out[len(out)-1]
	}
	for _, sample := range known.all["pgtender_partitions"] {
		add(config.Table{Schema: sample.Labels[0], Name: sample.Labels[1]})
	}
	for i := range seen {
		t := add(seen[i].Table)
		t.Problem = seen[i].Problem
		if seen[i].Into != (config.Table{}) {
			t.Archive = seen[i].Into.String()
		}
		for _, p := range seen[i].Pieces {
			t.Pieces = append(t.Pieces, Piece{string(p.State), p.Name, p.From, p.To, unlessNegative(p.Rows), p.Exact, unlessNegative(p.Bytes)})
		}
	}
	if len(out) == 0 { // nothing is known yet
		for _, p := range s.Env.Partitions {
			add(p.Table)
		}
	}
	for _, a := range s.Env.Archives {
		if !a.Partitioned {
			add(a.Table)
		}
	}
	return out
}

func (k known) table(table config.Table) Table {
	t := Table{Schema: table.Schema, Table: table.Name, Pieces: []Piece{}}
	value := func(metric string) *float64 { return k.value(metric, table.Schema, table.Name) }
	t.Partitions, t.Runway = value("pgtender_partitions"), value("pgtender_partition_runway_seconds")
	if t.Runway != nil && math.IsInf(*t.Runway, 1) {
		t.Runway, t.Endless = nil, true
	}
	t.Gaps, t.DefaultRows = value("pgtender_partition_gaps"), value("pgtender_default_partition_rows")
	t.ArchiveLag, t.ArchivedRows = value("pgtender_archive_lag_seconds"), value("pgtender_archived_rows_total")
	return t
}

func unlessNegative(n int64) *int64 {
	if n < 0 {
		return nil
	}
	return &n
}

func (s Source) views(known known, jobs []Job, seen []overview.View, now time.Time) []View {
	out := []View{}
	for _, r := range s.Env.Views() {
		v := View{Schema: r.View.Schema, View: r.View.Name, Schedule: r.Schedule.Text, When: string(r.When),
			Age: known.value("pgtender_matview_age_seconds", r.View.Schema, r.View.Name)}
		if !r.MaxStaleness.IsZero() {
			v.MaxStaleness = r.MaxStaleness.String()
			v.limit = now.Sub(r.MaxStaleness.Before(now, s.location())).Seconds()
		}
		if i := slices.IndexFunc(seen, func(o overview.View) bool { return o.View == r.View }); i >= 0 && seen[i].There {
			o := &seen[i]
			v.Populated, v.Rows, v.Bytes = &o.Populated, unlessNegative(o.Rows), unlessNegative(o.Bytes)
			if o.Same {
				v.Checked, v.Refreshed = o.Checked, o.Refreshed
			}
		}
		for _, j := range jobs {
			if j.Job == "refresh" && j.Target == r.View.String() {
				v.Outcome, v.Summary = j.Outcome, j.Summary
			}
		}
		out = append(out, v)
	}
	return out
}

// ioSettings puts together what the check and the overview read.
func ioSettings(known known, seen []overview.Setting) (list []Setting, method string) {
	list = []Setting{}
	place := map[string]int{}
	for _, o := range seen {
		place[o.Name] = len(list)
		list = append(list, Setting{Name: o.Name, Text: o.Value, Source: o.Source, Context: o.Context, PendingRestart: o.Pending})
		if o.Name == "io_method" {
			method = o.Value
		}
	}
	for _, sample := range known.all["pgtender_io_setting"] {
		name, value := sample.Labels[0], sample.Value
		i, ok := place[name]
		if !ok {
			i = len(list)
			list = append(list, Setting{Name: name})
		}
		pending := known.value("pgtender_io_pending_restart", name)
		list[i].Value, list[i].PendingRestart = &value, list[i].PendingRestart || pending != nil && *pending == 1
	}
	for _, sample := range known.all["pgtender_io_method_info"] {
		method = sample.Labels[0]
	}
	return list, method
}

func (s Source) schema(known known, plans []overview.Plan) Schema {
	out := Schema{Objects: []string{}, Plans: append([]overview.Plan{}, plans...), Drift: known.value("pgtender_schema_drift_objects")}
	if at := known.value("pgtender_schema_last_apply_timestamp_seconds"); at != nil {
		out.LastApply = time.UnixMicro(int64(*at * 1e6)).UTC()
	}
	if s.Drift == nil {
		return out
	}
	drift := s.Drift()
	out.Compared = drift.At
	out.Objects = append(out.Objects, drift.Objects...)
	if drift.Err != nil {
		out.Problem = drift.Err.Error()
	}
	return out
}

// known are the values that checks read.
type known struct {
	all   map[string][]checks.Sample // by metric
	value func(metric string, labels ...string) *float64
}

func samples(results []checks.Result) known {
	all, exact := map[string][]checks.Sample{}, map[string]float64{}
	key := func(metric string, labels []string) string { return metric + "\x00" + strings.Join(labels, "\x00") }
	for _, r := range results {
		for _, f := range r.Findings {
			if f.Status == checks.Unknown {
				continue
			}
			for _, s := range f.Samples {
				all[s.Metric] = append(all[s.Metric], s)
				exact[key(s.Metric, s.Labels)] = s.Value
			}
		}
	}
	return known{all, func(metric string, labels ...string) *float64 {
		if v, ok := exact[key(metric, labels)]; ok {
			return &v
		}
		return nil
	}}
}
