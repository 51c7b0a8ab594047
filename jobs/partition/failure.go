package partition

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
)

// Refusal is a partition that was not made, in words for the person who must decide. Nothing was changed.
type Refusal struct {
	Table  config.Table // the policy's
	What   string
	Advice string
}

func (r *Refusal) Error() string {
	s := fmt.Sprintf("partition %s: %s", r.Table, r.What)
	if r.Advice != "" {
		s += "\n" + r.Advice
	}
	return s
}

// notMade is a failure that partitions of one table have in common.
type notMade struct {
	table config.Table
	names []config.Table
	cause error
}

func (n *notMade) Unwrap() error { return n.cause }

func (n *notMade) Error() string {
	what := "partition " + n.names[0].String()
	switch last := n.names[len(n.names)-1]; {
	case len(n.names) == 2:
		what = fmt.Sprintf("partitions %s and %s", n.names[0], last)
	case len(n.names) > 2:
		what = fmt.Sprintf("partitions %s to %s, %d in all,", n.names[0], last, len(n.names))
	}
	hint := ""
	if pg.Is(n.cause, pg.InsufficientPrivilege) {
		hint = "\nThe role lacks rights: `pgtender grants` prints what gives them"
	}
	return fmt.Sprintf("make %s of %s: %v%s", what, n.table, n.cause, hint)
}

// failed says which partitions an error is about; a refusal does so itself.
func failed(group []design, err error) error {
	var refusal *Refusal
	if err == nil || errors.As(err, &refusal) {
		return err
	}
	n := &notMade{table: group[0].set.Table, cause: err}
	for _, d := range group {
		n.names = append(n.names, d.name)
	}
	return n
}

// toldInFull is how many refusals of one table are printed whole.
const toldInFull = 3

// summarise tells what several partitions of one table have in common once, and of many refusals the first ones.
func summarise(errs []error) []error {
	var list []error
	same := map[string]*notMade{}
	refused, more := 0, []string{}
	for _, err := range errs {
		var refusal *Refusal
		if n, ok := err.(*notMade); ok { //nolint:errorlint // one that is joined with another is told whole
			key := n.cause.Error()
			for _, name := range n.names {
				key = strings.ReplaceAll(key, name.Name, "…")
			}
			if first := same[key]; first != nil {
				first.names = append(first.names, n.names...)
				continue
			}
			same[key] = n
		} else if errors.As(err, &refusal) {
			if refused++; refused > toldInFull {
				more = append(more, refusal.Table.String())
				continue
			}
		}
		list = append(list, err)
	}
	if len(more) > 0 {
		list = append(list, fmt.Errorf("partition %s: %d more partitions were not made for reasons like these; once they are mended, the next run tells of what is left", more[0], len(more)))
	}
	return list
}

// explain turns a problem into an error with advice that can be followed.
func (j *Job) explain(ctx context.Context, policy config.Partition, problem *parts.Problem) error {
	advice := problem.Advice
	if problem.Reason == parts.NotPartitioned {
		sketch, err := parts.Advise(ctx, j.Pool, policy.Table, policy.Interval, j.Location)
		if err != nil {
			return err
		}
		advice = sketch
	}
	what := problem.What
	if policy.Pos.File != "" {
		what += fmt.Sprintf(" (the policy is at %s)", policy.Pos)
	}
	return &Refusal{policy.Table, what, advice}
}
