package config

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/pgtender/pgtender/internal/pgtest"
)

// connect opens one session on a database of the test's own.
func connect(t testing.TB) *pgx.Conn {
	t.Helper()
	return pgtest.Session(t, pgtest.Database(t))
}

// zones have daylight saving at unlike hours, half and quarter hours, a half-hour saving, a skipped day, a
// midnight that is skipped, a standard time that is the saving one, none at all.
var zones = []string{
	"UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe",
	"Pacific/Apia", "Africa/Casablanca", "Europe/Dublin", "America/St_Johns", "Asia/Tehran", "America/Havana", "Pacific/Chatham",
}

// TestBeforeEqualsPostgres holds Before against `timestamptz - interval` on the server: at random, and around
// the transitions of each zone.
func TestBeforeEqualsPostgres(t *testing.T) {
	conn := connect(t)
	locations := map[string]*time.Location{}
	for _, name := range zones {
		loc, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		locations[name] = loc
	}
	rapid.Check(t, func(rt *rapid.T) {
		zone := rapid.SampledFrom(zones).Draw(rt, "zone")
		loc := locations[zone]
		iv := Interval{
			Months:   rapid.OneOf(rapid.Just(0), rapid.IntRange(0, 30), rapid.IntRange(0, 400)).Draw(rt, "months"),
			Days:     rapid.OneOf(rapid.Just(0), rapid.IntRange(0, 3), rapid.IntRange(0, 2000)).Draw(rt, "days"),
			Duration: time.Duration(rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 200_000_000_000)).Draw(rt, "microseconds")) * time.Microsecond,
		}
		// From 2011 no interval leads back beyond 1971, before which time zone databases differ.
		at := time.UnixMicro(rapid.Int64Range(1_300_000_000, 3_900_000_000).Draw(rt, "seconds")*1_000_000 + rapid.Int64Range(0, 999_999).Draw(rt, "fraction"))
		if rapid.Bool().Draw(rt, "land on a transition") {
			at = nearTransition(at, loc, iv, time.Duration(rapid.Int64Range(-7200, 7200).Draw(rt, "offset"))*time.Second)
		}
		compareBefore(rt, conn, iv, at, zone, loc)
	})
}

// nearTransition returns a time from which iv leads back to about a transition of the zone.
func nearTransition(at time.Time, loc *time.Location, iv Interval, offset time.Duration) time.Time {
	start, _ := at.In(loc).ZoneBounds()
	if start.IsZero() {
		return at
	}
	wall := start.Add(offset).In(loc)
	return wall.Add(iv.Duration).AddDate(0, iv.Months, iv.Days)
}

// TestBeforeAtTransitions goes through every half hour around two years of transitions.
func TestBeforeAtTransitions(t *testing.T) {
	conn := connect(t)
	for _, zone := range []string{"America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Pacific/Apia"} {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		at := time.Date(2010, 6, 1, 0, 0, 0, 0, loc)
		for range 4 {
			_, end := at.ZoneBounds()
			if end.IsZero() {
				break
			}
			for half := -4; half <= 4; half++ {
				target := end.Add(time.Duration(half) * 30 * time.Minute).In(loc)
				for _, iv := range []Interval{{Months: 1}, {Days: 1}, {Months: 1, Days: 1}, {Months: 12, Days: 30, Duration: time.Hour}} {
					compareBefore(t, conn, iv, target.AddDate(0, iv.Months, iv.Days), zone, loc)
				}
			}
			at = end
		}
	}
}

type fatal interface {
	Helper()
	Fatalf(string, ...any)
}

func compareBefore(t fatal, conn *pgx.Conn, iv Interval, at time.Time, zone string, loc *time.Location) {
	t.Helper()
	ctx, batch := context.Background(), &pgx.Batch{}
	batch.Queue("SELECT set_config('TimeZone', $1, false)", zone)
	batch.Queue("SELECT $1::timestamptz - (make_interval(months => $2, days => $3) + $4::bigint * interval '1 microsecond')",
		at, iv.Months, iv.Days, iv.Duration.Microseconds())
	results := conn.SendBatch(ctx, batch)
	var ignored string
	var want time.Time
	err := results.QueryRow().Scan(&ignored)
	if err == nil {
		err = results.QueryRow().Scan(&want)
	}
	if closing := results.Close(); err == nil {
		err = closing
	}
	if err != nil {
		t.Fatalf("compute on the server: %v", err)
	}
	if got := iv.Before(at, loc); !got.Equal(want) {
		t.Fatalf("%s: %s − (%d months, %d days, %s) is %s, on the server %s",
			zone, at.In(loc), iv.Months, iv.Days, iv.Duration, got, want.In(loc))
	}
}

// FuzzInterval: whatever is accepted is positive and within bounds, and reads the same again.
func FuzzInterval(f *testing.F) {
	for _, seed := range []string{"1 year", "90 days", "2 minutes", "1 year 6 mons 3w 4 d", "02:30:00", "1 mon 999999:59", "-1 day",
		"1 day ago", "P1Y", "1.5 hours", "5m", "", "99999999999999999999 s", "1 day\t2 hours", "1 yeer", "00:00:00", "1 hour 00:00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		bounded(t)
		iv, err := ParseInterval(text)
		if err != nil {
			if iv != (Interval{}) || err.Error() == "" {
				t.Errorf("%q: %+v beside the error %v", text, iv, err)
			}
			return
		}
		if iv.Months < 0 || iv.Days < 0 || iv.Duration < 0 || iv.IsZero() || iv.Months > maxYears*12 || iv.Duration > maxYears*366*24*time.Hour {
			t.Errorf("%q is %+v", text, iv)
		}
		again, err := ParseInterval(iv.String())
		if err != nil || again != iv {
			t.Errorf("%q reads as %+v, then as %+v, %v", text, iv, again, err)
		}
		if now := time.Date(2026, 3, 31, 0, 0, 0, 0, time.UTC); !iv.Before(now, time.UTC).Before(now) {
			t.Errorf("%q before now is not before now", text)
		}
	})
}

// TestIntervalEqualsPostgres: what is accepted, the server accepts, to the same span.
func TestIntervalEqualsPostgres(t *testing.T) {
	conn := connect(t)
	units := []string{"y", "yr", "yrs", "year", "years", "mon", "mons", "month", "months", "w", "week", "weeks", "d", "day", "days", "h", "hr",
		"hrs", "hour", "hours", "min", "mins", "minute", "minutes", "s", "sec", "secs", "second", "seconds", "m", "us", "decade", "fortnight", ""}
	accepted := 0
	rapid.Check(t, func(rt *rapid.T) {
		var parts []string
		for range rapid.IntRange(1, 4).Draw(rt, "parts") {
			if rapid.IntRange(0, 5).Draw(rt, "clock") == 0 {
				parts = append(parts, rapid.StringMatching(`[0-9]{1,3}:[0-9]{1,2}(:[0-9]{1,2})?`).Draw(rt, "time"))
				continue
			}
			unit := rapid.SampledFrom(units).Draw(rt, "unit")
			if rapid.Bool().Draw(rt, "upper") {
				unit = strings.ToUpper(unit)
			}
			parts = append(parts, fmt.Sprintf("%d%s%s", rapid.IntRange(0, 40).Draw(rt, "n"), rapid.SampledFrom([]string{"", " ", "  "}).Draw(rt, "gap"), unit))
		}
		text := strings.Join(parts, rapid.SampledFrom([]string{" ", "  ", "\t"}).Draw(rt, "separator"))
		iv, err := ParseInterval(text)
		if err != nil {
			return
		}
		accepted++
		var months, days int
		var microseconds int64
		const query = `SELECT (extract(year FROM i) * 12 + extract(month FROM i))::int, extract(day FROM i)::int,
			(extract(hour FROM i) * 3600000000 + extract(minute FROM i) * 60000000 + extract(microseconds FROM i))::bigint FROM CAST($1::text AS interval) AS i`
		if err := conn.QueryRow(context.Background(), query, text).Scan(&months, &days, &microseconds); err != nil {
			rt.Fatalf("%q is accepted here, and on the server: %v", text, err)
		}
		if months != iv.Months || days != iv.Days || microseconds != iv.Duration.Microseconds() {
			rt.Fatalf("%q is %+v, on the server %d months %d days %d µs", text, iv, months, days, microseconds)
		}
	})
	if accepted == 0 {
		t.Error("no interval was accepted")
	}
}
