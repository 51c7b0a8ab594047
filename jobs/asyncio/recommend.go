package asyncio

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pgtender/pgtender/internal/pg"
)

// Weight says how an advice is meant.
type Weight string

// The weights.
const (
	Warn        Weight = "warning" // something is wrong or will be at the next restart
	Better      Weight = "change"  // known to be better, from measurements
	WorthTrying Weight = "trial"   // worth trying; keep it only when throughput rises
	Note        Weight = "note"    // to know
)

// Advice is one recommendation.
type Advice struct {
	Setting  string   `json:"setting"`
	Weight   Weight   `json:"weight"`
	Current  string   `json:"current"`
	Proposed string   `json:"proposed,omitempty"`
	Reason   string   `json:"reason"`
	Evidence string   `json:"evidence"`
	SQL      []string `json:"sql,omitempty"` // in order, each its own statement outside a transaction
	Restart  bool     `json:"restart"`       // only a restart of the server makes it so: never done by pgtender
	// Preflight tries the start on the server's machine, under its user and limits, without touching the server.
	Preflight []string `json:"preflight,omitempty"`
	// Tried is what that came to, where the server's program is on this machine.
	Tried *Preflight `json:"tried,omitempty"`
	// Platform is the managed service's way, where ALTER SYSTEM is not to be had.
	Platform string `json:"platform,omitempty"`
	// Grant is what this role lacks for the SQL.
	Grant []string `json:"grant,omitempty"`
}

// Recommend judges the settings by what was read and observed; e may be nil. The result is sorted by weight, then by setting.
func Recommend(s *Status, e *Evidence) []Advice {
	if e == nil {
		e = &Evidence{}
	}
	var all []Advice
	for _, rule := range []func(*Status, *Evidence) []Advice{
		directIO, fileErrors, pendingRestart, overridden, combineLimit, readAhead, workers, timing, method,
	} {
		all = append(all, rule(s, e)...)
	}
	order := []Weight{Warn, Better, WorthTrying, Note}
	slices.SortStableFunc(all, func(a, b Advice) int {
		if d := slices.Index(order, a.Weight) - slices.Index(order, b.Weight); d != 0 {
			return d
		}
		return strings.Compare(a.Setting, b.Setting)
	})
	return all
}

func directIO(s *Status, _ *Evidence) []Advice {
	t := s.Setting("debug_io_direct")
	if t == nil || t.Value == "" {
		return nil
	}
	a := s.change(t, Warn, "", "it is a developer's option: it bypasses the operating system's cache and read-ahead, and is not for production",
		"debug_io_direct is "+strconv.Quote(t.Value))
	return []Advice{a}
}

func fileErrors(s *Status, _ *Evidence) []Advice {
	var out []Advice
	for _, f := range s.FileErrors {
		out = append(out, Advice{Setting: f.Name, Weight: Warn,
			Reason:   "this line cannot be used, and a bad line in a configuration file can keep the server from starting: mend it before any restart",
			Evidence: f.Place + ": " + f.Error})
	}
	return out
}

func pendingRestart(s *Status, _ *Evidence) []Advice {
	var out []Advice
	for _, t := range s.Settings {
		if !t.PendingRestart {
			continue
		}
		out = append(out, Advice{Setting: t.Name, Weight: Warn, Current: t.Effective, Proposed: t.Pending, Restart: true,
			Reason: "another value waits for the next restart. ALTER SYSTEM checks only its range, so the start itself may fail: try it beforehand",
			Evidence: "pg_settings.pending_restart; see: SELECT sourcefile, sourceline, setting, error FROM pg_file_settings WHERE name = " +
				pg.Literal(t.Name) + ";",
			Preflight: s.preflight(t.Name, cmp.Or(t.Pending, "VALUE"))})
	}
	return out
}

func overridden(s *Status, _ *Evidence) []Advice {
	var out []Advice
	for _, t := range s.Settings {
		if t.Source == "command line" || t.Source == "environment variable" {
			out = append(out, Advice{Setting: t.Name, Weight: Note, Current: t.Effective,
				Reason:   "it was given on the server's command line, which beats the configuration files and ALTER SYSTEM: change it there",
				Evidence: "pg_settings.source is " + t.Source})
		}
		for _, o := range t.Overrides {
			out = append(out, Advice{Setting: t.Name, Weight: Note, Current: o.Value,
				Reason:   "the setting of " + o.Of + " beats ALTER SYSTEM there, silently",
				Evidence: "pg_db_role_setting or pg_tablespace: " + o.Of + " has " + t.Name + " = " + o.Value, SQL: []string{o.Reset}})
		}
	}
	return out
}

func combineLimit(s *Status, _ *Evidence) []Advice {
	t, most := s.Setting("io_combine_limit"), s.Setting("io_max_combine_limit")
	if t == nil || most == nil || t.Effective == pretty(t.Value, t.Unit) {
		return nil
	}
	a := s.change(t, Better, most.Value, "", "")
	a.Reason = fmt.Sprintf("the server caps it at io_max_combine_limit, silently, so it does not do what it says. Say %s; or raise io_max_combine_limit to %s, which needs a restart, though reads of 256kB and 1MB were measured to be no faster than 128kB",
		most.Effective, pretty(t.Value, t.Unit))
	a.Evidence = fmt.Sprintf("io_combine_limit = %s, io_max_combine_limit = %s, in force: %s", pretty(t.Value, t.Unit), most.Effective, t.Effective)
	return []Advice{a}
}

func readAhead(s *Status, e *Evidence) []Advice {
	var out []Advice
	for _, name := range []string{"effective_io_concurrency", "maintenance_io_concurrency"} {
		t := s.Setting(name)
		if t == nil || t.Number == nil || *t.Number > 1 {
			continue
		}
		reason := "at 0 and 1 PostgreSQL 18 reads hardly ahead: cold bitmap heap scans were measured to take 2.9 to 3.7 times as long as at 16, the default"
		if name == "maintenance_io_concurrency" {
			reason = "at 0 and 1 VACUUM and other maintenance read hardly ahead; the default is 16"
		}
		out = append(out, s.change(t, Better, "16", reason, fmt.Sprintf("%s = %s; average read %.0f kB over %d reads; %s",
			name, t.Value, e.MeanRead()/1024, e.TotalReads, e)))
	}
	return out
}

// ladder are the steps by which io_workers is tried.
var ladder = [...]int{1, 2, 3, 4, 6, 8, 12, 16, 24, 32}

// minSamples is how many samples an advice on workers needs; saturation, in which share of them.
const (
	minSamples = 10
	saturation = 0.8
)

func workers(s *Status, e *Evidence) []Advice {
	t, method := s.Setting("io_workers"), s.Setting("io_method")
	if t == nil || t.Number == nil || method == nil || method.Value != "worker" || !e.Seen || e.Samples < minSamples ||
		float64(e.Saturated) < saturation*float64(e.Samples) {
		return nil
	}
	for _, next := range ladder {
		if next > int(*t.Number) {
			return []Advice{s.change(t, WorthTrying, strconv.Itoa(next),
				"the I/O workers were too few for what was asked of them: cold reads gain from more, while reads that the operating system has cached lose. "+
					"Compare bytes read per second and commits per second before and after under the same load, and take it back unless they rise by a tenth",
				e.String())}
		}
	}
	return nil
}

func timing(s *Status, e *Evidence) []Advice {
	t := s.Setting("track_io_timing")
	if t == nil || t.Value != "off" {
		return nil
	}
	return []Advice{s.change(t, Note, "on", "without it pg_stat_io has no times, so that slow storage cannot be told from many reads; run pg_test_timing first, as a slow clock makes it dear",
		fmt.Sprintf("track_io_timing = off; %d reads without a time", e.TotalReads))}
}

func method(s *Status, e *Evidence) []Advice {
	t := s.Setting("io_method")
	if t == nil {
		return nil
	}
	evidence := "choices of this build: " + strings.Join(t.Choices, ", ") + "; " + e.String()
	reason := ""
	switch {
	case t.Value == "sync":
		reason = "reads are synchronous. That is no fault in itself: which method is fastest depends on the load, so measure before changing it"
	case !slices.Contains(t.Choices, "io_uring"):
		reason = "this build has no io_uring; do not set it, the server would not start"
	default:
		return nil
	}
	return []Advice{{Setting: t.Name, Weight: Note, Current: t.Value, Reason: reason, Evidence: evidence}}
}

// preflight tries the start with what is advised, or with the value that waits for a restart.
func (a *Advice) preflight(ctx context.Context, r *Report) (err error) {
	if !a.Restart || a.Proposed == "" {
		return nil
	}
	a.Tried, err = r.Local.TryStart(ctx, r.Status, a.Setting, a.Proposed)
	return err
}

// change is an advice with the SQL that this server and role would need.
func (s *Status) change(t *Setting, w Weight, to, reason, evidence string) Advice {
	a := Advice{Setting: t.Name, Weight: w, Current: t.Effective, Proposed: to, Reason: reason, Evidence: evidence, Restart: t.Context == "postmaster"}
	set := "ALTER SYSTEM SET " + pg.Ident(t.Name) + " = " + pg.Literal(to) + ";"
	if to == "" || to == t.Default {
		set = "ALTER SYSTEM RESET " + pg.Ident(t.Name) + ";"
		if to != "" && t.Source != "default" && !strings.Contains(t.File, "postgresql.auto.conf") {
			set = "ALTER SYSTEM SET " + pg.Ident(t.Name) + " = " + pg.Literal(to) + ";" // another file sets it
		}
	}
	switch {
	case t.Source == "command line":
		a.Platform = "take it off the server's command line"
	case s.Platform != "":
		a.Platform = fmt.Sprintf("%s: set %s in the instance's parameters (parameter group, database flags, server parameters); ALTER SYSTEM is refused there", s.Platform, t.Name)
	case !s.AllowAlterSystem:
		a.Platform = "allow_alter_system is off: set " + t.Name + " where this server's configuration is kept, then reload it"
	default:
		a.SQL = append(a.SQL, set)
		if !t.MayAlterSystem {
			a.Grant = append(a.Grant, "GRANT ALTER SYSTEM ON PARAMETER "+pg.Ident(t.Name)+" TO "+pg.Ident(s.User)+";")
		}
		if !a.Restart {
			a.SQL = append(a.SQL, "SELECT pg_reload_conf();")
			if !s.MayReload {
				a.Grant = append(a.Grant, "GRANT EXECUTE ON FUNCTION pg_catalog.pg_reload_conf() TO "+pg.Ident(s.User)+";")
			}
		}
		for _, o := range t.Overrides {
			a.SQL = append(a.SQL, o.Reset)
		}
	}
	if a.Restart {
		a.Preflight = s.preflight(t.Name, to)
	}
	return a
}

// preflight are the commands that try the start with the live sizes: ALTER SYSTEM checks range and enum only, so a start can fail on
// locked memory, open files or shared memory.
func (s *Status) preflight(name, value string) []string {
	quote := func(v string) string { return "'" + strings.ReplaceAll(v, "'", `'\''`) + "'" }
	args := []string{"max_connections=" + s.MaxConnections, "shared_buffers=" + s.SharedBuffers}
	for _, n := range []string{"io_method", "io_max_concurrency", "io_max_combine_limit"} {
		if t := s.Setting(n); t != nil && n != name {
			args = append(args, n+"="+t.Value)
		}
	}
	args = append(args, name+"="+value)
	cmd := "postgres --check -D SCRATCH -c dynamic_shared_memory_type=mmap"
	for _, a := range args {
		cmd += " -c " + quote(a)
	}
	return []string{"initdb -D SCRATCH    # a new folder, on the server's machine, as the server's user and under its limits", cmd}
}
