package checks

import (
	"fmt"
	"time"
)

// maxObjects bounds the findings of one check that names whatever it comes upon, and so the number of series.
const maxObjects = 20

// capped keeps the first findings and says in one more how many there are besides. They come sorted by how much they matter.
func capped(findings []Finding) []Finding {
	if len(findings) <= maxObjects {
		return findings
	}
	worst := OK
	for _, f := range findings[maxObjects:] {
		worst = Worse(worst, f.Status)
	}
	n := len(findings) - maxObjects
	return append(findings[:maxObjects:maxObjects], Finding{Object: "others", Status: worst, Value: float64(n), Message: fmt.Sprintf("and %d more", n)})
}

// many counts things in words: 1 row, 2 rows.
func many(n int64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// above judges a value against thresholds of which a zero one does not count.
func above(value, warning, critical float64) Status {
	switch {
	case critical > 0 && value > critical:
		return Critical
	case warning > 0 && value > warning:
		return Warning
	}
	return OK
}

// span writes a duration of seconds as people say it: 45 s, 12 min, 5 h, 3 d.
func span(d time.Duration) string {
	abs := d.Abs()
	switch {
	case abs < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case abs < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	case abs < 48*time.Hour:
		return fmt.Sprintf("%.0f h", d.Hours())
	}
	return fmt.Sprintf("%.0f d", d.Hours()/24)
}

// seconds turns a float of seconds from the server into a duration.
func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
