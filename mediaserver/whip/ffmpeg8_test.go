package whip

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/stream"
)

// TestFFmpeg8Publishes uses the WHIP muxer of FFmpeg 8. Unless told otherwise, FFmpeg 8 is the
// DTLS server. It takes the first candidate of the answer and no other.
func TestFFmpeg8Publishes(t *testing.T) {
	both := mediatest.Spec{Duration: 20 * time.Second, GOP: time.Second, Container: "mkv", AudioCodec: "libopus"}
	picture, sound := both, both
	picture.NoAudio, sound.NoVideo = true, true
	for name, test := range map[string]struct {
		spec    mediatest.Spec
		options []string
	}{
		"as it is":               {both, nil},
		"with a token":           {both, []string{"authorization=secret"}},
		"as the DTLS client":     {both, []string{"whip_flags=dtls_active"}},
		"video alone":            {picture, nil},
		"audio alone":            {sound, nil},
		"from another namespace": {both, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var ns *mediatest.Namespace
			if strings.Contains(name, "namespace") {
				if !mediatest.CanMakeNamespaces() {
					t.Skip("this needs root on Linux, and iproute2")
				}
				ns = mediatest.NewNamespace(t) // before the server lists its addresses
			}
			s := newTestServerOn(t, ":0", func(c *Config) {
				if name == "with a token" {
					c.Authorize = func(_ stream.Key, token string) (bool, error) {
						if token != "secret" {
							return false, errors.New("the token is missing or wrong")
						}
						return true, nil
					}
				}
			})
			got := collect(t, s.registry.Stream(primary))
			_, port, err := net.SplitHostPort(s.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			url := func(host string) string { return "http://" + net.JoinHostPort(host, port) + "/live/whip/primary" }
			if file := mediatest.File(t, test.spec); ns != nil {
				mediatest.PublishFFmpeg8From(t, ns, file, "whip", url(ns.Host.String()), test.options...)
			} else {
				mediatest.PublishFFmpeg8(t, file, "whip", url("127.0.0.1"), test.options...)
			}
			eventually.True(t, "pictures and sound", func() bool {
				return (test.spec.NoVideo || len(got.of(stream.Video)) > 60) && (test.spec.NoAudio || len(got.of(stream.Audio)) > 100)
			})
			if w := s.registry.Stream(primary).Snapshot().Warnings; len(w) > 0 {
				t.Errorf("warnings: %v", w)
			}
		})
	}
}

// newTestServerOn is newTestServer with media on the given address, and HTTP on all addresses.
func newTestServerOn(t *testing.T, media string, change func(*Config)) *testServer {
	t.Helper()
	s := makeTestServer(t, media, change)
	listener, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	s.Server.Listener.Close()
	s.Server.Listener = listener
	s.Server.Start()
	return s
}
