package plan_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/schema/apply"
	"github.com/pgtender/pgtender/schema/catalog"
	"github.com/pgtender/pgtender/schema/desired"
	"github.com/pgtender/pgtender/schema/plan"
)

// TestArchiveGetsTheDefault adds columns with defaults to a live table of whose months one is in the archive already, and
// one moves there afterwards. The archive has no defaults of its own, and the server gives no two tables of a schema
// constraints of one name unless it is told to.
func TestArchiveGetsTheDefault(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	conn := pgtest.Session(t, url)
	const head = "CREATE FUNCTION site() RETURNS int VOLATILE LANGUAGE sql AS 'SELECT 7';\n" +
		"CREATE TABLE ev (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL"
	const tail = ", PRIMARY KEY (id, at)) PARTITION BY RANGE (at);\n"
	release(t, url, head+tail)
	exec(t, conn, `
		CREATE TABLE public.ev_2025_01 PARTITION OF public.ev FOR VALUES FROM ('2025-01-01Z') TO ('2025-02-01Z');
		CREATE TABLE public.ev_2025_02 PARTITION OF public.ev FOR VALUES FROM ('2025-02-01Z') TO ('2025-03-01Z');
		INSERT INTO public.ev (at) VALUES ('2025-01-05Z'), ('2025-02-05Z');
		ALTER TABLE public.ev DETACH PARTITION public.ev_2025_01;
		ALTER TABLE public.ev_2025_01 ALTER id DROP IDENTITY IF EXISTS;
		ALTER TABLE public.ev_archive ATTACH PARTITION public.ev_2025_01 FOR VALUES FROM ('2025-01-01Z') TO ('2025-02-01Z')`)

	p := release(t, url, head+", region text NOT NULL DEFAULT 'eu', note text DEFAULT 'none', site int NOT NULL DEFAULT site()"+tail)
	for _, s := range p.Statements {
		archive, rewrites := s.Object.Table == "ev_archive", strings.Contains(s.SQL, "DEFAULT public.site()")
		hazard := len(s.Hazards) == 1 && s.Hazards[0].Name == plan.Rewrite
		if archive && rewrites != hazard || archive && !rewrites && len(s.Hazards) > 0 {
			t.Errorf("the hazards of %s are %v", s.SQL, s.Hazards)
		}
	}
	exec(t, conn, `
		ALTER TABLE public.ev DETACH PARTITION public.ev_2025_02;
		ALTER TABLE public.ev_2025_02 ALTER id DROP IDENTITY IF EXISTS;
		ALTER TABLE public.ev_archive ATTACH PARTITION public.ev_2025_02 FOR VALUES FROM ('2025-02-01Z') TO ('2025-03-01Z')`)
	var rows int
	err := conn.QueryRow(t.Context(), "SELECT count(*) FROM public.ev_archive WHERE region = 'eu' AND note = 'none' AND site = 7").Scan(&rows)
	if err != nil || rows != 2 {
		t.Errorf("the archive has %d rows with the default, %v", rows, err)
	}
	release(t, url, head+tail) // and back
}

// release loads the sources with an archive policy on table ev, applies them, and returns the plan.
func release(t *testing.T, url, sources string) *plan.Plan {
	t.Helper()
	file := filepath.Join(t.TempDir(), "new.sql")
	if err := os.WriteFile(file, []byte(sources), 0o600); err != nil {
		t.Fatal(err)
	}
	live := config.Table{Schema: "public", Name: "ev"}
	declared, err := desired.Load(t.Context(), desired.Options{TargetURL: url, Sources: []desired.Source{{Path: file, Raw: file}},
		Partitions: []config.Partition{{Table: live}},
		Archives:   []config.Archive{{Table: live, Into: config.Table{Schema: "public", Name: "ev_archive"}, Partitioned: true}}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Make(read(t, pgtest.Session(t, url), declared.Scope), declared.Snapshot, plan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = apply.Run(t.Context(), apply.Options{URL: url, Plan: p, Declared: declared.Snapshot, Scope: declared.Scope, AllowHazards: plan.HazardNames()})
	if err != nil {
		t.Fatalf("%v\n%s", err, text(t, p))
	}
	if d := catalog.Diff(read(t, pgtest.Session(t, url), declared.Scope), declared.Snapshot); len(d) > 0 {
		t.Fatalf("still differs: %v\n%s", d, text(t, p))
	}
	return p
}

func exec(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}
