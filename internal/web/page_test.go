package web

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"github.com/pgtender/pgtender/checks"
	"github.com/pgtender/pgtender/internal/overview"
)

// elements parses a page and returns all its elements, in order.
func elements(t *testing.T, body string) []*html.Node {
	t.Helper()
	root, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	var out []*html.Node
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			out = append(out, n)
		}
	}
	return out
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func textOf(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// What names and messages hold stays text, wherever it is shown.
func TestPageEscapes(t *testing.T) {
	_, body := get(t, "http://"+serve(t, Options{Source: showcase(t)})+"/status")
	if n := strings.Count(body, "alert(1)"); n < 8 {
		t.Errorf("the name is on the page %d times", n)
	}
	if strings.Contains(body, "ZgotmplZ") {
		t.Error("the template engine refused a value")
	}
	ids := map[string]bool{}
	for _, e := range elements(t, body) {
		if slices.Contains([]string{"script", "iframe", "object", "img", "form", "base"}, e.Data) {
			t.Errorf("there is a <%s>", e.Data)
		}
		for _, a := range e.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || (a.Key == "href" && !regexp.MustCompile(`^(#|/(status|status\.json|metrics|readyz|icon\.svg)(\?|$))`).MatchString(a.Val)) {
				t.Errorf("<%s %s=%q>", e.Data, a.Key, a.Val)
			}
		}
		if id := attribute(e, "id"); id != "" && ids[id] {
			t.Errorf("id %s is there twice", id)
		} else {
			ids[id] = true
		}
	}
	for _, e := range elements(t, body) {
		if to, ok := strings.CutPrefix(attribute(e, "href"), "#"); ok && !ids[to] {
			t.Errorf("a link leads to #%s, which is not there", to)
		}
	}
}

// A page that is read aloud says all of it: each picture has words, each table a head, each section a name.
func TestPageIsSemantic(t *testing.T) {
	_, body := get(t, "http://"+serve(t, Options{Source: showcase(t)})+"/status")
	seen := map[string]int{}
	last := 0
	for _, e := range elements(t, body) {
		seen[e.Data]++
		switch e.Data {
		case "html":
			if attribute(e, "lang") != "en" {
				t.Error("the page names no language")
			}
		case "svg":
			if attribute(e, "role") == "img" && attribute(e, "aria-label") == "" || attribute(e, "role") == "" && attribute(e, "aria-hidden") != "true" {
				t.Errorf("a picture without words: %v", e.Attr)
			}
		case "th":
			if attribute(e, "scope") == "" {
				t.Errorf("a head of nothing: %s", textOf(e))
			}
		case "section":
			if attribute(e, "aria-labelledby") == "" {
				t.Error("a section without a name")
			}
		case "h1", "h2", "h3":
			level := int(e.Data[1] - '0')
			if level > last+1 {
				t.Errorf("<%s> %q follows <h%d>", e.Data, textOf(e), last)
			}
			last = level
		case "time":
			if _, err := time.Parse(time.RFC3339, attribute(e, "datetime")); err != nil {
				t.Errorf("%s: %v", textOf(e), err)
			}
		}
	}
	for element, least := range map[string]int{"main": 1, "header": 1, "footer": 1, "nav": 1, "h1": 1, "title": 40, "details": 4, "section": 7} {
		if seen[element] < least {
			t.Errorf("%d <%s>, want %d", seen[element], element, least)
		}
	}
	for _, want := range []string{
		"Time line: 6 archived, 11 live, 3 ahead, 1 hole: no partition, 1 detach not finished", "public.events_2025_06", "≈ 4\u202f037",
		"Last 24 runs: 15 success 3 noop 3 skipped 3 failure", "failure in", "leads", "begun", "no gain: the median ratio was 1.02", "3 of 7 statements, by tender",
		"index public.orders_created_at_idx", "compared <time", "at most 1 hour old", "read the materialised views: an object is locked",
		"it is partitioned by LIST", "public.events_default", "another value waits for a restart", "running", "3 → 6", "(not set) → 6",
	} {
		if !strings.Contains(strings.ReplaceAll(body, "<wbr>", ""), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

// However much there is, the page has an end, is told what it leaves out, and shows first what is wrong.
func TestPageIsBounded(t *testing.T) {
	addr := serve(t, Options{Source: crowd(t)})
	_, body := get(t, "http://"+addr+"/status")
	if len(body) > 3<<20 {
		t.Errorf("the page has %d bytes", len(body))
	}
	for _, want := range []string{"And 500 more", "400 further tables", "177 more tables are in", "376 further jobs", "200 more jobs are in", "The newest 60 of 128 pieces", "68 older ones"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	_, text := get(t, "http://"+addr+"/status.json")
	var s Status
	if err := json.Unmarshal([]byte(text), &s); err != nil || len(s.Tables) != 601 || len(s.Tables[0].Pieces) != 128 || len(s.Jobs[599].Runs) != 24 || len(s.Wrong) != 600 {
		t.Errorf("status.json: %v, %d tables, %d jobs, %d wrong", err, len(s.Tables), len(s.Jobs), len(s.Wrong))
	}
}

// While the server is away the page says so first, once, and shows the last that was known with its age.
func TestPageWithoutServer(t *testing.T) {
	addr := serve(t, Options{Source: gone(t)})
	_, body := get(t, "http://"+addr+"/status")
	for _, want := range []string{"<title>critical (2)", "does not answer", "last did <time datetime=\"2026-05-01T11:56:00Z\" title=\"2026-05-01 11:56:00 UTC\">4 min ago", "Not known since its last answer, 4 min ago: partition_runway, ",
		"is the last that was known", "read <time datetime=\"2026-05-01T11:55:00Z\"", "public.training_records_2025_06"} {
		if !strings.Contains(strings.ReplaceAll(body, "<wbr>", ""), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	_, text := get(t, "http://"+addr+"/status.json")
	var s Status
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	if s.Status != "critical" || s.Wrong[0].What != "database" || *s.Wrong[0].Age != 240 || len(s.Wrong[0].Also) != 7 || s.Read.Tables.Problem == "" || s.Read.Tables.At.IsZero() {
		t.Errorf("status.json: %+v", s.Wrong)
	}
}

func TestPageHoldsStill(t *testing.T) {
	addr := serve(t, Options{Source: sample(t)})
	for path, want := range map[string]bool{"/status": true, "/status?still": false} {
		if _, body := get(t, "http://"+addr+path); strings.Contains(body, `http-equiv="refresh"`) != want {
			t.Errorf("%s refreshes: %t", path, !want)
		}
	}
	resp, body := get(t, "http://"+addr+"/icon.svg?critical")
	if resp.Header.Get("Content-Type") != "image/svg+xml" || !strings.Contains(body, "#d0303f") {
		t.Errorf("icon: %s", body)
	}
	if _, body = get(t, "http://"+addr+"/icon.svg?%22/%3E%3Cscript%3E"); !strings.Contains(body, "#64748b") || strings.Contains(body, "script") {
		t.Errorf("icon: %s", body)
	}
}

// docs/status.md names every field of /status.json, and no other.
func TestStatusIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/status.md")
	if err != nil {
		t.Fatal(err)
	}
	_, ours, _ := strings.Cut(string(text), "## `/status.json`")
	ours, _, _ = strings.Cut(ours, "## The other paths")
	documented := map[string]bool{}
	for line := range strings.Lines(ours) {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[1], -1) {
				documented[m[1]] = true
			}
		}
	}
	there := map[string]bool{}
	var walk func(prefix string, of reflect.Type)
	walk = func(prefix string, of reflect.Type) {
		for i := range of.NumField() {
			name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			if name == "" { // for the page only
				continue
			}
			path, kind := prefix+name, of.Field(i).Type
			if kind.Kind() == reflect.Slice && kind.Elem().Kind() == reflect.Struct {
				there[path] = true
				walk(path+"[].", kind.Elem())
				continue
			}
			if kind.Kind() == reflect.Struct && kind != reflect.TypeFor[time.Time]() && path != "checks" && prefix != "read." {
				if path == "read" {
					there[path] = true
				}
				walk(path+".", kind)
				continue
			}
			there[path] = true
		}
	}
	walk("", reflect.TypeFor[Status]())
	if diff := cmp.Diff(there, documented); diff != "" {
		t.Errorf("docs/status.md (-there +documented):\n%s", diff)
	}
}

func TestTimeline(t *testing.T) {
	status := Source{Env: showcase(t).Env, Now: showcase(t).Now, Overview: func() overview.Reading {
		day := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
		var list []overview.Piece
		for i := range 2000 {
			list = append(list, overview.Piece{State: overview.Live, Name: "x", From: day.AddDate(0, 0, i), To: day.AddDate(0, 0, i+1), Rows: 1, Bytes: 1})
		}
		list[700] = overview.Piece{State: overview.Hole, From: list[700].From, To: list[700].To, Rows: -1, Bytes: -1}
		return overview.Reading{Tables: overview.Part[[]overview.Table]{Value: []overview.Table{{Pieces: list}}}}
	}}.status()
	line := newTimeline(status.Tables[0].Pieces, noon, time.UTC)
	if n := len(line.Bars); n > maxBars*11/10 || n < maxBars/2 {
		t.Errorf("%d bars", n)
	}
	if !slices.ContainsFunc(line.Bars, func(b bar) bool { return b.Class == "hole" }) {
		t.Error("the hole is not to be seen")
	}
	if line.Now != "" {
		t.Errorf("now is at %s of a time that is over", line.Now)
	}
	if len(line.Ticks) < 4 || line.Ticks[0].Text != "2020" || line.Ticks[1].Text != "2021" {
		t.Errorf("ticks %v", line.Ticks)
	}
	if newTimeline([]Piece{{State: "default"}}, noon, time.UTC) != nil {
		t.Error("a line without time")
	}
	// No extent, no end, one day: none of it may divide by zero or go on for ever.
	for _, list := range [][]Piece{{{From: noon, To: noon}}, {{From: noon}}, {{To: noon}}, {{From: noon, To: noon.Add(time.Hour)}}, {{From: noon.AddDate(-900, 0, 0), To: noon}}} {
		line := newTimeline(list, noon, time.UTC)
		if line == nil {
			continue
		}
		for _, b := range line.Bars {
			if strings.Contains(b.X+b.W, "N") {
				t.Errorf("%v: %+v", list, b)
			}
		}
	}
}

// A job whose last run failed is told of once, by the check that knows since when it has failed.
func TestAFailedJobIsOneEntry(t *testing.T) {
	t.Parallel()
	source := sample(t)
	failing := checks.Result{Check: "job_success", Group: "jobs", At: noon, Findings: []checks.Finding{
		{Object: "archive public.events", Status: checks.Warning, Message: "it has never ended well; " + checks.LastRunFailed + "no"}}}
	count := func() (n int) {
		for _, t := range source.status().Wrong {
			if t.What == "job archive" || t.What == "job_success" {
				n++
			}
		}
		return n
	}
	before := source.Results()
	if n := count(); n != 1 {
		t.Fatalf("%d entries without the check", n)
	}
	source.Results = func() []checks.Result { return append(before, failing) }
	if n := count(); n != 1 {
		t.Errorf("%d entries: %+v", n, source.status().Wrong)
	}
}

// A server that is away is one thing that is wrong, whatever it leaves unknown.
func TestOneCauseIsOneEntry(t *testing.T) {
	t.Parallel()
	source := sample(t)
	lost := checks.Result{Check: "archive_lag", Group: "archive", Err: context.DeadlineExceeded, Findings: []checks.Finding{{Status: checks.Unknown, Message: "the check failed: another reason"}}}
	after := checks.Result{Check: "detach_pending", Group: "partitions", Err: context.DeadlineExceeded,
		Findings: []checks.Finding{{Status: checks.Unknown, Message: "the check failed: check archive_lag" + checks.Together + "another reason"}}}
	results := append(source.Results(), lost, after)
	source.Results = func() []checks.Result { return results }
	names := func() (out []string) {
		for _, t := range source.status().Wrong {
			out = append(out, t.What+": "+strings.Join(t.Also, ", "))
		}
		return out
	}
	want := []string{"partition_gaps: ", "lock_waits: ", "archive_lag: detach_pending", "matview_age: ", "job archive: "}
	if got := names(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	database := Database{URL: "postgres://app@db:5432/app", Problem: "no server answers", Answered: noon.Add(-5 * time.Minute)}
	source.Database = func() Database { return database }
	want = []string{"database: lock_waits, archive_lag, detach_pending", "partition_gaps: ", "matview_age: ", "job archive: "} // the job failed before
	if got := names(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := source.status().Wrong[0].AlsoText(); got != "Not known since its last answer, 5 min ago: lock_waits, archive_lag, detach_pending." {
		t.Error(got)
	}
	database.Answered = time.Time{}
	if got := names(); got[0] != "database: lock_waits, archive_lag, detach_pending, job archive public.events" || len(got) != 3 {
		t.Errorf("%q", got)
	}
}

func TestFormat(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1023: "1 kB", 8192: "8 kB", 1 << 20: "1.0 MB", 35 << 20: "35 MB", 5 << 40: "5.0 TB"} {
		if got := sizeText(n); got != want {
			t.Errorf("%d bytes: %s, want %s", n, got, want)
		}
	}
	if got := strings.Join(words("public.a_b"), "|"); got != "public.|a_|b" {
		t.Errorf("words %s", got)
	}
}

// What a page or JSON of hundreds of tables costs.
func BenchmarkStatus(b *testing.B) {
	t := &testing.T{}
	p, err := newPage(crowd(t))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("json", func(b *testing.B) {
		for b.Loop() {
			_, _ = json.Marshal(p.source.status())
		}
	})
	b.Run("page", func(b *testing.B) {
		for b.Loop() {
			if err := p.template.Execute(io.Discard, view{Status: p.source.status(), loc: time.UTC}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
