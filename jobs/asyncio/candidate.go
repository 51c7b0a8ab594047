package asyncio

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pgtender/pgtender/internal/pg"
)

// tunable are the settings that may be tried: a reload changes them and a reload takes the change back. track_io_timing is on the list for a
// person's wish; no gain in throughput can prove it, so it is never tried unasked.
var tunable = [...]string{"effective_io_concurrency", "io_workers", "maintenance_io_concurrency", "track_io_timing"}

// Tunable are the settings that may be tried, sorted.
func Tunable() []string { return tunable[:] }

// patience is how long a value that did not prove itself is not tried again.
const patience = 24 * time.Hour

// What bounds io_workers: the server's cores, or a constant where they cannot be counted.
const (
	workersPerCore    = 4
	defaultMaxWorkers = 8
)

// candidate is what is worth a trial.
type candidate struct {
	setting, to, why string
}

// choose finds what the evidence asks to be tried, or says why nothing is.
func (h *hand) choose(ctx context.Context, s *Status, e *Evidence, maxWorkers int) (*candidate, string, error) {
	recent, err := readChanges(ctx, h.db, " AND made_at > now() - make_interval(secs => $2) ORDER BY id DESC", patience.Seconds())
	if err != nil {
		return nil, "", err
	}
	kept, err := h.kept(ctx)
	if err != nil {
		return nil, "", err
	}
	var why string
	for _, c := range candidates(s, e, kept, maxWorkers) {
		if refusal := s.mayChange(c.setting); refusal != nil {
			why = refusal.Reason
			continue
		}
		if last := lastTrial(recent, c); last != nil {
			why = fmt.Sprintf("%s = %s was tried on %s and not kept (%s); it is not tried again within %s",
				c.setting, c.to, last.Made.UTC().Format(time.DateTime), last.Reason, patience)
			continue
		}
		return &c, "", nil
	}
	return nil, why, nil
}

func lastTrial(recent []Change, c candidate) *Change {
	for i := range recent {
		if r := &recent[i]; r.Name == c.setting && r.New == c.to && (r.Judged && r.State == stateReverted || r.State == stateOvertaken) {
			return r
		}
	}
	return nil
}

// candidates are in the order of what is known to cost most.
func candidates(s *Status, e *Evidence, kept []Change, maxWorkers int) []candidate {
	var out []candidate
	for _, name := range []string{"effective_io_concurrency", "maintenance_io_concurrency"} {
		if t := s.Setting(name); t != nil && t.Number != nil && *t.Number <= 1 {
			out = append(out, candidate{name, "16", fmt.Sprintf("it is %s, at which PostgreSQL 18 reads hardly ahead; the default is 16", t.Value)})
		}
	}
	t, method := s.Setting("io_workers"), s.Setting("io_method")
	if t == nil || t.Number == nil || method == nil || method.Value != "worker" || !e.Seen || e.Samples < minSamples {
		return out
	}
	now, share := int(*t.Number), float64(e.Saturated)/float64(e.Samples)
	if share >= saturation {
		for _, next := range ladder {
			if next > now && next <= maxWorkers {
				return append(out, candidate{t.Name, strconv.Itoa(next), "the I/O workers were too few: " + e.String()})
			}
		}
		return out
	}
	// More workers cost where the operating system has the data cached. What a load proved is doubted when that load has gone.
	if last := newest(kept, t.Name); last != nil && last.New == t.Value && share <= 1-saturation {
		if before, err := strconv.Atoi(last.Before); err == nil && before < now {
			out = append(out, candidate{t.Name, last.Before, fmt.Sprintf("%d were kept on %s for a load that is no longer seen: %s",
				now, last.Made.UTC().Format(time.DateTime), e)})
		}
	}
	return out
}

func newest(kept []Change, name string) *Change {
	for i := range kept {
		if kept[i].Name == name {
			return &kept[i]
		}
	}
	return nil
}

func (h *hand) kept(ctx context.Context) ([]Change, error) {
	return readChanges(ctx, h.db, " AND state = 'kept' ORDER BY id DESC")
}

// Refusal says why a setting may not be changed here, and what would allow it.
type Refusal struct {
	Reason string
	Grant  []string // SQL, for an administrator
}

func (r *Refusal) Error() string {
	text := r.Reason
	for _, g := range r.Grant {
		text += "\n    " + g
	}
	return text
}

// mayChange says what keeps pgtender from changing a setting itself, or nil.
func (s *Status) mayChange(name string) *Refusal {
	if r := s.mayTune(); r != nil {
		return r
	}
	t := s.Setting(name)
	no := func(format string, args ...any) *Refusal { return &Refusal{Reason: fmt.Sprintf(format, args...)} }
	switch {
	case t == nil:
		return no("this server (PostgreSQL %s) has no setting %s", s.Version, name)
	case !t.MayAlterSystem:
		return &Refusal{"this role may not change " + name, []string{"GRANT ALTER SYSTEM ON PARAMETER " + pg.Ident(name) + " TO " + pg.Ident(s.User) + ";"}}
	case t.Source == "command line" || t.Source == "environment variable":
		return no("%s was given on the server's command line, which beats ALTER SYSTEM: change it there", name)
	case len(t.Overrides) > 0:
		return no("%s has %s = %s, which beats ALTER SYSTEM there (%s)", t.Overrides[0].Of, name, t.Overrides[0].Value, t.Overrides[0].Reset)
	case t.Source != "default" && t.Source != "configuration file":
		return no("%s comes from %s, which beats ALTER SYSTEM", name, t.Source)
	}
	return nil
}

// mayTune says what keeps pgtender from changing any setting of this server, or nil.
func (s *Status) mayTune() *Refusal {
	no := func(reason string, grant ...string) *Refusal { return &Refusal{reason, grant} }
	user := pg.Ident(s.User)
	switch {
	case s.Standby:
		return no("the server is a standby: nothing can be journalled here. Tune it from its primary's point of view, by hand")
	case s.Platform != "":
		return no(s.Platform + " refuses ALTER SYSTEM: set what is advised in the instance's parameters")
	case !s.AllowAlterSystem:
		return no("allow_alter_system is off: settings are kept elsewhere on this server, so change what is advised there")
	case !s.MayObserve:
		return no("this role does not see other sessions, so no trial could be judged", "GRANT pg_monitor TO "+user+";")
	case !s.FilesRead:
		return no("this role may not read pg_file_settings, so a reload might put somebody's unfinished edit into force",
			"GRANT SELECT ON pg_catalog.pg_file_settings TO "+user+";",
			"GRANT EXECUTE ON FUNCTION pg_catalog.pg_show_all_file_settings() TO "+user+";")
	case !s.MayReload:
		return no("this role may not reload the configuration", "GRANT EXECUTE ON FUNCTION pg_catalog.pg_reload_conf() TO "+user+";")
	case len(s.FileErrors) > 0:
		return no(fmt.Sprintf("%s cannot be used by the server (%s): a reload would fail, and the next start may", s.FileErrors[0].Place, s.FileErrors[0].Error))
	}
	return nil
}

// Grants are the statements that let a role (quoted) make trials, besides pg_monitor.
func Grants(role string) []string {
	return []string{
		"GRANT ALTER SYSTEM ON PARAMETER " + strings.Join(Tunable(), ", ") + " TO " + role + "; -- io: trials, and taking them back",
		"GRANT EXECUTE ON FUNCTION pg_catalog.pg_reload_conf() TO " + role + ";",
		"GRANT SELECT ON pg_catalog.pg_file_settings TO " + role + "; -- io: no reload may load somebody's unfinished edit",
		"GRANT EXECUTE ON FUNCTION pg_catalog.pg_show_all_file_settings() TO " + role + ";",
	}
}
