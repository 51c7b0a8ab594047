package asyncio

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pgtender/pgtender/internal/pgtest"
)

func read(t *testing.T, url string) *Status {
	t.Helper()
	s, err := Read(t.Context(), pgtest.Pool(t, url))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// on returns the advices on one setting.
func on(all []Advice, name string) []Advice {
	return slices.DeleteFunc(slices.Clone(all), func(a Advice) bool { return a.Setting != name })
}

func contains(t *testing.T, what any, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(fmt.Sprint(what), text) {
			t.Errorf("%q is not in: %v", text, what)
		}
	}
}

func TestReadsEverySettingOfTheServer(t *testing.T) {
	t.Parallel()
	s := read(t, pgtest.Database(t))
	for _, name := range []string{
		"io_method", "io_max_concurrency", "io_max_combine_limit", "io_workers", "io_combine_limit", "debug_io_direct",
		"effective_io_concurrency", "maintenance_io_concurrency", "track_io_timing", "file_extend_method", "backend_flush_after",
	} {
		if s.Setting(name) == nil {
			t.Errorf("%s is missing", name)
		}
	}
	method := s.Setting("io_method")
	if !slices.Contains(method.Choices, "worker") || method.Context != "postmaster" || method.Number != nil {
		t.Errorf("io_method: %+v", method)
	}
	if limit := s.Setting("io_combine_limit"); limit.Effective != "128kB" || *limit.Number != 16 || limit.Max != "128" {
		t.Errorf("io_combine_limit: %+v", limit)
	}
	if !s.MayObserve || !s.AllowAlterSystem || !s.FilesRead || s.Platform != "" || !method.MayAlterSystem {
		t.Errorf("a superuser's status: %+v", s)
	}
	if s.Setting("io_direct") != nil {
		t.Error("there is no io_direct in PostgreSQL 18")
	}
}

func TestUnprivilegedRoleReadsAndIsToldWhatItLacks(t *testing.T) {
	t.Parallel()
	s := read(t, pgtest.Role(t, pgtest.Database(t), "ALTER ROLE {role} SET effective_io_concurrency = 0"))
	if s.MayObserve || s.FilesRead || s.MayReload || s.Setting("io_workers").MayAlterSystem {
		t.Errorf("status: %+v", s)
	}
	got := on(Recommend(s, nil), "effective_io_concurrency")
	contains(t, got, "change", `GRANT ALTER SYSTEM ON PARAMETER "effective_io_concurrency" TO "`+s.User+`";`,
		`GRANT EXECUTE ON FUNCTION pg_catalog.pg_reload_conf() TO "`+s.User+`";`)
}

func TestOverridesAreFoundWithTheirReset(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	role := pgtest.Role(t, url, "ALTER ROLE {role} SET effective_io_concurrency = 7")
	user := strings.SplitN(strings.TrimPrefix(role, "postgres://"), "@", 2)[0]
	var database string
	if err := pgtest.Pool(t, url).QueryRow(t.Context(), "SELECT current_database()").Scan(&database); err != nil {
		t.Fatal(err)
	}
	pgtest.Exec(t, url, "ALTER DATABASE "+database+" SET io_combine_limit = '64kB'",
		"ALTER ROLE "+user+" IN DATABASE "+database+" SET maintenance_io_concurrency = 3")
	s := read(t, url)
	for _, want := range []Override{
		{"effective_io_concurrency", "role " + user, "7", `ALTER ROLE "` + user + `" RESET "effective_io_concurrency";`},
		{"io_combine_limit", "database " + database, "64kB", `ALTER DATABASE "` + database + `" RESET "io_combine_limit";`},
		{"maintenance_io_concurrency", "role " + user + " in database " + database, "3",
			`ALTER ROLE "` + user + `" IN DATABASE "` + database + `" RESET "maintenance_io_concurrency";`},
	} {
		if !slices.Contains(s.Setting(want.Setting).Overrides, want) {
			t.Errorf("overrides of %s: %+v, want %+v", want.Setting, s.Setting(want.Setting).Overrides, want)
		}
		contains(t, on(Recommend(s, nil), want.Setting), "beats ALTER SYSTEM", want.Reset)
		pgtest.Exec(t, url, want.Reset) // it is the right SQL
	}
	for _, setting := range read(t, url).Settings {
		for _, o := range setting.Overrides {
			if strings.Contains(o.Of, database) {
				t.Errorf("still there: %+v", o)
			}
		}
	}
}

func TestCommandLineAndCapAreSeen(t *testing.T) {
	t.Parallel()
	// The harness gives its settings in the configuration file or on the command line; both must be told apart from a default.
	server := pgtest.Private(t, "io_combine_limit=64", "io_max_combine_limit=32", "effective_io_concurrency=0", "io_method=sync")
	s := read(t, server.URL("postgres"))
	limit := s.Setting("io_combine_limit")
	if limit.Value != "64" || limit.Effective != "256kB" || *limit.Number != 32 || limit.Source == "default" {
		t.Errorf("io_combine_limit: %+v", limit)
	}
	all := Recommend(s, nil)
	contains(t, on(all, "io_combine_limit"), "caps it at io_max_combine_limit", "512kB", "256kB")
	contains(t, on(all, "effective_io_concurrency"), "2.9 to 3.7 times")
	contains(t, on(all, "io_method"), "synchronous")
}

func TestPendingRestartAndBadLines(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t)
	url := server.URL("postgres")
	pgtest.Exec(t, url, "ALTER SYSTEM SET io_max_concurrency = 1024", "SELECT pg_reload_conf()")
	pgtest.Eventually(t, url, "SELECT pending_restart FROM pg_settings WHERE name = 'io_max_concurrency'")
	s := read(t, url)
	if !s.Setting("io_max_concurrency").PendingRestart {
		t.Error("a pending restart is not seen")
	}
	got := on(Recommend(s, nil), "io_max_concurrency")
	if len(got) != 1 || got[0].Weight != Warn || !got[0].Restart {
		t.Fatalf("advice: %+v", got)
	}
	contains(t, got[0].Preflight, "postgres --check", "'max_connections="+s.MaxConnections+"'", "io_max_concurrency=")
}

func TestDirectIOIsWarnedOf(t *testing.T) {
	t.Parallel()
	s := read(t, pgtest.Database(t))
	s.Setting("debug_io_direct").Value = "data" // a server with it does not start on every file system
	got := on(Recommend(s, nil), "debug_io_direct")
	if len(got) != 1 || got[0].Weight != Warn || !slices.Equal(got[0].SQL, []string{`ALTER SYSTEM RESET "debug_io_direct";`}) {
		t.Errorf("advice: %+v", got)
	}
}

func TestWorkersNeedEvidence(t *testing.T) {
	t.Parallel()
	s := read(t, pgtest.Database(t))
	if s.Setting("io_method").Value != "worker" {
		t.Fatalf("io_method is %s", s.Setting("io_method").Value)
	}
	for _, c := range []struct {
		name string
		e    Evidence
		want string
	}{
		{"nothing seen", Evidence{Samples: 100, Saturated: 100}, ""},
		{"too few samples", Evidence{Seen: true, Samples: 9, Saturated: 9}, ""},
		{"not saturated", Evidence{Seen: true, Samples: 10, Saturated: 7}, ""},
		{"saturated", Evidence{Seen: true, Samples: 10, Saturated: 8, Workers: 3, BusyMean: 1, AllBusy: 10, HandlesMax: 40}, "4"},
	} {
		got := on(Recommend(s, &c.e), "io_workers")
		if c.want == "" && len(got) > 0 {
			t.Errorf("%s: advice without evidence: %+v", c.name, got)
		}
		if c.want != "" && (len(got) != 1 || got[0].Weight != WorthTrying || got[0].Proposed != c.want || got[0].Restart ||
			got[0].SQL[0] != `ALTER SYSTEM SET "io_workers" = '4';`) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

func TestManagedPlatformGetsItsOwnForm(t *testing.T) {
	t.Parallel()
	s := read(t, pgtest.Database(t))
	low := 0.0
	c := s.Setting("effective_io_concurrency")
	c.Value, c.Number = "0", &low
	s.Platform = "Amazon RDS or Aurora"
	got := on(Recommend(s, nil), "effective_io_concurrency")
	if len(got) != 1 || len(got[0].SQL) != 0 {
		t.Fatalf("advice: %+v", got)
	}
	contains(t, got[0].Platform, "Amazon RDS", "parameter group")
	s.Platform, s.AllowAlterSystem = "", false
	got = on(Recommend(s, nil), "effective_io_concurrency")
	if len(got) != 1 || len(got[0].SQL) != 0 {
		t.Fatalf("advice: %+v", got)
	}
	contains(t, got[0].Platform, "allow_alter_system is off")
}

func TestPretty(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{{"16", "8kB", "128kB"}, {"128", "8kB", "1MB"}, {"0", "8kB", "0kB"}, {"3", "", "3"}, {"2", "kB", "2kB"}, {"x", "8kB", "x × 8kB"}} {
		if got := pretty(c[0], c[1]); got != c[2] {
			t.Errorf("pretty(%q, %q) = %q, want %q", c[0], c[1], got, c[2])
		}
	}
}
