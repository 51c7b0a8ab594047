package apply_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/schema/apply"
	"github.com/pgtender/pgtender/schema/catalog"
)

const mixedOld = `
	CREATE TYPE mood AS ENUM ('bad', 'good');
	CREATE TABLE p (id int PRIMARY KEY, name varchar(20), gone int, m mood DEFAULT 'bad', v int GENERATED ALWAYS AS (id + 1) STORED);
	CREATE TABLE c (id int GENERATED ALWAYS AS IDENTITY, p_id int, n int CONSTRAINT changed CHECK (n > 0), CONSTRAINT key UNIQUE (n));
	CREATE INDEX c_n ON c (n); CREATE INDEX extra ON c (p_id, n);
	CREATE VIEW v AS SELECT id, name FROM p; CREATE VIEW w AS SELECT id FROM v;
	CREATE MATERIALIZED VIEW mv AS SELECT count(*) AS n FROM c; CREATE UNIQUE INDEX mv_n ON mv (n);
	CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
	CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
	CREATE TRIGGER tr BEFORE INSERT ON c FOR EACH ROW EXECUTE FUNCTION tf();
	ALTER TABLE c DISABLE TRIGGER tr;
	CREATE TABLE r (a int, at date NOT NULL) PARTITION BY RANGE (at);
	CREATE TABLE r_1 PARTITION OF r FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
	CREATE TABLE r_2 PARTITION OF r FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');
	CREATE INDEX r_a ON r (a);
	CREATE TABLE dropped (id serial PRIMARY KEY);
	INSERT INTO p (id, name) SELECT g, 'n' || g FROM generate_series(1, 20) g; INSERT INTO c (p_id, n) SELECT g, g FROM generate_series(1, 20) g;`

const mixedNew = `
	CREATE TYPE mood AS ENUM ('bad', 'fair', 'good');
	CREATE TABLE p (id bigint PRIMARY KEY, name text NOT NULL, m mood DEFAULT 'fair', v int GENERATED ALWAYS AS (id + 1) VIRTUAL, fresh int DEFAULT 5);
	CREATE TABLE c (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, p_id bigint REFERENCES p, n int CONSTRAINT changed CHECK (n > -1), CONSTRAINT key UNIQUE (n, id));
	CREATE INDEX c_n ON c (n DESC);
	CREATE VIEW v AS SELECT id, name FROM p; CREATE VIEW w AS SELECT id FROM v;
	CREATE MATERIALIZED VIEW mv AS SELECT count(*) AS n, max(id) AS last FROM c; CREATE UNIQUE INDEX mv_n ON mv (n);
	CREATE MATERIALIZED VIEW mv2 AS SELECT count(*) AS n FROM p;
	CREATE FUNCTION f(a int) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT 1::bigint';
	CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.n := NEW.n; RETURN NEW; END';
	CREATE TRIGGER tr BEFORE INSERT ON c FOR EACH ROW EXECUTE FUNCTION tf();
	CREATE TABLE r (a int, at date NOT NULL) PARTITION BY RANGE (at);
	CREATE INDEX r_a ON r (a DESC);
	COMMENT ON TABLE p IS 'P.';`

// Killed at each statement of a plan of more than 30 mixed ones, whether by the server or by a signal, the next apply ends
// in the declared state, with the rows as they were.
func TestKilledAtEachStatement(t *testing.T) {
	t.Parallel()
	scope := catalog.Scope{Schemas: []string{"public"}, Policies: []catalog.Key{catalog.TableKey("public", "r")}}
	declared := declare(t, mixedNew, scope)
	template := pgtest.Template(t, "apply_mixed", func(url string) error {
		conn, err := pgx.Connect(context.Background(), url)
		if err != nil {
			return err
		}
		defer conn.Close(context.Background())
		_, err = conn.Exec(context.Background(), mixedOld)
		return err
	})
	fresh := func(t *testing.T) *target {
		d := &target{url: pgtest.DatabaseFrom(t, template), scope: scope, declared: declared}
		d.conn = pgtest.Session(t, d.url)
		return d
	}
	p := fresh(t).plan(t)
	statements := len(p.Statements)
	if statements < 30 {
		t.Fatalf("only %d statements", statements)
	}
	sql := ""
	for _, s := range p.Statements {
		sql += s.SQL + ";\n"
	}
	for _, kind := range []string{"ADD VALUE", "VALIDATE CONSTRAINT", "NOT VALID", "CREATE INDEX CONCURRENTLY", "CREATE UNIQUE INDEX CONCURRENTLY", "DROP INDEX CONCURRENTLY", "PRIMARY KEY USING INDEX",
		"ON ONLY", "ATTACH PARTITION", "ADD COLUMN", "DROP COLUMN", "TYPE bigint", "NOT NULL name NOT VALID", "CREATE VIEW", "CREATE MATERIALIZED VIEW", "FUNCTION", "TRIGGER", "DROP TABLE", "COMMENT ON"} {
		if !strings.Contains(sql, kind) {
			t.Errorf("no statement with %s:\n%s", kind, sql)
		}
	}
	for i := range statements {
		for _, how := range []string{"terminated", "cancelled"} {
			if how == "cancelled" && i%3 != 0 {
				continue
			}
			t.Run(fmt.Sprintf("%s at %d", how, i+1), func(t *testing.T) {
				t.Parallel()
				d := fresh(t)
				killAt(t, d, i, how)
				p := d.plan(t)
				if _, err := apply.Run(t.Context(), d.options(p)); err != nil {
					t.Fatal(err)
				}
				d.mustEqual(t)
				if n := value[int](t, d.conn, "SELECT count(*) + (SELECT count(*) FROM public.c WHERE n > 0) FROM public.p WHERE name = 'n' || id"); n != 40 {
					t.Errorf("%d rows of 40", n)
				}
			})
		}
	}
}

func killAt(t *testing.T, d *target, at int, how string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := d.options(d.plan(t))
	o.Progress = func(e apply.Event) {
		if e.Kind != apply.Begun || e.Index != at {
			return
		}
		if how == "cancelled" {
			cancel()
			return
		}
		exec(t, d.conn, `SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid()
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
	}
	_, err := apply.Run(ctx, o)
	var partial *apply.PartialError
	if !errors.As(err, &partial) || partial.At != at {
		t.Fatalf("no PartialError at %d but %v", at+1, err)
	}
	for i, s := range partial.Statements {
		if partial.Done[i] != (i < at && (s.OutsideTx || s.Tx != partial.Statements[at].Tx)) {
			t.Errorf("statement %d said to be done: %v", i+1, partial.Done[i])
		}
	}
	if state := value[string](t, d.conn, "SELECT state FROM pgtender.applied_plan"); state != "failed" {
		t.Errorf("journal: %s", state)
	}
}
