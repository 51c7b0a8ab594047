package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/pgtender/pgtender/internal/cli"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
)

// styles are names that nobody should give, for objects of every kind.
var styles = []struct {
	name string
	of   func(kind string) string
}{
	{"drop", func(kind string) string { return `x'"; DROP TABLE public.canary; --` + "\n" + kind }},
	{"long", func(kind string) string { return strings.Repeat("ü", (pg.MaxNameBytes-len(kind))/2) + kind }},
	{"quotes", func(kind string) string { return `'a"b''c""` + kind + `"` }},
	{"code", func(kind string) string { return `$$ %s %d \' ${x} $1 \n ` + kind + ` */ --` }},
	{"reserved", func(kind string) string { return "Select" + strings.ToUpper(kind[:1]) }},
	{"spaces", func(kind string) string { return " . ," + kind + "()[]{}; " }},
}

// odd is a database in which everything has a name of one style.
type odd struct {
	t     *testing.T
	of    func(kind string) string
	dir   string
	admin string // superuser's connection string
	url   string // that of the owner of all
}

// id is an object's name as SQL takes it.
func (o *odd) id(kind string) string { return pg.Ident(o.of(kind)) }

// in is the same of an object in the schema.
func (o *odd) in(kind string) string { return pg.Ident(o.of("s"), o.of(kind)) }

// hcl is a name in the schema as atlas.hcl takes it; --table takes that of in.
func (o *odd) hcl(kind string) string { return hclString(o.in(kind)) }

func hclString(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "${", "$${", "%{", "%%{").Replace(text) + `"`
}

func newOdd(t *testing.T, of func(kind string) string) *odd {
	t.Helper()
	o := &odd{t: t, of: of}
	server := pgtest.Database(t)
	unique := strings.Trim(quotedName(t, server), `"`)
	cut := func(kind string) string { // a database and a role are of the whole server
		text := of(kind)
		for len(text)+len(unique) > pg.MaxNameBytes {
			_, size := utf8.DecodeRuneInString(text)
			text = text[size:]
		}
		return unique + text
	}
	database, role := cut("d"), cut("r")
	pgtest.Exec(t, server, "CREATE ROLE "+pg.Ident(role)+" LOGIN CREATEDB", "CREATE DATABASE "+pg.Ident(database)+" OWNER "+pg.Ident(role))
	t.Cleanup(func() {
		pgtest.Exec(t, server, "DROP DATABASE "+pg.Ident(database)+" WITH (FORCE)", "DROP ROLE "+pg.Ident(role))
	})
	to := func(user string) string {
		u := mustParse(t, server)
		u.Path = "/" + database
		u.RawPath = "/" + url.PathEscape(database)
		u.User = url.User(user)
		return u.String()
	}
	o.admin, o.url = to("postgres"), to(role)
	pgtest.Exec(t, o.url, "CREATE TABLE public.canary (a int)", "INSERT INTO public.canary VALUES (1)")
	o.dir = folder(t, "schema.sql", o.schema(), "atlas.hcl", o.file())
	return o
}

func (o *odd) schema() string {
	return fmt.Sprintf(`CREATE SCHEMA %[1]s;
CREATE TYPE %[2]s AS ENUM (%[3]s, 'b');
CREATE TABLE %[4]s (%[5]s bigint GENERATED ALWAYS AS IDENTITY, %[6]s timestamptz NOT NULL, %[7]s text DEFAULT %[3]s, %[8]s %[2]s,
  CONSTRAINT %[9]s CHECK (%[7]s <> ''), CONSTRAINT %[10]s PRIMARY KEY (%[5]s, %[6]s)) PARTITION BY RANGE (%[6]s);
CREATE INDEX %[11]s ON %[4]s (%[7]s);
CREATE TABLE %[12]s (%[5]s bigint PRIMARY KEY, %[6]s timestamptz NOT NULL, %[7]s text);
CREATE INDEX %[13]s ON %[12]s (%[6]s);
CREATE FUNCTION %[14]s() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN RETURN new; END $f$;
CREATE TRIGGER %[15]s BEFORE INSERT ON %[12]s FOR EACH ROW EXECUTE FUNCTION %[14]s();
CREATE VIEW %[16]s AS SELECT %[5]s AS %[7]s FROM %[12]s;
CREATE MATERIALIZED VIEW %[17]s AS SELECT count(*) AS %[5]s FROM %[16]s;
CREATE UNIQUE INDEX %[18]s ON %[17]s (%[5]s);
COMMENT ON TABLE %[4]s IS %[3]s;
`, o.id("s"), o.in("enum"), pg.Literal(o.of("label")), o.in("t"), o.id("id"), o.id("at"), o.id("value"), o.id("kind"), o.id("check"), o.id("kpk"), o.id("index"),
		o.in("plain"), o.id("jndex"), o.in("function"), o.id("wtrigger"), o.in("view"), o.in("matview"), o.id("unique"))
}

func (o *odd) file() string {
	return fmt.Sprintf(`env "local" {
  url     = getenv("DATABASE_URL")
  schemas = [%s]
  schema { src = ["file://schema.sql"] }
  partition %s {
    interval = "month"
    ahead    = 1
    schedule = "@hourly"
    archive {
      schedule = "@hourly"
      after    = "1 year"
      into     = %s
    }
  }
  archive %s {
    column   = %s
    schedule = "@hourly"
    after    = "1 year"
    into     = %s
  }
  refresh %s {
    schedule = "@hourly"
  }
  job "own" {
    schedule = "@hourly"
    sql      = %s
  }
  check "own" {
    sql     = %s
    warning = 1000
  }
}
`, hclString(o.of("s")), o.hcl("t"), o.hcl("xarchive"), o.hcl("plain"), hclString(o.of("at")), o.hcl("yarchive"), o.hcl("matview"),
		hclString("UPDATE "+o.in("plain")+" SET "+o.id("value")+" = 'own'"), hclString("SELECT "+pg.Literal(o.of("value"))+", count(*) FROM "+o.in("plain")))
}

// exits runs a command as somebody and wants one of the exit codes.
func (o *odd) exits(url, codes string, args ...string) string {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), 2*time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	code := cli.Main(ctx, append([]string{"--log-level", "warn", "--config", o.dir + "/atlas.hcl", "--url", url}, args...), nil, &stdout, &stderr, func(string) string { return "" })
	if !strings.Contains(codes, fmt.Sprint(code)) || strings.Contains(stdout.String()+stderr.String(), "syntax error") || strings.Contains(stdout.String(), "%!") {
		o.t.Errorf("%q: exit %d, want %s\n%s%s", args, code, codes, &stdout, &stderr)
	}
	return stdout.String()
}

// is compares one value.
func (o *odd) is(want, query string) {
	o.t.Helper()
	var got string
	if err := pgtest.Session(o.t, o.admin).QueryRow(o.t.Context(), query).Scan(&got); err != nil || got != want {
		o.t.Errorf("%s: %q, %v, want %q", query, got, err, want)
	}
}

// Names that hold SQL, quotes, line ends, formats or 63 bytes are names, in every job, check and command, and nothing else.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	for _, style := range styles[:pgtest.Scaled(2, len(styles))] {
		t.Run(style.name, func(t *testing.T) {
			t.Parallel()
			o := newOdd(t, style.of)
			o.exits(o.url, "2", "plan")
			o.exits(o.url, "0", "apply", "--auto-approve")
			o.exits(o.url, "0", "plan")
			old := pg.Ident(o.of("s"), o.of("zold"))
			pgtest.Exec(t, o.url, "CREATE TABLE "+old+" PARTITION OF "+o.in("t")+" FOR VALUES FROM ('2020-01-01 00:00+00') TO ('2020-02-01 00:00+00')",
				fmt.Sprintf("INSERT INTO %s (%s, %s) SELECT '2020-01-05 00:00+00', %s FROM generate_series(1, 3)", o.in("t"), o.id("at"), o.id("kind"), pg.Literal(o.of("label"))),
				fmt.Sprintf("INSERT INTO %s SELECT i, now() - i * interval '200 days', 'x' FROM generate_series(1, 5) i", o.in("plain")))
			for _, job := range []string{"partition", "archive", "refresh", "analyze"} {
				o.exits(o.url, "0", "job", "run", job, "--dry-run")
			}
			o.exits(o.url, "0", "run", "--once")
			o.exits(o.url, "03", "check")
			o.exits(o.url, "03", "check", "--format", "json")
			o.exits(o.url, "0", "drift")
			o.exits(o.url, "0", "job", "list")
			o.is("0 3 1 4", fmt.Sprintf("SELECT concat_ws(' ', (SELECT count(*) FROM %s), (SELECT count(*) FROM %s), (SELECT count(*) FROM %s), (SELECT count(*) FROM %s))",
				o.in("t"), o.in("xarchive"), o.in("plain"), o.in("yarchive")))
			o.is("2", "SELECT count(*)::text FROM pg_inherits WHERE inhparent = "+pg.Literal(o.in("t"))+"::regclass")
			for _, table := range []string{o.in("t"), o.in("plain")} {
				o.exits(o.url, "0", "archive", "list", "--table", table)
				o.exits(o.url, "0", "archive", "verify", "--table", table)
			}
			o.exits(o.url, "0", "archive", "restore", "--table", o.in("t"), "--from", "2020-01", "--to", "2020-02", "--dry-run")
			o.exits(o.url, "0", "archive", "restore", "--table", o.in("t"), "--from", "2020-01", "--to", "2020-02")
			o.is("3", "SELECT count(*)::text FROM "+o.in("t"))
			o.exits(o.url, "0", "archive", "release", "--table", o.in("t"))
			o.exits(o.url, "0", "job", "run", "archive", "--table", o.in("t"))
			o.is("3", "SELECT count(*)::text FROM "+o.in("xarchive"))
			o.is("own", "SELECT max("+o.id("value")+") FROM "+o.in("plain"))
			o.exits(o.admin, "0", "grants", "--role", o.of("role"))
			o.exits(o.url, "0", "plan", "--format", "sql")
			o.is("1", "SELECT count(*)::text FROM public.canary")
		})
	}
}
