package web

import (
	"math"
	"strings"
	"time"

	"github.com/pgtender/pgtender/checks"
	"github.com/pgtender/pgtender/internal/config"
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
}

// Status is what /status.json has, and /status shows. Fields are added, never changed; what is not known is null.
type Status struct {
	Version  string        `json:"version"`
	Env      string        `json:"env,omitempty"`
	Now      time.Time     `json:"now"`
	Ready    bool          `json:"ready"`
	Missing  []string      `json:"missing,omitempty"` // what keeps it from being ready
	Database Database      `json:"database"`
	Leader   Leader        `json:"leader"`
	Checks   checks.Report `json:"checks"`
	Tables   []Table       `json:"tables"` // of partition and archive policies
	Jobs     []Job         `json:"jobs"`
	Views    []View        `json:"views"` // of refresh policies
	IOMethod string        `json:"io_method,omitempty"`
	IO       []Setting     `json:"io"` // settings that are numbers or switches
	Schema   Schema        `json:"schema"`
}

// Database is the target.
type Database struct {
	URL       string `json:"url"` // without password
	Version   string `json:"server_version,omitempty"`
	Standby   bool   `json:"standby"`
	Connected bool   `json:"connected"` // at the last try
	Problem   string `json:"problem,omitempty"`
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
	Job         string    `json:"job"`
	Target      string    `json:"target,omitempty"`
	Schedule    string    `json:"schedule"`
	Next        time.Time `json:"next_run_at,omitzero"`
	Running     time.Time `json:"running_since,omitzero"`
	Outcome     string    `json:"last_outcome,omitempty"` // of the last run that has ended: success, failure, skipped, noop
	Started     time.Time `json:"last_started_at,omitzero"`
	Finished    time.Time `json:"last_finished_at,omitzero"`
	Summary     string    `json:"last_summary,omitempty"`
	Error       string    `json:"last_error,omitempty"`
	LastSuccess time.Time `json:"last_success_at,omitzero"`
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
}

// View is one materialised view that a refresh policy keeps.
type View struct {
	Schema   string   `json:"schema"`
	View     string   `json:"view"`
	Schedule string   `json:"schedule"`
	When     string   `json:"when"`
	Age      *float64 `json:"age_seconds"`
	Summary  string   `json:"last_summary,omitempty"` // of its last refresh
}

// Setting is one I/O setting.
type Setting struct {
	Name           string  `json:"name"`
	Value          float64 `json:"value"`
	PendingRestart bool    `json:"pending_restart"`
}

// Schema is the state of the declared schema.
type Schema struct {
	Drift     *float64  `json:"drift_objects"` // null: not compared, or not lately
	LastApply time.Time `json:"last_apply_at,omitzero"`
}

// status puts together what is known at this moment.
func (s Source) status() *Status {
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	out := &Status{Version: s.Version, Now: now().UTC().Truncate(time.Millisecond), Tables: []Table{}, Jobs: []Job{}, Views: []View{}, IO: []Setting{}}
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
	if s.Jobs != nil {
		out.Jobs = append(out.Jobs, s.Jobs()...)
	}
	known := samples(results)
	if s.Env != nil {
		out.Env = s.Env.Name
		out.Tables = s.tables(known)
		out.Views = s.views(known, out.Jobs)
	}
	for _, sample := range known.all["pgtender_io_setting"] {
		pending := known.value("pgtender_io_pending_restart", sample.Labels...)
		out.IO = append(out.IO, Setting{sample.Labels[0], sample.Value, pending != nil && *pending == 1})
	}
	for _, sample := range known.all["pgtender_io_method_info"] {
		out.IOMethod = sample.Labels[0]
	}
	out.Schema.Drift = known.value("pgtender_schema_drift_objects")
	if at := known.value("pgtender_schema_last_apply_timestamp_seconds"); at != nil {
		out.Schema.LastApply = time.UnixMicro(int64(*at * 1e6)).UTC()
	}
	return out
}

// tables lists what policies name, and the branches that checks found below it.
func (s Source) tables(known known) []Table {
	seen := map[string]bool{}
	out := []Table{}
	add := func(labels ...string) {
		if key := strings.Join(labels, "\x00"); seen[key] {
			return
		} else {
			seen[key] = true
		}
		t := Table{Schema: labels[0], Table: labels[1]}
		t.Partitions = known.value("pgtender_partitions", labels...)
		t.Runway = known.value("pgtender_partition_runway_seconds", labels...)
		if t.Runway != nil && math.IsInf(*t.Runway, 1) {
			t.Runway, t.Endless = nil, true
		}
		t.Gaps = known.value("pgtender_partition_gaps", labels...)
		t.DefaultRows = known.value("pgtender_default_partition_rows", labels...)
		t.ArchiveLag = known.value("pgtender_archive_lag_seconds", labels...)
		t.ArchivedRows = known.value("pgtender_archived_rows_total", labels...)
		out = append(out, t)
	}
	for _, sample := range known.all["pgtender_partitions"] {
		add(sample.Labels...)
	}
	if len(out) == 0 { // nothing is known yet
		for _, p := range s.Env.Partitions {
			add(p.Table.Schema, p.Table.Name)
		}
	}
	for _, a := range s.Env.Archives {
		if !a.Partitioned {
			add(a.Table.Schema, a.Table.Name)
		}
	}
	return out
}

func (s Source) views(known known, jobs []Job) []View {
	out := []View{}
	for _, r := range s.Env.Refreshes {
		v := View{Schema: r.View.Schema, View: r.View.Name, Schedule: r.Schedule.Text, When: string(r.When),
			Age: known.value("pgtender_matview_age_seconds", r.View.Schema, r.View.Name)}
		for _, j := range jobs {
			if j.Job == "refresh" && j.Target == r.View.String() {
				v.Summary = j.Summary
			}
		}
		out = append(out, v)
	}
	return out
}

// known are the values that checks read, by metric.
type known struct {
	all map[string][]checks.Sample
}

func samples(results []checks.Result) known {
	k := known{map[string][]checks.Sample{}}
	for _, r := range results {
		for _, f := range r.Findings {
			if f.Status == checks.Unknown {
				continue
			}
			for _, s := range f.Samples {
				k.all[s.Metric] = append(k.all[s.Metric], s)
			}
		}
	}
	return k
}

// value is nil when it is not known.
func (k known) value(metric string, labels ...string) *float64 {
	for _, s := range k.all[metric] {
		if strings.Join(s.Labels, "\x00") == strings.Join(labels, "\x00") {
			v := s.Value
			return &v
		}
	}
	return nil
}
