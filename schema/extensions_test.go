package schema_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/schema"
	"github.com/pgtender/pgtender/schema/desired"
	"github.com/pgtender/pgtender/schema/plan"
)

// withExtensions is a server that offers the extensions of testdata/extension beside its own.
func withExtensions(t *testing.T) (url string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgtender-extensions-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.CopyFS(filepath.Join(dir, "extension"), os.DirFS("testdata/extension")); err != nil {
		t.Fatal(err)
	}
	err = filepath.Walk(dir, func(path string, info os.FileInfo, err error) error { // the server may run as somebody else
		if err != nil {
			return err
		}
		return os.Chmod(path, info.Mode()|0o444|info.Mode()&0o100>>3|info.Mode()&0o100>>6)
	})
	if err != nil {
		t.Fatal(err)
	}
	return pgtest.DatabaseOn(t, pgtest.Private(t, "extension_control_path="+dir+":$system"))
}

// members is everything that belongs to an extension, with what could be changed of it, and the other team's schema.
const members = `
SELECT string_agg(d, E'\n' ORDER BY d) FROM (
  SELECT pg_describe_object(e.classid, e.objid, 0) || ' of ' || x.extname || x.extversion FROM pg_depend e JOIN pg_extension x ON e.refclassid = 'pg_extension'::regclass AND e.refobjid = x.oid WHERE e.deptype = 'e'
  UNION ALL SELECT pg_describe_object('pg_class'::regclass, c.oid, 0) || ' ' || c.oid || coalesce(c.relacl::text, '') || coalesce(c.reloptions::text, '') || c.relrowsecurity || coalesce(obj_description(c.oid), '')
      || (SELECT coalesce(string_agg(a.attname || format_type(a.atttypid, a.atttypmod), ','), '') FROM pg_attribute a WHERE a.attrelid = c.oid)
    FROM pg_class c WHERE c.relnamespace IN ('theirs'::regnamespace, 'topology'::regnamespace) OR EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
  UNION ALL SELECT evtname::text || evtenabled::text FROM pg_event_trigger
  UNION ALL SELECT proname::text || proacl::text FROM pg_proc WHERE proname = 'shape_area'
  UNION ALL SELECT 'rows: ' || count(*) FROM public.spatial_ref) x (d)`

// Extensions like pgvector and PostGIS bring types with modifiers, operator classes, tables with rows, views, triggers, an event trigger,
// a schema of their own; an administrator makes them. None of it is planned, compared or counted, whatever happens to the
// tables that use it.
func TestExtensionsWithMembersOfAllKinds(t *testing.T) {
	t.Parallel()
	url := withExtensions(t)
	setup := []string{"CREATE EXTENSION geo_topology CASCADE", "CREATE EXTENSION pg_trgm", "CREATE SCHEMA theirs"}
	for i := range 20 {
		setup = append(setup, fmt.Sprintf("CREATE TABLE theirs.t%d (id serial PRIMARY KEY, at public.vec(%d), form public.shape, v text)", i, i+1),
			fmt.Sprintf("CREATE INDEX ON theirs.t%d USING gin (v public.gin_trgm_ops)", i))
	}
	pgtest.Exec(t, url, setup...)
	const uses = `CREATE EXTENSION vecto; CREATE EXTENSION pg_trgm; CREATE EXTENSION geo;
		CREATE TABLE mine (id bigint PRIMARY KEY, at vec(3) NOT NULL, form shape, kind shape_kind DEFAULT 'area', dump shape_dump, v text,
		  srid integer REFERENCES spatial_ref, far float8 GENERATED ALWAYS AS (vec_distance(at, '\x00'::bytea::vec)) STORED, CHECK (at <-> at < 1));
		CREATE INDEX mine_at ON mine (at vec_l2_ops); CREATE INDEX mine_near ON mine (at); CREATE INDEX mine_v ON mine USING gin (v gin_trgm_ops);
		CREATE VIEW areas AS SELECT m.id, s.text, vec_max(m.at) OVER () AS far FROM mine m JOIN spatial_ref s USING (srid);
		CREATE TRIGGER guard BEFORE UPDATE ON mine FOR EACH ROW EXECUTE FUNCTION spatial_ref_guard();`
	conn := pgtest.Session(t, url)
	state := func() (s string) {
		t.Helper()
		if err := conn.QueryRow(t.Context(), members).Scan(&s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	before := state()
	steps := []struct {
		what, source string
		objects      []string // whose statements the plan may have
	}{
		{"made", uses, []string{"mine", "areas", "guard"}},
		{"an operator class and a modifier", strings.NewReplacer("at vec_l2_ops", "at vec_ops", "vec(3)", "vec(4)").Replace(uses), []string{"mine", "areas"}},
		{"back", uses, []string{"mine", "areas"}},
		{"extensions declared no more", "CREATE EXTENSION vecto; CREATE TABLE mine (id bigint PRIMARY KEY, at vec(3) NOT NULL)", []string{"mine", "areas", "guard"}},
		{"nothing declared but a table", "CREATE TABLE other (id int)", []string{"mine", "other"}},
	}
	for _, step := range steps {
		e := engineFor(t, url, step.source, func(o *desired.Options) { o.DevURL = "" })
		p := mustPlan(t, e)
		if p.Empty() {
			t.Errorf("%s: nothing is planned", step.what)
		}
		for _, s := range p.Statements {
			ours := false
			for _, name := range step.objects {
				ours = ours || s.Object.Schema == "public" && (s.Object.Name == name || s.Object.Table == name)
			}
			if !ours {
				t.Errorf("%s: planned: %s: %s", step.what, s.Object, s.SQL)
			}
		}
		for _, u := range p.Unmanaged {
			if !strings.Contains(u.Name, "mine") {
				t.Errorf("%s: counted as not managed: %s", step.what, u)
			}
		}
		if _, err := e.Apply(t.Context(), p, schema.ApplyOptions{AllowHazards: plan.HazardNames()}); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		if d, err := e.Drift(t.Context()); err != nil || len(d.Names()) > 0 {
			t.Errorf("%s: drift %v %v", step.what, d, err)
		}
		if after := state(); after != before {
			t.Errorf("%s: what is theirs has changed:\n%s\n\n%s", step.what, before, after)
		}
	}
}
