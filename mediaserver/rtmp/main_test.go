package rtmp

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long tests wait for what should happen. It is long, because a slow
// machine proves nothing about the product.
const patience = 20 * time.Second

// A harness is a running server with its registry.
type harness struct {
	testing.TB
	server   *Server
	registry *stream.Registry
	metrics  *metrics.Metrics
}

// start runs a server on loopback until the test ends. change may be nil.
func start(tb testing.TB, change func(*Config)) *harness {
	tb.Helper()
	m := metrics.New(prometheus.NewRegistry())
	log := testLogger(tb)
	registry := stream.NewRegistry(stream.Config{Logger: log, Metrics: m})
	cfg := Config{
		Address: "127.0.0.1:0", Registry: registry, Metrics: m, Logger: log,
		Authorize: func(stream.Key, string) (bool, error) { return true, nil },
	}
	if change != nil {
		change(&cfg)
	}
	server, err := NewServer(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- server.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				tb.Error("Run:", err)
			}
		case <-time.After(patience):
			tb.Error("Run does not end")
		}
	})
	return &harness{tb, server, registry, m}
}

func (h *harness) url(path string) string { return "rtmp://" + h.server.Addr().String() + path }

// guardRefusals returns how often the guard refused for that reason.
func (h *harness) guardRefusals(r Reason) int {
	return int(testutil.ToFloat64(h.metrics.GuardRefusals.WithLabelValues(string(r))))
}

func (h *harness) publishRefusals(r Reason) int {
	return int(testutil.ToFloat64(h.metrics.PublishRefusals.WithLabelValues("rtmp", string(r))))
}

var live = stream.Key{App: "live", ID: "primary"}

// A lineWriter logs to the test, and drops lines after the test has ended.
type lineWriter struct {
	mu sync.Mutex
	tb testing.TB
}

func testWriter(tb testing.TB) *lineWriter {
	w := &lineWriter{tb: tb}
	tb.Cleanup(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.tb = nil
	})
	return w
}

func (w *lineWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tb != nil {
		w.tb.Log(string(b[:len(b)-1]))
	}
	return len(b), nil
}

func testLogger(tb testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(testWriter(tb), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// selfSigned returns a certificate for 127.0.0.1.
func selfSigned(tb testing.TB) *tls.Config {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}
