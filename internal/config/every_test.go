package config

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRefreshEveryView(t *testing.T) {
	env := mustLoad(t, LoadOptions{File: write(t, `
env "x" {
  url     = "postgres://x"
  schemas = ["public", "more"]
  exclude = ["public.legacy_*"]
  refresh "own" {
    schedule = "@daily"
  }
  refresh "*" {
    schedule      = "@hourly"
    when          = "auto"
    max_staleness = "1 day"
  }
}`)})
	if !env.HasViews() || len(env.Views()) != 1 {
		t.Errorf("before it is known what there is: %v", env.Views())
	}
	in := func(schema, name string) Table { return Table{Schema: schema, Name: name} }
	env.Cover([]Table{in("public", "own"), in("public", "z"), in("more", "a"), in("public", "legacy_1"), in("other", "b")})
	var got []string
	for _, r := range env.Views() {
		got = append(got, r.View.String()+" "+r.Schedule.Text+" "+string(r.When))
		if r.Covered != (r.View.Name != "own") || r.Covered && r.MaxStaleness.Before(time.Unix(86400, 0), time.UTC) != time.Unix(0, 0).UTC() {
			t.Errorf("%+v", r)
		}
	}
	if diff := cmp.Diff([]string{"more.a @hourly auto", "public.own @daily always", "public.z @hourly auto"}, got); diff != "" {
		t.Error(diff)
	}
	env.Cover(nil)
	if len(env.Views()) != 3 {
		t.Error("a second look changed what the process works on")
	}
}
