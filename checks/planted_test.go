package checks

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/pgtender/pgtender/internal/config"
)

// planted is what the tests of this package have seen checks say, in order.
var planted = sightingsOfTests{seen: map[string][]Status{}}

type sightingsOfTests struct {
	mu   sync.Mutex
	seen map[string][]Status // by check and test
}

func (s *sightingsOfTests) note(test, check string, status Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[check+" "+test] = append(s.seen[check+" "+test], status)
}

// unplanted are the checks of pgtender of which no test has planted the fault, seen it, removed it and seen it gone.
func (s *sightingsOfTests) unplanted() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	done := map[string]bool{}
	for key, list := range s.seen {
		check, _, _ := strings.Cut(key, " ")
		bad := slices.IndexFunc(list, func(st Status) bool { return st == Warning || st == Critical })
		done[check] = done[check] || bad >= 0 && slices.Contains(list[bad:], OK)
	}
	var without []string
	for _, b := range config.BuiltinChecks() {
		if !done[b.Name] {
			without = append(without, b.Name)
		}
	}
	if len(without) > 0 {
		return fmt.Errorf("no test plants the fault of %s, sees it, removes it and sees it gone", strings.Join(without, ", "))
	}
	return nil
}
