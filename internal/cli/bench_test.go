package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgtender/pgtender/internal/pgtest"
)

// The database of BenchmarkDaemon: 300 tables in use, of which ten are partitioned by day and kept, and two materialised views.
const (
	benchTables = `DO $$ BEGIN
		FOR i IN 1..290 LOOP
		  EXECUTE format('CREATE TABLE public.plain_%s (id serial PRIMARY KEY, a text, b int REFERENCES public.plain_%s, at timestamptz DEFAULT now())', i, greatest(i - 1, 1));
		  EXECUTE format('CREATE INDEX ON public.plain_%s (a, at)', i);
		END LOOP;
		FOR i IN 1..10 LOOP
		  EXECUTE format('CREATE TABLE public.kept_%s (at timestamptz NOT NULL, v int) PARTITION BY RANGE (at)', i);
		  EXECUTE format('CREATE TABLE public.kept_%s_archive (at timestamptz NOT NULL, v int) PARTITION BY RANGE (at)', i);
		END LOOP; END $$`
	benchViews = `DO $$ BEGIN FOR i IN 1..2 LOOP
		EXECUTE format('CREATE MATERIALIZED VIEW public.view_%s AS SELECT count(*) AS n FROM public.plain_1', i);
		EXECUTE format('CREATE UNIQUE INDEX ON public.view_%s (n)', i); END LOOP; END $$`
)

func benchFile(b *testing.B) string {
	b.Helper()
	var text strings.Builder
	text.WriteString("env \"bench\" {\n  url = getenv(\"DATABASE_URL\")\n  daemon { listen = \"127.0.0.1:0\" }\n  io { mode = \"observe\" }\n")
	for i := range 10 {
		fmt.Fprintf(&text, "  partition \"kept_%d\" {\n    interval = \"day\"\n    ahead = 20\n    archive {\n      after = \"30 days\"\n      into = \"kept_%d_archive\"\n    }\n  }\n", i+1, i+1)
	}
	for i := range 2 {
		fmt.Fprintf(&text, "  refresh \"view_%d\" { schedule = \"*/5 * * * *\" }\n", i+1)
	}
	text.WriteString("}\n")
	path := filepath.Join(b.TempDir(), "atlas.hcl")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

// BenchmarkDaemon starts the program as it is released and scrapes it: how long an answer takes, how many series it has, and what the
// process holds in memory after its first turn, and at most.
func BenchmarkDaemon(b *testing.B) {
	exe := filepath.Join(b.TempDir(), "pgtender")
	build := exec.Command("go", "build", "-buildvcs=false", "-trimpath", "-ldflags", "-s -w", "-o", exe, "./cmd/pgtender")
	build.Dir, build.Env = repository(b), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	url := pgtest.Database(b)
	pgtest.Exec(b, url, benchTables, benchViews)

	var log lines
	ctx, stop := context.WithCancel(b.Context())
	cmd := exec.CommandContext(ctx, exe, "--log-format", "json", "--config", benchFile(b), "run")
	cmd.Env, cmd.Stderr = append(os.Environ(), "DATABASE_URL="+url), &log
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		stop()
		_ = cmd.Wait() // it was killed
	}()
	base := "http://" + listening(b, &log)
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if code, _ := fetch(b, base+"/readyz"); code == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			b.Fatalf("it did not become ready:\n%s", &log)
		}
	}
	pgtest.Eventually(b, url, "SELECT count(DISTINCT (job, target)) >= 22 FROM pgtender.run WHERE outcome IS NOT NULL") // each job had its turn

	const scrapes = 20_000 // some 30 s of them: the checks go on meanwhile, at their intervals
	took := make([]time.Duration, 0, scrapes)
	var body bytes.Buffer // one for all, as a scraper has it: what the client throws away should not be in the figures
	spent := processorTime(b, cmd.Process.Pid)
	for b.Loop() {
		for range scrapes {
			started := time.Now()
			code := fetchInto(b, &body, base+"/metrics")
			if took = append(took, time.Since(started)); code != http.StatusOK {
				b.Fatalf("/metrics: %d", code)
			}
		}
	}
	spent = processorTime(b, cmd.Process.Pid) - spent
	series := bytes.Count(body.Bytes(), []byte("\n")) - bytes.Count(body.Bytes(), []byte("\n#"))
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms/scrape-p50")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms/scrape-p99")
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "ms/scrape-max")
	b.ReportMetric(float64(spent.Microseconds())/1000/float64(len(took)), "cpu-ms/scrape")
	b.ReportMetric(float64(series), "series")
	b.ReportMetric(memory(b, cmd.Process.Pid, "VmRSS"), "MB-resident")
	b.ReportMetric(memory(b, cmd.Process.Pid, "VmHWM"), "MB-resident-at-most")
	if series >= 2000 {
		b.Errorf("%d series of 300 tables", series)
	}
}

// listening waits for the address that the daemon logs.
func listening(b *testing.B, log *lines) string {
	b.Helper()
	over := time.After(patience)
	for {
		text, more := log.now()
		if _, rest, ok := strings.Cut(text, `"address":"`); ok {
			address, _, _ := strings.Cut(rest, `"`)
			return address
		}
		select {
		case <-more:
		case <-over:
			b.Fatalf("it does not listen:\n%s", text)
		}
	}
}

func fetch(b *testing.B, url string) (int, string) {
	b.Helper()
	var body bytes.Buffer
	code := fetchInto(b, &body, url)
	return code, body.String()
}

func fetchInto(b *testing.B, body *bytes.Buffer, url string) (code int) {
	b.Helper()
	answer, err := http.Get(url)
	if err != nil {
		b.Fatal(err)
	}
	defer answer.Body.Close()
	body.Reset()
	if _, err := body.ReadFrom(answer.Body); err != nil {
		b.Fatal(err)
	}
	return answer.StatusCode
}

// processorTime is what a process has used of the processors, in steps of 10 ms; 0 where the system does not say.
func processorTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ") // past the name
	fields := strings.Fields(rest)
	var ticks time.Duration
	for _, text := range fields[11:13] { // user and system, of what comes after pid and name
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		ticks += time.Duration(n)
	}
	return ticks * 10 * time.Millisecond
}

// memory is a figure of /proc/PID/status in MB; 0 where there is no such file.
func memory(b *testing.B, pid int, name string) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				b.Fatal(err)
			}
			return kb / 1024
		}
	}
	return 0
}
