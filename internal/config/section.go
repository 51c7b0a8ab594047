package config

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// section reads the attributes of one block. A value that is wrong is reported, and its default returned.
type section struct {
	*loader
	block *hclsyntax.Block // nil: everything is absent
	ref   *block
	title string // for messages: `partition "t": archive`
}

// in returns the section of a block inside this one.
func (s section) in(b *hclsyntax.Block) section {
	return section{s.loader, b, s.ref.block(b.Type), scope{title: s.title}.join(title(b))}
}

func (s section) pos() Pos {
	if s.block == nil {
		return Pos{}
	}
	return s.loader.pos(s.block.TypeRange)
}

func (s section) attr(name string) *hclsyntax.Attribute {
	if s.block == nil {
		return nil
	}
	return s.block.Body.Attributes[name]
}

// at is the place of an attribute's value; of the block when it is not given.
func (s section) at(name string) Pos {
	if a := s.attr(name); a != nil {
		return s.loader.pos(a.Expr.Range())
	}
	return s.pos()
}

// wrong reports an attribute's value.
func (s section) wrong(name, format string, args ...any) {
	s.add(s.at(name), "%s: %s %s", s.title, name, fmt.Sprintf(format, args...))
}

// eval returns an attribute's value; false when it is absent, null, or already reported.
func (s section) eval(name string) (cty.Value, bool) {
	a := s.attr(name)
	if a == nil {
		return cty.NilVal, false
	}
	value := s.value(a.Expr, s.title+": "+name)
	switch {
	case !value.IsWhollyKnown(): // made from something that was reported
		return cty.NilVal, false
	case value.IsNull():
		if ref := s.ref.attr(name); ref != nil && ref.required {
			s.wrong(name, "is null, and must be given")
		}
		return cty.NilVal, false
	}
	return value, true
}

// unset reports whether an attribute is absent or null.
func (s section) unset(name string) bool {
	a := s.attr(name)
	if a == nil {
		return true
	}
	value, diags := a.Expr.Value(s.scope)
	return !diags.HasErrors() && value.IsKnown() && value.IsNull()
}

// text returns a string attribute; false when it is absent or reported.
func (s section) text(name string) (string, bool) {
	value, ok := s.eval(name)
	if !ok {
		return "", false
	}
	if value.Type() != cty.String {
		s.wrong(name, "is %s, not a string: put it in quotes", kindOf(value))
		return "", false
	}
	return value.AsString(), true
}

func (s section) str(name, def string) string {
	if text, ok := s.text(name); ok {
		return text
	}
	return def
}

// located is a string and its place.
type located struct {
	text string
	pos  Pos
}

// strs reads a list of strings; with one, also a single string. The second result is false when it is
// absent. An empty list is an error, explained by empty, unless that is empty too.
func (s section) strs(name string, one bool, empty string) ([]located, bool) {
	value, ok := s.eval(name)
	if !ok {
		return nil, false
	}
	if one && value.Type() == cty.String {
		return []located{{value.AsString(), s.at(name)}}, true
	}
	if t := value.Type(); !t.IsListType() && !t.IsTupleType() && !t.IsSetType() {
		s.wrong(name, "is %s, not a list of strings: write [\"…\"]", kindOf(value))
		return nil, true
	}
	if value.LengthInt() == 0 && empty != "" {
		s.wrong(name, "%s", empty)
	}
	var list []located
	exprs, _ := hcl.ExprList(s.attr(name).Expr) // none when the list is computed
	for i, v := range value.AsValueSlice() {
		pos := s.at(name)
		if len(exprs) == value.LengthInt() {
			pos = s.loader.pos(exprs[i].Range())
		}
		if v.IsNull() || v.Type() != cty.String {
			s.add(pos, "%s: %s has %s, not a string", s.title, name, kindOf(v))
			continue
		}
		list = append(list, located{v.AsString(), pos})
	}
	return list, true
}

// number reads a number that a float64 can hold; nil when absent.
func (s section) number(name string) *float64 {
	value, ok := s.eval(name)
	if !ok {
		return nil
	}
	if value.Type() != cty.Number {
		s.wrong(name, "is %s, not a number%s", kindOf(value), unquote(value))
		return nil
	}
	f, _ := value.AsBigFloat().Float64()
	if math.IsInf(f, 0) {
		s.wrong(name, "is too large")
		return nil
	}
	return &f
}

// whole reads a whole number between two limits.
func (s section) whole(name string, def, low, high int) int {
	value, ok := s.eval(name)
	if !ok {
		return def
	}
	if value.Type() != cty.Number {
		s.wrong(name, "is %s, not a whole number%s", kindOf(value), unquote(value))
		return def
	}
	n, accuracy := value.AsBigFloat().Int64()
	if accuracy != big.Exact || n < int64(low) || n > int64(high) {
		s.wrong(name, "is %s: a whole number from %d to %d is needed", value.AsBigFloat().Text('g', 20), low, high)
		return def
	}
	return int(n)
}

func (s section) boolean(name string, def bool) bool {
	value, ok := s.eval(name)
	switch {
	case !ok:
		return def
	case value.Type() != cty.Bool:
		s.wrong(name, "is %s, not true or false%s", kindOf(value), unquote(value))
		return def
	}
	return value.True()
}

// oneOf reads a string that is one of a few.
func oneOf[T ~string](s section, name string, def T, known ...T) T {
	given, ok := s.text(name)
	if text := T(given); !ok {
		return def
	} else if slices.Contains(known, text) {
		return text
	}
	words := make([]string, len(known))
	for i, k := range known {
		words[i] = string(k)
	}
	s.wrong(name, "is %q%s", given, suggest(given, words...))
	return def
}

// interval reads an interval; an empty default means none.
func (s section) interval(name, def string) Interval {
	text, ok := s.text(name)
	if !ok {
		text = def
	}
	if !ok && def == "" {
		return Interval{}
	}
	iv, err := ParseInterval(text)
	if err != nil {
		s.wrong(name, "%q %v", text, err)
	}
	return iv
}

// schedule reads a schedule in the env's time zone; without a default, absence is reported elsewhere.
func (s section) schedule(def string) Schedule {
	const name = "schedule"
	text, ok := s.text(name)
	if !ok {
		text = def
	}
	if !ok && def == "" {
		return Schedule{}
	}
	schedule, err := ParseSchedule(text, s.env.Daemon.Location)
	if err != nil {
		s.wrong(name, "%q %v", text, err)
	}
	schedule.Pos = s.at(name)
	return schedule
}

// duration reads an interval of a fixed length.
func (s section) duration(name string, limit time.Duration) time.Duration {
	iv := s.interval(name, "")
	switch d := iv.Duration + time.Duration(iv.Days)*24*time.Hour; {
	case iv.Months > 0:
		s.wrong(name, "%q has months or years, which differ in length: write days", iv.Text)
	case d > limit:
		s.wrong(name, "%q is longer than %d days", iv.Text, int(limit/(24*time.Hour)))
	default:
		return d
	}
	return 0
}

func kindOf(v cty.Value) string {
	switch t := v.Type(); {
	case v.IsNull():
		return "null"
	case t == cty.String:
		return "a string"
	case t == cty.Number:
		return "a number"
	case t == cty.Bool:
		return "a bool"
	case t.IsTupleType() || t.IsListType() || t.IsSetType():
		return "a list"
	case t.IsObjectType() || t.IsMapType():
		return "an object"
	}
	return "of an unusable type"
}

// unquote advises on a value that stands in quotes by mistake.
func unquote(v cty.Value) string {
	if v.Type() == cty.String {
		return ": write it without quotes"
	}
	return ""
}
