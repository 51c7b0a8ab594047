package config

import (
	"testing"
	"time"
)

// FuzzSchedule: nothing panics, and what is accepted fires, later, at a whole second.
func FuzzSchedule(f *testing.F) {
	for _, seed := range []string{"@hourly", "*/5 * * * *", "30 3 * * *", "TZ=UTC", "TZ=", "TZ= * * * * *", "CRON_TZ=Mars 0 0 * * *", "@every 0s",
		"@every -5m", "@every 1h30m", "0 0 30 2 *", "0 0 29 2 *", "@reboot", "? ? ? ? ?", "0-59/61 * * * *", "1,2,3 */2 1-7 jan mon", "* * * *",
		"99999999999999999999 * * * *", "@every 9999999h", "", "@", "0 0 31 2 0"} {
		f.Add(seed)
	}
	loc := time.FixedZone("odd", 5*3600+1800)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSchedule(text, loc)
		if err != nil {
			if s.Schedule != nil || err.Error() == "" {
				t.Errorf("%q: %+v beside the error %v", text, s, err)
			}
			return
		}
		now := time.Date(2026, 5, 17, 10, 4, 3, 500, time.UTC)
		if next := s.Next(now); !next.After(now) || next.Nanosecond() != 0 {
			t.Errorf("%q: after %s comes %s", text, now, next)
		}
	})
}

// TestScheduleInZone: the times are those of the zone, and a leap day is a day.
func TestScheduleInZone(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ text, after, next string }{
		{"30 3 * * *", "2026-07-01T00:00:00Z", "2026-07-01T01:30:00Z"},
		{"30 3 * * *", "2026-12-01T00:00:00Z", "2026-12-01T02:30:00Z"},
		{"@daily", "2026-07-01T12:00:00Z", "2026-07-01T22:00:00Z"},
		{"0 0 29 2 *", "2026-07-01T00:00:00Z", "2028-02-28T23:00:00Z"},
		{" @every 90m ", "2026-07-01T00:00:00Z", "2026-07-01T01:30:00Z"},
	} {
		schedule, err := ParseSchedule(c.text, berlin)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		after, err := time.Parse(time.RFC3339, c.after)
		if err != nil {
			t.Fatal(err)
		}
		if next := schedule.Next(after).UTC().Format(time.RFC3339); next != c.next {
			t.Errorf("%s after %s: %s, want %s", c.text, c.after, next, c.next)
		}
	}
}
