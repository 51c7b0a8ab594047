package schema

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"testing"
	"time"

	"github.com/pgtender/pgtender/schema/catalog"
)

// bounded ends the process, with all stacks, when one input takes far longer than any should.
func bounded(t *testing.T) {
	timer := time.AfterFunc(30*time.Second, func() { panic("an input takes more than half a minute") })
	t.Cleanup(func() { timer.Stop() })
}

// FuzzRemembered: a row of pgtender.declared that was changed anywhere, cut, or put under another key is not used; one that somebody made up with
// a right digest is refused or can be compared like any other, without a crash.
func FuzzRemembered(f *testing.F) {
	table := catalog.Key{Kind: catalog.Table, Schema: "public", Name: "t"}
	column := catalog.Key{Kind: catalog.Column, Schema: "public", Table: "t", Name: "a"}
	honest := content{Snapshot: catalog.Snapshot{Objects: []catalog.Object{
		{Key: table, Facts: []catalog.Fact{{Name: "comment", Value: "x"}}},
		{Key: column, Facts: []catalog.Fact{{Name: catalog.FactType, Value: "integer"}}},
	}}, Schemas: []string{"public"}, Extensions: map[string]string{}}
	m := &memory{key: "the key"}
	packed, err := pack(honest)
	if err != nil {
		f.Fatal(err)
	}
	text, err := json.Marshal(honest)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text, 40, byte(1))
	for _, seed := range []string{"", "null", "{}", `{"Snapshot":{"Objects":[{"Key":{"kind":"index","schema":"s","table":"t","name":"i"}},{}]}}`,
		`{"Snapshot":{"Objects":[{"Key":{"kind":"matview","name":"i"},"Facts":[{"Name":"definition","Value":"\u0000"},{"Name":"definition","Value":"x"}]}],"Children":[{}]},"Scope":{}}`,
		`{"Snapshot":{"Objects":[{"Key":{"kind":"column","schema":"s","table":"t","name":"c"},"Facts":[{"Name":"type","Value":"numeric(((("}]}]}}`} {
		f.Add([]byte(seed), 3, byte(0x80))
	}
	f.Fuzz(func(t *testing.T, text []byte, at int, change byte) {
		bounded(t)
		// Changed on the way.
		spoilt := bytes.Clone(packed)
		i := int(uint(at) % uint(len(spoilt)))
		spoilt[i] ^= change
		digest := m.digest(packed, nil)
		if c, err := m.open(spoilt, digest); (err == nil) != (change == 0) {
			t.Fatalf("byte %d changed by %d: %+v, %v", i, change, c, err)
		}
		if _, err := m.open(packed[:i], digest); err == nil {
			t.Fatalf("cut at byte %d, it is taken", i)
		}
		other := &memory{key: "another key"}
		if _, err := other.open(packed, digest); err == nil {
			t.Fatal("the row of another key is taken")
		}
		note := append(m.digest(spoilt, []byte("stamp")), spoilt...)
		other.believe("stamp", note)
		again := &memory{key: m.key}
		again.believe("stam", note)
		again.believe("stamp", note[:min(i, len(note))])
		if other.stamp != "" || again.stamp != "" {
			t.Fatal("a note on another row, on another stamp or half of one is believed")
		}
		// Made up.
		made := zipped(t, text)
		c, err := m.open(made, m.digest(made, nil))
		if err != nil {
			return
		}
		for _, pair := range [][2]*catalog.Snapshot{{&c.Snapshot, &honest.Snapshot}, {&honest.Snapshot, &c.Snapshot}, {{}, &c.Snapshot}} {
			if differences := catalog.Diff(pair[0], pair[1]); (len(differences) == 0) != (pair[0].Fingerprint() == pair[1].Fingerprint()) {
				t.Fatalf("fingerprints say otherwise than %+v", differences)
			}
		}
	})
}

func zipped(t *testing.T, text []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
