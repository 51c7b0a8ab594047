package asyncio

import (
	"fmt"
	"testing"

	"github.com/pgtender/pgtender/internal/pgtest"
)

// library makes a table that is much larger than the buffers of a private server.
func library(t testing.TB, url string, rows int) {
	t.Helper()
	pgtest.Exec(t, url,
		fmt.Sprintf("CREATE TABLE public.big AS SELECT i AS id, (random() * 1e6)::int AS k, repeat('x', 400) AS pad FROM generate_series(1, %d) i", rows),
		"CREATE INDEX ON public.big (k)", "VACUUM (ANALYZE) public.big", "CHECKPOINT")
}
