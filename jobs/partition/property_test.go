package partition

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pgtest"
)

// Whatever partitions, of whatever widths and makers, and whatever rows in a DEFAULT one a table has: after a run each hour of the window goes into a
// partition, all rows are there, what was there is as it was, and the second run does nothing. The server is asked, not the model.
func TestAnySetOfPartitionsIsCompleted(t *testing.T) {
	t.Parallel()
	b := newBench(t, "").aside()
	random := rand.New(rand.NewPCG(20, 26))
	units := []config.Unit{config.Day, config.Week, config.Month, config.Quarter, config.Year}
	zones := []string{"UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns"}
	for i := range pgtest.Scaled(12, 300) {
		name, typ := fmt.Sprintf("t%d", i), []string{"timestamptz", "timestamp", "date"}[random.IntN(3)]
		unit, ahead := units[random.IntN(len(units))], 1+random.IntN(3)
		loc, err := time.LoadLocation(zones[random.IntN(len(zones))])
		if err != nil {
			t.Fatal(err)
		}
		b.job.Location = loc
		b.exec(fmt.Sprintf("CREATE TABLE public.%s (at %s NOT NULL, n int) PARTITION BY RANGE (at)", name, typ))
		b.exec(existing(random, name, typ))
		rows := random.IntN(3) * 20
		if random.IntN(2) == 0 {
			b.exec(fmt.Sprintf("CREATE TABLE public.%s_rest PARTITION OF public.%[1]s DEFAULT", name))
			b.exec(fmt.Sprintf("INSERT INTO public.%s SELECT now() + (random() - 0.3) * interval '2 years', i FROM generate_series(1, %d) i", name, rows))
		} else {
			rows = 0
		}
		before, until := b.bounds(name), b.read(name)[0].Window(unit, ahead, loc).Upper
		p := policy(name, unit, ahead)
		said := fmt.Sprintf("%s by %s of %s in %s, %d ahead, beside %v", name, unit, typ, loc, ahead, before)
		if _, err := b.run(p); err != nil {
			t.Fatalf("%s: %v", said, err)
		}
		if r, err := b.run(p); err != nil || r.Outcome != "noop" {
			t.Fatalf("%s: the second run: %+v, %v", said, r, err)
		}
		after := b.bounds(name)
		for _, was := range before {
			if !slices.Contains(after, was) {
				t.Errorf("%s: %s is gone; there are %v", said, was, after)
			}
		}
		window := parts.Range{Lower: b.read(name)[0].Window(unit, ahead, loc).Lower, Upper: until} // midnight may have passed meanwhile
		literal := func(at time.Time) string {
			if typ == "timestamptz" {
				return "'" + at.UTC().Format("2006-01-02 15:04:05+00") + "'::timestamptz"
			}
			return "'" + at.Format("2006-01-02 15:04:05") + "'::timestamp"
		}
		b.exec(fmt.Sprintf("INSERT INTO public.%s SELECT x, -1 FROM generate_series(%s, %s - interval '1 second', interval '7 hours') x", name, literal(window.Lower.Time), literal(window.Upper.Time)))
		if got := b.one(fmt.Sprintf("SELECT count(*)::text FROM public.%s WHERE n > 0", name)); got != fmt.Sprint(rows) {
			t.Errorf("%s: %s of %d rows", said, got, rows)
		}
		if got := b.one(fmt.Sprintf("SELECT count(*)::text FROM public.%s WHERE tableoid = to_regclass('public.%[1]s_rest') AND at >= %s AND at < %s", name, literal(window.Lower.Time), literal(window.Upper.Time))); got != "0" {
			t.Errorf("%s: %s rows of the window lie in the DEFAULT partition; there are %v", said, got, after)
		}
	}
	b.clean()
}

// existing are partitions between some of random times around now, some without an end, in SQL.
func existing(random *rand.Rand, name, typ string) string {
	var cuts []int // hours from now
	for range random.IntN(8) {
		cuts = append(cuts, (random.IntN(900)-300)*24+random.IntN(24))
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	at := func(hours int) string {
		return fmt.Sprintf("(date_trunc('hour', now(), 'UTC') + interval '%d hours')::%s", hours, typ)
	}
	var sql strings.Builder
	part := func(n int, lower, upper string) {
		fmt.Fprintf(&sql, "CREATE TABLE public.%s_p%d PARTITION OF public.%[1]s FOR VALUES FROM (%[3]s) TO (%[4]s);", name, n, lower, upper)
	}
	for n := range len(cuts) - 1 {
		if random.IntN(2) == 0 {
			lower, upper := at(cuts[n]), at(cuts[n+1])
			if typ == "date" && cuts[n+1]-cuts[n] < 48 {
				continue // both might be the same day
			}
			part(n, lower, upper)
		}
	}
	if len(cuts) > 0 && random.IntN(4) == 0 {
		part(90, "MINVALUE", at(cuts[0]))
	}
	if len(cuts) > 0 && random.IntN(4) == 0 {
		part(91, at(cuts[len(cuts)-1]), "MAXVALUE")
	}
	return sql.String()
}
