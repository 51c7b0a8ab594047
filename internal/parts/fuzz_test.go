package parts

import (
	"testing"
	"time"
)

// bounded ends the process, with all stacks, when one input takes far longer than any should.
func bounded(t *testing.T) {
	timer := time.AfterFunc(30*time.Second, func() { panic("an input takes more than half a minute") })
	t.Cleanup(func() { timer.Stop() })
}

// FuzzBounds: whatever a catalog prints as a partition's bounds is refused or reads the same again as pgtender writes it, in the same
// order, and the clauses made of it hold it as a constant and nothing else.
func FuzzBounds(f *testing.F) {
	types := []Type{TimestampTZ, Timestamp, Date, UUIDv7}
	for i, seed := range []string{
		"FOR VALUES FROM ('2026-11-01 00:00:00+00') TO ('2026-12-01 00:00:00+00')",
		"FOR VALUES FROM ('2026-11-01 00:00:00.123456') TO (MAXVALUE)",
		"FOR VALUES FROM (MINVALUE) TO ('2026-12-01')",
		"FOR VALUES FROM ('0193b3a0-0000-0000-0000-000000000000') TO ('0193b3a0-0000-7000-8000-000000000000')",
		"FOR VALUES FROM ('0044-03-15 BC') TO ('294276-12-31')", "FOR VALUES FROM ('-infinity') TO ('infinity')", "DEFAULT",
		"FOR VALUES IN ('a')", "FOR VALUES WITH (modulus 2, remainder 1)", "FOR VALUES FROM ('') TO ('')", "FOR VALUES FROM ('4713-01-01 BC') TO ('0001-01-01 BC')",
		"FOR VALUES FROM ('2026-02-30') TO ('9223372036854775807-01-01')", "FOR VALUES FROM ('x'') TO (''y') TO ('z')", "FOR VALUES FROM ('2024-02-29 24:00:00+00') TO ('2026-01-01 00:00:00+05:30')",
	} {
		for range types {
			f.Add(seed, uint8(i))
			i++
		}
	}
	f.Fuzz(func(t *testing.T, clause string, which uint8) {
		bounded(t)
		key := Key{Column: `odd "name'`, Type: types[int(which)%len(types)]}
		r, err := key.parse(clause)
		if err != nil {
			if err.Error() == "" {
				t.Errorf("%q is refused without a word", clause)
			}
			return
		}
		again, err := key.parse(key.ForValues(r))
		if err != nil || again.Lower.Compare(r.Lower) != 0 || again.Upper.Compare(r.Upper) != 0 {
			t.Fatalf("%s %q reads as %+v; written %q it reads as %+v, %v", key.Type, clause, r, key.ForValues(r), again, err)
		}
		if a, b := r.Lower.Compare(r.Upper), r.Upper.Compare(r.Lower); (a < 0) != (b > 0) || (a == 0) != (b == 0) {
			t.Errorf("%q: the bounds compare as %d and %d", clause, a, b)
		}
		for _, sql := range []string{key.ForValues(r), key.Check(r), key.CheckNone([]Range{r})} {
			if quotes := count(sql, '\''); quotes%2 != 0 || count(sql, ';') > 0 {
				t.Errorf("%q becomes %q", clause, sql)
			}
		}
	})
}

// count leaves the column's name out, which has a quote of its own.
func count(sql string, c byte) (n int) {
	inName := false
	for i := range len(sql) {
		if sql[i] == '"' {
			inName = !inName
		}
		if sql[i] == c && !inName {
			n++
		}
	}
	return n
}
