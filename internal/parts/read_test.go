package parts_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func exec(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func public(names ...string) []config.Table {
	var tables []config.Table
	for _, n := range names {
		tables = append(tables, config.Table{Schema: "public", Name: n})
	}
	return tables
}

func read(t *testing.T, q pg.Querier, names ...string) []parts.Set {
	t.Helper()
	sets, err := parts.Read(t.Context(), q, public(names...))
	if err != nil {
		t.Fatal(err)
	}
	return sets
}

// show writes a set so that it can be compared.
func show(s parts.Set) string {
	if s.Problem != nil {
		return fmt.Sprintf("%s: %s", s.Asked.Name, s.Problem.Reason)
	}
	list := []string{fmt.Sprintf("%s(%s %s)", s.Table.Name, s.Key.Column, s.Key.Type)}
	for _, c := range s.Children {
		text := fmt.Sprintf("%s [%s, %s)", c.Table.Name, s.Key.Literal(c.Lower), s.Key.Literal(c.Upper))
		if c.Kind != 'r' {
			text += " " + string(c.Kind)
		}
		list = append(list, text)
	}
	if s.Default != nil {
		list = append(list, s.Default.Table.Name+" default")
	}
	return strings.Join(list, "; ")
}

const everyKind = `
CREATE TABLE public.tz (at timestamptz) PARTITION BY RANGE (at);
CREATE TABLE public.tz_b PARTITION OF public.tz FOR VALUES FROM ('2025-03-01 00:00+05:30') TO ('12000-01-01 00:00+00');
CREATE TABLE public.tz_a PARTITION OF public.tz FOR VALUES FROM (MINVALUE) TO ('0044-03-15 12:00:00.000001+00 BC');
CREATE TABLE public.tz_c PARTITION OF public.tz FOR VALUES FROM ('infinity') TO (MAXVALUE);
CREATE TABLE public.tz_d PARTITION OF public.tz DEFAULT;
CREATE TABLE public.naive (at timestamp) PARTITION BY RANGE (at);
CREATE TABLE public.naive_a PARTITION OF public.naive FOR VALUES FROM ('2025-03-09 02:30') TO ('2025-04-01');
CREATE TABLE public.day (at date) PARTITION BY RANGE (at);
CREATE TABLE public.day_a PARTITION OF public.day FOR VALUES FROM ('2025-03-01') TO (MAXVALUE);
CREATE TABLE public.v7 (id uuid) PARTITION BY RANGE (id);
CREATE TABLE public.v7_a PARTITION OF public.v7 FOR VALUES FROM ('01924b5c-8000-0000-0000-000000000000') TO ('01934b5c-8000-7000-8000-0000000000ff');
CREATE DOMAIN public.moment AS timestamptz;
CREATE TABLE public.dom (at public.moment) PARTITION BY RANGE (at);
CREATE TABLE public.dom_a PARTITION OF public.dom FOR VALUES FROM ('2025-03-01 00:00+00') TO ('2025-04-01 00:00+00');
CREATE TABLE public.tree (tenant text, shard int, at timestamptz) PARTITION BY LIST (tenant);
CREATE TABLE public.tree_b PARTITION OF public.tree FOR VALUES IN ('b') PARTITION BY HASH (shard);
CREATE TABLE public.tree_b0 PARTITION OF public.tree_b FOR VALUES WITH (MODULUS 1, REMAINDER 0) PARTITION BY RANGE (at);
CREATE TABLE public.tree_a PARTITION OF public.tree FOR VALUES IN ('a') PARTITION BY RANGE (at);
CREATE TABLE public.tree_a1 PARTITION OF public.tree_a FOR VALUES FROM ('2025-03-01 00:00+00') TO ('2025-04-01 00:00+00') PARTITION BY LIST (shard);
CREATE TABLE public.tree_a11 PARTITION OF public.tree_a1 DEFAULT;
CREATE TABLE public.tree_rest PARTITION OF public.tree DEFAULT;
CREATE TABLE public.two (a int, at timestamptz) PARTITION BY RANGE (at, a);
CREATE TABLE public.expr (at timestamptz) PARTITION BY RANGE (date_trunc('day', at, 'UTC'));
CREATE TABLE public.num (at bigint) PARTITION BY RANGE (at);
CREATE TABLE public.num_a PARTITION OF public.num FOR VALUES FROM (1) TO (2);
CREATE TABLE public.list (at timestamptz) PARTITION BY LIST (at);
CREATE TABLE public.plain (at timestamptz);
CREATE VIEW public.view AS SELECT 1 AS x;
`

var everyKindShown = []string{
	"tz(at timestamptz); tz_a [MINVALUE, '0044-03-15 12:00:00.000001+00 BC'); tz_b ['2025-02-28 18:30:00+00', '12000-01-01 00:00:00+00'); tz_c [MAXVALUE, MAXVALUE); tz_d default",
	"naive(at timestamp); naive_a ['2025-03-09 02:30:00', '2025-04-01 00:00:00')",
	"day(at date); day_a ['2025-03-01', MAXVALUE)",
	"v7(id uuid); v7_a ['01924b5c-8000-0000-0000-000000000000', '01934b5c-8000-7000-8000-0000000000ff')",
	"dom(at timestamptz); dom_a ['2025-03-01 00:00:00+00', '2025-04-01 00:00:00+00')",
	"tree_a(at timestamptz); tree_a1 ['2025-03-01 00:00:00+00', '2025-04-01 00:00:00+00') p",
	"tree_b0(at timestamptz)",
	"two: unsuitable partition key",
	"expr: unsuitable partition key",
	"num: unsuitable partition key",
	"list: unsuitable partition key",
	"plain: not partitioned",
	"view: not partitioned",
	"nothing: no such table",
}

// The same bounds come out whatever the session prints them as, and whoever holds the tables.
func TestReadUnderAnySettingAndAnyLock(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	conn, holder := pgtest.Session(t, url), pgtest.Session(t, url)
	exec(t, conn, everyKind)
	for _, settings := range []string{
		"", "SET TimeZone = 'America/New_York'", "SET TimeZone = 'Asia/Kolkata'; SET DateStyle = 'SQL, DMY'",
		"SET TimeZone = 'Pacific/Apia'; SET DateStyle = 'German'; SET quote_all_identifiers = on", "SET DateStyle = 'Postgres, MDY'",
	} {
		exec(t, conn, "RESET ALL; SET search_path = ''; SET lock_timeout = '2s'; "+settings)
		exec(t, holder, "BEGIN; LOCK TABLE public.tz, public.naive, public.day, public.v7, public.dom, public.tree IN ACCESS EXCLUSIVE MODE")
		var got []string
		for _, s := range read(t, conn, "tz", "naive", "day", "v7", "dom", "tree", "two", "expr", "num", "list", "plain", "view", "nothing") {
			got = append(got, show(s))
		}
		exec(t, holder, "ROLLBACK")
		if !slices.Equal(got, everyKindShown) {
			t.Errorf("with %q:\n%s\nwant\n%s", settings, strings.Join(got, "\n"), strings.Join(everyKindShown, "\n"))
		}
	}
}

// What is printed for a bound is the same bound to the server.
func TestLiteralsReadBack(t *testing.T) {
	t.Parallel()
	conn := pgtest.Session(t, pgtest.Database(t))
	exec(t, conn, everyKind)
	for _, s := range read(t, conn, "tz", "naive", "day", "v7", "dom") {
		for _, c := range s.Children {
			if c.Lower.Kind != parts.At || c.Upper.Kind != parts.At {
				continue
			}
			before := show(s)
			name := pg.Ident(c.Table.Schema, c.Table.Name)
			parent := pg.Ident(s.Table.Schema, s.Table.Name)
			exec(t, conn, fmt.Sprintf("SET TimeZone = 'America/New_York'; ALTER TABLE %s DETACH PARTITION %s; ALTER TABLE %s ATTACH PARTITION %s %s",
				parent, name, parent, name, s.Key.ForValues(c.Range)))
			if after := show(read(t, conn, s.Table.Name)[0]); after != before {
				t.Errorf("%s became %s", before, after)
			}
		}
	}
}

// The CHECK that Key.Check writes lets the server attach a full table without reading it.
func TestCheckProvesTheBounds(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	var notices []string
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { notices = append(notices, n.Message) }
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	exec(t, conn, everyKind)
	for _, s := range read(t, conn, "tz", "naive", "day", "v7", "dom") {
		for i, c := range s.Children {
			if s.Table.Name == "tz" && i == 2 {
				continue // what ends at infinity has no range of its own
			}
			name := pg.Ident(c.Table.Schema, c.Table.Name)
			parent := pg.Ident(s.Table.Schema, s.Table.Name)
			notices = nil
			exec(t, conn, fmt.Sprintf(`ALTER TABLE %[1]s DETACH PARTITION %[2]s;
				ALTER TABLE %[2]s ADD CONSTRAINT pgtender_bounds CHECK (%[3]s);
				SET client_min_messages = debug1;
				ALTER TABLE %[1]s ATTACH PARTITION %[2]s %[4]s;
				RESET client_min_messages`, parent, name, s.Key.Check(c.Range), s.Key.ForValues(c.Range)))
			want := fmt.Sprintf("partition constraint for table %q is implied by existing constraints", c.Table.Name)
			if !slices.Contains(notices, want) {
				t.Errorf("%s: attached with a scan: %q", c.Table, notices)
			}
		}
	}
}

func TestReadSeesWhatAPartitionIs(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	conn := pgtest.Session(t, url)
	exec(t, conn, `
		CREATE TABLE public.t (at timestamptz) PARTITION BY RANGE (at);
		CREATE TABLE public.t_1 PARTITION OF public.t FOR VALUES FROM ('2025-01-01 00:00+00') TO ('2025-02-01 00:00+00');
		CREATE TABLE public.t_2 PARTITION OF public.t (CONSTRAINT pgtender_bounds CHECK (at IS NOT NULL)) FOR VALUES FROM ('2025-02-01 00:00+00') TO ('2025-03-01 00:00+00');
		CREATE TABLE public.t_d PARTITION OF public.t (CONSTRAINT pgtender_not_in_x CHECK (at > 'epoch'), CONSTRAINT mine CHECK (at > 'epoch')) DEFAULT;
		INSERT INTO public.t SELECT '2025-01-02 00:00+00' FROM generate_series(1, 500);
		ANALYZE public.t_1`)
	s := read(t, conn, "t")[0]
	if d := time.Since(s.Now); d < -time.Minute || d > time.Minute {
		t.Errorf("now is %v", s.Now)
	}
	if a := s.Children[0]; a.Rows != 500 || a.Pages == 0 || a.Bounded || a.Kind != 'r' {
		t.Errorf("%+v", a)
	}
	if b := s.Children[1]; b.Rows != -1 || !b.Bounded {
		t.Errorf("%+v", b)
	}
	if d := s.Default; d == nil || !slices.Equal(d.Proofs, []string{"pgtender_not_in_x"}) {
		t.Errorf("%+v", d)
	}
}

// A detach that was cut short holds the bounds and covers nothing.
func TestReadSeesAPendingDetach(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	conn, reader := pgtest.Session(t, url), pgtest.Session(t, url)
	exec(t, conn, `
		CREATE TABLE public.t (at timestamptz) PARTITION BY RANGE (at);
		CREATE TABLE public.t_1 PARTITION OF public.t FOR VALUES FROM (MINVALUE) TO (MAXVALUE)`)
	exec(t, reader, "BEGIN; SELECT FROM public.t")
	exec(t, conn, "SET lock_timeout = '100ms'")
	if _, err := conn.Exec(t.Context(), "ALTER TABLE public.t DETACH PARTITION public.t_1 CONCURRENTLY"); !pg.Is(err, pg.LockNotAvailable) {
		t.Fatalf("the reader did not hold the detach up: %v", err)
	}
	s := read(t, conn, "t")[0]
	if len(s.Pending()) != 1 || len(s.Blocking(config.Month, 1, time.UTC)) != 1 || len(s.Missing(config.Month, 1, time.UTC)) != 0 || s.Runway(time.UTC) != 0 {
		t.Errorf("%+v", s)
	}
}

// Boundaries are those of the server's own date_trunc in the zone.
func TestFloorIsTheServersDateTrunc(t *testing.T) {
	t.Parallel()
	conn := pgtest.Session(t, pgtest.Database(t))
	rows, err := conn.Query(t.Context(), `
		SELECT z, u, at, date_trunc(u, at, z)
		FROM unnest($1::text[]) z, unnest(ARRAY['day', 'week', 'month', 'quarter', 'year']) u,
		     generate_series('2000-01-01 00:30+00'::timestamptz, '2030-01-01', '61 hours 13 minutes') at`,
		[]string{"UTC", "America/New_York", "Europe/Berlin", "America/Sao_Paulo", "America/Havana", "Asia/Kolkata", "Asia/Kathmandu",
			"Pacific/Apia", "Australia/Lord_Howe", "Asia/Tehran", "Pacific/Kiritimati"})
	if err != nil {
		t.Fatal(err)
	}
	var z, u string
	var at, want time.Time
	n, wrong := 0, 0
	_, err = pgx.ForEachRow(rows, []any{&z, &u, &at, &want}, func() error {
		loc, err := time.LoadLocation(z)
		if err != nil {
			return err
		}
		n++
		if want.After(at) {
			return nil // the first of two midnights in Havana: the server's day begins after the instant in it
		}
		if got := parts.Floor(config.Unit(u), at, loc); !got.Equal(want) && wrong < 10 {
			wrong++
			t.Errorf("%s %s: %v begins at %v, the server says %v", z, u, at.In(loc), got, want.In(loc))
		}
		return nil
	})
	if err != nil || n < 200000 {
		t.Fatalf("%d rows, %v", n, err)
	}
}
