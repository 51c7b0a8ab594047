package web

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pgtender/pgtender/internal/overview"
)

// How much of something the page shows; /status.json has all of it.
const (
	maxWrong  = 100
	maxDrawn  = 24 // tables with a time line
	openDrawn = 8  // so many tables stand open, and further ones only if something is wrong with them
	maxListed = 60 // partitions of one table
	maxLines  = 400
	maxJobs   = 24 // jobs that stand open
)

// view is the status with what only the page needs.
type view struct {
	*Status
	Still bool // the page does not load itself again
	loc   *time.Location
}

// Ago is how long ago t was, as people say it.
func (v view) Ago(t time.Time) string { return span(max(v.Now.Sub(t).Seconds(), 0)) + " ago" }

// In says when t will be.
func (v view) In(t time.Time) string {
	if !t.After(v.Now) {
		return "due now"
	}
	return "in " + span(t.Sub(v.Now).Seconds())
}

// Stamp is a time for a title.
func (v view) Stamp(t time.Time) string { return t.In(v.loc).Format("2006-01-02 15:04:05 MST") }

// Machine is a time for machines.
func (v view) Machine(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Shown and MoreWrong split what is wrong at what fits a page.
func (v view) Shown() []Trouble { return v.Wrong[:min(len(v.Wrong), maxWrong)] }

// OfPart is why a part of the page could not be read; while no part can, what is wrong says it once.
func (v view) OfPart(problem string) string {
	if !v.Database.Connected && v.Database.URL != "" {
		return ""
	}
	return problem
}

// MoreWrong is how many are not shown.
func (v view) MoreWrong() int { return max(len(v.Wrong)-maxWrong, 0) }

// tableCard is one table on the page.
type tableCard struct {
	Table
	Name     string
	Line     *timeline
	Facts    []string
	Wrong    bool
	Open     bool
	Listed   []pieceLine
	NotShown int
}

type pieceLine struct {
	Class, State, Name, Range, Rows, Bytes string
}

// Cards are the tables with a time line, those with something wrong first; Lines are the others.
func (v view) Cards() []tableCard {
	all := v.sortedTables()
	out := make([]tableCard, 0, maxDrawn)
	for i, t := range all[:min(len(all), maxDrawn)] {
		c := tableCard{Table: t, Name: t.Schema + "." + t.Table, Line: newTimeline(t.Pieces, v.Now, v.loc), Facts: v.facts(t), Wrong: troubled(t)}
		c.Open = c.Wrong || i < openDrawn
		for _, p := range slices.Backward(t.Pieces) {
			if len(c.Listed) == maxListed {
				c.NotShown = len(t.Pieces) - maxListed
				break
			}
			size := "–"
			if p.Bytes != nil {
				size = sizeText(*p.Bytes)
			}
			c.Listed = append(c.Listed, pieceLine{p.State, stateText[p.State], p.Name, interval(p.From, p.To, v.loc), rows(p.Rows, p.Exact), size})
		}
		out = append(out, c)
	}
	return out
}

// Lines are the tables beyond those that are drawn, one line each.
func (v view) Lines() []tableCard {
	all := v.sortedTables()
	var out []tableCard
	for _, t := range all[min(len(all), maxDrawn):min(len(all), maxDrawn+maxLines)] {
		out = append(out, tableCard{Table: t, Name: t.Schema + "." + t.Table, Facts: v.facts(t)})
	}
	return out
}

// MoreTables is how many tables are left out.
func (v view) MoreTables() int { return max(len(v.Tables)-maxDrawn-maxLines, 0) }

func (v view) sortedTables() []Table {
	all := slices.Clone(v.Tables)
	slices.SortStableFunc(all, func(a, b Table) int {
		switch {
		case troubled(a) == troubled(b):
			return 0
		case troubled(a):
			return -1
		}
		return 1
	})
	return all
}

func troubled(t Table) bool {
	positive := func(n *float64) bool { return n != nil && *n > 0 }
	return t.Problem != "" || positive(t.Gaps) || positive(t.DefaultRows) || t.Runway != nil && *t.Runway < 86400 ||
		slices.ContainsFunc(t.Pieces, func(p Piece) bool { return p.State == "hole" || p.State == "detaching" })
}

// facts are what there is to say of a table, in a few words each.
func (v view) facts(t Table) []string {
	var out []string
	switch {
	case t.Endless:
		out = append(out, "partitions without end ahead")
	case t.Runway != nil:
		until := v.Now.Add(time.Duration(*t.Runway * float64(time.Second))).Round(time.Minute)
		out = append(out, "ready until "+moment(until, v.loc)+", "+span(*t.Runway)+" ahead")
	}
	parts := map[string]int{}
	held := map[string]*int64{}
	size := map[string]*int64{}
	for _, p := range t.Pieces {
		where := "live"
		if p.State == "archived" {
			where = "archived"
		}
		if p.Name != "" {
			parts[where]++
		}
		held[where], size[where] = sum(held[where], p.Rows), sum(size[where], p.Bytes)
	}
	for _, where := range []string{"live", "archived"} {
		if parts[where] == 0 {
			continue
		}
		text := plural(parts[where], where+" partition")
		if held[where] != nil {
			text += " with " + rows(held[where], where == "archived") + " rows"
		}
		if size[where] != nil {
			text += ", " + sizeText(*size[where])
		}
		out = append(out, text)
	}
	if parts["archived"] == 0 && t.ArchivedRows != nil && *t.ArchivedRows > 0 {
		out = append(out, count(*t.ArchivedRows)+" rows archived")
	}
	if t.Gaps != nil && *t.Gaps > 0 {
		out = append(out, plural(int(*t.Gaps), "hole"))
	}
	if t.DefaultRows != nil && *t.DefaultRows > 0 {
		out = append(out, count(*t.DefaultRows)+" rows in DEFAULT")
	}
	if t.ArchiveLag != nil && *t.ArchiveLag > 0 {
		out = append(out, "archive due for "+span(*t.ArchiveLag))
	}
	return out
}

// jobCard is one job on the page.
type jobCard struct {
	Job
	Strip *strip
	Took  string
}

// strip is the picture of a job's last runs, the newest at the right.
type strip struct {
	Bars  []stripBar
	Label string
}

type stripBar struct {
	Class   string // the outcome
	X, Y, H int
	Tooltip string
}

// The picture of runs: so many pixels for each, and the height.
const (
	stripStep   = 7
	stripHeight = 22
	stripRuns   = 24
)

// Width is of every strip, so that they stand below one another.
func (strip) Width() int { return stripRuns*stripStep - 2 }

// Height is of every strip.
func (strip) Height() int { return stripHeight }

// JobCards are the jobs that stand open, those that failed or run first when there are more than fit.
func (v view) JobCards() []jobCard { return v.jobCards(v.sortedJobs()[:min(len(v.Jobs), maxJobs)]) }

// MoreJobs are the others.
func (v view) MoreJobs() []jobCard {
	all := v.sortedJobs()
	cards := v.jobCards(all[min(len(all), maxJobs):min(len(all), maxLines)])
	if len(all) > 4*maxJobs {
		for i := range cards { // pictures of hundreds would make a page of megabytes
			cards[i].Strip = nil
		}
	}
	return cards
}

// JobsLeftOut is how many jobs the page does not show.
func (v view) JobsLeftOut() int { return max(len(v.Jobs)-maxLines, 0) }

func (v view) sortedJobs() []Job {
	all := slices.Clone(v.Jobs)
	if len(all) <= maxJobs {
		return all
	}
	rank := func(j Job) int {
		switch {
		case j.Outcome == "failure":
			return 0
		case !j.Running.IsZero():
			return 1
		}
		return 2
	}
	slices.SortStableFunc(all, func(a, b Job) int { return rank(a) - rank(b) })
	return all
}

func (v view) jobCards(list []Job) []jobCard {
	out := make([]jobCard, len(list))
	for i, j := range list {
		out[i] = jobCard{Job: j, Strip: v.strip(j.Runs), Took: took(j.Finished.Sub(j.Started))}
	}
	return out
}

// strip draws runs: the height is the duration, on a logarithmic scale from 1 ms to about an hour; a failure has full height.
func (v view) strip(runs []overview.Run) *strip {
	if len(runs) == 0 {
		return nil
	}
	s := &strip{}
	tally := map[string]int{}
	n := min(len(runs), stripRuns)
	for i, r := range runs[:n] {
		d := r.Finished.Sub(r.Started)
		h := 4 + int(math.Log10(max(float64(d.Milliseconds()), 1))*(stripHeight-4)/6.6)
		switch r.Outcome {
		case "failure":
			h = stripHeight
		case "skipped", "noop":
			h = 4
		}
		h = min(h, stripHeight)
		text := strings.TrimSpace(r.Outcome + " in " + took(d) + ", " + v.Stamp(r.Finished) + "\n" + r.Text)
		s.Bars = append(s.Bars, stripBar{r.Outcome, (n - 1 - i) * stripStep, stripHeight - h, h, text})
		tally[r.Outcome]++
	}
	s.Label = "Last " + plural(len(s.Bars), "run") + ":"
	for _, outcome := range []string{"success", "noop", "skipped", "failure"} {
		if n := tally[outcome]; n > 0 {
			s.Label += " " + strconv.Itoa(n) + " " + outcome
		}
	}
	return s
}

// viewCard is one materialised view on the page.
type viewCard struct {
	View
	Name     string
	Size     string
	Why      string // what its last run said
	Gauge    *gauge
	NotReady bool
}

// gauge shows an age against the age that is too much.
type gauge struct {
	W     string // percent
	Class string
	Label string
}

// ViewCards are the views on the page.
func (v view) ViewCards() []viewCard {
	var out []viewCard
	for i, each := range v.Views[:min(len(v.Views), maxLines)] {
		c := viewCard{View: each, Name: each.Schema + "." + each.View, Why: each.Summary, NotReady: each.Populated != nil && !*each.Populated}
		if each.Rows != nil {
			c.Size = rows(each.Rows, false) + " rows"
		}
		if each.Bytes != nil && *each.Bytes > 0 {
			c.Size = strings.TrimPrefix(c.Size+", "+sizeText(*each.Bytes), ", ")
		}
		c.Gauge = v.gauge(i)
		out = append(out, c)
	}
	return out
}

// gauge is of a view with max_staleness whose age is known.
func (v view) gauge(i int) *gauge {
	each := v.Views[i]
	if each.Age == nil || each.limit <= 0 {
		return nil
	}
	share := *each.Age / each.limit
	g := &gauge{W: percent(100 * share), Class: "ok", Label: span(*each.Age) + " of at most " + span(each.limit)}
	switch {
	case share > 1:
		g.Class = "critical"
	case share > 0.7:
		g.Class = "warning"
	}
	return g
}

// Hidden reports whether a table's card is closed because there are many.
func (c tableCard) Hidden() bool { return !c.Open }

// Drawn are the plans that the page shows.
func (v view) Drawn() []overview.Plan { return v.Schema.Plans[:min(len(v.Schema.Plans), 8)] }

// DriftShown are the objects that differ, as many as fit, and how many do not.
func (v view) DriftShown() (list []string) {
	return v.Schema.Objects[:min(len(v.Schema.Objects), maxWrong)]
}

// DriftMore is how many more there are.
func (v view) DriftMore() int { return max(len(v.Schema.Objects)-maxWrong, 0) }

// SettingText is a setting's value in the server's own words, or else its number.
func (v view) SettingText(s Setting) string {
	switch {
	case s.Text != "":
		return s.Text
	case s.Value != nil:
		return count(*s.Value)
	}
	return "–"
}

// OrUnset writes a value of the journal.
func (v view) OrUnset(s *string) string {
	if s == nil {
		return "(not set)"
	}
	return *s
}

// jobList is what the template of jobs takes.
type jobList struct {
	V     view
	Cards []jobCard
}

// List puts jobs together with the view that writes their times.
func (v view) List(cards []jobCard) jobList { return jobList{v, cards} }
