package config

import (
	"fmt"
	"slices"
	"strings"
)

// suggest ends a message about an unknown name: with the nearest known one, or, if none is near, with all.
func suggest(name string, known ...string) string {
	if best := nearest(name, known); best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	if len(known) == 0 {
		return ""
	}
	sorted := slices.Sorted(slices.Values(known))
	return "; known: " + strings.Join(sorted, ", ")
}

// nearest returns the known name with the fewest typing errors between, or nothing when none is near.
func nearest(name string, known []string) string {
	best, distance := "", 0
	for _, candidate := range slices.Sorted(slices.Values(known)) {
		d := typingErrors(strings.ToLower(name), strings.ToLower(candidate))
		if best == "" || d < distance {
			best, distance = candidate, d
		}
	}
	if best == "" || distance > max(1, min(len(name), len(best))/3) || distance >= max(len(name), len(best)) {
		return ""
	}
	return best
}

// typingErrors counts the letters added, left out, replaced or swapped with a neighbour between a and b.
func typingErrors(a, b string) int {
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replaced := above[j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			row[j] = min(above[j]+1, row[j-1]+1, replaced)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, above, row = above, row, before
	}
	return above[len(b)]
}

// count writes a number with its noun: "1 field", "6 fields".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// either joins words as in "a, b or c".
func either(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
