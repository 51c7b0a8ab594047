package asyncio

import (
	"fmt"
	"slices"
)

// What a trial must show for the new value to be kept.
const (
	minGain  = 1.10 // median ratio of throughput, new to old
	minLower = 1.03 // lower bound of that median
	maxLoss  = 0.97 // median ratio of commits per second
	minPairs = 6
	// confidence of the lower bound, one-sided.
	confidence = 0.95
)

// Verdict is what the pairs of a trial prove.
type Verdict struct {
	Keep    bool    `json:"keep"`
	Pairs   int     `json:"pairs"`
	Median  float64 `json:"median"`  // of throughput, new to old
	Lower   float64 `json:"lower"`   // bound of the median
	Commits float64 `json:"commits"` // median ratio of commits per second; 0: too few to tell
	Reason  string  `json:"reason"`
}

// judge decides by the ratios of pairs of windows, new to old. It knows nothing of their distribution: the lower bound is an order
// statistic (a sign test), so pairs drawn from equal sides pass by chance in less than one trial in twenty, and hardly ever with
// a median gain of a tenth besides.
func judge(throughput, commits []float64) Verdict {
	v := Verdict{Pairs: len(throughput)}
	if v.Pairs < minPairs {
		v.Reason = fmt.Sprintf("only %d pairs of windows could be used, %d are needed", v.Pairs, minPairs)
		return v
	}
	v.Median, v.Lower = median(throughput), lowerBound(throughput)
	if len(commits) >= minPairs {
		v.Commits = median(commits)
	}
	figures := fmt.Sprintf("throughput ×%.2f (median of %d pairs, at least ×%.2f)", v.Median, v.Pairs, v.Lower)
	if v.Commits > 0 {
		figures += fmt.Sprintf(", commits ×%.2f", v.Commits)
	}
	switch {
	case v.Commits > 0 && v.Commits < maxLoss:
		v.Reason = figures + ": commits were lost"
	case v.Median < minGain || v.Lower <= minLower:
		v.Reason = fmt.Sprintf("%s: no proof of a gain (needs ×%.2f, at least ×%.2f)", figures, minGain, minLower)
	default:
		v.Keep, v.Reason = true, figures+": a gain"
	}
	return v
}

func median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// lowerBound is the greatest value of which it can be said, with the confidence, that the median lies above it: the k-th smallest,
// where k - 1 or fewer of n fair coins show heads in at most 1 - confidence of all throws.
func lowerBound(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	n := len(s)
	term := 1.0 // n over i, by 2^n
	for range n {
		term /= 2
	}
	k, sum := 0, 0.0
	for i := range n {
		if sum += term; sum > 1-confidence {
			break
		}
		k = i + 1
		term = term * float64(n-i) / float64(i+1)
	}
	if k == 0 {
		return 0
	}
	return s[k-1]
}
