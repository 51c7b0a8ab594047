package cli_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgtender/pgtender/internal/cli"
	"github.com/pgtender/pgtender/internal/web"
)

// web serves with a web configuration file (empty: none), until the test ends.
func serveWeb(t *testing.T, file string, ready func() []web.Condition) string {
	t.Helper()
	s, err := web.New(web.Options{Listen: "127.0.0.1:0", ConfigFile: file, Ready: ready})
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

func probe(t *testing.T, args ...string) (int, string, string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := cli.Main(t.Context(), append([]string{"probe"}, args...), nil, &stdout, &stderr, func(string) string { return "" })
	return code, stdout.String(), stderr.String()
}

func TestProbe(t *testing.T) {
	t.Parallel()
	ready := true
	address := "http://" + serveWeb(t, "", func() []web.Condition {
		return []web.Condition{{Name: "connected", OK: ready, Why: "no server answers"}}
	})
	if code, out, _ := probe(t, "--address", address); code != 0 || out != "alive\n" {
		t.Errorf("livez: %d %q", code, out)
	}
	if code, out, _ := probe(t, "readyz", "--address", address); code != 0 || out != "ready\n" {
		t.Errorf("readyz: %d %q", code, out)
	}
	ready = false
	if code, out, says := probe(t, "readyz", "--address", address); code != 1 || out != "not ready\nconnected: no server answers\n" || says != "pgtender: probe "+address+"/readyz: 503 Service Unavailable\n" {
		t.Errorf("readyz: %d %q %q", code, out, says)
	}
	if code, _, _ := probe(t, "livez", "--address", address); code != 0 {
		t.Errorf("not ready, but alive: %d", code)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if code, _, says := probe(t, "--address", "http://"+l.Addr().String()); code != 1 || !strings.Contains(says, "connection refused") {
		t.Errorf("nobody there: %d %q", code, says)
	}
	for _, args := range [][]string{{"healthz"}, {"livez", "readyz"}, {"--address", "127.0.0.1:9818"}, {"--address", "ftp://x"}, {"--address", address, "--user", "x", "--password-file", "/nonexistent"}} {
		if code, out, says := probe(t, args...); code != 1 || out != "" || says == "" {
			t.Errorf("%q: %d %q %q", args, code, out, says)
		}
	}
}

// The shipped example of TLS and basic authentication is read, and holds for the page, the metrics and the probes; pgtender probe gets in.
func TestWebConfigExample(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text, err := os.ReadFile(filepath.Join(repository(t), "deploy", "web-config.yml"))
	if err != nil {
		t.Fatal(err)
	}
	certificate(t, dir)
	file := filepath.Join(dir, "web-config.yml")
	for name, content := range map[string]string{file: string(text), filepath.Join(dir, "password"): "change-me\n", filepath.Join(dir, "wrong"): "guess"} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	address := "https://" + serveWeb(t, file, nil)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	for _, path := range []string{"/status", "/status.json", "/metrics", "/livez", "/readyz"} {
		for password, want := range map[string]int{"": 401, "guess": 401, "change-me": 200} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if password != "" {
				request.SetBasicAuth("prometheus", password)
			}
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(response.Body)
			response.Body.Close()
			if response.StatusCode != want || want == 200 && len(body) == 0 {
				t.Errorf("%s with password %q: %d", path, password, response.StatusCode)
			}
		}
	}
	in := []string{"readyz", "--address", address, "--user", "prometheus", "--password-file"}
	if code, out, says := probe(t, append(in, filepath.Join(dir, "password"))...); code != 0 || out != "ready\n" {
		t.Errorf("probe: %d %q %q", code, out, says)
	}
	if code, _, says := probe(t, append(in, filepath.Join(dir, "wrong"))...); code != 1 || !strings.Contains(says, "401 Unauthorized") || strings.Contains(says, "guess") {
		t.Errorf("probe with a wrong password: %d %q", code, says)
	}
}

// certificate writes tls.crt and tls.key for this machine.
func certificate(t *testing.T, dir string) {
	t.Helper()
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
	for name, block := range map[string]*pem.Block{"tls.crt": {Type: "CERTIFICATE", Bytes: cert}, "tls.key": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
