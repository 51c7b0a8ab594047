package asyncio

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/internal/state"
	"github.com/pgtender/pgtender/jobs"
)

var (
	declaresNothing = &config.Env{}
	declaresApply   = &config.Env{IO: &config.IO{Mode: config.IOApply}}
)

// reduced is a lab as a role with fewer rights sees it.
func (l *lab) as(url string) *lab {
	l.t.Helper()
	return &lab{t: l.t, server: l.server, url: url, pool: pgtest.Pool(l.t, url)}
}

// unchanged runs the job in apply mode and wants it to recommend only, saying why.
func (l *lab) unchanged(t *testing.T, why string) {
	t.Helper()
	r, _, err := l.run(Tasks(declaresApply, l.options())[0])
	if err != nil || !strings.HasPrefix(r.Summary, "only recommending, as ") || !strings.Contains(r.Summary, why) || r.Detail["advice"] == nil {
		t.Errorf("the job: %+v %v, want %q", r, err, why)
	}
	r, _, err = l.apply("io_workers=5")
	if err == nil || !strings.HasPrefix(err.Error(), "nothing was changed: ") || !strings.Contains(oneLine(err.Error()), why) {
		t.Errorf("by hand: %+v %v, want %q", r, err, why)
	}
	if got := l.shown("io_workers"); !strings.HasPrefix(got, "3") {
		t.Errorf("io_workers: %s", got)
	}
}

func TestEachRightIsNeededAndNamed(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	pgtest.Exec(t, l.url, "DROP SCHEMA pgtender CASCADE")
	url := pgtest.Role(t, l.url)
	var role string
	if err := pgtest.Session(t, url).QueryRow(t.Context(), "SELECT current_user").Scan(&role); err != nil {
		t.Fatal(err)
	}
	quoted := pg.Ident(role)
	grants := append([]string{"GRANT pg_monitor TO " + quoted}, Grants(quoted)...)
	pgtest.Exec(t, l.url, "CREATE SCHEMA pgtender AUTHORIZATION "+quoted)
	pgtest.Exec(t, l.url, grants...)
	least := l.as(url)
	if err := state.Ensure(t.Context(), least.pool); err != nil {
		t.Fatal(err)
	}
	stop := l.load("io_workers", nil, 0)
	defer stop()
	if r, said, err := least.apply("io_workers=5"); err != nil || r.Outcome == jobs.Skipped {
		t.Fatalf("with all grants: %+v %v %v", r, err, said)
	}
	for i, why := range []string{"GRANT pg_monitor", "GRANT ALTER SYSTEM ON PARAMETER", "GRANT EXECUTE ON FUNCTION pg_catalog.pg_reload_conf()",
		"GRANT SELECT ON pg_catalog.pg_file_settings", "GRANT EXECUTE ON FUNCTION pg_catalog.pg_show_all_file_settings()"} {
		revoke, _, _ := strings.Cut(strings.NewReplacer("GRANT ", "REVOKE ", " TO ", " FROM ").Replace(grants[i]), ";")
		if i == 2 {
			revoke += "; REVOKE EXECUTE ON FUNCTION pg_catalog.pg_reload_conf() FROM PUBLIC"
		}
		pgtest.Exec(t, l.url, strings.Split(revoke, "; ")...)
		r, _, err := least.apply("io_workers=5")
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("without %s: %+v %v", why, r, err)
		}
		if i != 1 { // the job knows what it wants to change only when it has evidence
			r, _, err = least.run(Tasks(declaresApply, least.options())[0])
			if err != nil || !strings.Contains(r.Summary, "only recommending, as ") || !strings.Contains(r.Summary, why) {
				t.Errorf("the job without %s: %+v %v", why, r, err)
			}
		}
		pgtest.Exec(t, l.url, grants[i])
	}
}

func TestWhatBeatsALTERSYSTEM(t *testing.T) {
	t.Parallel()
	t.Run("off", func(t *testing.T) {
		t.Parallel()
		newLab(t, "allow_alter_system=off").unchanged(t, "allow_alter_system is off")
	})
	t.Run("command line", func(t *testing.T) {
		t.Parallel()
		s := &Status{AllowAlterSystem: true, MayObserve: true, FilesRead: true, MayReload: true,
			Settings: []Setting{{Name: "io_workers", Value: "3", Source: "command line", MayAlterSystem: true}}}
		if r := s.mayChange("io_workers"); r == nil || !strings.Contains(r.Reason, "io_workers was given on the server's command line") {
			t.Errorf("%+v", r)
		}
		s.Settings[0].Source = "client"
		if r := s.mayChange("io_workers"); r == nil || !strings.Contains(r.Reason, "io_workers comes from client, which beats ALTER SYSTEM") {
			t.Errorf("%+v", r)
		}
		if r := s.mayChange("io_min_workers"); r == nil || !strings.Contains(r.Reason, "has no setting io_min_workers") {
			t.Errorf("%+v", r)
		}
	})
	t.Run("database and role", func(t *testing.T) {
		t.Parallel()
		l := newLab(t)
		var name string
		if err := l.pool.QueryRow(t.Context(), "SELECT current_database()").Scan(&name); err != nil {
			t.Fatal(err)
		}
		for of, set := range map[string][2]string{
			"database " + name: {"ALTER DATABASE " + pg.Ident(name) + " SET effective_io_concurrency = 8", "ALTER DATABASE " + pg.Ident(name) + " RESET effective_io_concurrency"},
			"role postgres":    {"ALTER ROLE postgres SET effective_io_concurrency = 8", "ALTER ROLE postgres RESET effective_io_concurrency"},
		} {
			pgtest.Exec(t, l.url, set[0])
			r, _, err := l.apply("effective_io_concurrency=32")
			if err == nil || !strings.Contains(err.Error(), of+" has effective_io_concurrency = 8, which beats ALTER SYSTEM there") {
				t.Errorf("%s: %+v %v", of, r, err)
			}
			pgtest.Exec(t, l.url, set[1])
		}
	})
	t.Run("standby", func(t *testing.T) {
		t.Parallel()
		s := &Status{Standby: true}
		if r := s.mayTune(); r == nil || !strings.Contains(r.Reason, "is a standby") {
			t.Errorf("%+v", r)
		}
	})
	t.Run("managed", func(t *testing.T) {
		t.Parallel()
		s := &Status{Platform: "Amazon RDS or Aurora", AllowAlterSystem: true}
		if r := s.mayTune(); r == nil || !strings.Contains(r.Reason, "Amazon RDS or Aurora refuses ALTER SYSTEM") {
			t.Errorf("%+v", r)
		}
	})
}

func TestFilesThatAreNotInOrder(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	var data string
	if err := l.pool.QueryRow(t.Context(), "SELECT current_setting('data_directory')").Scan(&data); err != nil {
		t.Fatal(err)
	}
	appendTo := func(file, line string) (undo func()) {
		path := filepath.Join(data, file)
		old, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(old, line+"\n"...), 0o600); err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := os.WriteFile(path, old, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	undo := appendTo("postgresql.auto.conf", "io_workers 'many'")
	l.unchanged(t, "postgresql.auto.conf:")
	undo()
	undo = appendTo("postgresql.auto.conf", "this is no line")
	l.unchanged(t, "syntax error")
	undo()

	stop := l.load("io_workers", nil, 0)
	defer stop()
	undo = appendTo("postgresql.conf", "work_mem = '9MB'")
	r, _, err := l.apply("io_workers=5")
	var edits *EditsError
	if !errors.As(err, &edits) || len(edits.Edits) != 1 || !strings.Contains(err.Error(), "work_mem = 9MB (") || !strings.Contains(err.Error(), "in force 4096") {
		t.Errorf("an unfinished edit: %+v %v", r, err)
	}
	pgtest.Exec(t, l.url, "SELECT pg_reload_conf()")
	pgtest.Eventually(t, l.url, "SELECT current_setting('work_mem') = '9MB'")
	if _, _, err := l.apply("io_workers=5"); err != nil {
		t.Errorf("a finished edit: %v", err)
	}
	undo()
	if _, _, err := l.apply("io_workers=6"); !errors.As(err, &edits) || !strings.Contains(err.Error(), "work_mem = 9216 is in force and no longer in any file") {
		t.Errorf("an entry taken out: %v", err)
	}
	if got := l.shown("work_mem"); got != "9216" {
		t.Errorf("work_mem was loaded: %s", got)
	}
}

func TestSameValue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		file, now, unit, kind string
		want                  bool
	}{
		{"on", "on", "", "bool", true}, {"TRUE", "on", "", "bool", true}, {"of", "off", "", "bool", true}, {"no", "on", "", "bool", false}, {"1", "on", "", "bool", true},
		{"128MB", "16384", "8kB", "integer", true}, {"4GB", "524288", "8kB", "integer", true}, {"4GB", "524287", "8kB", "integer", false},
		{"5min", "300", "s", "integer", true}, {"1d", "1440", "min", "integer", true}, {"0.5h", "30", "min", "integer", true},
		{"2ms", "2", "ms", "real", true}, {"0.1", "0.1", "", "real", true}, {"0x10", "16", "", "integer", true}, {"1.6", "2", "", "integer", true},
		{"many", "3", "", "integer", false}, {"3MB", "3", "", "integer", false}, {"3 XB", "3", "kB", "integer", false},
		{"iso, mdy", "ISO, MDY", "", "string", true}, {"a", "b", "", "string", false}, {"Replica", "replica", "", "enum", true},
	} {
		if got := sameValue(c.file, c.now, c.unit, c.kind); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
