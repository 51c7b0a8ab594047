package checks

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/pgtender/pgtender/internal/config"
)

var update = flag.Bool("update", false, "write docs/metrics.md anew")

func TestMetricsDocIsCurrent(t *testing.T) {
	const path = "../docs/metrics.md"
	if *update {
		if err := os.WriteFile(path, []byte(MetricsDoc()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(MetricsDoc(), string(have)); diff != "" {
		t.Errorf("docs/metrics.md is not current; run: go test ./checks -run TestMetricsDoc -update\n%s", diff)
	}
}

// contract is what users rely on: the metrics and their labels.
var contract = map[string]string{
	"build_info": "?", "leader": "", "schema_drift_objects": "", "schema_last_apply_timestamp_seconds": "",
	"job_runs_total": "job,target,outcome", "job_duration_seconds": "job", "job_last_success_timestamp_seconds": "job,target",
	"job_next_run_timestamp_seconds": "job,target", "partition_runway_seconds": "schema,table", "partitions": "schema,table",
	"partition_gaps": "schema,table", "default_partition_rows": "schema,table", "archive_lag_seconds": "schema,table",
	"archived_rows_total": "schema,table", "matview_age_seconds": "schema,view", "matview_refreshes_total": "schema,view,outcome",
	"io_setting": "name", "io_pending_restart": "name", "check_status": "check,object", "check_value": "check,object", "check_age_seconds": "check",
}

func labels(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

func TestFamiliesKeepTheContract(t *testing.T) {
	t.Parallel()
	families := map[string]Family{}
	for _, f := range Families() {
		families[f.Name] = f
	}
	for name, want := range contract {
		f, ok := families["pgtender_"+name]
		if !ok || want != "?" && !slices.Equal(f.Labels, labels(want)) {
			t.Errorf("%s has labels %v, want %v", name, f.Labels, want)
		}
	}
}

// scraped are the families of an exporter, as whoever reads the text sees them.
func scraped(e *Exporter) ([]*dto.MetricFamily, error) {
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(e); err != nil {
		return nil, err
	}
	all, err := registry.Gather()
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	e.Text(&text)
	parser := expfmt.NewTextParser(model.LegacyValidation)
	read, err := parser.TextToMetricFamilies(&text)
	for name, f := range read {
		if i := slices.IndexFunc(all, func(other *dto.MetricFamily) bool { return other.GetName() == name }); i >= 0 {
			return nil, fmt.Errorf("%s is there twice", name)
		}
		seen := map[string]bool{}
		for _, m := range f.GetMetric() {
			key := fmt.Sprint(m.GetLabel())
			if seen[key] {
				return nil, fmt.Errorf("%s%s is there twice", name, key)
			}
			seen[key] = true
		}
		all = append(all, f)
	}
	return all, err
}

// gather scrapes an exporter and returns its families by name without the prefix.
func gather(t *testing.T, e *Exporter) map[string]*dto.MetricFamily {
	t.Helper()
	all, err := scraped(e)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*dto.MetricFamily{}
	for _, f := range all {
		out[strings.TrimPrefix(f.GetName(), "pgtender_")] = f
	}
	return out
}

// value is the value of one series, or NaN when there is none.
func value(f *dto.MetricFamily, pairs ...string) float64 {
	for _, m := range f.GetMetric() {
		var have []string
		for _, l := range m.GetLabel() {
			have = append(have, l.GetName()+"="+l.GetValue())
		}
		slices.Sort(have)
		slices.Sort(pairs)
		if slices.Equal(have, pairs) {
			return m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return math.NaN()
}

func TestExporterHasEveryMetricOfTheContract(t *testing.T) {
	b := newBench(t, fill...)
	b.exec("INSERT INTO pgtender.applied_plan (hash, from_fingerprint, to_fingerprint, statements, state, finished_at) VALUES ('h', 'a', 'b', 1, 'done', now())")
	env := full(t)
	c := NewCollector(Options{Pool: b.pool, Checks: allChecks(t, env)})
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	e := NewExporter(ExporterOptions{Collector: c, Version: "1.2.3", Leader: func() bool { return true }, Views: []config.Table{public("mv")},
		Jobs: func() []JobStatus {
			return []JobStatus{{Job: "refresh", Target: "public.mv", LastSuccess: at, Next: at.Add(time.Minute)}, {Job: "drift"}}
		}})
	if before := gather(t, e); before["check_status"] != nil || value(before["job_runs_total"], "job=drift", "target=", "outcome=failure") != 0 {
		t.Errorf("before the first round: %v", before)
	}
	c.Once(t.Context())
	e.Observe("refresh", "public.mv", "noop", 2*time.Second)
	all := gather(t, e)
	for name, want := range contract {
		if all[name] == nil {
			t.Errorf("no metric %s", name)
			continue
		}
		var have []string
		for _, l := range all[name].GetMetric()[0].GetLabel() {
			have = append(have, l.GetName())
		}
		wanted := labels(want)
		slices.Sort(wanted)
		if want != "?" && !slices.Equal(have, wanted) {
			t.Errorf("%s has labels %v, want %v", name, have, wanted)
		}
	}
	for _, c := range []struct {
		name string
		want float64
		with []string
	}{
		{"leader", 1, nil},
		{"job_runs_total", 1, []string{"job=refresh", "target=public.mv", "outcome=noop"}},
		{"job_runs_total", 0, []string{"job=refresh", "target=public.mv", "outcome=failure"}},
		{"matview_refreshes_total", 1, []string{"schema=public", "view=mv", "outcome=noop"}},
		{"job_duration_seconds", 1, []string{"job=refresh"}},
		{"job_last_success_timestamp_seconds", float64(at.Unix()), []string{"job=refresh", "target=public.mv"}},
		{"job_last_success_timestamp_seconds", math.NaN(), []string{"job=drift", "target="}},
		{"partitions", 23, []string{"schema=public", "table=events"}},
		{"partition_gaps", 0, []string{"schema=public", "table=events"}},
		{"archive_lag_seconds", 0, []string{"schema=public", "table=events"}},
		{"archived_rows_total", 0, []string{"schema=public", "table=events"}},
		{"schema_drift_objects", 0, nil},
		{"check_status", 0, []string{"check=partition_runway", "object=public.events"}},
		{"check_up", 1, []string{"check=mine"}},
	} {
		if got := value(all[c.name], c.with...); got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("%s%v = %g, want %g", c.name, c.with, got, c.want)
		}
	}
	problems, err := testutil.GatherAndLint(prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return scraped(e) }))
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
}

// Whatever an object is called, and whatever a value is, the text says it so that it is read as it was meant.
func TestTextOfAnyNameAndNumber(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "plain", `we"ird 'na$me`, "two\nlines", `back\slash\n`, "\xff\xfe", "{,}= ü"} {
		for _, v := range []float64{0, 1, -1, 1.5e-7, 123456789012, 1e300, math.Inf(1), math.Inf(-1), math.NaN()} {
			c := NewCollector(Options{Checks: []Check{{Name: "c", Memory: true, Deadline: time.Second, Run: func(context.Context, pgx.Tx) ([]Finding, error) {
				return []Finding{{Object: name, Value: v}}, nil
			}}}})
			c.Once(t.Context())
			f := gather(t, NewExporter(ExporterOptions{Collector: c}))["check_value"]
			if got := value(f, "check=c", "object="+strings.ToValidUTF8(name, "\ufffd")); got != v && !(math.IsNaN(got) && math.IsNaN(v)) {
				t.Errorf("%q %g: %v", name, v, f)
			}
		}
	}
}

func TestExporterDropsWhatIsNotKnown(t *testing.T) {
	b := newBench(t, fill...)
	c := NewCollector(Options{Pool: b.pool, Checks: allChecks(t, full(t))})
	e := NewExporter(ExporterOptions{Collector: c})
	c.Once(t.Context())
	if all := gather(t, e); value(all["check_status"], "check=mine", "object=") != 0 || value(all["check_up"], "check=mine") != 1 {
		t.Fatalf("before: %v", all["check_status"])
	}
	_, end := b.session("LOCK TABLE public.mine")
	defer end()
	b.exec("DROP MATERIALIZED VIEW public.mv")
	c.Once(t.Context())
	all := gather(t, e)
	if got := value(all["check_status"], "check=mine", "object="); !math.IsNaN(got) {
		t.Errorf("a check that failed has status %g", got)
	}
	if got := value(all["check_value"], "check=mine", "object="); !math.IsNaN(got) {
		t.Errorf("a check that failed has value %g", got)
	}
	if up, age := value(all["check_up"], "check=mine"), value(all["check_age_seconds"], "check=mine"); up != 0 || !(age > 0) {
		t.Errorf("up %g, age %g", up, age)
	}
	if all["matview_age_seconds"] != nil {
		t.Errorf("the age of a view that is gone: %v", all["matview_age_seconds"])
	}
	if got := value(all["check_status"], "check=matview_populated", "object=public.mv"); got != 2 {
		t.Errorf("matview_populated is %g", got)
	}
}

func TestReportAndText(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	results := []Result{
		{Check: "a", Group: "g", Unit: "seconds", At: now.Add(-time.Minute), Findings: []Finding{
			{Object: "x", Value: 1, Message: "fine"}, {Object: "y\nOK a\x00", Status: Warning, Value: math.Inf(1), Message: "bad", Remedy: "do\nthis"}}},
		{Check: "b", Group: "g", Err: os.ErrDeadlineExceeded, Findings: []Finding{{Status: Unknown, Message: "the check failed"}}},
	}
	if code := ExitCode(results); code != 3 {
		t.Errorf("exit code %d", code)
	}
	if code := ExitCode(results[:1]); code != 1 {
		t.Errorf("exit code %d", code)
	}
	if ExitCode(nil) != 3 {
		t.Error("no answer at all is unknown")
	}
	critical := append(results, Result{Findings: []Finding{{Status: Critical}}})
	if code := ExitCode(critical); code != 2 {
		t.Errorf("exit code %d", code)
	}
	var text, js strings.Builder
	if err := RenderText(&text, results); err != nil {
		t.Fatal(err)
	}
	want := `PGTENDER UNKNOWN: 0 critical, 1 unknown, 1 warning, 1 ok
UNKNOWN   b  the check failed
WARNING   a  y\nOK a\x00  bad
          → do
            this
OK        a  x  fine
`
	if diff := cmp.Diff(want, text.String()); diff != "" {
		t.Error(diff)
	}
	if err := RenderJSON(&js, results, now); err != nil {
		t.Fatal(err)
	}
	want = `{
  "status": "unknown",
  "checks": [
    {
      "check": "a",
      "group": "g",
      "status": "warning",
      "unit": "seconds",
      "age_seconds": 60,
      "took_seconds": 0,
      "findings": [
        {
          "object": "x",
          "status": "ok",
          "value": 1,
          "message": "fine"
        },
        {
          "object": "y\nOK a\u0000",
          "status": "warning",
          "value": null,
          "message": "bad",
          "remedy": "do\nthis"
        }
      ]
    },
    {
      "check": "b",
      "group": "g",
      "status": "unknown",
      "age_seconds": null,
      "took_seconds": 0,
      "error": "i/o timeout",
      "findings": [
        {
          "object": "",
          "status": "unknown",
          "value": null,
          "message": "the check failed"
        }
      ]
    }
  ]
}
`
	if diff := cmp.Diff(want, js.String()); diff != "" {
		t.Error(diff)
	}
}
