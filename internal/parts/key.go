package parts

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
)

// Type is the type of a partition key that pgtender can tend.
type Type string

// The types. A domain counts as the type it is over.
const (
	TimestampTZ Type = "timestamptz"
	Timestamp   Type = "timestamp"
	Date        Type = "date"
	UUIDv7      Type = "uuid" // ordered by the milliseconds in its first 48 bits
)

// Key is the one column that a table is partitioned by.
type Key struct {
	Column string
	Type   Type
}

// Naive reports whether the key holds wall-clock times that name no zone.
func (k Key) Naive() bool { return k.Type == Timestamp || k.Type == Date }

// Zone is where the key's intervals begin: loc for instants, UTC for wall-clock times, which are held in UTC.
func (k Key) Zone(loc *time.Location) *time.Location {
	if k.Naive() {
		return time.UTC
	}
	return loc
}

// FromInstant turns an instant into the key's terms: for a naive key, what a clock in loc shows.
func (k Key) FromInstant(t time.Time, loc *time.Location) time.Time {
	if !k.Naive() {
		return t
	}
	t = t.In(loc)
	y, m, d := t.Date()
	h, mi, s := t.Clock()
	return time.Date(y, m, d, h, mi, s, t.Nanosecond(), time.UTC)
}

// Instant is the reverse of FromInstant. A clock time that occurs twice, or never, is read as PostgreSQL does.
func (k Key) Instant(t time.Time, loc *time.Location) time.Time {
	if !k.Naive() {
		return t
	}
	return config.OnWall(t.UTC(), loc)
}

// Kind tells a bound with a value from the two ends of time.
type Kind int8

// The kinds, in their order. An infinite time counts as the end of time on its side.
const (
	Min Kind = iota - 1
	At
	Max
)

// Bound is one end of a partition, in the key's terms. Bounds of one table are compared with Compare.
type Bound struct {
	Kind Kind
	Time time.Time
	// UUID is the exact value of a UUIDv7 bound; Time is then its milliseconds.
	UUID [16]byte
}

// At makes the bound that stands for an instant or wall-clock time in the key's terms.
func (k Key) At(t time.Time) Bound {
	b := Bound{Kind: At, Time: t.UTC()}
	if k.Type == UUIDv7 {
		// The smallest UUID of that millisecond: version and variant bits only make others larger.
		var ms [8]byte
		binary.BigEndian.PutUint64(ms[:], uint64(t.UnixMilli()))
		copy(b.UUID[:6], ms[2:])
	}
	return b
}

// fromUUID makes the bound of a UUID that the catalog names.
func fromUUID(id [16]byte) Bound {
	var ms [8]byte
	copy(ms[2:], id[:6])
	return Bound{Kind: At, Time: time.UnixMilli(int64(binary.BigEndian.Uint64(ms[:]))).UTC(), UUID: id}
}

// Compare orders bounds as the server does.
func (b Bound) Compare(o Bound) int {
	switch {
	case b.Kind != o.Kind:
		return int(b.Kind) - int(o.Kind)
	case b.Kind != At:
		return 0
	}
	if c := b.Time.Compare(o.Time); c != 0 {
		return c
	}
	return bytes.Compare(b.UUID[:], o.UUID[:])
}

// Literal writes the bound for a FOR VALUES clause: MINVALUE, MAXVALUE or a quoted constant. An instant bears its
// offset, so no session's TimeZone can shift it.
func (k Key) Literal(b Bound) string {
	switch b.Kind {
	case Min:
		return "MINVALUE"
	case Max:
		return "MAXVALUE"
	}
	return pg.Literal(k.Text(b))
}

// Text writes a bound that has a value as the catalog does with TimeZone UTC, without quotes.
func (k Key) Text(b Bound) string {
	if k.Type == UUIDv7 {
		s := hex.EncodeToString(b.UUID[:])
		return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
	}
	t, era := b.Time.UTC(), ""
	year := t.Year()
	if year < 1 { // the year before 1 is 1 BC
		year, era = 1-year, " BC"
	}
	text := fmt.Sprintf("%04d-%s", year, t.Format("01-02"))
	switch k.Type {
	case Timestamp:
		text += t.Format(" 15:04:05.999999")
	case TimestampTZ:
		text += t.Format(" 15:04:05.999999+00")
	}
	return text + era
}

// ForValues is the FOR VALUES clause of a range.
func (k Key) ForValues(r Range) string {
	return fmt.Sprintf("FOR VALUES FROM (%s) TO (%s)", k.Literal(r.Lower), k.Literal(r.Upper))
}

// parse is the reverse of ForValues, for what the server prints with DateStyle ISO and TimeZone UTC.
func (k Key) parse(clause string) (r Range, err error) {
	from, to, ok := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(clause, "FOR VALUES FROM ("), ")"), ") TO (")
	if !ok {
		return r, fmt.Errorf("%s is not of the form FROM … TO …", clause)
	}
	if r.Lower, err = k.bound(strings.Trim(from, "'")); err == nil {
		r.Upper, err = k.bound(strings.Trim(to, "'"))
	}
	return r, err
}

// lastYear is that of the type date; timestamps end earlier.
const lastYear = 5874897

func (k Key) bound(text string) (Bound, error) {
	switch {
	case text == "MINVALUE" || text == "-infinity":
		return Bound{Kind: Min}, nil
	case text == "MAXVALUE" || text == "infinity":
		return Bound{Kind: Max}, nil
	case k.Type == UUIDv7:
		var id pgtype.UUID
		if err := id.Scan(text); err != nil {
			return Bound{}, fmt.Errorf("%s: %w", text, err)
		}
		return fromUUID(id.Bytes), nil
	}
	layout := time.DateTime + "-07"
	switch k.Type {
	case Date:
		layout = time.DateOnly
	case Timestamp:
		layout = time.DateTime
	}
	rest, bc := strings.CutSuffix(text, " BC")
	digits, rest, _ := strings.Cut(rest, "-") // of the year, which may be more than four
	year, err := strconv.Atoi(digits)
	if err != nil {
		return Bound{}, fmt.Errorf("%s is not a time: %w", text, err)
	}
	if year < 0 || year > lastYear {
		return Bound{}, fmt.Errorf("%s is not a time of PostgreSQL's", text)
	}
	t, err := time.Parse(layout, "2000-"+rest)
	if err != nil {
		return Bound{}, fmt.Errorf("%s is not a time: %w", text, err)
	}
	if t.Nanosecond()%1000 != 0 {
		return Bound{}, fmt.Errorf("%s is finer than a microsecond", text)
	}
	if bc {
		year = 1 - year
	}
	_, m, d := t.Date()
	h, mi, s := t.Clock()
	return k.At(time.Date(year, m, d, h, mi, s, t.Nanosecond(), time.UTC)), nil
}

// Check is the expression that the server can prove a partition's bounds from, so that attaching it scans nothing.
func (k Key) Check(r Range) string {
	column := pg.Ident(k.Column)
	expr := column + " IS NOT NULL"
	if r.Lower.Kind == At {
		expr += fmt.Sprintf(" AND %s >= %s", column, k.constant(r.Lower))
	}
	if r.Upper.Kind == At {
		expr += fmt.Sprintf(" AND %s < %s", column, k.constant(r.Upper))
	}
	return expr
}

// CheckNone is the expression of a DEFAULT partition beside the ranges, in the form that the server gives it.
func (k Key) CheckNone(ranges []Range) string {
	column := pg.Ident(k.Column)
	var any []string
	for _, r := range ranges {
		var both []string
		if r.Lower.Kind == At {
			both = append(both, column+" >= "+k.constant(r.Lower))
		}
		if r.Upper.Kind == At {
			both = append(both, column+" < "+k.constant(r.Upper))
		}
		if len(both) == 0 {
			both = []string{"true"}
		}
		any = append(any, "("+strings.Join(both, " AND ")+")")
	}
	return fmt.Sprintf("NOT (%s IS NOT NULL AND (%s))", column, strings.Join(any, " OR "))
}

func (k Key) constant(b Bound) string { return pg.Literal(k.Text(b)) + "::" + string(k.Type) }
