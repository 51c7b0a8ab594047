package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	toolkit "github.com/prometheus/exporter-toolkit/web"
	"go.uber.org/zap"
)

// drain is how long requests may take to end when the server stops.
const drain = 3 * time.Second

// Condition is one thing that must hold before pgtender is ready.
type Condition struct {
	Name string // "schema in place"
	OK   bool
	Why  string // what is missing
}

// Options are what a server works with. Every function answers from memory.
type Options struct {
	Listen string // host:port; port 0 takes a free one
	// ConfigFile is for TLS and basic authentication, in prometheus/exporter-toolkit's format; empty: neither. Authentication
	// holds for every path, the probes too.
	ConfigFile string
	Collectors []prometheus.Collector
	Text       func(*bytes.Buffer) // further metrics, in the text format; nil: none
	Ready      func() []Condition
	Source     Source
	Log        *zap.Logger // nil: silent
}

// Server answers HTTP. Listen, then Run.
type Server struct {
	opt      Options
	log      *zap.Logger
	http     *http.Server
	listener net.Listener
}

// New makes a server; a configuration file that cannot be used is an error.
func New(o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if err := toolkit.Validate(o.ConfigFile); err != nil {
		return nil, fmt.Errorf("web configuration file %s: %w", o.ConfigFile, err)
	}
	registry := prometheus.NewRegistry()
	for _, c := range append([]prometheus.Collector{collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})}, o.Collectors...) {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register the metrics: %w", err)
		}
	}
	page, err := newPage(o.Source)
	if err != nil {
		return nil, err
	}
	s := &Server{opt: o, log: o.Log}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "alive\n") })
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("GET /metrics", promhttp.InstrumentMetricHandler(registry, &scrape{registry: registry, text: o.Text, log: o.Log}))
	mux.HandleFunc("GET /status", page.html)
	mux.HandleFunc("GET /status.json", page.json)
	mux.HandleFunc("GET /icon.svg", page.icon)
	mux.Handle("GET /{$}", http.RedirectHandler("/status", http.StatusSeeOther))
	s.http = &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10, ErrorLog: zap.NewStdLog(o.Log),
	}
	return s, nil
}

// Listen takes the address; an address that somebody else has is an error.
func (s *Server) Listen(ctx context.Context) error {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", s.opt.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w\nChoose another address: --listen, or listen in the daemon block", s.opt.Listen, err)
	}
	s.listener = listener
	return nil
}

// Addr is the address that Listen took, host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Run serves until ctx ends, lets requests end within three seconds, and then returns nil.
func (s *Server) Run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() {
		served <- toolkit.Serve(s.listener, s.http, &toolkit.FlagConfig{WebConfigFile: &s.opt.ConfigFile}, slog.New(bridge{s.log}))
	}()
	select {
	case err := <-served:
		s.listener.Close()
		return fmt.Errorf("serve on %s: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	ending, stop := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer stop()
	err := s.http.Shutdown(ending)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.http.Close()
	}
	s.listener.Close() // Serve may not have begun
	if ended := <-served; err == nil && !errors.Is(ended, http.ErrServerClosed) && !errors.Is(ended, net.ErrClosed) {
		err = ended
	}
	if err != nil {
		return fmt.Errorf("stop serving on %s: %w", s.Addr(), err)
	}
	return nil
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	missing := missing(s.opt.Ready)
	if len(missing) == 0 {
		plain(w, http.StatusOK, "ready\n")
		return
	}
	text := "not ready\n"
	for _, m := range missing {
		text += m + "\n"
	}
	plain(w, http.StatusServiceUnavailable, text)
}

// missing says what keeps pgtender from being ready.
func missing(ready func() []Condition) []string {
	if ready == nil {
		return nil
	}
	var out []string
	for _, c := range ready() {
		if c.OK {
			continue
		}
		line := c.Name
		if c.Why != "" {
			line += ": " + c.Why
		}
		out = append(out, line)
	}
	return out
}

func plain(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text)) // whoever asked has gone, if this fails
}

// bridge takes what exporter-toolkit logs; its notices of listening are ours to give.
type bridge struct{ log *zap.Logger }

func (b bridge) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }
func (b bridge) WithAttrs([]slog.Attr) slog.Handler               { return b }
func (b bridge) WithGroup(string) slog.Handler                    { return b }
func (b bridge) Handle(_ context.Context, r slog.Record) error {
	var fields []zap.Field
	r.Attrs(func(a slog.Attr) bool {
		fields = append(fields, zap.String(a.Key, a.Value.String()))
		return true
	})
	b.log.Warn(r.Message, fields...)
	return nil
}
