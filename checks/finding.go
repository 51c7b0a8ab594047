package checks

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
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
	switch {
	case n == 1:
	case strings.HasSuffix(noun, "x"):
		noun += "es"
	default:
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// limits are the thresholds of a check: at them, or beyond.
type limits = config.CheckLimits

// judge holds a value against thresholds.
func judge(value float64, l limits) Status {
	warning, critical := l.Beyond(value)
	switch {
	case critical:
		return Critical
	case warning:
		return Warning
	}
	return OK
}

// times are thresholds in multiples of something.
func times(l limits, unit float64) limits {
	l.Warning, l.Critical = l.Warning*unit, l.Critical*unit
	return l
}

// tally is the one finding of a check that counts what it comes upon: it names the first.
func tally(names []string, l limits, noun, none, remedy string) []Finding {
	n := len(names)
	f := Finding{Value: float64(n), Status: judge(float64(n), l), Message: none}
	if n > 0 {
		f.Message, f.Remedy = counted(n, noun)+": "+firstOf(names, 5), remedy
	}
	return []Finding{f}
}

// counted is many for a noun that more words follow, after a bar: "setting| that waits".
func counted(n int, noun string) string {
	head, rest, _ := strings.Cut(noun, "|")
	return many(int64(n), head) + rest
}

// firstOf lists the first names and says how many there are besides.
func firstOf(names []string, most int) string {
	if n := len(names); n > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", n-most)
	}
	return strings.Join(names, ", ")
}

// size writes bytes as PostgreSQL does: 10 GB.
func size(bytes float64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	i := 0
	for ; i < len(units)-1 && bytes >= 10*1024; i++ {
		bytes /= 1024
	}
	return fmt.Sprintf("%.0f %s", bytes, units[i])
}

// thousands writes a large number as people say it: 310 million.
func thousands(n float64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f billion", n/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.0f million", n/1e6)
	}
	return fmt.Sprintf("%.0f", n)
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

// oneLine puts a message of several lines, as PostgreSQL's details and hints come, into one.
func oneLine(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		line = strings.TrimSpace(line)
		switch so := b.String(); {
		case line == "":
			continue
		case so == "":
		case strings.HasSuffix(so, ".") || strings.HasSuffix(so, ":") || strings.HasSuffix(so, ";") || strings.HasSuffix(so, ","):
			b.WriteString(" ")
		default:
			b.WriteString("; ")
		}
		b.WriteString(line)
	}
	return b.String()
}

// jobCommand is the command line that runs a job on a target, if it has one.
func jobCommand(job, target string) string {
	command := "pgtender job run " + pg.Word(job)
	if target != "" {
		command += " --table " + pg.Word(target)
	}
	return command
}

// seconds turns a float of seconds from the server into a duration.
func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// shared is a reading that several checks of one bundle use, made once in each transaction.
type shared[T any] struct {
	read func(ctx context.Context, tx pgx.Tx) (T, error)

	mu    sync.Mutex
	tx    pgx.Tx // that value was read in
	value T
}

func (s *shared[T]) get(ctx context.Context, tx pgx.Tx) (T, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tx != tx {
		value, err := s.read(ctx, tx)
		if err != nil {
			return value, err
		}
		s.tx, s.value = tx, value
	}
	return s.value, nil
}
