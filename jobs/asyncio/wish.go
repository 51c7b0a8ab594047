package asyncio

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Wish is the advice on a value that a person has in mind, "name=value".
func Wish(ctx context.Context, r *Report, wish string) (Advice, error) {
	name, value, ok := cutWish(wish)
	if !ok {
		return Advice{}, fmt.Errorf("%q: write the setting and the value in mind, such as io_method=sync", wish)
	}
	t := r.Status.Setting(name)
	if refusal := Forbidden(r.Status, name); refusal != nil && (t == nil || name == "debug_io_direct") {
		return Advice{}, refusal
	}
	value, err := t.canonical(value)
	if err != nil {
		return Advice{}, err
	}
	if value == t.Value {
		return Advice{}, fmt.Errorf("%s is %s already", name, pretty(value, t.Unit))
	}
	weight, reason := Note, "asked for; a reload brings it into force and takes it back. Let a trial prove it: pgtender io apply "+name+"="+value
	if t.Context == "postmaster" {
		reason = "asked for; only a restart brings it into force, and a start may fail on it: ALTER SYSTEM checks no more than its range"
	} else if most := r.Status.Setting("io_max_combine_limit"); name == "io_combine_limit" && most != nil && exceeds(value, most.Value) {
		reason = fmt.Sprintf("asked for; but the server caps it at io_max_combine_limit, %s, silently, so it would do nothing. Raise that first, which needs a restart", most.Effective)
	} else if !slices.Contains(tunable[:], name) {
		reason = "asked for; measured gains of it are not known"
	}
	a := r.Status.change(t, weight, value, reason, r.Evidence.String())
	return a, a.preflight(ctx, r)
}

func cutWish(wish string) (name, value string, ok bool) {
	name, value, ok = strings.Cut(wish, "=")
	name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
	return name, value, ok && name != "" && value != ""
}

// exceeds compares two whole numbers.
func exceeds(a, b string) bool {
	x, errX := strconv.Atoi(a)
	y, errY := strconv.Atoi(b)
	return errX == nil && errY == nil && x > y
}

// canonical is a value as pg_settings writes it, in the setting's own unit, so that it is known again. It refuses what the server would
// not take.
func (t *Setting) canonical(value string) (string, error) {
	switch {
	case t.Value == "on" || t.Value == "off":
		if slices.Contains([]string{"true", "yes", "1"}, strings.ToLower(value)) {
			value = "on"
		} else if slices.Contains([]string{"false", "no", "0"}, strings.ToLower(value)) {
			value = "off"
		}
		value = strings.ToLower(value)
	case len(t.Choices) > 0:
		value = strings.ToLower(value)
	case t.Unit != "":
		if n, ok := quantity(value, t.Unit); ok && n == math.Trunc(n) {
			value = strconv.FormatFloat(n, 'f', 0, 64)
		}
	}
	return value, t.checkValue(value)
}

func (t *Setting) checkValue(value string) error {
	no := func(known string) error { return fmt.Errorf("%s = %s: the server takes %s", t.Name, value, known) }
	switch {
	case len(t.Choices) > 0:
		if !slices.Contains(t.Choices, value) {
			return fmt.Errorf("%s = %s: this build of PostgreSQL knows %s only, and would not start with anything else", t.Name, value, strings.Join(t.Choices, ", "))
		}
	case t.Value == "on" || t.Value == "off":
		if value != "on" && value != "off" {
			return no("on or off")
		}
	case t.Min != "" && t.Max != "":
		low, errLow := strconv.ParseInt(t.Min, 10, 64)
		high, errHigh := strconv.ParseInt(t.Max, 10, 64)
		n, err := strconv.ParseInt(value, 10, 64)
		if errLow == nil && errHigh == nil && (err != nil || n < low || n > high || strconv.FormatInt(n, 10) != value) {
			return no(fmt.Sprintf("whole numbers from %d to %d%s", low, high, inUnit(t.Unit)))
		}
	}
	return nil
}

func inUnit(unit string) string {
	if unit == "" {
		return ""
	}
	return ", in units of " + unit
}

// Forbidden says why pgtender does not try a setting of that name on any server, or nil.
func Forbidden(s *Status, name string) *Refusal {
	no := func(format string, args ...any) *Refusal { return &Refusal{Reason: fmt.Sprintf(format, args...)} }
	t := s.Setting(name)
	switch {
	case name == "io_direct":
		return no("there is no setting io_direct in PostgreSQL: debug_io_direct is meant, a developer's option that is never for production")
	case name == "debug_io_direct":
		return no("debug_io_direct is a developer's option: it bypasses the operating system's cache and read-ahead, and is never for production")
	case slices.Contains(tunable[:], name):
		return nil
	case t == nil:
		return no("this server (PostgreSQL %s) has no I/O setting %s; it has: %s", s.Version, name, strings.Join(s.names(), ", "))
	case t.Context == "postmaster":
		return no("%s takes effect at a restart only, and pgtender never restarts a server. See what the start would come to: pgtender io recommend %s=VALUE", name, name)
	}
	return no("%s is not on the list of what may be tried unattended: %s", name, strings.Join(tunable[:], ", "))
}

func (s *Status) names() []string {
	var out []string
	for _, t := range s.Settings {
		out = append(out, t.Name)
	}
	return out
}
