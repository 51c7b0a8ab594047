package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgtender/pgtender/internal/cli"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
)

const leastFile = `env "local" {
  url     = getenv("DATABASE_URL")
  schemas = ["app"]
  schema { src = ["file://schema.sql"] }
  partition "ev" {
    schema   = "app"
    interval = "month"
    ahead    = 1
    schedule = "@hourly"
    archive {
      schedule = "@hourly"
      after = "1 year"
      into  = "app.ev_archive"
    }
  }
  archive "app.plain" {
    column     = "at"
    after      = "1 year"
    into       = "app.plain_archive"
    referenced = "wait"
    schedule   = "@hourly"
  }
  refresh "app.mv" {
    when     = "always"
    schedule = "@hourly"
  }
}
`

const leastSQL = `CREATE SCHEMA app;
CREATE TABLE app.ev (id bigint, at timestamptz NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE app.plain (id bigint PRIMARY KEY, at timestamptz NOT NULL);
CREATE INDEX plain_at ON app.plain (at);
CREATE TABLE app.pointing (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, plain bigint REFERENCES app.plain);
CREATE INDEX pointing_plain ON app.pointing (plain);
CREATE MATERIALIZED VIEW app.mv AS SELECT count(*) AS n FROM app.plain;
CREATE UNIQUE INDEX mv_n ON app.mv (n);
`

// least is a database that a role of its own was given, with something to do for every job, and nothing granted to anybody else.
type least struct {
	t     *testing.T
	dir   string
	url   string // superuser's
	owner string
	role  string // of the tender, as SQL takes it
	as    string // his connection string
}

func newLeast(t *testing.T) *least {
	t.Helper()
	l := &least{t: t, dir: folder(t, "atlas.hcl", leastFile, "schema.sql", leastSQL), url: pgtest.Database(t)}
	database := quotedName(t, l.url)
	owner := pgtest.Role(t, l.url, "GRANT CREATE, CONNECT ON DATABASE "+database+" TO {role}", "ALTER ROLE {role} CREATEDB")
	l.owner = mustParse(t, owner).User.Username()
	if code, out := l.run(owner, "apply", "--auto-approve"); code != 0 {
		t.Fatalf("apply: %d %s", code, out)
	}
	pgtest.Exec(t, l.url, "REVOKE ALL ON DATABASE "+database+" FROM PUBLIC",
		"INSERT INTO app.plain SELECT i, now() - i * interval '200 days' FROM generate_series(1, 5) i", "INSERT INTO app.pointing (plain) VALUES (1)",
		"CREATE TABLE app.ev_2020_01 PARTITION OF app.ev FOR VALUES FROM ('2020-01-01 00:00+00') TO ('2020-02-01 00:00+00')",
		"INSERT INTO app.ev VALUES (1, '2020-01-05 00:00+00')")
	// Nobody owns two sorts of things, and owners have no more than they need.
	own := func(grants []string, objects ...string) {
		role := pg.Ident(mustParse(t, pgtest.Role(t, l.url, grants...)).User.Username())
		for _, o := range objects {
			pgtest.Exec(t, l.url, "ALTER "+o+" OWNER TO "+role)
		}
	}
	own(nil, "TABLE app.ev", "TABLE app.ev_2020_01", "TABLE app.ev_archive")
	own([]string{"GRANT USAGE ON SCHEMA app TO {role}"}, "TABLE app.plain", "TABLE app.plain_archive", "TABLE app.pointing")
	own([]string{"GRANT USAGE ON SCHEMA app TO {role}", "GRANT SELECT ON app.plain TO {role}"}, "MATERIALIZED VIEW app.mv")
	l.as = pgtest.Role(t, l.url)
	l.role = pg.Ident(mustParse(t, l.as).User.Username())
	t.Cleanup(func() { pgtest.Exec(t, l.url, "REVOKE ALL ON DATABASE "+database+" FROM "+l.role) })
	return l
}

// run is a command as the role of the connection string: its exit code and all that it printed.
func (l *least) run(url string, args ...string) (int, string) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 2*time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	code := cli.Main(ctx, append([]string{"--log-level", "warn", "--config", l.dir + "/atlas.hcl", "--url", url}, args...), nil, &stdout, &stderr, func(string) string { return "" })
	return code, stdout.String() + stderr.String()
}

// suite is all that the tender does: the jobs of a daemon, the checks, moving archived rows back.
func (l *least) suite() (all string) {
	for _, args := range [][]string{{"run", "--once"}, {"check"}, {"archive", "verify"},
		{"archive", "restore", "--table", "app.ev", "--from", "2020-01", "--to", "2020-02"},
		{"archive", "restore", "--table", "app.plain", "--from", "2020-01", "--to", time.Now().AddDate(-1, -1, 0).Format("2006-01")}} {
		code, out := l.run(l.as, args...)
		all += fmt.Sprintf("$ %s\n%sexit %d\n", strings.Join(args, " "), out, code)
	}
	// Other sources than those of the last apply are loaded into a scratch database.
	other := folder(l.t, "atlas.hcl", leastFile, "schema.sql", leastSQL+"-- another\n")
	code, out := l.run(l.as, "--config", other+"/atlas.hcl", "drift")
	return all + fmt.Sprintf("$ drift\n%sexit %d\n", out, code)
}

// one right of one printed statement.
type right struct {
	name  string // for the subtest
	grant string // of the others of its statement
}

var printedGrant = regexp.MustCompile(`(?s)^GRANT (.+?) ON (.+?) TO (.+?);`)

// rights takes printed statements apart: without(i) are all of them without the i-th right.
func rights(printed string) (statements []string, list []right, at []int) {
	for line := range strings.Lines(printed) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "--") {
			continue
		}
		statements = append(statements, line)
		n := len(statements) - 1
		m := printedGrant.FindStringSubmatch(line)
		if m == nil {
			list, at = append(list, right{name: line}), append(at, n)
			continue
		}
		privileges, objects := strings.Split(m[1], ", "), strings.Split(m[2], ", ")
		kind := ""
		if function, ok := strings.CutPrefix(objects[0], "FUNCTION "); ok {
			kind, objects[0] = "FUNCTION ", function
		}
		for i, p := range privileges {
			for j, o := range objects {
				r := right{name: p + " ON " + o}
				if len(privileges) > 1 {
					r.grant += fmt.Sprintf("GRANT %s ON %s%s TO %s;", strings.Join(slices.Delete(slices.Clone(privileges), i, i+1), ", "), kind, o, m[3])
				}
				if len(objects) > 1 {
					r.grant += fmt.Sprintf("GRANT %s ON %s%s TO %s;", m[1], kind, strings.Join(slices.Delete(slices.Clone(objects), j, j+1), ", "), m[3])
				}
				list, at = append(list, r), append(at, n)
			}
		}
	}
	return statements, list, at
}

// What `pgtender grants` prints is enough for everything that a daemon does on a database of somebody else, and each single right is
// needed: without it something fails or warns, by the name of what is missing.
func TestEveryGrantIsNeededAndEnough(t *testing.T) {
	t.Parallel()
	probe := newLeast(t)
	code, printed := probe.run(probe.url, "grants", "--role", strings.Trim(probe.role, `"`))
	if code != 0 {
		t.Fatalf("grants: %d %s", code, printed)
	}
	statements, list, _ := rights(printed)
	pgtest.Exec(t, probe.url, statements...)
	enough := probe.suite()
	if bad := regexp.MustCompile(`(?m)exit [13]$|denied|GRANT|must be|: failure|UNKNOWN  |CRITICAL  `).FindString(enough); bad != "" {
		t.Fatalf("%s with all that is printed:\n%s\n%s", bad, printed, enough)
	}
	t.Logf("%d rights", len(list))
	step := max(1, len(list)/pgtest.Scaled(3, len(list)))
	for i := range list {
		if i%step != 0 {
			continue
		}
		t.Run(list[i].name, func(t *testing.T) {
			t.Parallel()
			l := newLeast(t)
			_, printed := l.run(l.url, "grants", "--role", strings.Trim(l.role, `"`))
			statements, list, at := rights(printed)
			statements[at[i]] = list[i].grant
			for _, sql := range statements {
				if sql != "" {
					pgtest.Exec(t, l.url, sql)
				}
			}
			out := l.suite()
			object := objectOf(list[i].name)
			if why := conditional[list[i].name]; why != "" {
				t.Logf("%s is needed only %s", list[i].name, why)
				return
			}
			for line := range strings.Lines(out) {
				if strings.Contains(line, object) && told.MatchString(line) {
					return
				}
			}
			t.Errorf("without %s nothing names %s:\n%s", list[i].name, object, out)
		})
	}
}

// told is how a missing right is told.
var told = regexp.MustCompile(`denied|may not|GRANT|must be owner|CREATEDB`)

// conditional are rights that the suite has no occasion for, and when they are needed.
var conditional = map[string]string{
	"CREATE ON SCHEMA pgtender": "for the copies of rows that leave a DEFAULT partition, and for the next version's tables",
}

// objectOf is the last name in a right, which a message about it must have.
func objectOf(right string) string {
	switch {
	case strings.Contains(right, "CREATEDB"):
		return "CREATEDB"
	case strings.Contains(right, "the owner of app.ev"):
		return "table ev"
	case strings.HasPrefix(right, "GRANT pg_monitor"):
		return "pg_monitor"
	}
	names := regexp.MustCompile(`[a-z_0-9]+`).FindAllString(right, -1)
	return names[len(names)-1]
}
