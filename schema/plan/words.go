package plan

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/pgtender/pgtender/schema/catalog"
)

const (
	isMissing = "declared, but not in the database"
	isExtra   = "in the database, but not declared"
)

// Describe tells one fact's difference in words, on one line.
func Describe(d catalog.Delta) string { return describe(d) }

// describe tells one fact's difference in words, short enough for one line.
func describe(d catalog.Delta) string {
	if strings.Contains(d.Live+d.Declared, "\n") || len(d.Live) > 80 || len(d.Declared) > 80 {
		return d.Name + " differs, " + firstDifference(d.Live, d.Declared)
	}
	if d.Name == catalog.FactEnabled && d.Live+d.Declared == partlyDisabled {
		return fmt.Sprintf("%s, declared is %s", enforcedWords(d.Live), enforcedWords(d.Declared))
	}
	if d.Name == catalog.FactEnabled {
		return fmt.Sprintf("it is %s, declared is %s", cmp.Or(d.Live, "enabled"), cmp.Or(d.Declared, "enabled"))
	}
	return fmt.Sprintf("%s is %s, declared is %s", d.Name, orNone(d.Live), orNone(d.Declared))
}

// partlyDisabled is the fact of a foreign key of whose triggers some are disabled, and others not.
const partlyDisabled = "partly disabled"

func enforcedWords(enabled string) string {
	if enabled == partlyDisabled {
		return "it is enforced only in part, since some of its triggers are disabled (ALTER TABLE … DISABLE TRIGGER)"
	}
	return "enforced, with all its triggers enabled"
}

func orNone(s string) string {
	if s == "" {
		return "not set"
	}
	return s
}

// describeAll tells several facts' differences.
func (b *builder) describeAll(k catalog.Key, facts ...string) string {
	var out []string
	for _, f := range facts {
		if d, ok := b.delta(k, f); ok {
			out = append(out, describe(d))
		}
	}
	return strings.Join(out, "; ")
}

// firstDifference shows the first line where two long texts part.
func firstDifference(live, declared string) string {
	a, b := strings.Split(live, "\n"), strings.Split(declared, "\n")
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	line := func(s []string) string {
		if i >= len(s) {
			return "(nothing more)"
		}
		return excerpt(s[i])
	}
	where := ""
	if len(a) > 1 || len(b) > 1 {
		where = fmt.Sprintf("first in line %d: ", i+1)
	}
	return fmt.Sprintf("%sthere %s, declared %s", where, line(a), line(b))
}

func excerpt(s string) string {
	const most = 70
	s = strings.TrimSpace(s)
	if runes := []rune(s); len(runes) > most {
		s = string(runes[:most]) + "…"
	}
	return "«" + s + "»"
}

// size tells how much a live table holds, as far as the server's estimates say.
func size(o *catalog.Object) string {
	const unknown = "size not known yet (never analysed)"
	if o == nil {
		return unknown
	}
	n := o.Notes
	known := "about " + thousands(n.Rows) + " rows, " + volume(n.Bytes)
	switch {
	case n.Partitioned && n.Leaves == 0:
		return "it has no partitions, and so no rows"
	case n.Partitioned && n.Unknown == n.Leaves, !n.Partitioned && n.Rows < 0:
		return unknown
	case n.Bytes == 0 && n.Unknown == 0:
		return "size not known yet (empty when last analysed)"
	case n.Unknown > 0:
		return known + ", and " + count(n.Unknown, "partition") + " never analysed"
	}
	return known
}

// indexSize tells how large an index is, as far as the server has noted it; of a partitioned one it notes nothing.
func indexSize(o *catalog.Object) string {
	if o.Notes.Bytes == 0 {
		return "size not known yet"
	}
	return volume(o.Notes.Bytes)
}

func volume(n int64) string {
	units := []string{"bytes", "kB", "MB", "GB", "TB"}
	value, u := float64(n), 0
	for value >= 1024 && u < len(units)-1 {
		value, u = value/1024, u+1
	}
	if u == 0 || value >= 10 {
		return fmt.Sprintf("%.0f %s", value, units[u])
	}
	return fmt.Sprintf("%.1f %s", value, units[u])
}

func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
