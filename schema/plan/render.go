package plan

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Text writes the plan for people: the statements in order, each with its reason, lock and hazards.
func (p *Plan) Text(w io.Writer) error {
	out := &strings.Builder{}
	if p.Empty() {
		fmt.Fprintf(out, "-- %s: nothing to do, the schema is as declared.\n", orDefault(p.Database, "database"))
	} else {
		fmt.Fprintf(out, "-- %s: %s in %s.\n", orDefault(p.Database, "database"), count(len(p.Statements), "statement"), p.transactions())
	}
	for i := range p.Statements {
		s := &p.Statements[i]
		if i == 0 || p.Statements[i-1].Tx != s.Tx {
			fmt.Fprintf(out, "\n-- %s\n", heading(s))
		}
		fmt.Fprintf(out, "\n-- %d. %s: %s\n", i+1, s.Object, oneLine(s.Reason))
		if s.Lock != "none" {
			fmt.Fprintf(out, "--    lock: %s\n", s.Lock)
		}
		for _, h := range s.Hazards {
			fmt.Fprintf(out, "--    HAZARD %s: %s\n", h.Name, oneLine(h.Message))
		}
		fmt.Fprintf(out, "%s;\n", s.SQL)
	}
	p.footer(out)
	_, err := io.WriteString(w, out.String())
	return err
}

func (p *Plan) transactions() string {
	last, outside := 0, 0
	for _, s := range p.Statements {
		last = max(last, s.Tx)
		if s.OutsideTx {
			outside++
		}
	}
	switch {
	case outside == 0:
		return count(last, "transaction")
	case last == 0:
		return "no transaction"
	}
	return count(last, "transaction") + " and " + fmt.Sprint(outside) + " outside"
}

func heading(s *Statement) string {
	if s.OutsideTx {
		return "outside a transaction"
	}
	return fmt.Sprintf("transaction %d", s.Tx)
}

func (p *Plan) footer(out *strings.Builder) {
	if hazards := p.Hazards(); len(hazards) > 0 {
		fmt.Fprintf(out, "\n-- Hazards: run it with --allow-hazards %s\n", JoinHazards(hazards))
	}
	if len(p.LeftAlone) > 0 {
		fmt.Fprintf(out, "\n-- Left alone: %s\n", strings.Join(p.LeftAlone, ", "))
	}
	if len(p.Unmanaged) > 0 {
		fmt.Fprint(out, "\n-- Not managed, and so neither compared nor touched:\n")
	}
	for _, u := range p.Unmanaged {
		fmt.Fprintf(out, "--   %s %s", u.Kind, u.Name)
		if u.Reason != "" {
			fmt.Fprintf(out, " (%s)", u.Reason)
		}
		fmt.Fprintln(out)
	}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// JoinHazards writes hazards as --allow-hazards takes them.
func JoinHazards(names []HazardName) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = string(n)
	}
	return strings.Join(out, ",")
}

// SQL writes the plan as a script for psql: each transaction between BEGIN and COMMIT.
func (p *Plan) SQL(w io.Writer) error {
	out := &strings.Builder{}
	fmt.Fprintf(out, "-- For %s while its schema has the fingerprint %s.\nSET search_path = '';\nSET check_function_bodies = off;\nSET TimeZone = 'UTC';\n",
		orDefault(p.Database, "database"), p.From)
	for i := range p.Statements {
		s := &p.Statements[i]
		if s.Tx != 0 && (i == 0 || p.Statements[i-1].Tx != s.Tx) {
			fmt.Fprint(out, "BEGIN;\n")
		}
		fmt.Fprintf(out, "-- %s: %s\n", s.Object, oneLine(s.Reason))
		for _, h := range s.Hazards {
			fmt.Fprintf(out, "-- HAZARD %s: %s\n", h.Name, oneLine(h.Message))
		}
		fmt.Fprintf(out, "%s;\n", s.SQL)
		if s.Tx != 0 && (i+1 == len(p.Statements) || p.Statements[i+1].Tx != s.Tx) {
			fmt.Fprint(out, "COMMIT;\n")
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// JSON writes the plan as the plan file that Read takes.
func (p *Plan) JSON(w io.Writer) error {
	if p.Statements == nil { // [] and not null
		empty := *p
		empty.Statements = []Statement{}
		p = &empty
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(file{Format: fileFormat, Plan: *p})
}
