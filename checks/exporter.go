package checks

import (
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgtender/pgtender/internal/config"
)

// Outcomes are the ways in which a run ends.
func Outcomes() []string { return []string{"success", "failure", "skipped", "noop"} }

// JobStatus is what the exporter tells of one job on one target.
type JobStatus struct {
	Job, Target string
	LastSuccess time.Time // zero: never
	Next        time.Time // zero: none
}

// ExporterOptions are where the exporter's values come from; all of them answer from memory.
type ExporterOptions struct {
	Collector *Collector
	Jobs      func() []JobStatus // nil: there are none
	Leader    func() bool        // nil: never
	Views     []config.Table     // of refresh policies
	Version   string
}

// Exporter answers scrapes from memory only: as a prometheus.Collector with what this process does, by Text with what the checks know.
type Exporter struct {
	opt       ExporterOptions
	ofChecks  []Family                // by name
	views     map[string]config.Table // by the target of their refresh job
	descs     map[string]*prometheus.Desc
	runs      *prometheus.CounterVec
	refreshes *prometheus.CounterVec
	durations *prometheus.HistogramVec
}

// NewExporter makes an exporter. The counters of the jobs that Options.Jobs lists begin at 0, so that a first failure counts as an
// increase.
func NewExporter(opt ExporterOptions) *Exporter {
	e := &Exporter{opt: opt, views: map[string]config.Table{}, descs: map[string]*prometheus.Desc{}}
	for _, v := range opt.Views {
		e.views[v.String()] = v
	}
	for _, f := range Families() {
		switch f.Name {
		case "pgtender_job_runs_total":
			e.runs = prometheus.NewCounterVec(prometheus.CounterOpts{Name: f.Name, Help: f.Help}, f.Labels)
			continue
		case "pgtender_matview_refreshes_total":
			e.refreshes = prometheus.NewCounterVec(prometheus.CounterOpts{Name: f.Name, Help: f.Help}, f.Labels)
			continue
		case "pgtender_job_duration_seconds":
			e.durations = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: f.Name, Help: f.Help,
				Buckets: []float64{0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600}}, f.Labels)
			continue
		}
		if f.ofCheck() {
			e.ofChecks = append(e.ofChecks, f)
			continue
		}
		e.descs[f.Name] = prometheus.NewDesc(f.Name, f.Help, f.Labels, nil)
	}
	e.Begin()
	return e
}

// Begin makes the series of the jobs that Options.Jobs lists now, and of their views, for jobs that came after the exporter. It is
// called before any of them runs.
func (e *Exporter) Begin(views ...config.Table) {
	for _, v := range views {
		e.views[v.String()] = v
	}
	for _, j := range e.jobs() {
		e.start(j.Job, j.Target)
	}
}

func (e *Exporter) jobs() []JobStatus {
	if e.opt.Jobs == nil {
		return nil
	}
	return e.opt.Jobs()
}

// start makes the series of a job.
func (e *Exporter) start(job, target string) {
	for _, outcome := range Outcomes() {
		e.runs.WithLabelValues(job, target, outcome)
		if view, ok := e.refreshed(job, target); ok {
			e.refreshes.WithLabelValues(view.Schema, view.Name, outcome)
		}
	}
	e.durations.WithLabelValues(job)
}

// Observe counts a run that has ended in this process, and has the checks look again at what it may have changed.
func (e *Exporter) Observe(job, target, outcome string, took time.Duration) {
	e.runs.WithLabelValues(job, target, outcome).Inc()
	if view, ok := e.refreshed(job, target); ok {
		e.refreshes.WithLabelValues(view.Schema, view.Name, outcome).Inc()
	}
	if outcome == "success" || outcome == "failure" {
		e.opt.Collector.Nudge(touched(job)...)
	}
	if outcome != "skipped" { // it took no time, and would hide how long the others take
		e.durations.WithLabelValues(job).Observe(took.Seconds())
	}
}

// touched are the groups of checks that a job's runs bear on; none: all.
func touched(job string) []string {
	switch job {
	case "partition", "archive":
		return []string{"partitions", "archive"}
	case "refresh":
		return []string{"views"}
	case "io":
		return []string{"server"}
	case "drift":
		return nil
	}
	return []string{"own"} // analyze changes nothing that a check looks at
}

// refreshed is the view of a run of the refresh job.
func (e *Exporter) refreshed(job, target string) (config.Table, bool) {
	view, ok := e.views[target]
	return view, ok && job == "refresh"
}

// Describe implements prometheus.Collector.
func (e *Exporter) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range e.descs {
		ch <- d
	}
	e.runs.Describe(ch)
	e.refreshes.Describe(ch)
	e.durations.Describe(ch)
}

// Collect implements prometheus.Collector.
func (e *Exporter) Collect(ch chan<- prometheus.Metric) {
	send := func(name string, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(e.descs[name], prometheus.GaugeValue, value, labels...)
	}
	send("pgtender_build_info", 1, e.opt.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	leads := 0.0
	if e.opt.Leader != nil && e.opt.Leader() {
		leads = 1
	}
	send("pgtender_leader", leads)
	for _, j := range e.jobs() {
		if !j.LastSuccess.IsZero() {
			send("pgtender_job_last_success_timestamp_seconds", unix(j.LastSuccess), j.Job, j.Target)
		}
		if !j.Next.IsZero() {
			send("pgtender_job_next_run_timestamp_seconds", unix(j.Next), j.Job, j.Target)
		}
	}
	e.runs.Collect(ch)
	e.refreshes.Collect(ch)
	e.durations.Collect(ch)
}
