package jobs

import (
	"fmt"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/robfig/cron/v3"
	"pgregory.net/rapid"

	"github.com/pgtender/pgtender/internal/config"
)

func parse(t testing.TB, spec string, loc *time.Location) cron.Schedule {
	t.Helper()
	s, err := cron.ParseStandard(spec)
	if err != nil {
		t.Fatal(err)
	}
	return inZone(s, loc)
}

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func TestSchedulesOverChangesOfTheClocks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ zone, spec, from, want string }{
		// 02:00 becomes 03:00 on 2026-03-29, 03:00 becomes 02:00 on 2026-10-25.
		{"Europe/Berlin", "30 2 * * *", "2026-03-28T12:00:00Z", "03-29T03:00+02:00 03-30T02:30+02:00"},
		{"Europe/Berlin", "30 2 * * *", "2026-10-24T12:00:00Z", "10-25T02:30+02:00 10-26T02:30+01:00"},
		{"Europe/Berlin", "0 2,3 * * *", "2026-03-28T12:00:00Z", "03-29T03:00+02:00 03-30T02:00+02:00 03-30T03:00+02:00"},
		{"Europe/Berlin", "0 * * * *", "2026-03-28T23:30:00Z", "03-29T01:00+01:00 03-29T03:00+02:00 03-29T04:00+02:00"},
		{"Europe/Berlin", "@hourly", "2026-10-24T23:30:00Z", "10-25T02:00+02:00 10-25T02:00+01:00 10-25T03:00+01:00"},
		{"Europe/Berlin", "*/20 * * * *", "2026-10-25T00:10:00Z", "10-25T02:20+02:00 10-25T02:40+02:00 10-25T02:00+01:00 10-25T02:20+01:00"},
		// The second pass of the hour is under way: its times have had their turn.
		{"Europe/Berlin", "*/30 2 * * *", "2026-10-25T01:10:00Z", "10-26T02:00+01:00 10-26T02:30+01:00"},
		// Midnight is missing on 2026-04-24 in Cairo and on 2026-09-06 in Santiago.
		{"Africa/Cairo", "@daily", "2026-04-23T12:00:00Z", "04-24T01:00+03:00 04-25T00:00+03:00"},
		{"America/Santiago", "0 0 * * 0", "2026-09-05T12:00:00Z", "09-06T01:00-03:00 09-13T00:00-03:00"},
		{"America/Santiago", "*/30 * 6 9 *", "2026-09-05T12:00:00Z", "09-06T01:00-03:00 09-06T01:30-03:00"},
		// Half an hour, both ways.
		{"Australia/Lord_Howe", "15 2 * * *", "2026-10-03T12:00:00Z", "10-04T02:30+11:00 10-05T02:15+11:00"},
		{"Australia/Lord_Howe", "45 1 * * *", "2026-04-04T12:00:00Z", "04-05T01:45+11:00 04-06T01:45+10:30"},
		{"Australia/Lord_Howe", "45 * * * *", "2026-04-04T14:00:00Z", "04-05T01:45+11:00 04-05T01:45+10:30 04-05T02:45+10:30"},
		{"Asia/Kathmandu", "0 0 1 * *", "2026-01-15T00:00:00Z", "02-01T00:00+05:45 03-01T00:00+05:45"},
		{"UTC", "0 0 29 2 *", "2026-01-15T00:00:00Z", "02-29T00:00Z 02-29T00:00Z"},
	} {
		from, err := time.Parse(time.RFC3339, c.from)
		if err != nil {
			t.Fatal(err)
		}
		s := parse(t, c.spec, zone(t, c.zone))
		got := ""
		for range len(c.want)/17 + 1 {
			from = s.Next(from)
			got += " " + from.Format("01-02T15:04Z07:00")
		}
		if got = got[1:]; len(got) < len(c.want) || got[:len(c.want)] != c.want {
			t.Errorf("%s in %s: got %s, want %s", c.spec, c.zone, got, c.want)
		}
	}
}

func TestADeclaredScheduleIsReadInItsZone(t *testing.T) {
	t.Parallel()
	declared, err := config.ParseSchedule("30 2 * * *", zone(t, "Europe/Berlin"))
	if err != nil {
		t.Fatal(err)
	}
	from := time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC)
	if got, want := inZone(declared, time.UTC).Next(from), time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC); !got.Equal(want) {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, none := range []cron.Schedule{nil, config.Schedule{}} {
		if got := inZone(none, time.UTC); got != nil {
			t.Errorf("no schedule became %v", got)
		}
	}
}

// Over any stretch of time, Next yields exactly the times that reading the clock minute by minute does.
func TestNextAgreesWithReadingTheClock(t *testing.T) {
	t.Parallel()
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Africa/Cairo", "America/Santiago", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia", "America/St_Johns"}
	rapid.Check(t, func(t *rapid.T) {
		loc, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		minute := rapid.IntRange(0, 59).Draw(t, "minute")
		hour := rapid.IntRange(-1, 23).Draw(t, "hour")
		spec := fmt.Sprintf("%d %d * * *", minute, hour)
		if hour < 0 {
			spec = fmt.Sprintf("%d * * * *", minute)
		}
		parsed, err := cron.ParseStandard(spec)
		if err != nil {
			t.Fatal(err)
		}
		s := inZone(parsed, loc)
		from := time.Unix(rapid.Int64Range(946684800, 1900000000).Draw(t, "from"), 0).Truncate(time.Minute)
		// Half the stretches begin close to a change of the clocks.
		if _, end := from.In(loc).ZoneBounds(); !end.IsZero() && rapid.Bool().Draw(t, "near") {
			from = end.Add(-time.Duration(rapid.IntRange(0, 30*60).Draw(t, "before")) * time.Minute).Truncate(time.Minute)
		}
		until := from.Add(54 * time.Hour)
		var got []time.Time
		for at := s.Next(from); !at.After(until); at = s.Next(at) {
			got = append(got, at)
		}
		want := byTheClock(loc, hour, minute, from, until)
		if fmt.Sprint(utc(got)) != fmt.Sprint(utc(want)) {
			t.Fatalf("%s in %s from %s:\ngot  %v\nwant %v", spec, loc, from.In(loc), got, want)
		}
	})
}

func utc(times []time.Time) []time.Time {
	out := make([]time.Time, len(times))
	for i, t := range times {
		out[i] = t.UTC()
	}
	return out
}

// byTheClock looks at every minute in (from, until]: an hourly time comes whenever the clock shows it; a time of day when
// the clock first shows it, or jumps over it.
func byTheClock(loc *time.Location, hour, minute int, from, until time.Time) (times []time.Time) {
	shown := map[string]bool{}
	early := from.Add(-30 * time.Hour)
	before := wall(early, loc)
	for at := early.Add(time.Minute); !at.After(until); at = at.Add(time.Minute) {
		now, comes := wall(at, loc), false
		if hour < 0 {
			comes = now.Minute() == minute
		} else {
			for w := before.Add(time.Minute); !w.After(now); w = w.Add(time.Minute) {
				if day := w.Format(time.DateOnly); w.Hour() == hour && w.Minute() == minute && !shown[day] {
					shown[day], comes = true, true
				}
			}
		}
		if before = now; comes && at.After(from) {
			times = append(times, at)
		}
	}
	return times
}
