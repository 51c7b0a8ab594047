package pgtest

import "os"

// Scaled is how many rounds a long test runs: a sample in make test, all of them in make soak (PGTENDER_SOAK=1).
func Scaled(sample, all int) int {
	if os.Getenv("PGTENDER_SOAK") != "" {
		return all
	}
	return sample
}
