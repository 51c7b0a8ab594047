package schema_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ariga.io/atlas/sql/postgres"
	atlas "ariga.io/atlas/sql/schema"
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/pgtender/pgtender/internal/pgtest"
)

// BenchmarkDrift compares a database of 500 tables of five columns and 1,000 partitions with its sources, as a whole process: first uncached, then as
// each time after an apply. Beside it, in the same run and without a process, Atlas's own way: inspecting the database and the
// desired schema (loaded into a database of its own, which it normalises), and the diff of both.
func BenchmarkDrift(b *testing.B) {
	dir := b.TempDir()
	program := filepath.Join(dir, "pgtender")
	if out, err := exec.CommandContext(b.Context(), "go", "build", "-buildvcs=false", "-o", program, "../cmd/pgtender").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	url := pgtest.Database(b)
	plain, partitioned := wideSchema(dir, b)
	run := func(want int, args ...string) time.Duration {
		b.Helper()
		cmd := exec.CommandContext(b.Context(), program, args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "DATABASE_URL="+url)
		began := time.Now()
		out, err := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != want {
			b.Fatalf("pgtender %s: exit code %d: %v %s", strings.Join(args, " "), code, err, out)
		}
		return time.Since(began)
	}
	run(0, "apply", "--auto-approve")
	for _, p := range partitioned {
		for m := range 50 {
			pgtest.Exec(b, url, fmt.Sprintf("CREATE TABLE public.%[1]s_%[2]d PARTITION OF public.%[1]s FOR VALUES FROM ('2020-01-01'::date + %[2]d * 31) TO ('2020-01-01'::date + %[3]d * 31)", p, m, m+1))
		}
	}
	pgtest.Exec(b, url, "ANALYZE")
	for b.Loop() {
		pgtest.Exec(b, url, "DELETE FROM pgtender.declared")
		uncached := run(0, "drift")
		run(0, "apply", "--auto-approve")
		run(0, "drift")
		steady := median(func() time.Duration { return run(0, "drift") })
		pgtest.Exec(b, url, "UPDATE pgtender.declared SET stamp = NULL")
		read := run(0, "drift")
		inspect, normalise := atlasDrift(b, url, plain)
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(float64(uncached.Milliseconds()), "uncached-ms")
		b.ReportMetric(float64(read.Milliseconds()), "reading-ms")
		b.ReportMetric(float64(steady.Milliseconds()), "steady-ms")
		b.ReportMetric(float64(inspect.Milliseconds()), "atlas-inspect+diff-ms")
		b.ReportMetric(float64(normalise.Milliseconds()), "atlas-normalise-ms")
		b.ReportMetric(float64(inspect)/float64(steady), "×steady")
		b.ReportMetric(float64(inspect+normalise)/float64(uncached), "×uncached")
	}
}

func median(f func() time.Duration) time.Duration {
	var all [5]time.Duration
	for i := range all {
		all[i] = f()
		for j := i; j > 0 && all[j] < all[j-1]; j-- {
			all[j], all[j-1] = all[j-1], all[j]
		}
	}
	return all[len(all)/2]
}

// wideSchema writes the sources and atlas.hcl, and returns the SQL of all tables and the names of those that a policy partitions.
func wideSchema(dir string, b *testing.B) (text string, partitioned []string) {
	b.Helper()
	var tables, file strings.Builder
	file.WriteString("env \"local\" {\n  url = getenv(\"DATABASE_URL\")\n  schemas = [\"public\"]\n  schema {\n    src = [\"file://schema.sql\"]\n  }\n")
	for n := range 500 {
		name, key, by := fmt.Sprintf("t%03d", n), "id", ""
		if n < 20 {
			key, by = "id, at", " PARTITION BY RANGE (at)"
			partitioned = append(partitioned, name)
			fmt.Fprintf(&file, "  partition %q {\n    interval = \"month\"\n  }\n", name)
		}
		fmt.Fprintf(&tables, "CREATE TABLE public.%s (id bigint, at date NOT NULL DEFAULT CURRENT_DATE, name text NOT NULL, amount numeric(12,2) CHECK (amount >= 0), note text, PRIMARY KEY (%s))%s;\nCREATE INDEX %s_name ON public.%s (name);\n",
			name, key, by, name, name)
	}
	file.WriteString("}\n")
	for name, text := range map[string]string{"schema.sql": tables.String(), "atlas.hcl": file.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	return tables.String(), partitioned
}

// atlasDrift is what Atlas does for the same answer.
func atlasDrift(b *testing.B, url, declared string) (inspect, normalise time.Duration) {
	b.Helper()
	open := func(url string) (*sql.Conn, func()) {
		db, err := sql.Open("pgx", url)
		if err != nil {
			b.Fatal(err)
		}
		conn, err := db.Conn(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		return conn, func() { conn.Close(); db.Close() }
	}
	realm := func(conn *sql.Conn) (*atlas.Realm, func(a, b *atlas.Realm) error) {
		drv, err := postgres.Open(conn)
		if err != nil {
			b.Fatal(err)
		}
		r, err := drv.InspectRealm(context.WithoutCancel(b.Context()), &atlas.InspectRealmOption{Schemas: []string{"public"}})
		if err != nil {
			b.Fatal(err)
		}
		return r, func(x, y *atlas.Realm) error { _, err := drv.RealmDiff(x, y, atlas.DiffNormalized()); return err }
	}
	began := time.Now()
	dev := pgtest.Database(b)
	pgtest.Exec(b, dev, declared)
	devConn, closeDev := open(dev)
	defer closeDev()
	wanted, _ := realm(devConn)
	normalise = time.Since(began)

	conn, closeLive := open(url)
	defer closeLive()
	began = time.Now()
	live, diff := realm(conn)
	if err := diff(live, wanted); err != nil {
		b.Fatal(err)
	}
	return time.Since(began), normalise
}
