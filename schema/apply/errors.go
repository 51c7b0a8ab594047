package apply

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgtender/pgtender/schema/catalog"
	"github.com/pgtender/pgtender/schema/plan"
)

// HazardError says that statements have hazards that were not allowed. Nothing was changed.
type HazardError struct {
	Needed     []plan.HazardName
	Statements []plan.Statement // those with a hazard that is not allowed
	Allowed    []plan.HazardName
}

func (e *HazardError) Error() string {
	var out strings.Builder
	fmt.Fprintf(&out, "the plan has hazards that were not allowed. Nothing was changed.")
	for _, s := range e.Statements {
		for _, h := range s.Hazards {
			if !slices.Contains(e.Allowed, h.Name) {
				fmt.Fprintf(&out, "\n  %s: %s: %s", h.Name, s.Object, h.Message)
			}
		}
	}
	var flag []plan.HazardName // with those that were allowed, so that it can be typed as it is
	for _, h := range plan.HazardNames() {
		if slices.Contains(e.Needed, h) || slices.Contains(e.Allowed, h) {
			flag = append(flag, h)
		}
	}
	fmt.Fprintf(&out, "\nTo run it all the same: --allow-hazards %s", plan.JoinHazards(flag))
	return out.String()
}

// StaleError says that the plan was made for another state. Nothing was changed.
type StaleError struct {
	Sources bool // the sources say something else than when the plan was made
}

func (e *StaleError) Error() string {
	what := "the database is not in the state that the plan was made for"
	if e.Sources {
		what = "the sources do not declare what the plan leads to"
	}
	return "the plan is stale: " + what + ". Nothing was changed. Make a new one: pgtender plan"
}

// RunnerError says that another pgtender is applying a plan to the same database. Nothing was changed.
type RunnerError struct {
	Holder string // who, as the server knows it
	Waited time.Duration
}

func (e *RunnerError) Error() string {
	return fmt.Sprintf("another pgtender is applying a plan to this database (%s); waited %s for it. Nothing was changed. Try again when it has ended.",
		e.Holder, e.Waited.Round(time.Second))
}

// PartialError says how far a plan came.
type PartialError struct {
	Statements []plan.Statement // all of the plan
	Done       []bool           // by statement
	At         int              // the statement that failed
	Uncertain  bool             // the connection was lost, so the transaction of At may have been committed or not
	Err        error
}

func (e *PartialError) Unwrap() error { return e.Err }

func (e *PartialError) Error() string {
	var out strings.Builder
	fmt.Fprintf(&out, "statement %d of %d (%s): %v", e.At+1, len(e.Statements), e.Statements[e.At].Object, e.Err)
	done := 0
	for _, d := range e.Done {
		if d {
			done++
		}
	}
	if done == 0 && !e.Uncertain {
		out.WriteString("\nNothing was changed.")
	}
	if done > 0 || e.Uncertain {
		e.list(&out)
	}
	out.WriteString("\nWhen the cause is gone, the next pgtender apply goes on from here.")
	return out.String()
}

// list tells what became of each statement, those of one state together.
func (e *PartialError) list(out *strings.Builder) {
	for i := 0; i < len(e.Statements); {
		j := i
		for j < len(e.Statements) && e.state(j) == e.state(i) {
			j++
		}
		fmt.Fprintf(out, "\n  %d", i+1)
		if j > i+1 {
			fmt.Fprintf(out, "-%d", j)
		}
		fmt.Fprintf(out, " %s: ", e.state(i))
		names := make([]string, 0, j-i)
		for _, s := range e.Statements[i:j] {
			if n := s.Object.String(); len(names) == 0 || names[len(names)-1] != n {
				names = append(names, n)
			}
		}
		const most = 8
		if len(names) > most {
			names = append(names[:most-1], fmt.Sprintf("… and %d more", len(names)-most+1))
		}
		out.WriteString(strings.Join(names, ", "))
		i = j
	}
}

func (e *PartialError) state(i int) string {
	s, failed := e.Statements[i], e.Statements[e.At]
	switch {
	case e.Done[i]:
		return "done"
	case e.Uncertain && (i == e.At || s.Tx != 0 && s.Tx == failed.Tx):
		return "NOT KNOWN, since the connection was lost"
	case i == e.At:
		return "FAILED"
	}
	return "not done"
}

// VerifyError says that the plan has run, and the database is still not as declared.
type VerifyError struct{ Differences []catalog.Difference }

func (e *VerifyError) Error() string {
	var out strings.Builder
	out.WriteString("the plan has run, but the database is still not as declared:")
	for _, d := range e.Differences {
		fmt.Fprintf(&out, "\n  %s: %s", d.Key, d.Change)
		for _, delta := range d.Deltas {
			fmt.Fprintf(&out, "\n    %s", plan.Describe(delta))
		}
	}
	out.WriteString("\nRun pgtender plan to see what is left. If the same differences come back, somebody else changes the schema, or pgtender has an error that should be reported.")
	return out.String()
}
