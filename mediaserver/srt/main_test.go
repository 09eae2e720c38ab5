package srt

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts/codecs"
	gosrt "github.com/datarhei/gosrt"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/access"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/stream"
)

// The library's caller leaves a goroutine behind when a connection ends at the wrong moment.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/datarhei/gosrt.Dial.func1"))
}

// patience is how long tests wait for what should happen.
const patience = 20 * time.Second

const passphrase = "a-long-passphrase"

var (
	primary = stream.Key{App: "live", ID: "primary"}
	secret  = stream.Key{App: "live", ID: "secret"} // has a passphrase
)

// A harness is a running server with its registry. The streams primary and secret exist. Their token
// is TOKEN.
type harness struct {
	*testing.T
	server   *Server
	registry *stream.Registry
	metrics  *metrics.Metrics
}

// start runs a server on loopback until the test ends. change may be nil.
func start(t *testing.T, change func(*Config)) *harness {
	t.Helper()
	m := metrics.New(prometheus.NewRegistry())
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	registry := stream.NewRegistry(stream.Config{Logger: log, Metrics: m})
	cfg := Config{
		Address: "127.0.0.1:0", Registry: registry, Metrics: m, Logger: log,
		Authorize: func(key stream.Key, token string) (bool, error) {
			switch {
			case key != primary && key != secret:
				return false, stream.ErrUndeclared
			case token != "TOKEN":
				return false, access.ErrUnauthorized
			}
			return true, nil
		},
		Passphrases: func(key stream.Key) ([]string, bool) { return []string{passphrase}, key == secret },
	}
	if change != nil {
		change(&cfg)
	}
	server, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error("Run:", err)
			}
		case <-time.After(patience):
			t.Error("Run does not end")
		}
	})
	return &harness{t, server, registry, m}
}

func (h *harness) addr() string { return h.server.Addr().String() }

// url returns the URL for ffmpeg.
func (h *harness) url(streamID string, options ...string) string {
	url := fmt.Sprintf("srt://%s?streamid=%s&transtype=live", h.addr(), streamID)
	for _, o := range options {
		url += "&" + o
	}
	return url
}

func (h *harness) refused(r Reason) int {
	return int(testutil.ToFloat64(h.metrics.PublishRefusals.WithLabelValues("srt", string(r))))
}

func (h *harness) dropped(r Reason) int {
	return int(testutil.ToFloat64(h.metrics.SRTDropped.WithLabelValues(string(r))))
}

func (h *harness) isPublished(key stream.Key) bool {
	return h.registry.Stream(key).Snapshot().Publication != nil
}

func (h *harness) awaitPublished(key stream.Key, want bool) {
	h.Helper()
	eventually.True(h, fmt.Sprintf("%s is published: %v", key, want), func() bool { return h.isPublished(key) == want })
}

// dial connects the library's caller. The stream id may be followed by a passphrase.
func (h *harness) dial(streamID, passphrase string, change func(*gosrt.Config)) (gosrt.Conn, error) {
	cfg := gosrt.DefaultConfig()
	cfg.StreamId, cfg.Passphrase, cfg.ConnectionTimeout = streamID, passphrase, 5*time.Second
	if change != nil {
		change(&cfg)
	}
	return gosrt.Dial("srt", h.addr(), cfg)
}

// mustDial is dial for a caller who is let in.
func (h *harness) mustDial(streamID, passphrase string, change func(*gosrt.Config)) gosrt.Conn {
	h.Helper()
	c, err := h.dial(streamID, passphrase, change)
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { _ = c.Close() })
	return c
}

var (
	sps = []byte{0x67, 0x4d, 0x40, 0x0d, 0xda, 0x05, 0x07, 0xec, 0x04, 0x40, 0, 0, 3, 0, 0x40, 0, 0, 0x0c, 0x83, 0xc5, 0x0a, 0xa8}
	pps = []byte{0x68, 0xef, 0x0f, 0xcb}
)

// feed sends pictures through a connection, 30 a second, until the test or the connection ends. Each
// picture is an IDR, with its number in it.
func (h *harness) feed(c gosrt.Conn) (ended <-chan struct{}) {
	done, stop := make(chan struct{}), make(chan struct{})
	h.Cleanup(func() { close(stop); <-done })
	go func() {
		defer close(done)
		track := &mpegts.Track{Codec: &codecs.H264{}}
		var out bytes.Buffer
		w := &mpegts.Writer{W: &out, Tracks: []*mpegts.Track{track}}
		if err := w.Initialize(); err != nil {
			h.Error(err)
			return
		}
		ticker := time.NewTicker(time.Second / 30)
		defer ticker.Stop()
		for n := int64(0); ; n++ {
			picture := append([]byte{0x65, 0x88, 0x80}, numberOf(int(n))...)
			picture = append(picture, bytes.Repeat([]byte{0xaa}, 5000)...)
			if err := w.WriteH264(track, n*3000, n*3000, [][]byte{sps, pps, picture}); err != nil {
				h.Error(err)
				return
			}
			for out.Len() > 0 {
				if _, err := c.Write(out.Next(7 * 188)); err != nil {
					return
				}
			}
			select {
			case <-stop:
				return
			case <-ticker.C:
			}
		}
	}()
	return done
}

// numberOf writes a picture's number without zeros, which would need escapes in a NAL unit.
func numberOf(n int) []byte { return []byte{byte(n>>14) | 0x80, byte(n>>7) | 0x80, byte(n) | 0x80} }

// numberIn reads what numberOf has written.
func numberIn(b []byte) int { return int(b[0]&0x7f)<<14 | int(b[1]&0x7f)<<7 | int(b[2]&0x7f) }

// socket returns a UDP socket that is connected to the server.
func (h *harness) socket() *net.UDPConn {
	h.Helper()
	c, err := net.DialUDP("udp", nil, h.server.Addr().(*net.UDPAddr))
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { _ = c.Close() })
	return c
}
