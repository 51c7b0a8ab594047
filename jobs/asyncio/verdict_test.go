package asyncio

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	gain := []float64{1.2, 1.3, 1.25, 1.22, 1.4, 1.15, 1.31, 1.28}
	for _, c := range []struct {
		ratios, commits []float64
		keep            bool
		reason          string
	}{
		{gain, nil, true, "throughput ×1.27 (median of 8 pairs, at least ×1.20): a gain"},
		{gain, gain, true, "commits ×1.27: a gain"},
		{gain, []float64{0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 1, 1}, false, "commits were lost"},
		{gain[:5], nil, false, "only 5 pairs of windows could be used, 6 are needed"},
		{[]float64{1.2, 1.3, 1.25, 1.22, 1.4, 1.15, 0.9, 0.8}, nil, false, "no proof of a gain"}, // two of eight lost
		{[]float64{1.2, 1.3, 1.25, 1.22, 1.4, 1.15, 1.2, 0.8}, nil, true, "a gain"},              // one of eight
		{[]float64{1.09, 1.09, 1.09, 1.09, 1.09, 1.09}, nil, false, "no proof of a gain (needs ×1.10, at least ×1.03)"},
		{[]float64{1.2, 1.3, 1.25, 1.22, 1.4, 1.02}, nil, false, "no proof"}, // of six, none may be below
		{nil, nil, false, "only 0 pairs"},
	} {
		if v := judge(c.ratios, c.commits); v.Keep != c.keep || !strings.Contains(v.Reason, c.reason) {
			t.Errorf("%v: %+v", c.ratios, v)
		}
	}
}

// TestJudgeOfEqualSides draws pairs from equal sides, with noise far above what was measured: hardly any trial may find a gain.
func TestJudgeOfEqualSides(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for _, noise := range []float64{0.05, 0.2, 0.5, 1} {
		for _, pairs := range []int{6, 8, 10, 12} {
			kept := 0
			const trials = 4000
			for range trials {
				ratios := make([]float64, pairs)
				for i := range ratios {
					ratios[i] = math.Exp(noise * r.NormFloat64())
				}
				if judge(ratios, nil).Keep {
					kept++
				}
			}
			if share := float64(kept) / trials; share > 0.05 {
				t.Errorf("noise %.2f, %d pairs: %.1f %% of equal trials were kept", noise, pairs, 100*share)
			}
		}
	}
}

func TestLowerBound(t *testing.T) {
	t.Parallel()
	for n, rank := range map[int]int{4: 0, 5: 1, 6: 1, 7: 1, 8: 2, 10: 2, 11: 3, 12: 3, 20: 6} {
		values := make([]float64, n)
		for i := range values {
			values[n-1-i] = float64(i + 1)
		}
		if got := lowerBound(values); got != float64(rank) {
			t.Errorf("of %d: the %v-th smallest, want the %d-th", n, got, rank)
		}
	}
}

func TestCandidates(t *testing.T) {
	t.Parallel()
	number := func(f float64) *float64 { return &f }
	status := func(workers float64, method string) *Status {
		return &Status{Settings: []Setting{
			{Name: "effective_io_concurrency", Value: "16", Number: number(16)},
			{Name: "io_method", Value: method},
			{Name: "io_workers", Value: pretty(strings.TrimSuffix(time.Duration(workers).String(), "ns"), ""), Number: &workers},
		}}
	}
	crowded := &Evidence{Seen: true, Samples: 10, Saturated: 9}
	calm := &Evidence{Seen: true, Samples: 10}
	kept := []Change{{Name: "io_workers", New: "4", Before: "3", State: stateKept}}
	for name, c := range map[string]struct {
		s    *Status
		e    *Evidence
		kept []Change
		max  int
		want string
	}{
		"crowded":                 {status(3, "worker"), crowded, nil, 8, "io_workers=4"},
		"between the steps":       {status(5, "worker"), crowded, nil, 8, "io_workers=6"},
		"at the limit":            {status(8, "worker"), crowded, nil, 8, ""},
		"calm":                    {status(3, "worker"), calm, nil, 8, ""},
		"calm since it was kept":  {status(4, "worker"), calm, kept, 8, "io_workers=3"},
		"set by hand since":       {status(6, "worker"), calm, kept, 8, ""},
		"no workers":              {status(3, "sync"), crowded, nil, 8, ""},
		"hidden":                  {status(3, "worker"), &Evidence{Samples: 10, Saturated: 10}, nil, 8, ""},
		"too few samples":         {status(3, "worker"), &Evidence{Seen: true, Samples: 3, Saturated: 3}, nil, 8, ""},
		"hardly ahead":            {&Status{Settings: []Setting{{Name: "effective_io_concurrency", Value: "1", Number: number(1)}}}, calm, nil, 8, "effective_io_concurrency=16"},
		"a server without either": {&Status{}, crowded, nil, 8, ""},
	} {
		got := ""
		if all := candidates(c.s, c.e, c.kept, c.max); len(all) > 0 {
			got = all[0].setting + "=" + all[0].to
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	recent := []Change{{Name: "io_workers", New: "4", State: stateReverted, Judged: true}, {Name: "io_workers", New: "6", State: stateReverted}}
	if lastTrial(recent, candidate{setting: "io_workers", to: "4"}) == nil || lastTrial(recent, candidate{setting: "io_workers", to: "6"}) != nil {
		t.Error("what was judged is not tried again soon; what was interrupted is")
	}
}
