package jobs

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pgtest"
)

// oracle is a second reading of a schedule, which shares nothing with the first: it watches the clock on the wall minute by minute.
type oracle struct {
	minute, hour, day, month, weekday uint64
	everyHour, everyDay, everyWeekday bool
	every                             time.Duration // @every
}

// readCron reads what the manual page says of five fields. ok is false for what it does not speak of.
func readCron(text string) (o oracle, ok bool) {
	fields := strings.Fields(strings.ToLower(text))
	if len(fields) == 2 && fields[0] == "@every" {
		d, err := time.ParseDuration(fields[1])
		return oracle{every: d}, err == nil
	}
	if len(fields) == 1 {
		fields = strings.Fields(map[string]string{"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
			"@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *"}[fields[0]])
	}
	if len(fields) != 5 {
		return o, false
	}
	var oks [5]bool
	o.minute, _, oks[0] = readField(fields[0], 0, 59, nil)
	o.hour, o.everyHour, oks[1] = readField(fields[1], 0, 23, nil)
	o.day, o.everyDay, oks[2] = readField(fields[2], 1, 31, nil)
	o.month, _, oks[3] = readField(fields[3], 1, 12, strings.Fields("- jan feb mar apr may jun jul aug sep oct nov dec"))
	o.weekday, o.everyWeekday, oks[4] = readField(fields[4], 0, 6, strings.Fields("sun mon tue wed thu fri sat"))
	return o, !slices.Contains(oks[:], false)
}

func readField(text string, low, high int, names []string) (set uint64, star, ok bool) {
	number := func(s string) int {
		if i := slices.Index(names, s); i >= 0 {
			return i
		}
		n, err := strconv.ParseUint(s, 10, 8)
		if err != nil {
			return -1
		}
		return int(n)
	}
	for item := range strings.SplitSeq(text, ",") {
		span, stepText, stepped := strings.Cut(item, "/")
		step := 1
		if stepped {
			if step = number(stepText); step < 1 || slices.Contains(names, stepText) {
				return 0, false, false
			}
		}
		from, to := low, high
		if first, last, isRange := strings.Cut(span, "-"); span == "*" || span == "?" {
			star = star || step == 1
		} else {
			from = number(first)
			switch {
			case isRange:
				to = number(last)
			case !stepped:
				to = from
			}
		}
		if from < low || to > high || from > to {
			return 0, false, false
		}
		for n := from; n <= to; n += step {
			set |= 1 << n
		}
	}
	return set, star, true
}

func (o oracle) matches(w time.Time) bool {
	has := func(set uint64, n int) bool { return set>>n&1 == 1 }
	if !has(o.minute, w.Minute()) || !has(o.hour, w.Hour()) || !has(o.month, int(w.Month())) {
		return false
	}
	day, weekday := has(o.day, w.Day()), has(o.weekday, int(w.Weekday()))
	if o.everyDay || o.everyWeekday {
		return day && weekday
	}
	return day || weekday
}

// times are those in (from, until] at which the schedules come, in the zone: one that leaves the hour open whenever the clock shows its minute; one
// of given hours when the clock first shows it, or jumps over it.
func times(schedules []oracle, loc *time.Location, from, until time.Time) [][]time.Time {
	out := make([][]time.Time, len(schedules))
	at := from.Truncate(time.Minute).Add(-30 * time.Hour)
	latest := wall(at, loc)
	for ; !at.After(until); at = at.Add(time.Minute) {
		now := wall(at, loc)
		jumped := now.Sub(latest) > time.Minute
		for i, s := range schedules {
			comes := false
			switch {
			case s.every > 0:
			case s.everyHour:
				comes = s.matches(now)
			case jumped:
				for w := latest.Add(time.Minute); !w.After(now); w = w.Add(time.Minute) {
					comes = comes || s.matches(w)
				}
			default:
				comes = now.After(latest) && s.matches(now)
			}
			if comes && at.After(from) {
				out[i] = append(out[i], at)
			}
		}
		if now.After(latest) {
			latest = now
		}
	}
	for i, s := range schedules {
		if s.every > 0 {
			for at := from.Truncate(time.Second).Add(s.every); !at.After(until); at = at.Add(s.every) {
				out[i] = append(out[i], at)
			}
		}
	}
	return out
}

func schedulesOf(t testing.TB, loc *time.Location, specs ...string) (list []cron.Schedule, oracles []oracle) {
	t.Helper()
	for _, spec := range specs {
		declared, err := config.ParseSchedule(spec, loc)
		if err != nil {
			t.Fatalf("%s: %v", spec, err)
		}
		o, ok := readCron(spec)
		if !ok {
			t.Fatalf("the oracle cannot read %s", spec)
		}
		list, oracles = append(list, inZone(declared, loc)), append(oracles, o)
	}
	return list, oracles
}

// Zones and when their clocks are changed in strange ways.
var strange = []struct{ zone, from string }{
	{"Europe/Berlin", "2025-12-01 00:00:00"},
	{"America/New_York", "2026-02-01 07:31:12"},
	{"Australia/Lord_Howe", "2026-03-20 00:00:00"}, // half an hour
	{"Asia/Kolkata", "2026-01-01 00:00:00"},
	{"Africa/Casablanca", "2026-01-15 03:00:00"}, // back for Ramadan
	{"America/Sao_Paulo", "2017-06-01 00:00:00"}, // at midnight; for the last time in 2019
	{"America/Santiago", "2026-03-01 00:00:00"},
	{"Pacific/Apia", "2011-09-01 00:00:00"}, // has no 30 December 2011
	{"Asia/Kolkata", "1941-09-01 00:00:00"}, // the war
}

// Ten thousand hours of a daemon with a schedule of every sort, over the changes of the clocks of several zones: it looks when its timetable says
// so, and runs exactly the times that a clock on the wall says, each as scheduled.
func TestTenThousandHours(t *testing.T) {
	t.Parallel()
	specs := []string{"@hourly", "30 2 * * *", "*/20 * * * *", "0 0 1 * *", "15 1,2,3 * * 0", "@daily", "59 23 28-31 * *", "*/7 2 * 3,10 *", "0 0 13 * 5", "5/15 */3 * * mon-fri",
		"@weekly", "45 1 * * *", "0 3 29 2 *", "@every 90m", "10 0,12 * jan-apr,oct *"}
	runs := 0
	for _, c := range strange[:pgtest.Scaled(3, len(strange))] {
		loc := zone(t, c.zone)
		list, oracles := schedulesOf(t, loc, specs...)
		now := at(c.from)
		end := now.Add(10000 * time.Hour)
		want := times(oracles, loc, now, end)
		tt, dues := newTimetable(list, slices.Repeat([]time.Time{now}, len(list)), make([]bool, len(list)), now)
		if len(dues) != 0 {
			t.Fatalf("%s: due at once: %v", c.zone, dues)
		}
		for now = tt.wake(); !now.After(end); now = tt.wake() {
			for _, d := range tt.collect(now) {
				switch w := want[d.task]; {
				case len(w) == 0 || !w[0].Equal(d.at) || !d.at.Equal(now):
					t.Fatalf("%s: %s runs at %s for %s; the clock says %v", c.zone, specs[d.task], now.In(loc), d.at.In(loc), w[:min(1, len(w))])
				case d.trigger != OnSchedule:
					t.Fatalf("%s: %s runs at %s by %s", c.zone, specs[d.task], now.In(loc), d.trigger)
				}
				want[d.task] = want[d.task][1:]
				runs++
			}
		}
		for i, w := range want {
			if len(w) != 0 {
				t.Errorf("%s: %s did not run at %s and %d more times", c.zone, specs[i], w[0].In(loc), len(w)-1)
			}
		}
	}
	t.Logf("%d runs, each at its time", runs)
}

// The same with a daemon that sleeps, is restarted and stays away for days: what passed meanwhile is caught up once, with its last time, and
// nothing runs twice or out of its turn.
func TestTenThousandHoursWithRestarts(t *testing.T) {
	t.Parallel()
	specs := []string{"@hourly", "30 2 * * *", "*/20 * * * *", "0 0 1 * *", "15 1,2,3 * * 0", "@daily"} // @every has no times of its own: it goes on from when it last ran
	for n, c := range strange[:pgtest.Scaled(1, len(strange))] {
		loc, random := zone(t, c.zone), rand.New(rand.NewPCG(18, uint64(n)))
		list, oracles := schedulesOf(t, loc, specs...)
		start := at(c.from)
		end := start.Add(10000 * time.Hour)
		want := times(oracles, loc, start, end)
		covered := slices.Repeat([]time.Time{start}, len(list))
		tt, _ := newTimetable(list, covered, make([]bool, len(list)), start)
		for now := start; ; {
			restart := random.IntN(4) == 0
			if restart {
				now = now.Add(time.Duration(random.Int64N(int64(72 * time.Hour))))
			} else if now = tt.wake(); random.IntN(3) == 0 {
				now = now.Add(time.Duration(random.Int64N(int64(5 * time.Hour)))) // it was asleep
			}
			if now.After(end) {
				break
			}
			var dues []due
			if restart {
				tt, dues = newTimetable(list, covered, make([]bool, len(list)), now)
			} else {
				dues = tt.collect(now)
			}
			var got, expected []string
			for _, d := range dues {
				got = append(got, fmt.Sprint(specs[d.task], d.at.UTC(), d.trigger))
			}
			for i := range want {
				passed := 0
				for passed < len(want[i]) && !want[i][passed].After(now) {
					passed++
				}
				if passed == 0 {
					continue
				}
				trigger := OnSchedule
				if restart || passed > 1 {
					trigger = CatchUp
				}
				covered[i] = want[i][passed-1]
				want[i] = want[i][passed:]
				expected = append(expected, fmt.Sprint(specs[i], covered[i].UTC(), trigger))
			}
			if !slices.Equal(got, expected) {
				t.Fatalf("%s at %s (restarted: %t):\ndue  %v\nwant %v", c.zone, now.In(loc), restart, got, expected)
			}
		}
	}
}

// FuzzTimes: whatever schedule is accepted comes, over three days around any moment in any zone, exactly when the clock on the wall says.
func FuzzTimes(f *testing.F) {
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Casablanca", "America/Sao_Paulo", "America/Santiago", "Pacific/Apia", "Africa/Cairo"}
	for i, seed := range []string{"@hourly", "*/5 * * * *", "30 2 * * *", "0 0 13 * 5", "5/15 */3 * * mon-fri", "? ? ? ? ?", "0-59/61 * * * *", "1,2,3 */2 1-7 jan mon", "0 0 31 */2 0", "*/7,1 2,*/5 * * *", "* * * * *", "0 0 */1 * 1"} {
		f.Add(seed, uint8(i), int64(1774745000+i*10_000_000))
	}
	f.Fuzz(func(t *testing.T, text string, which uint8, from int64) {
		timer := time.AfterFunc(30*time.Second, func() { panic("an input takes more than half a minute") })
		t.Cleanup(func() { timer.Stop() })
		o, ok := readCron(text)
		loc := zone(t, zones[int(which)%len(zones)])
		declared, err := config.ParseSchedule(text, loc)
		if err != nil || !ok || o.every > 0 {
			return
		}
		start := time.Unix(from%2_000_000_000, 0)
		if start.Unix() < 0 {
			start = time.Unix(-start.Unix(), 0)
		}
		end := start.Add(72 * time.Hour)
		s := inZone(declared, loc)
		var got []time.Time
		for at := s.Next(start); !at.IsZero() && !at.After(end); at = s.Next(at) {
			got = append(got, at.UTC())
		}
		if want := times([]oracle{o}, loc, start, end)[0]; fmt.Sprint(got) != fmt.Sprint(utc(want)) {
			t.Fatalf("%q in %s from %s:\ngot  %v\nwant %v", text, loc, start.In(loc), got, utc(want))
		}
	})
}
