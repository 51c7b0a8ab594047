package archive

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/jobs"
)

func (p *pass) result(dry bool, loc *time.Location) jobs.Result {
	cut := p.cut.In(loc).Format(time.RFC3339)
	r := jobs.Result{Outcome: jobs.Noop, Summary: "no partition lies wholly before " + cut, Detail: map[string]any{"cut": cut}}
	switch {
	case len(p.errs) > 0:
		r.Summary = "nothing was moved"
	case !p.policy.Partitioned || p.policy.Granularity == config.ByRow:
		r.Summary = "no row is due that is older than " + cut
	}
	var done []string
	if len(p.moves) > 0 {
		done = append(done, p.reportMoves(&r, dry))
	}
	done = append(done, p.reportRows(&r)...)
	if len(p.dropped) > 0 {
		r.Detail["emptied"] = p.dropped
		done = append(done, "dropped the emptied "+strings.Join(p.dropped, ", "))
	}
	if len(p.expired) > 0 {
		r.Detail["dropped"], r.Detail["dropped_rows"] = p.expired, p.expiredRows
		verb := "dropped for good "
		if dry {
			verb = "would drop for good "
		}
		done = append(done, verb+strings.Join(p.expired, ", ")+" with "+counted(p.expiredRows, "row", "rows"))
	}
	switch {
	case len(p.later) == 0:
	case dry:
		done = append(done, "a later run would drop for good "+strings.Join(p.later, ", "))
	default:
		done = append(done, "a later run drops for good "+strings.Join(p.later, ", "))
	}
	if len(done) > 0 {
		r.Summary = strings.Join(done, "; ")
		if !dry && (len(p.moves)+len(p.dropped)+len(p.expired) > 0 || p.rowsMoved() > 0) {
			r.Outcome = jobs.Success
		}
	}
	if len(p.errs) > 0 {
		r.Outcome = jobs.Failure
	}
	return r
}

func (p *pass) rowsMoved() (n int64) {
	for _, s := range p.sweeps {
		n += s.moved
	}
	return n
}

// done says what a run that was stopped has changed; nothing: "".
func (p *pass) done() string {
	var done []string
	for _, m := range p.moves {
		done = append(done, "moved "+m.child.Table.String())
	}
	for _, s := range p.sweeps {
		if s.moved > 0 {
			done = append(done, fmt.Sprintf("moved %s from %s to %s", counted(s.moved, "row", "rows"), s.from, s.to))
		}
	}
	for _, t := range p.proved {
		if !slices.ContainsFunc(p.moves, func(m move) bool { return m.child.Table.String() == t }) {
			done = append(done, fmt.Sprintf("gave %s the CHECK %s, and did not move it", t, parts.BoundsCheck))
		}
	}
	return strings.Join(done, ", ")
}

// reportMoves tells which partitions were moved.
func (p *pass) reportMoves(r *jobs.Result, dry bool) string {
	var rows, bytes int64
	var list []map[string]any
	about, unknown := "", false
	for _, m := range p.moves {
		n := max(m.facts.Rows, 0)
		if m.counted != nil {
			n = *m.counted
		} else {
			about = "about "
			unknown = unknown || m.facts.Rows < 0
		}
		rows, bytes = rows+n, bytes+m.facts.Bytes
		list = append(list, map[string]any{"partition": m.child.Table.String(), "rows": n, "rows_exact": m.counted != nil, "bytes": m.facts.Bytes,
			"from": p.live.Key.Text(m.child.Lower), "to": p.live.Key.Text(m.child.Upper)})
	}
	verb, what := "moved", "partitions"
	if dry {
		verb = "would move"
	}
	if len(list) == 1 {
		what = "partition"
	}
	r.Detail["moved"], r.Detail["rows"], r.Detail["bytes"] = list, rows, bytes
	held := about + counted(rows, "row", "rows")
	switch {
	case unknown && rows == 0:
		held = "an unknown number of rows"
	case unknown:
		held = about + counted(rows, "row", "rows") + " and those of partitions that were never analysed"
	}
	return fmt.Sprintf("%s %d %s with %s into %s, up to %s", verb, len(list), what, held, p.into.Table,
		p.live.Key.Text(p.moves[len(p.moves)-1].child.Upper))
}

// reportRows tells which rows were moved one by one.
func (p *pass) reportRows(r *jobs.Result) (done []string) {
	for _, f := range p.foretold {
		done = append(done, fmt.Sprintf("would move about %s of %s", counted(f.rows, "row", "rows"), f.table))
	}
	var list []map[string]any
	for _, s := range p.sweeps {
		if s.batches == 0 {
			continue
		}
		list = append(list, map[string]any{"from": s.from.String(), "to": s.to.String(), "rows": s.moved, "batches": s.batches, "batch_rows": s.pace.rows,
			"longest_ms": s.longest.Milliseconds(), "seconds": time.Since(s.begun).Seconds(), "locked_stretches": s.passed, "standby_late": s.late})
		stay := s.staysText()
		if stay != "" {
			list[len(list)-1]["stays"] = stay
		}
		if s.moved == 0 && s.passed == 0 {
			if stay != "" {
				done = append(done, "moved no row of "+s.from.String(), stay)
			}
			continue
		}
		text := fmt.Sprintf("moved %s of %s into %s in %s", counted(s.moved, "row", "rows"), s.from, s.to, counted(int64(s.batches), "batch", "batches"))
		if s.passed > 0 {
			text += fmt.Sprintf(", and left %s for the next run, since others hold rows in them", counted(int64(s.passed), "stretch", "stretches"))
		}
		if s.late {
			text += ", and left the rest for the next run, since a standby does not keep up"
		}
		done = append(done, text)
		if stay != "" {
			done = append(done, stay)
		}
	}
	if len(list) > 0 {
		r.Detail["by_row"] = list
	}
	return done
}

func ident(t config.Table) string { return pg.Ident(t.Schema, t.Name) }
