package plan_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/pgtender/pgtender/internal/pgtest"
)

// TestGeneratedSchemas goes from one made-up schema to another over the same names. A seed makes the same two schemas each time, so what fails can be
// tried again by its name.
func TestGeneratedSchemas(t *testing.T) {
	t.Parallel()
	for seed := range pgtest.Scaled(4, 300) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			from, to := rapid.Custom(drawSchema).Example(2*seed), rapid.Custom(drawSchema).Example(2*seed+1)
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("from\n%s\nto\n%s", from, to)
				}
			})
			a, b := pgtest.Database(t), pgtest.Database(t)
			pgtest.Exec(t, a, from)
			pgtest.Exec(t, b, to)
			between(t, a, b)
		})
	}
}

// drawing collects the statements of one schema.
type drawing struct {
	*rapid.T
	out   strings.Builder
	types []string
}

func (d *drawing) say(format string, args ...any) { fmt.Fprintf(&d.out, format+";\n", args...) }

// maybe is true n times in ten.
func (d *drawing) maybe(n int) bool { return rapid.IntRange(0, 9).Draw(d.T, "maybe") < n }

func (d *drawing) one(of ...string) string { return rapid.SampledFrom(of).Draw(d.T, "one") }

// some are members in any order, at least one.
func (d *drawing) some(of ...string) []string {
	all := rapid.Permutation(of).Draw(d.T, "some")
	return all[:rapid.IntRange(1, len(all)).Draw(d.T, "how many")]
}

func drawSchema(t *rapid.T) string {
	d := &drawing{T: t, types: []string{"int", "bigint", "text", "varchar(12)", "numeric(9,3)", "boolean", "timestamptz", "date", "jsonb", "int[]", "uuid"}}
	d.drawTypes()
	d.say("CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN %s; END'", d.one("NEW", "NULL"))
	if d.maybe(6) {
		d.say("CREATE FUNCTION f(a int%s) RETURNS %s LANGUAGE sql %s AS 'SELECT 1'", d.one("", ", b int DEFAULT 2", ", b text"), d.one("int", "bigint"), d.one("IMMUTABLE", "STABLE", "VOLATILE"))
	}
	var tables []string
	for _, name := range []string{"t1", "t2", "t3"} {
		if d.maybe(8) {
			d.drawTable(name, tables)
			tables = append(tables, name)
		}
	}
	for _, name := range []string{"v1", "v2"} {
		if len(tables) > 0 && d.maybe(7) {
			d.say("CREATE %sVIEW %s AS SELECT %s FROM %s%s", d.one("", "", "MATERIALIZED "), name, d.one("id", "id, id + 1 AS next", "id AS n"), d.one(tables...), d.one("", " WHERE id > 3"))
		}
	}
	return d.out.String()
}

func (d *drawing) drawTypes() {
	if d.maybe(7) {
		d.say("CREATE TYPE e AS ENUM ('%s')", strings.Join(d.some("a", "b", "c", "it''s"), "', '"))
		d.types = append(d.types, "e", "e[]")
	}
	if d.maybe(5) {
		d.say("CREATE DOMAIN d AS int%s%s", d.one("", " DEFAULT 4"), d.one("", " CHECK (VALUE > 0)", " CONSTRAINT d_check CHECK (VALUE > 1)"))
		d.types = append(d.types, "d")
	}
	if d.maybe(5) {
		d.say("CREATE TYPE c AS (%s)", strings.Join(d.some("x int", "y text", "z date"), ", "))
		d.types = append(d.types, "c")
	}
	if d.maybe(4) {
		d.say("CREATE TYPE r AS RANGE (SUBTYPE = %s)", d.one("text", "float8"))
	}
	if d.maybe(4) {
		d.say("CREATE SEQUENCE s %s %s", d.one("", "START 5"), d.one("", "CYCLE", "CACHE 4"))
	}
}

func (d *drawing) drawTable(name string, others []string) {
	columns := []string{"id " + d.one("int PRIMARY KEY", "bigint PRIMARY KEY", "serial PRIMARY KEY", "int GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "int CONSTRAINT other_key PRIMARY KEY")}
	if name != "t1" {
		columns[0] = strings.Replace(columns[0], "other_key", name+"_key", 1)
	}
	for _, c := range []string{"k", "l", "m"} {
		if d.maybe(7) {
			columns = append(columns, c+" "+d.one(d.types...)+d.one("", "", " NOT NULL"))
		}
	}
	if d.maybe(4) {
		columns = append(columns, "g int GENERATED ALWAYS AS (id::int + 1) "+d.one("STORED", "VIRTUAL"))
	}
	if d.maybe(4) {
		columns = append(columns, "CONSTRAINT "+name+"_c CHECK (id > "+d.one("0", "1")+")")
	}
	if len(others) > 0 && d.maybe(4) {
		columns = append(columns, "o int REFERENCES "+d.one(others...)+d.one("", " ON DELETE CASCADE", " DEFERRABLE"))
	}
	d.say("CREATE TABLE %s (%s)%s", name, strings.Join(columns, ", "), d.one("", " WITH (fillfactor = 80)"))
	if d.maybe(5) {
		d.say("CREATE INDEX %s_i ON %s (id%s)%s", name, name, d.one("", " DESC"), d.one("", " WHERE id > 7"))
	}
	if d.maybe(4) {
		d.say("CREATE TRIGGER tr %s INSERT ON %s FOR EACH ROW EXECUTE FUNCTION tf()", d.one("BEFORE", "AFTER"), name)
	}
	if d.maybe(4) {
		d.say("COMMENT ON TABLE %s IS '%s'", name, d.one("One.", "Two."))
	}
	if d.maybe(3) {
		d.say("ALTER TABLE %s ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON %s USING (id > %s)", name, name, d.one("1", "2"))
	}
}
