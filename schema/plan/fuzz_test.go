package plan

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pgtender/pgtender/schema/catalog"
)

// bounded ends the process, with all stacks, when one input takes far longer than any should.
func bounded(t *testing.T) {
	timer := time.AfterFunc(30*time.Second, func() { panic("an input takes more than half a minute") })
	t.Cleanup(func() { timer.Stop() })
}

// FuzzPlanFile: a file is refused or is a plan that is written and read again as the same, with the same hash, and can be shown in
// every form. A plan that is taken is one whose parts fit together.
func FuzzPlanFile(f *testing.F) {
	seeds, err := filepath.Glob("testdata/planfile/*.json")
	if err != nil || len(seeds) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, name := range seeds {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, seed := range []string{"", "{}", "null", "[]", `{"format":2}`, `{"format":1,"from":"a","to":"b","statements":null}`, `{"format":1,"from":"a","to":"b","statements":[{}]}`,
		`{"format":1,"from":"a","to":"b","statements":[{"sql":"x","tx":-1}]}`, `{"format":1,"FROM":"a","from":"","to":"b"} x`, `{"format":1e0,"from":"\ud800","to":"b","statements":[{"sql":"\u0000","outside_tx":true,"after":[0]}]}`,
		strings.Repeat(`{"format":`, 20000)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		bounded(t)
		p, err := Read(bytes.NewReader(text))
		if err != nil {
			if p != nil || !strings.HasPrefix(err.Error(), "read the plan file: ") {
				t.Errorf("%+v beside the error %v", p, err)
			}
			return
		}
		var written bytes.Buffer
		if err := p.JSON(&written); err != nil {
			t.Fatal(err)
		}
		again, err := Read(&written)
		if err != nil || again.Hash() != p.Hash() || !reflect.DeepEqual(plain(p), plain(again)) {
			t.Fatalf("read again, it is\n%+v, %v, and was\n%+v", again, err, p)
		}
		for _, s := range p.Statements {
			if s.Tx < 0 || s.OutsideTx && s.Tx != 0 || s.SQL == "" {
				t.Errorf("taken: %+v", s)
			}
		}
		for _, form := range []func(*Plan) error{func(p *Plan) error { return p.Text(&written) }, func(p *Plan) error { return p.SQL(&written) }} {
			if err := form(p); err != nil {
				t.Error(err)
			}
		}
		if names, blocked := p.NotAllowed(nil); len(names) == 0 && len(blocked) > 0 || len(p.Hazards()) < len(names) {
			t.Errorf("hazards %v, of which %v are refused with %d statements", p.Hazards(), names, len(blocked))
		}
	})
}

// plain makes empty lists absent ones: a file may have either.
func plain(p *Plan) Plan {
	q := *p
	q.Statements = append([]Statement(nil), p.Statements...)
	for i := range q.Statements {
		s := &q.Statements[i]
		s.Hazards, s.After = append([]Hazard(nil), s.Hazards...), append([]int(nil), s.After...)
	}
	q.Partitions, q.LeftAlone = append([]string(nil), p.Partitions...), append([]string(nil), p.LeftAlone...)
	q.Unmanaged = append([]catalog.Unmanaged(nil), p.Unmanaged...)
	return q
}
