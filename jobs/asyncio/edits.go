package asyncio

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Edit is a difference between the configuration files and the values in force: written, and not loaded.
type Edit struct {
	Name  string
	Place string // file:line; empty when the entry was taken out
	File  string // the value in the file
	Now   string // the value in force
}

func (e Edit) String() string {
	if e.Place == "" {
		return fmt.Sprintf("%s = %s is in force and no longer in any file", e.Name, e.Now)
	}
	return fmt.Sprintf("%s = %s (%s), in force %s", e.Name, e.File, e.Place, e.Now)
}

// What a reload would change. A postmaster setting waits for a restart in any case, and what a session has set for itself (as ours
// does with its time zone) cannot be compared.
const editsSQL = `
SELECT s.name, coalesce(f.sourcefile || ':' || f.sourceline, ''), coalesce(f.setting, ''), s.setting, coalesce(s.unit, ''), s.vartype
  FROM pg_settings s LEFT JOIN pg_file_settings f ON f.name = s.name AND f.applied
 WHERE s.name <> $1 AND s.context NOT IN ('internal', 'postmaster')
   AND (s.source = 'configuration file' OR s.source = 'default' AND f.name IS NOT NULL)
 ORDER BY s.name`

// FilesError says that the server cannot use its configuration files as they are, so that no reload works.
type FilesError struct{ Wrong FileError }

func (e *FilesError) Error() string {
	return fmt.Sprintf("%s cannot be used by the server (%s): no reload works, and the next start may fail. Mend or remove that line first", e.Wrong.Place, e.Wrong.Error)
}

// edits are what a reload would put into force besides our setting. A *FilesError says that no reload works.
func (h *hand) edits(ctx context.Context, ours string) ([]Edit, error) {
	wrong, err := readFileErrors(ctx, h.db)
	if err != nil {
		return nil, fmt.Errorf("read the errors of the configuration files: %w", err)
	}
	if len(wrong) > 0 {
		return nil, &FilesError{wrong[0]}
	}
	rows, err := h.db.Query(ctx, editsSQL, ours)
	if err != nil {
		return nil, fmt.Errorf("compare the configuration files with the values in force: %w", err)
	}
	var out []Edit
	var e Edit
	var unit, kind string
	_, err = pgx.ForEachRow(rows, []any{&e.Name, &e.Place, &e.File, &e.Now, &unit, &kind}, func() error {
		if e.Place == "" || !sameValue(e.File, e.Now, unit, kind) {
			out = append(out, e)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("compare the configuration files with the values in force: %w", err)
	}
	return out, nil
}

// sameValue compares a value as a file has it with the one of pg_settings, which is in the setting's unit.
func sameValue(file, now, unit, kind string) bool {
	file = strings.TrimSpace(file)
	switch kind {
	case "bool":
		on := func(s string) bool {
			s = strings.ToLower(s)
			return s == "1" || s != "" && s != "o" && (strings.HasPrefix("on", s) || strings.HasPrefix("true", s) || strings.HasPrefix("yes", s))
		}
		return on(file) == on(now)
	case "integer", "real":
		a, okA := quantity(file, unit)
		b, okB := quantity(now, unit)
		return okA && okB && near(a, b, kind == "integer")
	default:
		squeeze := func(s string) string { return strings.ToLower(strings.Join(strings.Fields(s), "")) }
		return squeeze(file) == squeeze(now)
	}
}

// near allows an integer setting the rounding to its unit.
func near(a, b float64, whole bool) bool {
	d := a - b
	if d < 0 {
		d = -d
	}
	if whole {
		return d <= 0.5
	}
	return d <= 1e-9*max(a, b, 1)
}

// units in bytes and in microseconds, as a configuration file may write them.
var units = map[string]float64{
	"B": 1, "kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40,
	"us": 1, "ms": 1e3, "s": 1e6, "min": 60e6, "h": 3600e6, "d": 86400e6,
}

// quantity is a number in multiples of unit ("8kB", "ms", or none).
func quantity(text, unit string) (float64, bool) {
	cut := strings.IndexFunc(text, func(r rune) bool { return (r < '0' || r > '9') && !strings.ContainsRune("+-.eExX", r) })
	digits, suffix := text, ""
	if cut >= 0 {
		digits, suffix = text[:cut], strings.TrimSpace(text[cut:])
	}
	digits = strings.TrimSpace(digits)
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil {
		i, err := strconv.ParseInt(digits, 0, 64) // hexadecimal and octal, as the server reads them
		if err != nil {
			return 0, false
		}
		n = float64(i)
	}
	if suffix == "" {
		return n, true
	}
	each, ok := units[suffix]
	if !ok {
		return 0, false
	}
	count := strings.IndexFunc(unit, func(r rune) bool { return r < '0' || r > '9' })
	if count < 0 {
		return 0, false // a setting without a unit
	}
	base, ok := units[unit[count:]]
	if !ok {
		return 0, false
	}
	if count > 0 {
		multiple, err := strconv.ParseFloat(unit[:count], 64)
		if err != nil {
			return 0, false
		}
		base *= multiple
	}
	return n * each / base, true
}
