package plan

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/schema/catalog"
)

// effect is what a change of type does to the rows.
type effect struct {
	using    string // empty where the server converts by itself
	rewrites bool
	loss     string // what values may lose
	breaks   string // what running code may trip over
}

// sqlType is a type's name without modifiers, and those.
type sqlType struct {
	base  string
	mods  []int
	array string // "[]" or empty
}

func parseType(s string) sqlType {
	t := sqlType{base: s}
	if b, ok := strings.CutSuffix(s, "[]"); ok {
		t.base, t.array = b, "[]"
	}
	open, end := strings.IndexByte(t.base, '('), strings.IndexByte(t.base, ')')
	if strings.HasPrefix(t.base, `"`) || open < 0 || end < open {
		return t
	}
	for _, m := range strings.Split(t.base[open+1:end], ",") {
		if n, err := strconv.Atoi(m); err == nil {
			t.mods = append(t.mods, n)
		}
	}
	t.base = t.base[:open] + t.base[end+1:]
	return t
}

// The families within which the server converts by assignment, narrow to wide.
func numberRank(base string) int {
	return slices.Index([]string{"smallint", "integer", "bigint", "numeric", "real", "double precision"}, base)
}

func isText(base string) bool {
	return base == "text" || base == "character varying" || base == "character"
}

func isTime(base string) bool {
	return slices.Contains([]string{"date", "timestamp without time zone", "timestamp with time zone", "time without time zone",
		"time with time zone", "interval"}, base)
}

// judge tells what ALTER COLUMN … TYPE does. It knows the built-in families; of everything else it expects the worst.
func (b *builder) judge(live, want *catalog.Object) effect {
	from, to := parseType(live.Fact(catalog.FactType)), parseType(want.Fact(catalog.FactType))
	e := effect{rewrites: true}
	column := pg.Ident(want.Key.Name)
	if live.Fact(catalog.FactGenerated) == "" {
		e.using = column + "::" + want.Fact(catalog.FactType)
	}
	changes := "the type changes from " + live.Fact(catalog.FactType) + " to " + want.Fact(catalog.FactType)
	switch {
	case from.array != to.array:
		e.loss, e.breaks = changes+": values may be cut or fail to convert", changes
	case live.Fact(catalog.FactType) == want.Fact(catalog.FactType): // the collation alone
		e.using, e.rewrites = "", false
		e.breaks = "the collation changes, and with it order and comparisons"
	case isText(from.base) && isText(to.base):
		b.judgeText(&e, from, to)
	case numberRank(from.base) >= 0 && numberRank(to.base) >= 0:
		judgeNumbers(&e, from, to, changes)
	case isTime(from.base) && isTime(to.base):
		judgeTimes(&e, from, to, changes)
	case b.isEnum(from.base) && b.isEnum(to.base):
		e.using = column + "::text::" + want.Fact(catalog.FactType)
		e.breaks = changes
	case isText(to.base):
		e.using, e.breaks = "", changes
	case isText(from.base):
		e.breaks = changes + "; a value that is not one of that type makes it fail, and nothing is changed"
	case from.base == "json" && to.base == "jsonb":
		e.using, e.breaks = "", changes+": key order, duplicates and white space inside values are not kept"
	default:
		e.loss, e.breaks = changes+": values may be cut or fail to convert", changes
	}
	if live.Fact(catalog.FactGenerated) == "virtual" {
		e.rewrites = false
	}
	if live.Fact(catalog.FactGenerated) != "" {
		e.loss, e.using = "", ""
	}
	return e
}

// declaredUsing is what a conversion does that the sources declare: nobody but them knows what it keeps.
func declaredUsing(live, want *catalog.Object) effect {
	changes := "the type changes from " + live.Fact(catalog.FactType) + " to " + want.Fact(catalog.FactType)
	return effect{using: want.Notes.Using, rewrites: true, loss: "the values become what the declared USING makes of them", breaks: changes}
}

func (b *builder) isEnum(base string) bool {
	parts, _ := scanName(base)
	if len(parts) != 2 {
		return false
	}
	k := catalog.Key{Kind: catalog.Enum, Schema: parts[0], Name: parts[1]}
	return b.liveObject(k) != nil || b.wantObject(k) != nil
}

func limit(t sqlType) int {
	if len(t.mods) == 0 {
		return 1 << 30
	}
	return t.mods[0]
}

func (b *builder) judgeText(e *effect, from, to sqlType) {
	e.using = ""
	varying := from.base != "character" && to.base != "character"
	if varying && limit(to) >= limit(from) {
		e.rewrites = false
		return
	}
	if limit(to) < limit(from) {
		e.breaks = "longer values are refused from now on; one that is there makes it fail, and nothing is changed"
	}
	if !varying {
		e.breaks = strings.TrimPrefix(e.breaks+"; ", "; ") + "blanks at the end of values count or do not count any more"
	}
}

func judgeNumbers(e *effect, from, to sqlType, changes string) {
	e.using = ""
	f, t := numberRank(from.base), numberRank(to.base)
	switch {
	case from.base == "numeric" && to.base == "numeric":
		scale := func(x sqlType) int {
			if len(x.mods) > 1 {
				return x.mods[1]
			}
			return 0
		}
		switch {
		case len(to.mods) == 0:
			e.rewrites = false
		case len(from.mods) == 0 || scale(to) < scale(from):
			e.loss = changes + ": digits behind the point are rounded away"
		case scale(to) == scale(from) && limit(to) >= limit(from):
			e.rewrites = false
		case limit(to)-scale(to) < limit(from)-scale(from):
			e.breaks = "larger values are refused from now on; one that is there makes it fail, and nothing is changed"
		}
	case t < f && t <= numberRank("bigint") && f > numberRank("bigint"):
		e.loss, e.breaks = changes+": what is behind the point is rounded away", changes
	case t < f && t <= numberRank("bigint"):
		e.breaks = "larger values are refused from now on; one that is there makes it fail, and nothing is changed"
	case t > numberRank("numeric") && f <= numberRank("numeric") && !(f == 0 || f == 1 && to.base == "double precision"),
		from.base == "double precision" && to.base == "real", t == numberRank("numeric") && f > t:
		e.loss, e.breaks = changes+": digits may be lost", changes
	case t == numberRank("numeric") && len(to.mods) > 0:
		e.breaks = "larger values are refused from now on; one that is there makes it fail, and nothing is changed"
	}
}

func judgeTimes(e *effect, from, to sqlType, changes string) {
	e.using = ""
	const zoned, local = "timestamp with time zone", "timestamp without time zone"
	precision := func(t sqlType) int {
		if len(t.mods) == 0 {
			return 6
		}
		return t.mods[0]
	}
	stamps := (from.base == zoned || from.base == local) && (to.base == zoned || to.base == local)
	switch {
	case precision(to) < precision(from) && (from.base == to.base || stamps):
		e.loss = changes + ": fractions of seconds are rounded away"
	case from.base == to.base:
		e.rewrites = precision(to) < precision(from) || from.base == "interval"
	case stamps:
		e.rewrites = false // the session's time zone is UTC, so the stored values stay the same
	case from.base == "date":
	default:
		e.loss = changes + ": a part of the values is dropped"
	}
	if from.base != to.base {
		e.breaks = strings.TrimSuffix(changes+map[bool]string{true: "; stored times are read as UTC"}[stamps], "; ")
	}
}
