package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// newTable is how pgtender prints rows for people: plain columns, no frame, nothing that gets in the way of grep.
func newTable(w io.Writer, header ...string) table.Writer {
	t := table.NewWriter()
	t.SetOutputMirror(w)
	style := table.StyleLight
	style.Options = table.OptionsNoBordersAndSeparators
	style.Format.Header = text.FormatDefault
	style.Box.PaddingLeft = ""
	style.Box.PaddingRight = "  "
	t.SetStyle(style)
	t.SuppressTrailingSpaces() // one long error would pad every line to its length
	row := make(table.Row, len(header))
	for i, h := range header {
		row[i] = h
	}
	t.AppendHeader(row)
	return t
}

// moment prints an instant, in the zone that schedules and partitions are kept in.
func moment(t time.Time, loc *time.Location) string {
	if t.IsZero() {
		return "-"
	}
	return t.In(loc).Format("2006-01-02 15:04:05 MST")
}

// size prints bytes in binary units, as PostgreSQL's pg_size_pretty does.
func size(bytes int64) string {
	units := []string{"bytes", "kB", "MB", "GB", "TB", "PB"}
	value, unit := float64(bytes), 0
	for value >= 10240 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	return fmt.Sprintf("%.0f %s", value, units[unit])
}

// printJSON writes a value as indented JSON.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// formatFlag checks a --format value.
func formatFlag(got string, known ...string) error {
	for _, k := range known {
		if got == k {
			return nil
		}
	}
	return fmt.Errorf("--format %q is not known: use %s", got, strings.Join(known, " or "))
}

// counted prints a number with its noun.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
