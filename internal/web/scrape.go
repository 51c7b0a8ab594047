package web

import (
	"bytes"
	"net/http"
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"go.uber.org/zap"
)

// scrape answers /metrics in the text format, which every Prometheus reads: the answer is put together in memory and sent at once. It
// is not compressed: gzip would cost more time than the rest, and 3 MB of memory, to spare some 60 kB on the wire.
type scrape struct {
	registry *prometheus.Registry
	text     func(*bytes.Buffer)
	log      *zap.Logger
	buffers  sync.Pool // of *bytes.Buffer
}

func (s *scrape) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	b, ok := s.buffers.Get().(*bytes.Buffer)
	if !ok {
		b = new(bytes.Buffer)
	}
	defer s.buffers.Put(b)
	b.Reset()
	families, err := s.registry.Gather()
	if err != nil { // what could be gathered is worth having
		s.log.Error("a part of a scrape is missing", zap.Error(err))
	}
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(b, f); err != nil { // a buffer takes everything, so the family is not sound
			s.log.Error("a part of a scrape is missing", zap.String("metric", f.GetName()), zap.Error(err))
		}
	}
	if s.text != nil {
		s.text(b)
	}
	w.Header().Set("Content-Type", string(expfmt.NewFormat(expfmt.TypeTextPlain)))
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	_, _ = w.Write(b.Bytes()) // whoever asked has gone, if this fails
}
