package registrytest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/schema/registry/sample"
)

// SampleTime is the now of Sample: the last day of a month that has more days than the one 18 months before.
func SampleTime() time.Time { return time.Date(2026, 8, 31, 15, 4, 5, 678_000, time.UTC) }

// Sample returns the URL of a database of the test's own that holds the registry with the sample data as of SampleTime.
func Sample(t testing.TB) string {
	t.Helper()
	return pgtest.DatabaseFrom(t, SampleTemplate(t))
}

// SampleTemplate returns the name of the template that Sample copies.
func SampleTemplate(t testing.TB) string {
	t.Helper()
	return pgtest.Template(t, strings.TrimPrefix(Template(t), "template_")+"_sample", func(url string) error {
		return ApplySample(context.Background(), url)
	})
}

// ApplySample creates the registry in an empty database and loads the sample data as of SampleTime.
func ApplySample(ctx context.Context, url string) error {
	if err := Apply(ctx, url); err != nil {
		return err
	}
	conn, err := pg.Dedicated(ctx, url, "")
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return sample.Load(ctx, conn, SampleTime(), nil)
}
