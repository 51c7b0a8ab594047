package registry_test

import (
	"context"
	"testing"
	"time"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/schema/registry/registrytest"
	"github.com/pgtender/pgtender/schema/registry/sample"
)

// loadedAt is the sample's now in tests.
var loadedAt = time.Date(2026, 8, 31, 15, 4, 5, 678_000, time.UTC)

// loaded gives a registry with the sample data.
func loaded(t testing.TB) db {
	t.Helper()
	template := registrytest.Template(t) + "_sample"
	return connect(t, pgtest.DatabaseFrom(t, pgtest.Template(t, template[len("template_"):], func(url string) error {
		ctx := context.Background()
		if err := registrytest.Apply(ctx, url); err != nil {
			return err
		}
		conn, err := pg.Dedicated(ctx, url, "")
		if err != nil {
			return err
		}
		defer conn.Close(ctx)
		return sample.Load(ctx, conn, loadedAt, nil)
	})))
}
