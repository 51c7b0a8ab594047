package checks

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pgtest"
)

func sqlCheck(sql string, limits ...float64) Check {
	c := config.SQLCheck{Name: "mine", SQL: sql}
	if len(limits) > 0 {
		c.Warning = &limits[0]
	}
	if len(limits) > 1 {
		c.Critical = &limits[1]
	}
	return own(c)
}

func TestOwnCheck(t *testing.T) {
	b := newBench(t, "CREATE TABLE public.errors (n numeric)", "INSERT INTO public.errors VALUES (0.01)",
		"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public', current_database()); END $$")
	b.pool = pgtest.Pool(t, b.url)
	check := sqlCheck("SELECT max(n) FROM errors;", 0.05, 0.2) // by the database's search_path
	if f := b.want(check, "", OK); f.Value != 0.01 {
		t.Errorf("value %g", f.Value)
	}
	b.exec("INSERT INTO public.errors VALUES (0.05)")
	b.want(check, "", Warning, "0.05 is at or above warning = 0.05")
	b.exec("INSERT INTO public.errors VALUES (0.3)")
	b.want(check, "", Critical, "0.3 is at or above critical = 0.2")
	b.exec("DELETE FROM public.errors WHERE n > 0.02")
	b.want(check, "", OK)
	b.exec("DELETE FROM public.errors")
	b.want(check, "", Unknown, "no number")
}

func TestOwnCheckOfManyObjects(t *testing.T) {
	b := newBench(t)
	check := sqlCheck("SELECT * FROM (VALUES ('a', 1::int2), ('b', 20), (NULL, 3)) v", 10)
	b.want(check, "a", OK)
	b.want(check, "b", Warning)
	b.want(check, "NULL", OK)
	if r := b.ask(sqlCheck("SELECT 'a', 1 WHERE false")); r.Err != nil || r.Status() != OK {
		t.Errorf("no objects: %+v", r)
	}
}

func TestOwnCheckRefusesWhatItCannotTell(t *testing.T) {
	b := newBench(t, "CREATE TABLE public.t ()")
	for sql, want := range map[string]string{
		"SELECT 1, 2, 3":                             "3 columns",
		"SELECT 'many'":                              "not a number",
		"SELECT now()":                               "extract(epoch",
		"SELECT 1 WHERE false":                       "no row",
		"SELECT generate_series(1, 2)":               "2 rows of one number",
		"SELECT 'x', generate_series(1, 2)":          "two rows for object \"x\"",
		"SELECT i, i FROM generate_series(1, 200) i": "more than 100 rows",
		"COMMIT":                              "",
		"INSERT INTO public.t DEFAULT VALUES": "read-only transaction",
		"SELECT 1; SELECT 2":                  "multiple commands",
		"SELECT 1/0":                          "division by zero",
	} {
		r := b.ask(sqlCheck(sql))
		if r.Err == nil || r.Status() != Unknown || !strings.Contains(r.Findings[0].Message, want) {
			t.Errorf("%s: %+v, want %q", sql, r, want)
		}
	}
	if r := b.ask(sqlCheck("SELECT 7")); r.Err != nil || r.Findings[0].Value != 7 {
		t.Errorf("the connection is of no use any more: %+v", r)
	}
}

func TestOwnCheckMeetsALock(t *testing.T) {
	b := newBench(t, "CREATE TABLE public.t (n int)")
	check := sqlCheck("SELECT count(*) FROM public.t")
	b.want(check, "", OK)
	_, end := b.session("LOCK TABLE public.t")
	r := b.ask(check)
	if r.Err == nil || r.Status() != Unknown || !strings.Contains(r.Findings[0].Message, "locked by another session") || r.Took.Seconds() > 2 {
		t.Errorf("result: %+v", r)
	}
	end()
	pgtest.Eventually(t, b.url, "SELECT NOT EXISTS (SELECT FROM pg_locks WHERE relation = 'public.t'::regclass)")
	b.want(check, "", OK)
}

func TestNoOwnCheckBearsABuiltInName(t *testing.T) {
	t.Parallel()
	pos := config.Pos{File: "atlas.hcl", Line: 9, Column: 3}
	_, err := All(&config.Env{Checks: []config.SQLCheck{{Name: "lock_waits", Pos: pos}}}, Sources{})
	if err == nil || !strings.HasPrefix(err.Error(), "atlas.hcl:9:3: check \"lock_waits\"") {
		t.Errorf("error %v", err)
	}
	all, err := All(&config.Env{Checks: []config.SQLCheck{{Name: "mine"}}}, Sources{Drift: func() Drift { return Drift{} }})
	if err != nil || all[len(all)-1].Name != "mine" {
		t.Errorf("%v %v", all, err)
	}
	for _, c := range all {
		if c.Every <= 0 || c.Deadline <= 0 || c.Group == "" || c.Run == nil {
			t.Errorf("check %s is not complete: %s", c.Name, fmt.Sprint(c))
		}
	}
}
