package parts

import (
	"fmt"
	"hash/fnv"
	"unicode/utf8"

	"github.com/pgtender/pgtender/internal/pg"
)

// Fit joins a base name and a suffix. Where the server would cut the result, the base is cut instead and
// a hash of it put in, so that long names that differ stay different and the suffix stays readable.
func Fit(base, suffix string) string {
	if len(base)+len(suffix) <= pg.MaxNameBytes {
		return base + suffix
	}
	h := fnv.New32a()
	h.Write([]byte(base))
	mark := fmt.Sprintf("_%08x", h.Sum32())
	room := max(pg.MaxNameBytes-len(mark)-len(suffix), 0)
	for room > 0 && !utf8.RuneStart(base[room]) {
		room--
	}
	return base[:room] + mark + suffix
}
