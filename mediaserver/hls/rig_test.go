package hls

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streampair/streampair/mediaserver/budget"
	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/stream"
)

const ms = time.Millisecond

// A rig is a Handler with streams, inside a bubble of synctest.
type rig struct {
	*Handler
	t       *testing.T
	mux     *http.ServeMux
	metrics *metrics.Metrics
	token   string // that opens all streams; empty: all are open
}

// inBubble runs a test with a rig, whose clock is that of the bubble. options change the
// configuration.
func inBubble(t *testing.T, test func(r *rig), options ...func(*Config)) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, options...)
		defer r.end()
		test(r)
	})
}

// newRig returns a rig, inside a bubble. Its end must be called.
func newRig(t *testing.T, options ...func(*Config)) *rig {
	m := metrics.New(prometheus.NewRegistry())
	r := &rig{t: t, mux: http.NewServeMux(), metrics: m}
	b := budget.New(budget.Unlimited)
	cfg := Config{
		BootID: "b00t", Budget: b, Metrics: m,
		Registry: stream.NewRegistry(stream.Config{Budget: b, Metrics: m}),
		OpenPair: func(netip.Prefix, failover.PairKey) (Pair, error) { return Pair{}, errors.New("no pairs here") },
		Authorize: func(_, _, _, token string) error {
			if token != r.token {
				return errors.New("the token is wrong")
			}
			return nil
		},
	}
	for _, option := range options {
		option(&cfg)
	}
	r.Handler = NewHandler(cfg)
	r.Register(r.mux)
	return r
}

func (r *rig) end() {
	r.cfg.Registry.Close()
	r.Close()
	synctest.Wait()
}

// get asks for a path, and returns the answer. headers are name, value, name, value …
func (r *rig) get(path string, headers ...string) *http.Response {
	return r.do(r.t.Context(), http.MethodGet, path, headers...)
}

func (r *rig) do(ctx context.Context, method, path string, headers ...string) *http.Response {
	req := httptest.NewRequestWithContext(ctx, method, path, nil)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	r.mux.ServeHTTP(w, req)
	return w.Result()
}

// text returns the body of the answer to a request, which must have that status.
func (r *rig) text(res *http.Response, status int) string {
	r.t.Helper()
	var b strings.Builder
	buffer := make([]byte, 1<<16)
	for {
		n, err := res.Body.Read(buffer)
		b.Write(buffer[:n])
		if err != nil {
			break
		}
	}
	if res.StatusCode != status {
		r.t.Fatalf("status %d, want %d: %s", res.StatusCode, status, b.String())
	}
	return b.String()
}

var (
	sps = []byte{
		0x67, 0x42, 0xc0, 0x28, 0xd9, 0x00, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00,
		0xf0, 0x3c, 0x60, 0xc9, 0x20,
	}
	pps = []byte{0x68, 0xcb, 0x83, 0xcb, 0x20}
)

// publish sends a stream of 25 pictures a second with an IDR each 2 s, and AAC, until stop is called.
func (r *rig) publish(id string) (stop func()) {
	r.t.Helper()
	p, err := r.cfg.Registry.Publish(stream.PublishRequest{Key: stream.Key{App: "live", ID: id}, Protocol: "test"})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer p.End(stream.EndClosed)
		_ = p.SetVideoParameters(sps, pps)
		_ = p.SetAudioFormat(stream.Format{Codec: stream.AAC, Config: []byte{0x11, 0x90}, SampleRate: 48000, Channels: 2})
		frames := 0
		for n := 0; ctx.Err() == nil; n++ {
			at := time.Duration(n) * 40 * ms
			picture := make([]byte, 1000)
			copy(picture, []byte{0x41, 0x9a})
			copy(picture[20:], []byte{byte(n), byte(n >> 8)}) // behind the slice header
			nalus := [][]byte{picture}
			if n%50 == 0 {
				copy(picture, []byte{0x65, 0x88})
				nalus = [][]byte{sps, pps, picture}
			}
			_ = p.WriteVideo(at, at, nalus)
			for time.Duration(frames)*1024*time.Second/48000 <= at {
				_ = p.WriteAudio((time.Duration(frames) * 1024 * time.Second / 48000).Truncate(ms), []byte{0x21, byte(frames), byte(frames >> 8)})
				frames++
			}
			time.Sleep(40 * ms)
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// uris returns the names in a playlist after a prefix, or the attribute URI of tags.
func uris(playlist, tag string) (found []string) {
	for line := range strings.Lines(playlist) {
		line = strings.TrimSpace(line)
		switch {
		case tag == "" && line != "" && !strings.HasPrefix(line, "#"):
			found = append(found, line)
		case tag != "" && strings.HasPrefix(line, tag+":"):
			_, rest, _ := strings.Cut(line, `URI="`)
			uri, _, _ := strings.Cut(rest, `"`)
			found = append(found, uri)
		}
	}
	return found
}

// number returns the value of a tag.
func number(t *testing.T, playlist, tag string) (n int64) {
	t.Helper()
	_, rest, ok := strings.Cut(playlist, tag+":")
	if _, err := fmt.Sscan(rest, &n); err != nil || !ok {
		t.Fatalf("no %s in\n%s", tag, playlist)
	}
	return n
}
