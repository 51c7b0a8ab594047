package web

import (
	"cmp"
	"slices"
	"strings"

	"github.com/pgtender/pgtender/checks"
	"github.com/pgtender/pgtender/internal/pg"
)

// AlsoText says what else the trouble is about.
func (t Trouble) AlsoText() string {
	list := strings.Join(t.Also, ", ")
	switch {
	case t.What != database:
		return "The same holds for " + list + "."
	case t.Age == nil:
		return "So nothing is known of " + list + "."
	}
	return "Not known since its last answer, " + span(*t.Age) + " ago: " + list + "."
}

// database is what the trouble of a server is called that does not answer.
const database = "database"

// severity is the order in which states are shown, the worst first.
var severity = []string{"critical", "unknown", "warning"}

// worst is the state of everything together: with no check answered yet it is unknown.
func worst(s *Status) string {
	if len(s.Wrong) > 0 {
		return s.Wrong[0].Status
	}
	return s.Checks.Status
}

// wrong lists what is not well, the worst first: a server that does not answer, what checks found, and jobs whose last run failed. Checks
// that have no answer for one and the same reason are one entry, and so is all that a server which does not answer leaves unknown.
func wrong(s *Status) []Trouble {
	out := []Trouble{}
	if !s.Database.Connected && s.Database.URL != "" {
		t := Trouble{What: database, Object: s.Database.URL, Status: checks.Critical.String(), Message: s.Database.Problem}
		if !s.Database.Answered.IsZero() {
			age := s.Now.Sub(s.Database.Answered).Seconds()
			t.Age = &age
		}
		out = append(out, t)
	}
	silent := map[string]int{} // by cause, what cannot be told for it
	for _, c := range s.Checks.Checks {
		if down := !s.Database.Connected && s.Database.URL != ""; down && c.Error != "" {
			out[0].Also = append(out[0].Also, c.Check)
			continue
		}
		for _, f := range c.Findings {
			if f.Status == checks.OK.String() {
				continue
			}
			t := Trouble{What: c.Check, Object: f.Object, Status: f.Status, Message: f.Message, Remedy: f.Remedy, Age: c.Age}
			if c.Error != "" {
				cause := f.Message
				if _, first, ok := strings.Cut(cause, checks.Together); ok {
					cause = checks.Failed + first
				}
				if i, ok := silent[cause]; ok {
					out[i].Also = append(out[i].Also, c.Check)
					continue
				}
				silent[cause] = len(out)
			}
			out = append(out, t)
		}
	}
	for _, j := range s.Jobs {
		name := strings.TrimSpace(j.Job + " " + j.Target)
		told := slices.ContainsFunc(out, func(t Trouble) bool {
			return t.What == "job_success" && t.Object == name && strings.Contains(t.Message, checks.LastRunFailed)
		})
		if j.Outcome != "failure" || told {
			continue
		}
		if !s.Database.Connected && s.Database.URL != "" && j.Finished.After(s.Database.Answered) {
			out[0].Also = append(out[0].Also, "job "+name)
			continue
		}
		age := max(s.Now.Sub(j.Finished).Seconds(), 0)
		t := Trouble{What: "job " + j.Job, Object: j.Target, Status: checks.Warning.String(), Message: "its last run failed: " + j.Error, Age: &age, Remedy: "pgtender job run " + j.Job}
		if j.Target != "" {
			t.Remedy += " --table " + pg.Word(j.Target)
		}
		out = append(out, t)
	}
	slices.SortStableFunc(out, func(a, b Trouble) int {
		return cmp.Compare(slices.Index(severity, a.Status), slices.Index(severity, b.Status))
	})
	return out
}
