package web

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/pgtender/pgtender/checks"
)

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
// that have no answer for one and the same reason are one entry.
func wrong(s *Status) []Trouble {
	out := []Trouble{}
	if !s.Database.Connected && s.Database.URL != "" {
		t := Trouble{What: "database", Object: s.Database.URL, Status: checks.Critical.String(), Message: s.Database.Problem}
		if !s.Database.Answered.IsZero() {
			age := s.Now.Sub(s.Database.Answered).Seconds()
			t.Age = &age
		}
		out = append(out, t)
	}
	silent := map[string]int{}
	for _, c := range s.Checks.Checks {
		for _, f := range c.Findings {
			if f.Status == checks.OK.String() {
				continue
			}
			t := Trouble{What: c.Check, Object: f.Object, Status: f.Status, Message: f.Message, Remedy: f.Remedy, Age: c.Age}
			if c.Error != "" {
				if i, ok := silent[f.Message]; ok {
					out[i].Also = append(out[i].Also, c.Check)
					continue
				}
				silent[f.Message] = len(out)
			}
			out = append(out, t)
		}
	}
	for _, j := range s.Jobs {
		if j.Outcome != "failure" {
			continue
		}
		age := max(s.Now.Sub(j.Finished).Seconds(), 0)
		t := Trouble{What: "job " + j.Job, Object: j.Target, Status: checks.Warning.String(), Message: "its last run failed: " + j.Error, Age: &age, Remedy: "pgtender job run " + j.Job}
		if j.Target != "" {
			t.Remedy += " --table " + shellWord(j.Target)
		}
		out = append(out, t)
	}
	slices.SortStableFunc(out, func(a, b Trouble) int {
		return cmp.Compare(slices.Index(severity, a.Status), slices.Index(severity, b.Status))
	})
	return out
}

// shellWord quotes what a shell would not take as one word.
func shellWord(s string) string {
	for _, r := range s {
		if !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_' || r == '.' || r == '-' || r == '/') {
			return fmt.Sprintf("'%s'", strings.ReplaceAll(s, "'", `'\''`))
		}
	}
	return s
}
