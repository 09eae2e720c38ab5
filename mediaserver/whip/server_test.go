package whip

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/rtc"
	"github.com/streampair/streampair/mediaserver/sdpoffer"
	"github.com/streampair/streampair/mediaserver/stream"
)

const sdpType = sdpoffer.ContentType

// A testServer is a whole WHIP server on loopback.
type testServer struct {
	*httptest.Server
	handler  *Handler
	registry *stream.Registry
	metrics  *metrics.Metrics
	gatherer *prometheus.Registry
}

func newTestServer(t *testing.T, change func(*Config)) *testServer {
	t.Helper()
	s := makeTestServer(t, "127.0.0.1:0", change)
	s.Server.Start()
	return s
}

// makeTestServer is newTestServer with WebRTC on the given address. The server is not started yet.
func makeTestServer(t *testing.T, media string, change func(*Config)) *testServer {
	t.Helper()
	gatherer := prometheus.NewRegistry()
	m := metrics.New(gatherer)
	engine, err := rtc.NewEngine(rtc.EngineConfig{Address: media, Metrics: m, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s := &testServer{metrics: m, gatherer: gatherer, registry: stream.NewRegistry(stream.Config{Metrics: m})}
	cfg := Config{
		Engine: engine, Registry: s.registry, Metrics: m, Logger: slog.New(slog.DiscardHandler),
		Authorize: func(stream.Key, string) (bool, error) { return false, nil },
	}
	if change != nil {
		change(&cfg)
	}
	s.handler = NewHandler(cfg)
	mux := http.NewServeMux()
	s.handler.Register(mux)
	s.Server = httptest.NewUnstartedServer(mux)
	t.Cleanup(func() {
		s.Server.Close()
		s.handler.Close()
		engine.Close()
		http.DefaultClient.CloseIdleConnections()
		goleak.VerifyNone(t)
	})
	return s
}

// refusals returns the value of the metric for a reason.
func (s *testServer) refusals(t *testing.T, reason string) float64 {
	t.Helper()
	families, err := s.gatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "streampair_publish_refusals_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "reason" && l.GetValue() == reason {
					return m.GetCounter().GetValue()
				}
			}
		}
	}
	return 0
}

// do makes a request and returns the response, with its body read.
func (s *testServer) do(t *testing.T, method, path, contentType, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(got)
}

// A collector keeps what a stream delivers until it is stopped.
type collector struct {
	mu    sync.Mutex
	units []*stream.AccessUnit
	stop  func()
}

func collect(t *testing.T, s *stream.Stream) *collector {
	t.Helper()
	sub := s.Subscribe(4096)
	done, c := make(chan struct{}), &collector{}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case u := <-sub.C:
				c.mu.Lock()
				c.units = append(c.units, u)
				c.mu.Unlock()
			case <-done:
				return
			}
		}
	})
	c.stop = sync.OnceFunc(func() { close(done); wg.Wait(); sub.Close() })
	t.Cleanup(c.stop)
	return c
}

func (c *collector) of(kind stream.Kind) (out []*stream.AccessUnit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, u := range c.units {
		if u.Kind == kind {
			out = append(out, u)
		}
	}
	return out
}

func (c *collector) String() string {
	return fmt.Sprintf("%d pictures, %d audio packets", len(c.of(stream.Video)), len(c.of(stream.Audio)))
}
