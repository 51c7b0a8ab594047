package web

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgtender/pgtender/checks"
	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/devpg"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
)

// tended is a daemon's checks and HTTP side over a server of the test's own.
type tended struct {
	addr      string
	server    *devpg.Server
	collector *checks.Collector
}

func tend(t *testing.T) *tended {
	t.Helper()
	server := pgtest.Private(t)
	pgtest.Exec(t, server.URL("postgres"), "CREATE TABLE public.mine ()")
	pool, err := pg.Open(t.Context(), server.URL("postgres"), 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	env := &config.Env{Schemas: []string{"public"}, Daemon: config.Daemon{Location: time.UTC},
		Checks: []config.SQLCheck{{Name: "mine", SQL: "SELECT count(*) FROM public.mine"}}}
	all, err := checks.All(env, checks.Sources{})
	if err != nil {
		t.Fatal(err)
	}
	// schema_apply reads pgtender's own schema, which is not here.
	all = slices.DeleteFunc(all, func(c checks.Check) bool { return c.Name == "schema_apply" })
	for i := range all {
		all[i].Every = 20 * time.Millisecond
	}
	c := checks.NewCollector(checks.Options{Pool: pool, Checks: all})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	exporter := checks.NewExporter(checks.ExporterOptions{Collector: c})
	addr := serve(t, Options{Collectors: []prometheus.Collector{exporter}, Text: exporter.Text,
		Source: Source{Env: env, Results: c.Results}})
	return &tended{addr, server, c}
}

// until waits for a check to be up or not, and then asks every path: each answers at once.
func (d *tended) until(t *testing.T, check string, up bool) string {
	t.Helper()
	want := `pgtender_check_up{check="` + check + `"} 0`
	if up {
		want = `pgtender_check_up{check="` + check + `"} 1`
	}
	for deadline := time.Now().Add(30 * time.Second); ; {
		metrics := d.scrape(t, "/metrics")
		if strings.Contains(metrics, want) {
			d.scrape(t, "/livez")
			d.scrape(t, "/status")
			d.scrape(t, "/status.json")
			return metrics
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %s in:\n%s", want, metrics)
		}
	}
}

// scrape answers while the lock is held, or the server away: what asked the database would wait. make bench measures how fast.
func (d *tended) scrape(t *testing.T, path string) string {
	t.Helper()
	resp, text := get(t, "http://"+d.addr+path)
	if resp.StatusCode != 200 {
		t.Fatalf("%s: %s", path, resp.Status)
	}
	return text
}

func TestScrapeAnswersWhileATableIsLocked(t *testing.T) {
	d := tend(t)
	if m := d.until(t, "mine", true); !strings.Contains(m, `pgtender_check_value{check="mine",object=""} 0`) {
		t.Errorf("metrics:\n%s", m)
	}
	conn, err := pgx.Connect(t.Context(), d.server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), "BEGIN; LOCK TABLE public.mine"); err != nil {
		t.Fatal(err)
	}
	m := d.until(t, "mine", false)
	if strings.Contains(m, `pgtender_check_value{check="mine"`) || !strings.Contains(m, `pgtender_check_age_seconds{check="mine"}`) ||
		!strings.Contains(m, `pgtender_check_up{check="lock_waits"} 1`) {
		t.Errorf("metrics:\n%s", m)
	}
	if _, err := conn.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	d.until(t, "mine", true)
}

func TestScrapeAnswersWhileTheServerIsAway(t *testing.T) {
	d := tend(t)
	d.until(t, "lock_waits", true)
	if err := d.server.Down(t.Context(), devpg.Immediate); err != nil {
		t.Fatal(err)
	}
	if m := d.until(t, "lock_waits", false); strings.Contains(m, `pgtender_check_status{check="lock_waits"`) {
		t.Errorf("metrics:\n%s", m)
	}
	if page := d.scrape(t, "/status"); !strings.Contains(page, "no server answers") {
		t.Errorf("the page does not say why:\n%s", page)
	}
	if err := d.server.Up(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	d.until(t, "lock_waits", true)
}
