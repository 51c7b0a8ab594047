package partition

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/jobs"
)

// pass is one run over some policies.
type pass struct {
	created []string
	moved   int64
	until   string
	notes   []string // what a person should know
	left    []string // what is left to another pgtender, and why
	errs    []error  // each names its object
}

// warn reports partitions that nobody can use.
func (p *pass) warn(run *jobs.Run, policy config.Partition, set *parts.Set, loc *time.Location) {
	for _, c := range set.Pending() {
		finish := fmt.Sprintf("ALTER TABLE %s DETACH PARTITION %s FINALIZE;", ident(set.Table), ident(c.Table))
		what := fmt.Sprintf("a DETACH CONCURRENTLY of %s is not finished: no session sees its rows or can insert into it, and its range (%s) stays taken",
			c.Table, set.Key.ForValues(c.Range))
		if slices.ContainsFunc(set.Blocking(policy.Interval, policy.Ahead, loc), func(b parts.Child) bool { return b.OID == c.OID }) {
			attach := fmt.Sprintf("ALTER TABLE %s ATTACH PARTITION %s %s;", ident(set.Table), ident(c.Table), set.Key.ForValues(c.Range))
			p.errs = append(p.errs, &Refusal{policy.Table, what, "If nobody is at it any more, finish it, and attach the table again to have its rows back; or rename it then, and the next run makes an empty one:\n  " + finish + "\n  " + attach})
			continue
		}
		note := what + "; finish it: " + finish
		p.notes = append(p.notes, note)
		run.Say("%s", note)
	}
}

// covered says in one word how far the tables reach: the worst of them.
func covered(sets []parts.Set, loc *time.Location) string {
	var worst *time.Time
	for _, s := range sets {
		if s.Problem != nil {
			continue
		}
		end, ok := s.CoveredUntil(loc)
		if !ok {
			return "" // not even now
		}
		if end.Kind != parts.At {
			continue
		}
		t := s.Key.Instant(end.Time, loc).In(loc)
		if worst == nil || t.Before(*worst) {
			worst = &t
		}
	}
	if worst == nil {
		return "the end of time"
	}
	return worst.Format(time.RFC3339)
}

// yield takes what another pgtender is in the middle of out of the errors: it is looked after.
func (p *pass) yield() {
	p.errs = slices.DeleteFunc(p.errs, func(err error) bool {
		var goingOn *goingOnError
		if !errors.As(err, &goingOn) {
			return false
		}
		if why := goingOn.Error(); !slices.Contains(p.left, why) {
			p.left = append(p.left, why)
		}
		return true
	})
}

// done says what a run that was stopped has changed; nothing: "".
func (p *pass) done(dry bool) string {
	if dry || len(p.created) == 0 {
		return ""
	}
	return "made " + strings.Join(p.created, ", ")
}

// rowCount is 1 row, or 2 rows.
func rowCount(n int64) string {
	if n == 1 {
		return "1 row"
	}
	return fmt.Sprintf("%d rows", n)
}

func (p *pass) result(dry bool) jobs.Result {
	r := jobs.Result{Outcome: jobs.Noop, Detail: map[string]any{}}
	verb := "created"
	if dry {
		verb = "would create"
	}
	switch {
	case len(p.created) == 0 && len(p.left) > 0:
		r.Outcome, r.Summary = jobs.Skipped, "nothing was made"
		if p.until != "" {
			r.Summary += ", covered until " + p.until
		}
	case len(p.created) == 0 && p.until != "":
		r.Summary = "nothing to do, covered until " + p.until
	case len(p.created) == 0:
		r.Summary = "no partition holds now"
	case len(p.created) == 1:
		r.Summary = fmt.Sprintf("%s partition %s", verb, p.created[0])
	default:
		r.Summary = fmt.Sprintf("%s %d partitions", verb, len(p.created))
	}
	if len(p.created) > 0 {
		r.Detail["created"] = p.created
		if !dry {
			r.Outcome = jobs.Success
			r.Summary += ", covered until " + p.until
		}
	}
	if p.moved > 0 {
		r.Detail["moved_from_default"] = p.moved
		r.Summary += fmt.Sprintf(", moved %s out of the DEFAULT partition", rowCount(p.moved))
	}
	if p.until != "" {
		r.Detail["covered_until"] = p.until
	}
	if len(p.left) > 0 {
		r.Detail["left_to_another"] = p.left
		r.Summary += "; " + strings.Join(p.left, "; ")
	}
	if len(p.notes) > 0 {
		r.Detail["notes"] = p.notes
		r.Summary += "; " + strings.Join(p.notes, "; ")
	}
	if len(p.errs) > 0 {
		r.Outcome = jobs.Failure
	}
	return r
}
