package asyncio

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgtender/pgtender/internal/pgtest"
)

// serverCPU is the time that a server process has spent on a CPU, as the kernel counts it.
func serverCPU(b *testing.B, pid int) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid))
	if err != nil {
		b.Fatal(err)
	}
	ns, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return time.Duration(ns)
}

// BenchmarkCost measures what watching costs the server: the CPU time of the session that is asked, by the kernel's count, with forty other sessions open.
// The job reads the status once and samples ten times a second apart each hour; a trial samples each second.
func BenchmarkCost(b *testing.B) {
	url := pgtest.Database(b)
	for range 40 {
		pgtest.Session(b, url)
	}
	conn := pgtest.Session(b, url)
	var pid int
	if err := conn.QueryRow(b.Context(), "SELECT pg_backend_pid()").Scan(&pid); err != nil {
		b.Fatal(err)
	}
	h := &hand{db: conn}
	const rounds = 100
	cost := func(f func() error) time.Duration {
		for range 10 { // warm caches, prepared statements
			if err := f(); err != nil {
				b.Fatal(err)
			}
		}
		before := serverCPU(b, pid)
		for range rounds {
			if err := f(); err != nil {
				b.Fatal(err)
			}
		}
		return (serverCPU(b, pid) - before) / rounds
	}
	for b.Loop() {
		status := cost(func() error { _, err := Read(b.Context(), conn); return err })
		observe := cost(func() error { _, err := Observe(b.Context(), conn, minSamples, time.Nanosecond); return err })
		sample := cost(func() error { _, err := h.sample(b.Context()); return err })
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(float64(status.Microseconds())/1000, "status-ms")
		b.ReportMetric(float64(observe.Microseconds())/1000, "observation-ms")
		b.ReportMetric(float64(sample.Microseconds())/1000, "trial-sample-ms")
		b.ReportMetric(100*(status+observe).Seconds()/(10*time.Second).Seconds(), "%core/observing")
		b.ReportMetric(100*sample.Seconds(), "%core/trial")
	}
}
