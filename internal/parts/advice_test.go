package parts_test

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pgtest"
)

// adviceCase is a table that has all that LIKE does not copy.
const adviceCase = `CREATE TABLE public.m (id int PRIMARY KEY); INSERT INTO public.m VALUES (1);
	CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
	CREATE TABLE public.t (id int GENERATED ALWAYS AS IDENTITY (INCREMENT 5) PRIMARY KEY, at timestamptz NOT NULL, m int CONSTRAINT to_m REFERENCES public.m ON DELETE CASCADE, n serial, x text,
		up int, up_at timestamptz, code int, CONSTRAINT odd_name UNIQUE NULLS NOT DISTINCT (code) INCLUDE (x) DEFERRABLE, CONSTRAINT t_whole UNIQUE (n, at), CONSTRAINT positive CHECK (m > 0));
	ALTER SEQUENCE public.t_id_seq RENAME TO own_seq; GRANT USAGE ON SEQUENCE public.own_seq TO pg_monitor; COMMENT ON SEQUENCE public.own_seq IS 'its counter';
	INSERT INTO public.t (at, m, code) SELECT '2020-01-01Z', 1, i FROM generate_series(1, 3) i;
	CREATE INDEX by_x ON public.t USING hash (x) WHERE x <> ' USING'; CREATE INDEX t_lower ON public.t (lower(x) DESC NULLS LAST, m) WITH (fillfactor = 70); CREATE UNIQUE INDEX only_an_index ON public.t (m, n) INCLUDE (x);
	CREATE STATISTICS public.t_stat (ndistinct) ON m, x FROM public.t; ALTER STATISTICS public.t_stat SET STATISTICS 77; COMMENT ON STATISTICS public.t_stat IS 'pairs';
	ALTER TABLE public.t ALTER COLUMN x SET STATISTICS 55; ALTER TABLE public.t ALTER COLUMN m SET (n_distinct = 5);
	COMMENT ON INDEX public.by_x IS 'an index'; COMMENT ON CONSTRAINT odd_name ON public.t IS 'a key'; COMMENT ON CONSTRAINT to_m ON public.t IS 'to m'; COMMENT ON COLUMN public.t.x IS 'a column';
	CREATE TRIGGER tr BEFORE INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION public.f(); ALTER TABLE public.t ENABLE ALWAYS TRIGGER tr;
	CREATE TABLE public.log (id int); CREATE RULE note AS ON DELETE TO public.t DO ALSO INSERT INTO public.log VALUES (old.id); ALTER TABLE public.t ENABLE ALWAYS RULE note;
	CREATE POLICY p ON public.t AS RESTRICTIVE FOR UPDATE TO PUBLIC USING (m > 0) WITH CHECK (m > 1);
	ALTER TABLE public.t ENABLE ROW LEVEL SECURITY; ALTER TABLE public.t FORCE ROW LEVEL SECURITY; ALTER TABLE public.t ALTER COLUMN n SET NOT NULL, REPLICA IDENTITY USING INDEX t_whole;
	COMMENT ON TABLE public.t IS 'it''s t'; GRANT SELECT, INSERT ON public.t TO pg_monitor WITH GRANT OPTION; GRANT UPDATE (x) ON public.t TO PUBLIC;
	CREATE VIEW public.v WITH (security_barrier = true) AS SELECT id, at FROM public.t WHERE m = 1; CREATE RULE into_t AS ON INSERT TO public.v DO INSTEAD INSERT INTO public.t (at, m) VALUES (new.at, 1);
	CREATE MATERIALIZED VIEW public.mv WITH (fillfactor = 80) AS SELECT count(*) AS n, m FROM public.t GROUP BY m; CREATE UNIQUE INDEX mv_m ON public.mv (m); GRANT SELECT ON public.mv TO pg_monitor; COMMENT ON MATERIALIZED VIEW public.mv IS 'counted';
	CREATE FUNCTION public.counted() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM public.t; END;
	CREATE TABLE public.guarded (id int); CREATE POLICY guards ON public.guarded USING (EXISTS (SELECT FROM public.t WHERE t.n = guarded.id));
	CREATE TABLE public.pointing (n int, at timestamptz, CONSTRAINT to_t FOREIGN KEY (n, at) REFERENCES public.t (n, at) ON DELETE CASCADE); INSERT INTO public.pointing VALUES (1, '2020-01-01Z');
	ALTER TABLE public.t ADD CONSTRAINT to_itself FOREIGN KEY (up, up_at) REFERENCES public.t (n, at);
	CREATE PUBLICATION pub FOR TABLE public.t (n, at), public.m`

// script is what of an advice is to be typed.
func script(t *testing.T, advice string) (list []string) {
	t.Helper()
	var statement []string
	for _, line := range strings.Split(advice, "\n") {
		if len(statement) == 0 && !strings.HasPrefix(line, "  ") {
			continue
		}
		statement = append(statement, line)
		all := strings.Join(statement, "\n")
		if strings.HasSuffix(line, ";") && (!strings.Contains(all, "BEGIN ATOMIC") || strings.HasSuffix(line, "END;") || line == ";") {
			list, statement = append(list, all), nil
		}
	}
	if len(statement) > 0 || len(list) < 5 {
		t.Fatalf("what is to be typed does not end: %q in\n%s", statement, advice)
	}
	return list
}

// The advice is followed to the letter. Whatever the catalog says of the table, under whichever name, is then as before.
func TestTheAdviceIsFollowed(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	pool := pgtest.Pool(t, url)
	pgtest.Exec(t, url, adviceCase)
	list := func(sql string) string {
		var s string
		if err := pool.QueryRow(t.Context(), "SELECT coalesce(string_agg(x::text, E'\\n' ORDER BY x::text), '') FROM ("+sql+") s(x)").Scan(&s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	const catalog = `SELECT concat_ws(' ', relowner::regrole, relacl, relrowsecurity, relforcerowsecurity, relreplident, obj_description(oid, 'pg_class')) FROM pg_class WHERE oid = 'public.t'::regclass
		UNION ALL SELECT concat_ws(' ', attname, attacl, attstattarget, attoptions, col_description(attrelid, attnum)) FROM pg_attribute WHERE attrelid = 'public.t'::regclass AND attnum > 0
		UNION ALL SELECT concat(pg_get_triggerdef(oid), tgenabled) FROM pg_trigger WHERE tgrelid = 'public.t'::regclass AND NOT tgisinternal
		UNION ALL SELECT concat(pg_get_ruledef(oid), ev_enabled) FROM pg_rewrite WHERE ev_class IN ('public.t'::regclass, 'public.v'::regclass)
		UNION ALL SELECT concat_ws(' ', polname, polpermissive, polcmd, polroles, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)) FROM pg_policy WHERE polrelid IN ('public.t'::regclass, 'public.guarded'::regclass)
		UNION ALL SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint')) FROM pg_constraint WHERE 'public.t'::regclass IN (conrelid, confrelid) AND conparentid = 0
		UNION ALL SELECT concat_ws(' ', replace(pg_get_indexdef(indexrelid), ' ONLY ', ' '), indisreplident, obj_description(indexrelid, 'pg_class')) FROM pg_index WHERE indrelid IN ('public.t'::regclass, 'public.mv'::regclass)
		UNION ALL SELECT concat_ws(' ', pg_get_statisticsobjdef(oid), stxstattarget, obj_description(oid, 'pg_statistic_ext')) FROM pg_statistic_ext WHERE stxrelid = 'public.t'::regclass
		UNION ALL SELECT concat(pg_get_viewdef(oid), reloptions, relacl, obj_description(oid, 'pg_class')) FROM pg_class WHERE relkind IN ('v', 'm') AND relnamespace = 'public'::regnamespace
		UNION ALL SELECT pg_get_functiondef('public.counted'::regproc)
		UNION ALL SELECT concat('published ', tablename, attnames) FROM pg_publication_tables
		UNION ALL SELECT concat_ws(' ', 'increment', seqincrement, seqrelid::regclass, relacl, obj_description(seqrelid, 'pg_class')) FROM pg_sequence JOIN pg_class ON oid = seqrelid
		WHERE seqrelid IN (pg_get_serial_sequence('public.t', 'n')::regclass, pg_get_serial_sequence('public.t', 'id')::regclass)
		UNION ALL SELECT concat_ws(' ', 'rows', (SELECT count(*) FROM public.v), public.counted(), (SELECT n FROM public.mv))`
	// These are what the advice says is different.
	keys := strings.NewReplacer("PRIMARY KEY (id)", "PRIMARY KEY (id, at)", "btree (id)", "btree (id, at)", "(code)", "(code, at)", "btree (m, n)", "btree (m, n, at)")
	before := keys.Replace(list(catalog))
	advice, err := parts.Advise(t.Context(), pool, config.Table{Schema: "public", Name: "t"}, config.Month, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []string{`"odd_name" is then ("code", "at"), no longer ("code")`, `Publication "pub" gets publish_via_partition_root = true, so that rows go on being sent under the table's name; for its other tables (public.m)`,
		`It has more than one column of time, "at", "up_at"; these statements take the first`} {
		if !strings.Contains(advice, w) {
			t.Errorf("%q is not in\n%s", w, advice)
		}
	}
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	for _, s := range script(t, advice) {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v\n%s", s, err, advice)
		}
	}
	if diff := cmp.Diff(before, list(catalog)); diff != "" {
		t.Errorf("(-before +after)\n%s\n%s", diff, advice)
	}
	pgtest.Exec(t, url, "INSERT INTO public.t (at, m) VALUES ('2020-01-02Z', 1)", "INSERT INTO public.v (at) VALUES ('2020-01-03Z')", "REFRESH MATERIALIZED VIEW CONCURRENTLY public.mv")
	if got := list("SELECT concat_ws(' ', max(id), max(n), public.counted(), (SELECT n FROM public.mv)) FROM public.t"); got != "21 5 5 5" {
		t.Errorf("the counters go on with %s", got)
	}
	if got := list("SELECT conname FROM pg_constraint WHERE NOT convalidated"); got != "" {
		t.Errorf("not validated: %s", got)
	}
}

// What has no place in a partitioned table, or would be broken without a word, is named, with what to do.
func TestNoAdviceThatWouldBreakSomething(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	pool := pgtest.Pool(t, url)
	for want, setup := range map[string]string{
		`Foreign key "to_t" of public.o points to ("id"), of which alone nothing is unique in a table that is divided by "at".`: "CREATE TABLE public.o (t int CONSTRAINT to_t REFERENCES public.t)",
		"Exclusion constraint no_two holds within one partition only":                                                           "ALTER TABLE public.t ADD CONSTRAINT no_two EXCLUDE (x WITH =)",
		`Unique index "public"."odd" (btree (lower(x))) does not hold "at"`:                                                     "CREATE UNIQUE INDEX odd ON public.t (lower(x))",
		"Constraint late is NOT VALID: ALTER TABLE public.t VALIDATE CONSTRAINT late; first.":                                   "ALTER TABLE public.t ADD CONSTRAINT late CHECK (id > 0) NOT VALID",
		"Constraint alone is NO INHERIT":                                                    "ALTER TABLE public.t ADD CONSTRAINT alone CHECK (id > 0) NO INHERIT",
		"It has to do with public.kid by INHERITS":                                          "CREATE TABLE public.kid () INHERITS (public.t)",
		"function public.whole(public.t) uses its row type":                                 "CREATE FUNCTION public.whole(public.t) RETURNS int LANGUAGE sql AS 'SELECT 1'",
		"column it of table public.holder uses its row type":                                "CREATE TABLE public.holder (it public.t)",
		"Trigger tr is a row trigger with transition tables":                                "CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER tr AFTER INSERT ON public.t REFERENCING NEW TABLE AS n FOR EACH ROW EXECUTE FUNCTION public.f()",
		"it is UNLOGGED, which new partitions will not be":                                  "ALTER TABLE public.t SET UNLOGGED",
		`Publication "all_of_it" sends the rows of partitions under the partitions' own`:    "CREATE PUBLICATION all_of_it FOR ALL TABLES",
		`publish_via_partition_root = true would change that for public.divided too`:        "CREATE TABLE public.divided (id int) PARTITION BY LIST (id); CREATE PUBLICATION two FOR TABLE public.t, public.divided",
		"Materialised view \"public\".\"low\" reads the old table, and public.high read it": "CREATE MATERIALIZED VIEW public.low AS SELECT id FROM public.t; CREATE VIEW public.high AS SELECT * FROM public.low",
	} {
		noAdvice(t, pool, setup, want)
	}
}

func noAdvice(t *testing.T, pool *pgxpool.Pool, setup, want string) {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(t.Context(), "CREATE TABLE public.t (id int PRIMARY KEY, at date NOT NULL, x text); "+setup); err != nil {
		t.Fatalf("%s: %v", setup, err)
	}
	advice, err := parts.Advise(t.Context(), tx, config.Table{Schema: "public", Name: "t"}, config.Month, time.UTC)
	if err != nil || !strings.Contains(advice, want) {
		t.Errorf("%v: %q is not in\n%s", err, want, advice)
	}
	if strings.Contains(advice, "  ALTER PUBLICATION \"two\" SET") {
		t.Errorf("publish_via_partition_root is set in\n%s", advice)
	}
}

// A table whose key is a UUIDv7 is divided by that: the key stays what it is.
func TestTheAdviceForUUIDv7(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	pool := pgtest.Pool(t, url)
	pgtest.Exec(t, url, "CREATE TABLE public.t (id uuid DEFAULT uuidv7() PRIMARY KEY, x int)", "INSERT INTO public.t (x) SELECT generate_series(1, 100)")
	table := config.Table{Schema: "public", Name: "t"}
	advice, err := parts.Advise(t.Context(), pool, table, config.Month, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	pgtest.Exec(t, url, script(t, advice)...)
	sets, err := parts.Read(t.Context(), pool, []config.Table{table})
	if err != nil || len(sets) != 1 || sets[0].Problem != nil || sets[0].Key != (parts.Key{Column: "id", Type: parts.UUIDv7}) || len(sets[0].Children) != 1 || sets[0].Runway(time.UTC) <= 0 {
		t.Fatalf("%+v, %v\n%s", sets, err, advice)
	}
	if strings.Contains(advice, "no longer") {
		t.Errorf("the key was changed:\n%s", advice)
	}
}

// adviceShapes are what a table may have, one of each line.
var adviceShapes = [][]string{
	{"id int", "id bigint GENERATED ALWAYS AS IDENTITY", "id serial", "id uuid DEFAULT uuidv7()"},
	{"", ", PRIMARY KEY (id)", ", PRIMARY KEY (id, at)", ", UNIQUE NULLS NOT DISTINCT (id) DEFERRABLE INITIALLY DEFERRED", ", UNIQUE (a) WITH (fillfactor = 70)", ", CONSTRAINT \"Of (id)\" UNIQUE (at, id) INCLUDE (s)"},
	{"", ", g int GENERATED ALWAYS AS (a * 2) STORED", ", g int GENERATED ALWAYS AS (a * 2) VIRTUAL", ", g int DEFAULT 7 NOT NULL"},
	{"", ", CHECK (a > 0)", ", CONSTRAINT soft CHECK (a > 0) NOT ENFORCED", ", CONSTRAINT named NOT NULL s"},
	{"", ", m int REFERENCES public.m ON DELETE SET NULL", ", m int, CONSTRAINT lax FOREIGN KEY (m) REFERENCES public.m NOT ENFORCED"},
	{"", "; CREATE INDEX ON public.t USING brin (at)", "; CREATE INDEX part ON public.t (s DESC) INCLUDE (a) WHERE a > 3", "; CREATE INDEX ON public.t ((a + 1), s COLLATE \"C\" text_pattern_ops)"},
	{"", "; CREATE UNIQUE INDEX alone ON public.t (a)", "; CREATE UNIQUE INDEX alone ON public.t (a, at) WHERE a > 5", "; ALTER TABLE public.t ADD CONSTRAINT late FOREIGN KEY (a) REFERENCES public.m NOT VALID"},
	{"", "; CREATE STATISTICS ON a, s FROM public.t", "; CREATE STATISTICS st (mcv) ON (a % 7), s FROM public.t"},
	{"", "; CREATE CONSTRAINT TRIGGER later AFTER UPDATE OF a ON public.t DEFERRABLE FOR EACH ROW EXECUTE FUNCTION public.f('x')",
		"; CREATE TRIGGER st AFTER INSERT ON public.t REFERENCING NEW TABLE AS n EXECUTE FUNCTION public.f()", "; CREATE TRIGGER row BEFORE INSERT ON public.t FOR EACH ROW WHEN (new.a > 2) EXECUTE FUNCTION public.f()"},
	{"", "; ALTER TABLE public.t SET (fillfactor = 60, autovacuum_enabled = off)", "; ALTER TABLE public.t ALTER s SET COMPRESSION pglz, ALTER s SET STORAGE EXTERNAL", "; ALTER TABLE public.t REPLICA IDENTITY FULL"},
}

// Tables of many shapes: what the advice says can be typed, and the table has all by the same names.
func TestTheAdviceForAnyShape(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	conn := pgtest.Session(t, url)
	random := rand.New(rand.NewPCG(18, 4))
	run := func(sql string) error { _, err := conn.Exec(t.Context(), sql); return err }
	if err := run("CREATE TABLE public.m (id int PRIMARY KEY); CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'; INSERT INTO public.m SELECT generate_series(1, 9)"); err != nil {
		t.Fatal(err)
	}
	names := func() (list string) {
		const sql = `SELECT string_agg(x, E'\n' ORDER BY x) FROM (SELECT concat(conname, contype) FROM pg_constraint WHERE conrelid = 'public.t'::regclass AND conparentid = 0
			UNION ALL SELECT concat(relname, indisunique) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE indrelid = 'public.t'::regclass
			UNION ALL SELECT concat(tgname, tgenabled) FROM pg_trigger WHERE tgrelid = 'public.t'::regclass AND NOT tgisinternal UNION ALL SELECT stxname::text FROM pg_statistic_ext WHERE stxrelid = 'public.t'::regclass
			UNION ALL SELECT concat(attname, attnotnull, attidentity, attgenerated, attstorage, attcompression) FROM pg_attribute WHERE attrelid = 'public.t'::regclass AND attnum > 0
			UNION ALL SELECT pg_get_serial_sequence('public.t', 'id') UNION ALL SELECT relreplident::text FROM pg_class WHERE oid = 'public.t'::regclass) n(x)`
		if err := conn.QueryRow(t.Context(), sql).Scan(&list); err != nil {
			t.Fatal(err)
		}
		return list
	}
	followed := 0
	for i := range pgtest.Scaled(25, 600) {
		var inside, after string
		for n, choices := range adviceShapes {
			c := choices[random.IntN(len(choices))]
			if i < 6 {
				c = choices[i%len(choices)] // each choice at least once
			}
			if n < 5 {
				inside += c
				if n == 0 {
					inside += ", at timestamptz NOT NULL, a int, s text"
				}
			} else {
				after += c
			}
		}
		ddl := "CREATE TABLE public.t (" + inside + ")" + after + "; INSERT INTO public.t (at, a, s) SELECT now() - i * interval '1 day', i, 's' FROM generate_series(1, 9) i"
		if run("DROP TABLE IF EXISTS public.t CASCADE") != nil || run(ddl) != nil {
			continue // these choices do not go together
		}
		before := names()
		advice, err := parts.Advise(t.Context(), conn, config.Table{Schema: "public", Name: "t"}, config.Month, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(advice, "\n- ") {
			continue // what speaks against it is another test's
		}
		followed++
		for _, s := range script(t, advice) {
			if err := run(s); err != nil {
				t.Fatalf("%s\n%s: %v\n%s", ddl, s, err, advice)
			}
		}
		if diff := cmp.Diff(before, names()); diff != "" {
			t.Fatalf("%s (-before +after)\n%s\n%s", ddl, diff, advice)
		}
		if err := run("SELECT 1 / (count(*) = 9)::int FROM public.t"); err != nil {
			t.Fatal(err)
		}
	}
	if followed < pgtest.Scaled(8, 200) {
		t.Errorf("only %d were followed", followed)
	}
}
