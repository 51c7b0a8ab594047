package desired

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// The place of any byte is what counting from the file's beginning gives.
func TestPos(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := &file{name: "f.sql", text: rapid.StringOf(rapid.SampledFrom([]rune("aé\n\r "))).Draw(t, "text")}
		for offset := -1; offset <= len(f.text)+1; offset++ {
			before := f.text[:min(max(offset, 0), len(f.text))]
			line, column := strings.Count(before, "\n")+1, utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])+1
			if got := f.pos(offset); got.Line != line || got.Column != column {
				t.Fatalf("%q at %d: %s, want %d:%d", f.text, offset, got, line, column)
			}
		}
	})
}
