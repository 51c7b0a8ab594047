package asyncio

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgtender/pgtender/internal/pgtest"
)

func TestWish(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, pgtest.Database(t))
	report, err := Look(t.Context(), Options{Pool: pool, Samples: 1})
	if err != nil {
		t.Fatal(err)
	}
	for wish, want := range map[string]string{
		"io_method":                   "write the setting and the value in mind",
		"io_direct=on":                "there is no setting io_direct in PostgreSQL: debug_io_direct is meant",
		"debug_io_direct=data":        "a developer's option",
		"io_wokers=3":                 "has no I/O setting io_wokers; it has: backend_flush_after, ",
		"io_workers=0":                "io_workers = 0: the server takes whole numbers from 1 to 32",
		"io_workers=04":               "whole numbers",
		"io_combine_limit=3MB":        "in units of 8kB",
		"io_method=Worker":            "io_method is worker already",
		"track_io_timing=maybe":       "on or off",
		"io_method=threads":           "this build of PostgreSQL knows ",
		"io_max_combine_limit=999999": "whole numbers from 1 to 128",
	} {
		if a, err := Wish(t.Context(), report, wish); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v %v", wish, a, err)
		}
	}
	a, err := Wish(t.Context(), report, "io_workers=8")
	if err != nil || a.Restart || len(a.SQL) != 2 || a.Tried != nil || !strings.Contains(a.Reason, "pgtender io apply io_workers=8") {
		t.Errorf("%+v %v", a, err)
	}
	a, err = Wish(t.Context(), report, "IO_combine_limit=1MB")
	if err != nil || a.Proposed != "128" || !strings.Contains(a.Reason, "the server caps it at io_max_combine_limit, 128kB") {
		t.Errorf("%+v %v", a, err)
	}
	for wish, want := range map[string]string{
		"io_direct=on": "there is no setting io_direct", "io_method=sync": "takes effect at a restart only", "io_combine_limit=16": "is not on the list",
	} {
		name, _, _ := cutWish(wish)
		if r := Forbidden(report.Status, name); r == nil || !strings.Contains(r.Reason, want) {
			t.Errorf("%s: %+v", wish, r)
		}
	}
	for _, bad := range []string{"io_workers", "=3", "io_workers="} {
		if _, err := ApplyTask(nil, bad, Options{}); err == nil || !strings.Contains(err.Error(), "write the setting and the value") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestPreflight(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, pgtest.Database(t))
	report, err := Look(t.Context(), Options{Pool: pool, Samples: 1})
	if err != nil {
		t.Fatal(err)
	}
	if report.Local == nil || report.Local.Program == "" || report.Local.Cores < 1 {
		t.Fatalf("the test's server runs on this machine: %+v", report.Local)
	}
	a, err := Wish(t.Context(), report, "io_method=sync")
	if err != nil || a.Tried == nil || !a.Tried.Starts || a.Tried.Output != "" {
		t.Errorf("io_method=sync: %+v %+v %v", a, a.Tried, err)
	}
	// Within the range that ALTER SYSTEM checks, and yet no server starts with so many.
	report.Status.MaxConnections, report.Status.SharedBuffers = "262143", "8TB"
	a, err = Wish(t.Context(), report, "io_max_concurrency=1024")
	if err != nil || a.Tried == nil || a.Tried.Starts || !strings.Contains(a.Tried.Output, "FATAL:") {
		t.Errorf("io_max_concurrency=1024 for 262143 connections: %+v %v", a.Tried, err)
	}
	left, err := filepath.Glob(a.Tried.Args[2])
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if p, err := (*Local)(nil).TryStart(t.Context(), report.Status, "io_method", "sync"); p != nil || err != nil {
		t.Errorf("elsewhere: %+v %v", p, err)
	}
}
