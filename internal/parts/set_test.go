package parts

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
)

// zones include gaps and overlaps at midnight (São Paulo, Havana, Beirut), half and quarter hours, a skipped day (Apia), a
// clock set back across midnight (St. John's) and a half-hour shift (Lord Howe).
var zones = []string{"UTC", "America/New_York", "Europe/Berlin", "America/Sao_Paulo", "America/Havana", "Asia/Beirut",
	"Asia/Kolkata", "Asia/Kathmandu", "Pacific/Apia", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Kiritimati", "Pacific/Pago_Pago"}

var units = []config.Unit{config.Day, config.Week, config.Month, config.Quarter, config.Year}

func zone(t interface{ Fatal(...any) }, name string) *time.Location {
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

var (
	from2000 = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	to2100   = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
)

type world struct {
	set   Set
	unit  config.Unit
	ahead int
	loc   *time.Location
}

// drawWorld makes a table with any partitions that a server could hold: of any width, some at boundaries, some not, some pending.
func drawWorld(t *rapid.T) world {
	w := world{
		unit:  rapid.SampledFrom(units).Draw(t, "unit"),
		ahead: rapid.IntRange(0, 5).Draw(t, "ahead"),
		loc:   zone(t, rapid.SampledFrom(zones).Draw(t, "zone")),
	}
	key := Key{Column: "at", Type: rapid.SampledFrom([]Type{TimestampTZ, Timestamp, Date, UUIDv7}).Draw(t, "type")}
	now := time.UnixMicro(rapid.Int64Range(from2000.UnixMicro(), to2100.UnixMicro()).Draw(t, "now")).UTC()
	w.set = Set{Table: config.Table{Schema: "public", Name: "t"}, Key: key, Now: now}

	var edges []Bound
	for range rapid.IntRange(0, 8).Draw(t, "edges") {
		edges = append(edges, drawEdge(t, w, key))
	}
	if rapid.Bool().Draw(t, "min") {
		edges = append(edges, Bound{Kind: Min})
	}
	if rapid.IntRange(0, 4).Draw(t, "max") == 0 {
		edges = append(edges, Bound{Kind: Max})
	}
	slices.SortFunc(edges, Bound.Compare)
	edges = slices.CompactFunc(edges, func(a, b Bound) bool { return a.Compare(b) == 0 })
	for i := 1; i < len(edges); i++ {
		kind := rapid.IntRange(0, 5).Draw(t, "kind")
		if kind == 0 {
			continue // a hole
		}
		w.set.Children = append(w.set.Children, Child{
			Table: config.Table{Schema: "public", Name: fmt.Sprintf("p%d", i)},
			Range: Range{edges[i-1], edges[i]}, Pending: kind == 1,
		})
	}
	return w
}

func drawEdge(t *rapid.T, w world, key Key) Bound {
	z := key.Zone(w.loc)
	here := key.FromInstant(w.set.Now, w.loc)
	if rapid.Bool().Draw(t, "aligned") {
		p := current(w.unit, here, z).add(rapid.IntRange(-3, w.ahead+3).Draw(t, "intervals"))
		return key.At(p.start(z))
	}
	at := here.Add(time.Duration(rapid.Int64Range(-90*86400e6, 400*86400e6).Draw(t, "offset")) * time.Microsecond)
	if key.Type == Date {
		at = at.Truncate(24 * time.Hour)
	}
	b := key.At(at)
	if key.Type == UUIDv7 && rapid.Bool().Draw(t, "versioned") {
		b.UUID[6], b.UUID[8] = 0x70, 0x80
	}
	return b
}

// fill does what a run would do.
func (w world) fill(missing []Wanted) Set {
	after := w.set
	after.Children = slices.Clone(w.set.Children)
	for _, m := range missing {
		after.Children = append(after.Children, Child{Table: config.Table{Schema: "public", Name: m.Name}, Range: m.Range})
	}
	after.arrange()
	return after
}

func TestMissingFillsTheWindowWithoutOverlapAndOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		missing := w.set.Missing(w.unit, w.ahead, w.loc)
		after := w.fill(missing)

		for i, c := range after.Children {
			if c.Lower.Compare(c.Upper) >= 0 {
				t.Fatalf("%s is empty or upside down: %v", c.Table, c.Range)
			}
			if i > 0 && after.Children[i-1].Overlaps(c.Range) {
				t.Fatalf("%s %v overlaps %s %v", after.Children[i-1].Table, after.Children[i-1].Range, c.Table, c.Range)
			}
		}
		z := w.set.Key.Zone(w.loc)
		here := w.set.Key.FromInstant(w.set.Now, w.loc)
		edges := Boundaries(w.unit, here, w.ahead+1, z)
		if edges[0].After(here) || !edges[1].After(here) {
			t.Fatalf("now %v is not in the first interval %v", here, edges[:2])
		}
		// Every instant of the window is in some partition.
		at := w.set.Key.At(edges[0])
		for _, c := range after.Children {
			if c.Lower.Compare(at) <= 0 && c.Upper.Compare(at) > 0 || joins(at, c.Lower) {
				at = c.Upper
			}
		}
		if last := w.set.Key.At(edges[len(edges)-1]); at.Compare(last) < 0 && !joins(at, last) {
			t.Fatalf("a hole at %v in the window %v", at, edges)
		}
		for _, m := range missing {
			if m.Whole && (!slices.ContainsFunc(edges, m.Lower.Time.Equal) || !slices.ContainsFunc(edges, m.Upper.Time.Equal)) {
				t.Fatalf("%v does not lie on boundaries %v", m.Range, edges)
			}
			if m.Upper.Time.After(edges[len(edges)-1]) || m.Lower.Time.Before(edges[0]) {
				t.Fatalf("%v lies outside of the window %v", m.Range, edges)
			}
		}
		if again := after.Missing(w.unit, w.ahead, w.loc); len(again) != 0 {
			t.Fatalf("the second run wants %v", again)
		}
	})
}

func TestNamesWithinOneTableDiffer(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		seen := map[string]bool{}
		for _, m := range w.set.Missing(w.unit, w.ahead, w.loc) {
			if seen[m.Name] {
				t.Fatalf("%s twice", m.Name)
			}
			seen[m.Name] = true
		}
	})
}

func TestRunwayIsWhatTheServersClockSays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		for i := range w.set.Children {
			w.set.Children[i].Pending = false
		}
		after := w.fill(w.set.Missing(w.unit, w.ahead, w.loc))
		z := w.set.Key.Zone(w.loc)
		edges := Boundaries(w.unit, w.set.Key.FromInstant(w.set.Now, w.loc), w.ahead+1, z)
		least := w.set.Key.Instant(edges[len(edges)-1], w.loc).Sub(w.set.Now).Seconds()
		got := after.Runway(w.loc)
		if got < least-0.001 { // a UUIDv7 bound has milliseconds only
			t.Fatalf("runway %v s, but the window alone has %v s", got, least)
		}
		if end, ok := after.CoveredUntil(w.loc); !ok || (end.Kind == Max) != math.IsInf(got, 1) {
			t.Fatalf("covered until %v, %v with runway %v", end, ok, got)
		}
	})
}

func TestFit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ base, suffix, want string }{
		{"orders", "_2026_12", "orders_2026_12"},
		{"a23456789012345678901234567890123456789012345678901234567", "_26_12", "a23456789012345678901234567890123456789012345678901234567_26_12"},
	} {
		if got := Fit(c.base, c.suffix); got != c.want {
			t.Errorf("Fit(%q, %q) = %q, want %q", c.base, c.suffix, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.StringN(1, 63, 63).Draw(t, "a"), rapid.StringN(1, 63, 63).Draw(t, "b")
		x, y := Fit(a, "_2026_12_31"), Fit(b, "_2026_12_31")
		if len(x) > pg.MaxNameBytes || !utf8.ValidString(x) {
			t.Fatalf("%q has %d bytes", x, len(x))
		}
		if (a == b) != (x == y) {
			t.Fatalf("%q and %q become %q and %q", a, b, x, y)
		}
	})
}

func TestLabels(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 12, 30, 15, 0, 0, 0, time.UTC)
	for u, want := range map[config.Unit]string{config.Day: "t_2026_12_30", config.Week: "t_2026_w53", config.Month: "t_2026_12",
		config.Quarter: "t_2026_q4", config.Year: "t_2026"} {
		s := Set{Table: config.Table{Schema: "s", Name: "t"}, Key: Key{"at", TimestampTZ}, Now: at}
		got := s.Missing(u, 0, time.UTC)
		if len(got) != 1 || got[0].Name != want || !got[0].Whole {
			t.Errorf("%s: %+v, want %s", u, got, want)
		}
	}
	// A policy in a zone names a month by that zone's calendar, and the rest of a month by where it begins.
	kolkata := zone(t, "Asia/Kolkata")
	s := Set{Table: config.Table{Schema: "s", Name: "t"}, Key: Key{"at", TimestampTZ}, Now: at}
	s.Children = []Child{{Range: Range{Bound{Kind: Min}, s.Key.At(time.Date(2026, 12, 10, 0, 0, 0, 0, kolkata))}},
		{Range: Range{s.Key.At(time.Date(2026, 12, 20, 0, 0, 0, 0, time.UTC)), s.Key.At(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))}}}
	got := s.Missing(config.Month, 1, kolkata)
	var names []string
	for _, m := range got {
		names = append(names, m.Name)
	}
	want := []string{"t_2026_12_from_20261210", "t_2027_01_from_20270101t053000"}
	if !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
	if l := s.Key.Literal(got[0].Lower); l != "'2026-12-09 18:30:00+00'" {
		t.Errorf("lower bound %s", l)
	}
}

func TestNaiveKeysFollowTheWallClock(t *testing.T) {
	t.Parallel()
	// 31 December 23:00 UTC is already January in Kolkata.
	now := time.Date(2026, 12, 31, 23, 0, 0, 0, time.UTC)
	s := Set{Table: config.Table{Schema: "s", Name: "t"}, Key: Key{"day", Date}, Now: now}
	kolkata := zone(t, "Asia/Kolkata")
	got := s.Missing(config.Month, 0, kolkata)
	if len(got) != 1 || s.Key.ForValues(got[0].Range) != "FOR VALUES FROM ('2027-01-01') TO ('2027-02-01')" {
		t.Fatalf("%+v", got)
	}
	s.Children = []Child{{Range: got[0].Range}}
	want := time.Date(2027, 2, 1, 0, 0, 0, 0, kolkata).Sub(now).Seconds()
	if r := s.Runway(kolkata); r != want {
		t.Errorf("runway %v, want %v", r, want)
	}
}

func TestHolesDueAndLag(t *testing.T) {
	t.Parallel()
	key := Key{"at", TimestampTZ}
	month := func(y int, m time.Month) Bound { return key.At(time.Date(y, m, 1, 0, 0, 0, 0, time.UTC)) }
	s := Set{Key: key, Now: time.Date(2026, 6, 15, 0, 0, 0, 0, time.UTC), Children: []Child{
		{Table: config.Table{Name: "before"}, Range: Range{Bound{Kind: Min}, month(2024, 1)}},
		{Table: config.Table{Name: "wide"}, Range: Range{month(2024, 1), month(2026, 5)}},
		{Table: config.Table{Name: "pending"}, Range: Range{month(2026, 5), month(2026, 6)}, Pending: true},
		{Table: config.Table{Name: "now"}, Range: Range{month(2026, 6), month(2026, 7)}},
		{Table: config.Table{Name: "far"}, Range: Range{month(2036, 1), month(2036, 2)}},
	}}
	if h := s.Holes(); len(h) != 2 || h[0] != (Range{month(2026, 5), month(2026, 6)}) || h[1] != (Range{month(2026, 7), month(2036, 1)}) {
		t.Errorf("holes %v", h)
	}
	// One year ago lies inside the wide partition: it has young rows, so it is not due, whatever its lower bound.
	if due := s.Due(time.Date(2025, 6, 15, 0, 0, 0, 0, time.UTC), time.UTC); len(due) != 0 {
		t.Errorf("due: %v", due)
	}
	cut := time.Date(2026, 6, 10, 0, 0, 0, 0, time.UTC)
	if due := s.Due(cut, time.UTC); len(due) != 1 || due[0].Table.Name != "wide" {
		t.Errorf("due: %v", due)
	}
	if lag := s.Lag(cut, time.UTC); lag != cut.Sub(month(2026, 5).Time).Seconds() {
		t.Errorf("lag %v", lag)
	}
}

// In Samoa the day after 29 December 2011 was the 31st. The 30th is no interval, and no wanted one is lost for it.
func TestADayThatNeverWas(t *testing.T) {
	t.Parallel()
	apia := zone(t, "Pacific/Apia")
	s := Set{Table: config.Table{Schema: "s", Name: "t"}, Key: Key{"at", TimestampTZ}, Now: time.Date(2011, 12, 29, 12, 0, 0, 0, apia)}
	var got []string
	for _, m := range s.Missing(config.Day, 2, apia) {
		got = append(got, m.Name+" "+m.Upper.Time.Sub(m.Lower.Time).String())
	}
	if want := []string{"t_2011_12_29 24h0m0s", "t_2011_12_31 24h0m0s", "t_2012_01_01 24h0m0s"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
