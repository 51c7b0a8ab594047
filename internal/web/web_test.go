package web

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/pgtender/pgtender/checks"
	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pgtest"
)

func TestMain(m *testing.M) {
	code := pgtest.Main(m)
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// sample is a status with something of everything, and with names that would do harm on a page that does not escape them.
func sample(t *testing.T) Source {
	t.Helper()
	schedule, err := config.ParseSchedule("*/5 * * * *", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	events, view := config.Table{Schema: "public", Name: "events"}, config.Table{Schema: "public", Name: "mv"}
	labels := []string{"public", "events"}
	return Source{
		Version: "1.2.3", Now: func() time.Time { return noon },
		Env: &config.Env{Name: "local", Partitions: []config.Partition{{Table: events}},
			Archives:  []config.Archive{{Table: events, Partitioned: true}, {Table: config.Table{Schema: "public", Name: "rows"}}},
			Refreshes: []config.Refresh{{View: view, Schedule: schedule, When: config.RefreshAuto}}},
		Results: func() []checks.Result {
			return []checks.Result{
				{Check: "partition_runway", Group: "partitions", At: noon.Add(-10 * time.Second), Findings: []checks.Finding{{Object: "public.events", Value: 90 * 86400,
					Samples: []checks.Sample{{Metric: "pgtender_partitions", Labels: labels, Value: 22}, {Metric: "pgtender_partition_runway_seconds", Labels: labels, Value: 90 * 86400}}}}},
				{Check: "archive_rows", Group: "archive", At: noon, Findings: []checks.Finding{{Object: "public.events",
					Samples: []checks.Sample{{Metric: "pgtender_archived_rows_total", Labels: labels, Value: 1234567}}}}},
				{Check: "matview_age", Group: "views", At: noon, Findings: []checks.Finding{{Object: "public.mv", Status: checks.Warning, Value: 4000,
					Message: "its data is old", Remedy: "pgtender job run refresh --table public.mv",
					Samples: []checks.Sample{{Metric: "pgtender_matview_age_seconds", Labels: []string{"public", "mv"}, Value: 4000}}}}},
				{Check: "partition_gaps", Group: "partitions", At: noon, Findings: []checks.Finding{{Object: `public.<script>alert(1)</script>`, Status: checks.Critical, Message: `2 holes & "more"`}}},
				{Check: "lock_waits", Group: "sessions", Err: context.DeadlineExceeded, Findings: []checks.Finding{{Status: checks.Unknown, Message: "the check failed"}}},
				{Check: "io_settings", Group: "server", At: noon, Findings: []checks.Finding{{Samples: []checks.Sample{
					{Metric: "pgtender_io_method_info", Labels: []string{"worker"}, Value: 1},
					{Metric: "pgtender_io_setting", Labels: []string{"io_workers"}, Value: 3}, {Metric: "pgtender_io_pending_restart", Labels: []string{"io_workers"}, Value: 1}}}}},
				{Check: "schema_drift", Group: "schema", At: noon, Findings: []checks.Finding{{Samples: []checks.Sample{{Metric: "pgtender_schema_drift_objects", Value: 0},
					{Metric: "pgtender_schema_last_apply_timestamp_seconds", Value: float64(noon.Add(-3 * time.Hour).Unix())}}}}},
			}
		},
		Database: func() Database {
			return Database{URL: "postgres://app@db:5432/app", Version: "18.4", Connected: true}
		},
		Leader: func() Leader { return Leader{Leading: true, State: "leading", Since: noon.Add(-time.Hour)} },
		Jobs: func() []Job {
			return []Job{
				{Job: "refresh", Target: "public.mv", Schedule: "*/5 * * * *", Next: noon.Add(5 * time.Minute), Outcome: "success", Started: noon.Add(-10 * time.Second),
					Finished: noon.Add(-9 * time.Second), Summary: "refreshed concurrently in 1 s", LastSuccess: noon.Add(-9 * time.Second)},
				{Job: "archive", Target: "public.events", Schedule: "30 3 * * *", Outcome: "failure", Started: noon.Add(-9 * time.Hour), Finished: noon.Add(-9 * time.Hour),
					Error: "archive public.events: permission denied\nGRANT …"},
			}
		},
		Ready: func() []Condition {
			return []Condition{{Name: "connected", OK: true}, {Name: "schema in place", Why: "the first plan is being applied"}}
		},
	}
}

// serve starts a server and returns its address. It stops with the test.
func serve(t *testing.T, o Options) string {
	t.Helper()
	o.Listen = "127.0.0.1:0"
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s.Addr()
}

// client follows no redirect and keeps no connection.
func client() *http.Client {
	return &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
}

func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	resp, err := client().Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func TestProbes(t *testing.T) {
	source := sample(t)
	conditions := source.Ready()
	addr := serve(t, Options{Ready: func() []Condition { return conditions }})
	if resp, body := get(t, "http://"+addr+"/livez"); resp.StatusCode != 200 || body != "alive\n" {
		t.Errorf("livez: %d %q", resp.StatusCode, body)
	}
	if resp, body := get(t, "http://"+addr+"/readyz"); resp.StatusCode != 503 || body != "not ready\nschema in place: the first plan is being applied\n" {
		t.Errorf("readyz: %d %q", resp.StatusCode, body)
	}
	conditions = []Condition{{Name: "connected", OK: true}}
	if resp, body := get(t, "http://"+addr+"/readyz"); resp.StatusCode != 200 || body != "ready\n" {
		t.Errorf("readyz: %d %q", resp.StatusCode, body)
	}
	if resp, _ := get(t, "http://"+addr+"/"); resp.StatusCode != 303 || resp.Header.Get("Location") != "/status" {
		t.Errorf("/: %d %s", resp.StatusCode, resp.Header.Get("Location"))
	}
	if resp, _ := get(t, "http://"+addr+"/nothing"); resp.StatusCode != 404 {
		t.Errorf("/nothing: %d", resp.StatusCode)
	}
	resp, err := client().Post("http://"+addr+"/livez", "", nil)
	if err != nil || resp.StatusCode != 405 {
		t.Errorf("POST: %v %v", resp, err)
	}
	resp.Body.Close()
}

func TestMetrics(t *testing.T) {
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "pgtender_thing", Help: "A thing."})
	gauge.Set(7)
	addr := serve(t, Options{Collectors: []prometheus.Collector{gauge}})
	resp, body := get(t, "http://"+addr+"/metrics")
	for _, want := range []string{"pgtender_thing 7\n", "go_goroutines ", "process_resident_memory_bytes ", "promhttp_metric_handler_requests_total"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in the metrics, status %d", want, resp.StatusCode)
		}
	}
	if _, err := New(Options{Collectors: []prometheus.Collector{gauge, gauge}}); err == nil {
		t.Error("a metric is registered twice")
	}
}

func TestStatusJSON(t *testing.T) {
	addr := serve(t, Options{Source: sample(t)})
	resp, body := get(t, "http://"+addr+"/status.json")
	if resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("content type %s", resp.Header.Get("Content-Type"))
	}
	var s Status
	dec := json.NewDecoder(strings.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		t.Fatal(err)
	}
	if s.Ready || len(s.Missing) != 1 || s.Database.Version != "18.4" || !s.Leader.Leading || s.Checks.Status != "critical" || len(s.Jobs) != 2 {
		t.Errorf("status: %+v", s)
	}
	if len(s.Tables) != 2 || *s.Tables[0].Runway != 90*86400 || *s.Tables[0].ArchivedRows != 1234567 || s.Tables[0].Gaps != nil || s.Tables[1].Table != "rows" {
		t.Errorf("tables: %+v", s.Tables)
	}
	if len(s.Views) != 1 || *s.Views[0].Age != 4000 || s.Views[0].Summary != "refreshed concurrently in 1 s" {
		t.Errorf("views: %+v", s.Views)
	}
	if len(s.IO) != 1 || s.IO[0].Name != "io_workers" || *s.IO[0].Value != 3 || !s.IO[0].PendingRestart || s.IOMethod != "worker" {
		t.Errorf("io: %+v", s.IO)
	}
	if *s.Schema.Drift != 0 || !s.Schema.LastApply.Equal(noon.Add(-3*time.Hour)) {
		t.Errorf("schema: %+v", s.Schema)
	}
}

func TestStatusOfNothingAndOfEternity(t *testing.T) {
	addr := serve(t, Options{Source: Source{}})
	for _, path := range []string{"/status", "/status.json"} {
		if resp, body := get(t, "http://"+addr+path); resp.StatusCode != 200 || !strings.Contains(body, "unknown") {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		}
	}
	source := sample(t)
	source.Results = func() []checks.Result {
		return []checks.Result{{Findings: []checks.Finding{{Value: math.Inf(1), Samples: []checks.Sample{
			{Metric: "pgtender_partitions", Labels: []string{"public", "events"}, Value: 1},
			{Metric: "pgtender_partition_runway_seconds", Labels: []string{"public", "events"}, Value: math.Inf(1)}}}}}}
	}
	status := source.status()
	if !status.Tables[0].Endless || status.Tables[0].Runway != nil {
		t.Errorf("a runway without end: %+v", status.Tables[0])
	}
	if _, err := json.Marshal(status); err != nil {
		t.Error(err)
	}
}

func TestStatusPage(t *testing.T) {
	addr := serve(t, Options{Source: sample(t)})
	resp, body := get(t, "http://"+addr+"/status")
	if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		t.Fatalf("%d %s", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	for _, want := range []string{
		"postgres://app@db:5432/app", "leads", "partition_gaps", "pgtender job run refresh --table public.mv", "90 days", "1\u202f234\u202f567",
		"in 5 min", "refreshed concurrently in 1 s", "io_workers", "permission denied", "as declared", "the first plan is being applied",
		"public.&lt;script&gt;alert(1)&lt;/script&gt;", "2 holes &amp; &#34;more&#34;",
	} {
		if !strings.Contains(strings.ReplaceAll(body, "<wbr>", ""), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(body, "<script") {
		t.Error("the page has a script")
	}
	critical, unknown, warning := strings.Index(body, "partition_gaps"), strings.Index(body, "lock_waits"), strings.Index(body, "matview_age")
	if critical < 0 || unknown < critical || warning < unknown {
		t.Errorf("worst first: critical at %d, unknown at %d, warning at %d", critical, unknown, warning)
	}
	if csp := resp.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; style-src 'sha256-") {
		t.Errorf("policy %q", csp)
	}
	if strings.Contains(body, "ZgotmplZ") {
		t.Error("the template engine refused a value")
	}
}

func TestAddressInUse(t *testing.T) {
	addr := serve(t, Options{})
	s, err := New(Options{Listen: addr})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(t.Context()); err == nil || !strings.Contains(err.Error(), "listen on "+addr) {
		t.Errorf("error %v", err)
	}
}

func TestBasicAuthentication(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.yml")
	if _, err := New(Options{ConfigFile: path}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a file that is not there: %v", err)
	}
	// The hash is of "secret".
	if err := os.WriteFile(path, []byte("basic_auth_users:\n  ann: $2a$04$v6TAPJ6YPGWWy5KeY4hi3Oo9pw.YXwKprHkpTssuqFpq4E/A6cL56\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	addr := serve(t, Options{ConfigFile: path, Source: sample(t)})
	if resp, _ := get(t, "http://"+addr+"/status"); resp.StatusCode != 401 {
		t.Errorf("without a password: %d", resp.StatusCode)
	}
	if resp, _ := get(t, "http://ann:wrong@"+addr+"/status"); resp.StatusCode != 401 {
		t.Errorf("with a wrong password: %d", resp.StatusCode)
	}
	if resp, _ := get(t, "http://ann:secret@"+addr+"/status"); resp.StatusCode != 200 {
		t.Errorf("with the password: %d", resp.StatusCode)
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"cert.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		"key.pem":  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
		"web.yml":  []byte("tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	addr := serve(t, Options{ConfigFile: filepath.Join(dir, "web.yml")})
	if resp, body := get(t, "https://"+addr+"/livez"); resp.StatusCode != 200 || resp.TLS == nil || body != "alive\n" {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
	if resp, _ := get(t, "http://"+addr+"/livez"); resp.StatusCode != 400 {
		t.Errorf("without TLS: %d", resp.StatusCode)
	}
}

func TestStopLetsRequestsEnd(t *testing.T) {
	asked, release := make(chan struct{}), make(chan struct{})
	source := sample(t)
	source.Leader = func() Leader {
		close(asked)
		<-release
		return Leader{}
	}
	s, err := New(Options{Listen: "127.0.0.1:0", Source: source})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done, got := make(chan error, 1), make(chan string, 1)
	go func() { done <- s.Run(ctx) }()
	go func() {
		resp, err := client().Get("http://" + s.Addr() + "/status.json")
		if err != nil {
			got <- err.Error()
			return
		}
		resp.Body.Close()
		got <- resp.Status
	}()
	<-asked
	stop()
	for { // the address is free while the last request goes on
		conn, err := net.Dial("tcp", s.Addr())
		if err != nil {
			break
		}
		conn.Close()
	}
	close(release)
	if status := <-got; status != "200 OK" {
		t.Errorf("the request under way ended with %s", status)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestStopCutsOffWhoDoesNotRead(t *testing.T) {
	s, err := New(Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "200") {
		t.Fatalf("%q %v", line, err)
	}
	fmt.Fprint(conn, "GET /livez HTTP/1.1\r\nHost:") // and no more
	stop()
	started := time.Now()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if took := time.Since(started); took > drain+2*time.Second {
		t.Errorf("stopping took %s", took)
	}
}
