package jobs

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/robfig/cron/v3"
)

func at(text string) time.Time {
	t, err := time.Parse("2006-01-02 15:04:05", text)
	if err != nil {
		panic(err)
	}
	return t
}

func TestTimetableAtTheStart(t *testing.T) {
	t.Parallel()
	now := at("2026-08-05 12:02:30")
	for _, c := range []struct{ name, spec, covered, want, next string }{
		{"never run", "30 3 * * *", "", "2026-08-05 12:02:30 catch-up", "2026-08-06 03:30:00"},
		{"up to date", "30 3 * * *", "2026-08-05 03:30:00", "", "2026-08-06 03:30:00"},
		{"one missed", "30 3 * * *", "2026-08-04 03:30:00", "2026-08-05 03:30:00 catch-up", "2026-08-06 03:30:00"},
		{"a year missed", "*/5 * * * *", "2025-08-04 03:30:00", "2026-08-05 12:00:00 catch-up", "2026-08-05 12:05:00"},
		{"another daemon's clock is ahead", "*/5 * * * *", "2026-08-05 12:05:00", "", "2026-08-05 12:10:00"},
		{"some clock was wrong", "*/5 * * * *", "2031-01-01 00:00:00", "", "2026-08-05 12:05:00"},
		{"an interval", "@every 10m", "2026-08-05 11:55:10", "", "2026-08-05 12:05:10"},
		{"yearly, long ago", "@yearly", "2024-01-01 00:00:00", "2026-01-01 00:00:00 catch-up", "2027-01-01 00:00:00"},
	} {
		var covered time.Time
		if c.covered != "" {
			covered = at(c.covered)
		}
		tt, dues := newTimetable([]cron.Schedule{parse(t, c.spec, time.UTC)}, []time.Time{covered}, []bool{false}, now)
		var got []string
		for _, d := range dues {
			got = append(got, d.at.Format(time.DateTime)+" "+string(d.trigger))
		}
		if s := strings.Join(got, ", "); s != c.want {
			t.Errorf("%s: due %q, want %q", c.name, s, c.want)
		}
		if s := tt.wake().Format(time.DateTime); s != c.next {
			t.Errorf("%s: next %s, want %s", c.name, s, c.next)
		}
	}
}

func TestTimetableRunsAtStartWhateverTheLedgerSays(t *testing.T) {
	t.Parallel()
	now := at("2026-08-05 12:02:30")
	hourly := parse(t, "@hourly", time.UTC)
	tt, dues := newTimetable([]cron.Schedule{hourly, nil, nil}, []time.Time{now, now, now}, []bool{true, true, false}, now)
	if fmt.Sprint(dues) != fmt.Sprint([]due{{0, now, OnStart}, {1, now, OnStart}}) {
		t.Errorf("due: %v", dues)
	}
	if next := tt.next[0]; !next.Equal(at("2026-08-05 13:00:00")) || !tt.next[1].IsZero() {
		t.Errorf("next: %v", tt.next)
	}
}

func TestTimetableWhenTheClockIsSet(t *testing.T) {
	t.Parallel()
	now := at("2026-08-05 12:00:30")
	tt, _ := newTimetable([]cron.Schedule{parse(t, "0 * * * *", time.UTC)}, []time.Time{now}, []bool{false}, now)
	if dues := tt.collect(at("2026-08-05 18:30:00")); len(dues) != 1 || !dues[0].at.Equal(at("2026-08-05 18:00:00")) || dues[0].trigger != CatchUp {
		t.Errorf("six hours ahead: %v, want the last of the six times, once", dues)
	}
	// Back again: it does not wait for 19:00 to come a second time.
	if dues := tt.collect(at("2026-08-05 12:10:00")); len(dues) != 0 || !tt.wake().Equal(at("2026-08-05 13:00:00")) {
		t.Errorf("set back: due %v, next %s, want 13:00", dues, tt.wake())
	}
}

func TestQueue(t *testing.T) {
	t.Parallel()
	tasks := []Task{ // by Order
		{Job: "partition", Target: "a", Order: 10, Locks: []string{"a"}},
		{Job: "partition", Target: "b", Order: 10, Locks: []string{"b"}},
		{Job: "archive", Target: "a", Order: 20, Locks: []string{"a"}},
		{Job: "refresh", Target: "v", Order: 30},
		{Job: "own", Target: "", Order: 50},
	}
	const partA, partB, archA, refresh, own = 0, 1, 2, 3, 4
	q := newQueue(tasks, 2)
	begin := func(want ...int) {
		t.Helper()
		var got []int
		for _, d := range q.ready() {
			got = append(got, d.task)
			q.begin(d.task)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("began %v, want %v", got, want)
		}
	}
	all := func(at time.Time, of ...int) (dues []due) {
		for _, i := range of {
			dues = append(dues, due{i, at, OnSchedule})
		}
		return dues
	}
	noon := at("2026-08-05 12:00:00")
	q.add(all(noon, partA, partB, archA, refresh, own))
	begin(partA, partB) // the order, and the limit
	q.end(partB)
	begin() // the other partition run still goes on
	q.end(partA)
	begin(archA)

	// The refresh waited for the archive until its own next time.
	later := noon.Add(5 * time.Minute)
	if skipped := q.add(all(later, refresh)); len(skipped) != 0 {
		t.Fatalf("skipped %v, which had not begun", skipped)
	}
	begin(refresh)
	if skipped := q.add(all(later.Add(5*time.Minute), refresh, partA)); len(skipped) != 1 || skipped[0].task != refresh {
		t.Fatalf("skipped %v, want the refresh, which still runs", skipped)
	}
	begin() // partition a: the limit
	q.end(refresh)
	begin() // partition a: the archive run has the lock; own: the archive run of its batch goes on
	q.end(archA)
	begin(partA, own)
	if got := fmt.Sprint(len(q.waiting), len(q.running)); got != "0 2" {
		t.Fatalf("waiting and running: %s", got)
	}
}

// A time that was not served is due again, after pauses that double, until it is served or a later time comes.
func TestUnservedTimesAreDueAgain(t *testing.T) {
	t.Parallel()
	start := at("2026-08-05 03:29:00")
	tt, _ := newTimetable([]cron.Schedule{parse(t, "30 3 * * *", time.UTC)}, []time.Time{start}, []bool{false}, start)
	collect := func(now time.Time) string {
		var got []string
		for _, d := range tt.collect(now) {
			got = append(got, d.at.Format(time.DateTime)+" "+string(d.trigger))
		}
		return strings.Join(got, ", ")
	}
	now := at("2026-08-05 03:30:00")
	if got := collect(now); got != "2026-08-05 03:30:00 schedule" {
		t.Fatal(got)
	}
	d := due{0, now, OnSchedule}
	for _, pause := range []time.Duration{15, 30, 60, 120, 240, 480, 600, 600} {
		tt.ended(d, false, now)
		if wake := tt.wake(); !wake.Equal(now.Add(pause * time.Second)) {
			t.Errorf("after %s it wakes at %s", now, wake)
		}
		if got := collect(now.Add(pause*time.Second - time.Second)); got != "" {
			t.Errorf("too early: %s", got)
		}
		now = now.Add(pause * time.Second)
		if got := collect(now); got != "2026-08-05 03:30:00 catch-up" {
			t.Errorf("at %s: %q", now, got)
		}
		if got := collect(now); got != "" {
			t.Errorf("twice: %s", got)
		}
	}
	// The next day's run serves the day before, too.
	tt.ended(d, false, at("2026-08-06 03:29:55"))
	if got := collect(at("2026-08-06 03:30:00")); got != "2026-08-06 03:30:00 schedule" {
		t.Error(got)
	}
	if got := collect(at("2026-08-06 03:40:00")); got != "" {
		t.Errorf("an old time comes again: %s", got)
	}
	tt.ended(due{0, at("2026-08-06 03:30:00"), OnSchedule}, true, at("2026-08-06 03:31:00"))
	if wake := tt.wake(); !wake.Equal(at("2026-08-07 03:30:00")) {
		t.Errorf("served, and it wakes at %s", wake)
	}
}
