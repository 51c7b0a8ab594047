package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const contractFile = "testdata/contract/atlas.hcl"

// environ is a getenv over a fixed set.
func environ(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

// write makes a folder with an atlas.hcl and whatever files it names (path, content …).
func write(t *testing.T, hcl string, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i, all := 0, append([]string{"atlas.hcl", hcl}, files...); i < len(all); i += 2 {
		path := filepath.Join(dir, all[i])
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(all[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "atlas.hcl")
}

func mustLoad(t *testing.T, opts LoadOptions) *Env {
	t.Helper()
	env, err := Load(opts)
	if err != nil {
		t.Fatal(err)
	}
	return env
}

// withoutPlaces compares envs whatever the lines and whatever the cron library keeps inside.
var withoutPlaces = cmp.Options{
	cmpopts.IgnoreTypes(Pos{}), cmpopts.IgnoreFields(Schedule{}, "Schedule"),
	cmp.Comparer(func(a, b *time.Location) bool { return a.String() == b.String() }),
}

func TestContractExample(t *testing.T) {
	env := mustLoad(t, LoadOptions{File: contractFile, Getenv: environ("DATABASE_URL", "postgres://app@db/registry")})
	abs, err := filepath.Abs("testdata/contract/schema/registry")
	if err != nil {
		t.Fatal(err)
	}
	year, day90, hour := Interval{Text: "1 year", Months: 12}, Interval{Text: "90 days", Days: 90}, Interval{Text: "1 hour", Duration: time.Hour}
	records := Table{"public", "training_records"}
	archive := Archive{Table: records, Into: Table{"public", "training_records_archive"}, Partitioned: true, Interval: Month,
		After: year, Schedule: Schedule{Text: "30 3 * * *"}, Granularity: ByPartition, Referenced: ReferencedRefuse}
	warning, critical := 0.05, 0.20
	want := &Env{
		Name: "local", File: contractFile, URL: "postgres://app@db/registry",
		Schemas: []string{"public"}, SchemasGiven: true,
		Exclude:    []Pattern{{Text: "public.legacy_*"}},
		Sources:    []Source{{Path: abs, Raw: "file://schema/registry"}},
		Daemon:     Daemon{Listen: "127.0.0.1:9818", Location: time.UTC, Apply: ApplySafe, History: day90},
		Partitions: []Partition{{Table: records, Interval: Month, Ahead: 3, Schedule: Schedule{Text: "@hourly"}, Archive: &archive}},
		Archives: []Archive{
			{Table: Table{"public", "model_evaluations"}, Into: Table{"public", "model_evaluations_archive"}, Column: "evaluated_at",
				After: year, Schedule: Schedule{Text: "45 3 * * *"}, Granularity: ByRow, Referenced: ReferencedRefuse},
			archive,
		},
		Refreshes: []Refresh{{View: Table{"public", "mv_model_performance_summary"}, Schedule: Schedule{Text: "*/5 * * * *"},
			When: RefreshAuto, MaxStaleness: hour, Concurrently: true}},
		IO: &IO{Mode: IORecommend, Schedule: Schedule{Text: "@hourly"}},
		Jobs: []SQLJob{{Name: "rollup_deployments", Schedule: Schedule{Text: "*/5 * * * *"}, SQL: "CALL roll_up_deployments()",
			Timeout: 2 * time.Minute}},
		Checks: []SQLCheck{{Name: "inference_errors", SQL: "SELECT …", Warning: &warning, Critical: &critical}},
	}
	if diff := cmp.Diff(want, env, withoutPlaces); diff != "" {
		t.Errorf("the contract's example reads differently (-want +got):\n%s", diff)
	}
	if got, want := env.Partitions[0].Schedule.Pos, (Pos{contractFile, 25, 16}); got != want {
		t.Errorf("the schedule is at %s, want %s", got, want)
	}
}

// TestOwnFile holds the file at the top of the repository to what the daemon relies on.
func TestOwnFile(t *testing.T) {
	env := mustLoad(t, LoadOptions{File: "../../atlas.hcl", Getenv: environ("DATABASE_URL", "postgres://app@db/registry")})
	var tables, views []string
	for _, p := range env.Partitions {
		tables = append(tables, p.Table.String()+" → "+p.Archive.Into.String()+" after "+p.Archive.After.Text)
	}
	for _, r := range env.Refreshes {
		views = append(views, r.View.String())
	}
	wantTables := []string{
		"public.inference_requests → public.inference_requests_archive after 1 year",
		"public.training_records → public.training_records_archive after 1 year",
	}
	wantViews := []string{"public.mv_model_metrics", "public.mv_model_performance_summary"}
	if !slices.Equal(tables, wantTables) || !slices.Equal(views, wantViews) {
		t.Errorf("policies: %q and %q, want %q and %q", tables, views, wantTables, wantViews)
	}
	if env.Name != "local" || env.IO == nil || env.IO.Mode != IORecommend || len(env.Jobs) != 1 || len(env.Checks) != 1 || len(env.Ignored) != 0 {
		t.Errorf("env %q, io %v, jobs %v, checks %v, ignored %v", env.Name, env.IO, env.Jobs, env.Checks, env.Ignored)
	}
}

func TestDefaults(t *testing.T) {
	file := write(t, `
env "only" {
  url = "postgres://db/app"
  partition "t" {
    interval = "day"
    archive {
      after = "1 mon"
      into  = "t_old"
    }
  }
  archive "u" {
    column = "at"
    after  = "2 weeks"
    into   = "u_old"
  }
  refresh "v" {
    schedule = "@daily"
  }
  io {}
}`)
	env := mustLoad(t, LoadOptions{File: file})
	month, weeks := Interval{Text: "1 mon", Months: 1}, Interval{Text: "2 weeks", Days: 14}
	inner := Archive{Table: Table{"public", "t"}, Into: Table{"public", "t_old"}, Partitioned: true, Interval: Day, After: month,
		Schedule: Schedule{Text: "30 3 * * *"}, Granularity: ByPartition, Referenced: ReferencedRefuse}
	want := &Env{
		Name: "only", File: file, URL: "postgres://db/app", Schemas: []string{"public"},
		Daemon:     Daemon{Listen: "127.0.0.1:9818", Location: time.UTC, Apply: ApplySafe, History: Interval{Text: "90 days", Days: 90}},
		Partitions: []Partition{{Table: Table{"public", "t"}, Interval: Day, Ahead: 3, Schedule: Schedule{Text: "@hourly"}, Archive: &inner}},
		Archives: []Archive{inner, {Table: Table{"public", "u"}, Into: Table{"public", "u_old"}, Column: "at", After: weeks,
			Schedule: Schedule{Text: "30 3 * * *"}, Granularity: ByRow, Referenced: ReferencedRefuse}},
		Refreshes: []Refresh{{View: Table{"public", "v"}, Schedule: Schedule{Text: "@daily"}, When: RefreshAlways, Concurrently: true}},
		IO:        &IO{Mode: IORecommend, Schedule: Schedule{Text: "@hourly"}},
	}
	if diff := cmp.Diff(want, env, withoutPlaces); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
}

// TestOrderAndFormat turns the blocks of the contract's example around and spoils its layout.
func TestOrderAndFormat(t *testing.T) {
	getenv := environ("DATABASE_URL", "postgres://db/app")
	want := mustLoad(t, LoadOptions{File: contractFile, Getenv: getenv})
	source, err := os.ReadFile(contractFile)
	if err != nil {
		t.Fatal(err)
	}
	head, body, _ := strings.Cut(string(source), "env \"local\" {\n")
	blocks := strings.Split(strings.TrimSuffix(strings.TrimRight(body, "\n"), "}"), "\n\n")
	slices.Reverse(blocks)
	turned := "env local {\n" + strings.Join(blocks, "\n\n\n") + "\n}\n" + head
	turned = strings.NewReplacer("  ", "\t", "#", "//", "\n", "\r\n").Replace(turned)
	file := write(t, turned, "schema/registry/tables.sql", "")
	got := mustLoad(t, LoadOptions{File: file, Getenv: getenv})
	opts := cmp.Options{withoutPlaces, cmpopts.IgnoreFields(Env{}, "File"), cmpopts.IgnoreFields(Source{}, "Path")}
	if diff := cmp.Diff(want, got, opts); diff != "" {
		t.Errorf("turned around it reads differently (-want +got):\n%s", diff)
	}
}

func TestOtherEnvIsNotEvaluated(t *testing.T) {
	file := write(t, `
env "here" {
  url = "postgres://db/app"
}
env "there" {
  url      = tonumber(getenv("UNSET"))
  for_each = toset(data.sql.tenants.values)
  schema {
    src = "file://nowhere"
  }
  partition "t" {
    interval = "fortnight"
  }
}`)
	if env := mustLoad(t, LoadOptions{File: file, Env: "here"}); env.Name != "here" {
		t.Errorf("got env %q", env.Name)
	}
}

func TestUnlabelledEnv(t *testing.T) {
	file := write(t, `
env {
  name = atlas.env
  url  = "postgres://db/${atlas.env}"
}
env "special" {
  url = "postgres://db/labelled"
}`)
	for name, url := range map[string]string{"blue": "postgres://db/blue", "special": "postgres://db/labelled"} {
		if env := mustLoad(t, LoadOptions{File: file, Env: name}); env.URL != url || env.Name != name {
			t.Errorf("--env %s: got %q %q", name, env.Name, env.URL)
		}
	}
}

func TestVariablesLocalsAndFunctions(t *testing.T) {
	file := write(t, `
variable "ahead" {
  type        = number
  description = "how many"
}
variable "zones" {
  type    = list(string)
  default = ["UTC"]
}
variable "limits" {
  type    = map(number)
  default = {}
}
variable "blocking" {
  type    = bool
  default = false
}
locals {
  zone  = local.zones[length(local.zones) - 1]
  zones = var.zones
  far   = data.sql.far.value
}
data "sql" "far" {
  url   = "nowhere"
  query = "SELECT 1"
}
lint {
  latest = 1
}
env "x" {
  url = "postgres://db/${lower("APP")}"
  src = [for f in fileset("parts/*.sql") : "file://${f}"]
  daemon {
    time_zone = local.zone
  }
  partition "t" {
    interval = "month"
    ahead    = var.ahead
    schedule = null
  }
  refresh "v" {
    schedule     = "@hourly"
    concurrently = !var.blocking
  }
  job "j" {
    schedule = "@hourly"
    sql      = file("parts/b.sql")
  }
  check "c" {
    sql      = "SELECT 1"
    critical = var.limits["c"]
  }
  format {
    schema {
      apply = "{{ .Nonsense }}"
    }
  }
}`, "parts/a.sql", "SELECT 1", "parts/b.sql", "SELECT 2\n")
	env := mustLoad(t, LoadOptions{File: file, Vars: map[string]string{
		"ahead": "7", "zones": `["UTC","Asia/Kolkata"]`, "limits": `{"c": 2.5}`, "blocking": "true",
	}})
	var sources []string
	for _, s := range env.Sources {
		sources = append(sources, filepath.Base(s.Path))
	}
	if !slices.Equal(sources, []string{"a.sql", "b.sql"}) {
		t.Errorf("sources %q", sources)
	}
	p, r, c := env.Partitions[0], env.Refreshes[0], env.Checks[0]
	if env.URL != "postgres://db/app" || env.Daemon.Location.String() != "Asia/Kolkata" || p.Ahead != 7 || r.Concurrently ||
		env.Jobs[0].SQL != "SELECT 2" || *c.Critical != 2.5 || c.Warning != nil || p.Schedule.Text != "@hourly" {
		t.Errorf("got %+v", env)
	}
	at := time.Date(2026, 6, 1, 12, 10, 0, 0, time.UTC) // 17:40 in Kolkata
	if next := r.Schedule.Next(at); !next.Equal(time.Date(2026, 6, 1, 12, 30, 0, 0, time.UTC)) {
		t.Errorf("the schedule is not in the daemon's zone: next run %s", next)
	}
	var ignored []string
	for _, n := range env.Ignored {
		ignored = append(ignored, n.Pos.String()[len(file)+1:]+" "+n.Name)
	}
	if want := []string{"23:1 data", "27:1 lint", "53:3 format"}; !slices.Equal(ignored, want) {
		t.Errorf("ignored %q, want %q", ignored, want)
	}
}

func TestFlagsComeFirst(t *testing.T) {
	file := write(t, `
env "x" {
  url = getenv("UNSET")
  dev = "docker://postgres/18/dev"
  schema {
    src = ["file://gone"]
  }
}`, "other.sql", "SELECT 1")
	other := filepath.Join(filepath.Dir(file), "other.sql")
	env := mustLoad(t, LoadOptions{File: "file://" + file, Flags: Flags{URL: "host=db", DevURL: "postgresql://dev/x", To: []string{other}}})
	want := []Source{{Path: other, Raw: other}}
	if diff := cmp.Diff(want, env.Sources); diff != "" || env.URL != "host=db" || env.DevURL != "postgresql://dev/x" {
		t.Errorf("got %q %q %s", env.URL, env.DevURL, diff)
	}
}

func TestFromFlags(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("a.sql", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	flags := Flags{URL: "postgres://u:pw@db/app", To: []string{"file://a.sql"}}
	env := mustLoad(t, LoadOptions{Flags: flags})
	if env.File != "" || env.SchemasGiven || !slices.Equal(env.Schemas, []string{"public"}) || env.Daemon.Location != time.UTC ||
		env.Daemon.History.Days != 90 || len(env.Sources) != 1 || !filepath.IsAbs(env.Sources[0].Path) {
		t.Errorf("got %+v", env)
	}
	for want, opts := range map[string]LoadOptions{
		"atlas.hcl: no such file: name one with --config FILE, or say everything with --url URL --to SRC":   {},
		"other.hcl: no such file: name one with --config FILE, or say everything with --url URL --to SRC":   {File: "other.hcl", Flags: flags},
		"atlas.hcl: no such file, and --env and --var need it: name it with --config FILE":                  {Env: "x", Flags: flags},
		`--url has the scheme "mysql", which is not PostgreSQL's: write postgres://user@host:5432/database`: {Flags: Flags{URL: "mysql://u:pw@db/app"}},
		`--url is no connection string: write postgres://user@host:5432/database`:                           {Flags: Flags{URL: "secret"}},
		`--to "b.sql" does not exist: looked for ` + filepath.Join(mustWd(t), "b.sql"):                      {Flags: Flags{URL: "postgres://", To: []string{"b.sql"}}},
		`--to "s3://b/a.sql" has the scheme "s3": only file:// is read`:                                     {Flags: Flags{URL: "postgres://", To: []string{"s3://b/a.sql"}}},
		`--to "file://a.sql" is given twice`:                                                                {Flags: Flags{URL: "postgres://", To: []string{"a.sql", "file://a.sql"}}},
		". is a folder: name the file with --config FILE":                                                   {File: "."},
	} {
		if _, err := Load(opts); err == nil || err.Error() != want {
			t.Errorf("%+v:\n got %v\nwant %s", opts, err, want)
		}
	}
}

func mustWd(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
