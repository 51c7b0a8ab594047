package catalog

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pgtest"
)

func TestCanonicalLeavesTextAlone(t *testing.T) {
	for _, same := range []string{
		"CHECK ((a = ANY (ARRAY[1, 2])))",
		"CHECK ((a <> '(ARRAY[1])::text[]'::text))",
		`CHECK ((a <> E'\'(ARRAY[1])::text[]'))`,
		`SELECT "(ARRAY[1])::text[]"`,
		"AS $f$ SELECT (ARRAY[1])::text[] $f$",
		"(ARRAY[ARRAY[1]])::text[]",
		"(ARRAY[1])::text",
		"(ARRAY[1",
		"(ARRAY['",
		"$(ARRAY[",
	} {
		if got := canonical(same); got != same {
			t.Errorf("%s became %s", same, got)
		}
	}
}

// The server is asked: what canonical makes of its first print is what it prints after reading that print.
func TestCanonicalIsWhatTheServerPrintsNext(t *testing.T) {
	conn, err := pgx.Connect(t.Context(), pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	exec := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	print := func() (def string) {
		t.Helper()
		if err := conn.QueryRow(t.Context(), "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'k'").Scan(&def); err != nil {
			t.Fatal(err)
		}
		return def
	}
	exec(`CREATE TABLE t (v varchar(20), c char(3), n name, i int, b bigint, x text)`)
	for _, check := range []string{
		"v IN ('a', 'b')",
		"v NOT IN ('it''s', '],)', E'back\\\\slash', '(ARRAY[1])::text[]')",
		"v IN ('a', x)",
		"v IN (v, upper(x), coalesce(x, 'y'))",
		"v = ANY (ARRAY['a', 'b']::varchar[])",
		"v = ANY ('{a,b}')",
		"c IN ('a', 'b')",
		"n IN ('a', 'b')",
		"b IN (1, 2)",
		"i = ANY (ARRAY[1, 2]::bigint[])",
		"v IN ('a', 'b') AND (x = '1' OR v IN ('c', 'd'))",
		"v IN ('a', CASE WHEN v IN ('p', 'q') THEN 'r' ELSE x END)",
		"v NOT IN (v, upper(x), coalesce(x, 'y')) OR i = 1",
		"i = 1 AND (b IN (i, i + 1, i + 2, i + 3) OR x = '((a) OR (b)) OR (c)')",
		"(i = 1 OR i = 2) AND i = 3 AND (i = 4 OR (i = 5 OR i = 6))",
		"((i = 1 AND i = 2) AND i = 3) OR i = 7",
		"((i > 0) OR (v IN (x, v, 'c'))) IS TRUE",
		"x || v = ANY (ARRAY[v, v]::text[] || ARRAY['z'])",
	} {
		exec("ALTER TABLE t ADD CONSTRAINT k CHECK (" + check + ")")
		first := print()
		exec("ALTER TABLE t DROP CONSTRAINT k")
		exec("ALTER TABLE t ADD CONSTRAINT k " + first)
		second := print()
		exec("ALTER TABLE t DROP CONSTRAINT k")
		if got := canonical(first); got != second {
			t.Errorf("%s\n  printed   %s\n  canonical %s\n  next      %s", check, first, got, second)
		}
		if got := canonical(second); got != second {
			t.Errorf("%s is not canonical: %s", second, got)
		}
	}
}
