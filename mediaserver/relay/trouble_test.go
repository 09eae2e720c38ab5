package relay

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/peer"
	"github.com/streampair/streampair/mediaserver/stream"
)

func TestAConnectionThatIsResetIsALossAndComesBack(t *testing.T) {
	t.Parallel()
	there, here := newNode(t), newNode(t)
	g, through := newGate(t, there.web.URL)
	here.follow(through)
	e := &encoder{t: t, node: there, key: primaryKey, sps: sps240, format: aac48}
	e.start()
	e.playUntil("picture", func() bool { return here.snapshot(primaryKey).EntryPoint })
	for range 5 {
		e.play(300 * ms)
		g.Reset()
		lost := e.playUntil("loss", func() bool { return !here.publishing(primaryKey) })
		back := e.playUntil("return", func() bool { return here.snapshot(primaryKey).EntryPoint })
		t.Logf("reset: lost after %v, back after %v more", lost, back)
		if lost > time.Second || back > 2*time.Second {
			t.Error("that is too long")
		}
	}
}

// A connection on which nothing comes stands for a silent publisher: the pair decides when that is
// a loss. The connection is replaced by another one, but the publication goes on.
func TestAConnectionOnWhichNothingComesIsReplaced(t *testing.T) {
	t.Parallel()
	there, here := newNode(t), newNode(t)
	g, through := newGate(t, there.web.URL)
	here.follow(through)
	e := &encoder{t: t, node: there, key: primaryKey, sps: sps240, format: aac48}
	e.start()
	e.playUntil("picture", func() bool { return here.snapshot(primaryKey).EntryPoint })
	g.Blackhole(true)
	e.play(silence + time.Second)
	snap := here.snapshot(primaryKey)
	if snap.Publication == nil {
		t.Error("it is taken for a publisher that has gone")
	}
	if silent := here.registry.Now() - snap.Video.LastArrival; silent < silence {
		t.Errorf("a picture came %v ago", silent)
	}
	if here.failures("silent") == 0 {
		t.Error("the silence was not noticed")
	}
	g.Blackhole(false)
	took := e.playUntil("return", func() bool {
		snap := here.snapshot(primaryKey)
		return snap.EntryPoint && here.registry.Now()-snap.Video.LastArrival < 100*ms
	})
	t.Logf("back %v after the hole was closed", took)
	if took > silence+500*ms+time.Second {
		t.Error("that is too long")
	}
}

func TestWithoutTheTokenNobodyReads(t *testing.T) {
	n := newNode(t)
	for name, header := range map[string]string{
		"no token": "", "another": "Bearer something-else", "another scheme": "Basic " + token, "no scheme": token,
		"an empty one": "Bearer ",
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{"/live/primary.flv", "/live/relay/primary?backupStreamId=backup"} {
				req, err := http.NewRequest(http.MethodGet, n.web.URL+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Authorization", header)
				res, err := n.web.Client().Do(req)
				if err != nil {
					t.Fatal(err)
				}
				_ = res.Body.Close()
				if res.StatusCode != http.StatusUnauthorized {
					t.Errorf("%s: %s", path, res.Status)
				}
			}
		})
	}
}

func TestAClientWithTheWrongTokenIsToldOnceAndGoesOn(t *testing.T) {
	t.Parallel()
	there, here := newNode(t), newNode(t)
	right := make(chan struct{})
	here.follow(there.web.URL, func(c *peer.ClientConfig) {
		c.Token = func() string {
			select {
			case <-right:
				return token
			default:
				return "stale"
			}
		}
	})
	e := &encoder{t: t, node: there, key: primaryKey, sps: sps240, format: aac48}
	e.start()
	e.playUntil("refusals", func() bool { return here.failures("refused") > 5 })
	if here.publishing(primaryKey) {
		t.Error("it got in")
	}
	close(right) // the token is renewed
	took := e.playUntil("picture", func() bool { return here.snapshot(primaryKey).EntryPoint })
	if took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestAPeerThatSendsNonsenseIsCountedAndCostsNothing(t *testing.T) {
	tags := func(write func(*flv.Writer) error) func(io.Writer) error {
		return func(w io.Writer) error {
			f, err := flv.NewWriter(w, true, true)
			if err != nil {
				return err
			}
			return write(f)
		}
	}
	published := func(f *flv.Writer) error { return f.WriteTag(notePublished.tag(1000)) }
	forever := func(f func() error) error {
		for range 1 << 20 {
			if err := f(); err != nil {
				return err
			}
		}
		return errors.New("nobody stopped it")
	}
	tests := []struct {
		name  string
		body  func(io.Writer) error
		wants string
	}{
		{"a page", func(w io.Writer) error {
			_, err := io.WriteString(w, "<!DOCTYPE html>"+strings.Repeat(" ", 1<<16))
			return err
		}, "malformed"},
		{"nothing", func(io.Writer) error { return nil }, "closed"},
		{"half a header", func(w io.Writer) error { _, err := io.WriteString(w, "FLV"); return err }, "closed"},
		{"a tag of 16 MB", func(w io.Writer) error {
			_, err := w.Write(append([]byte("FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00"), 9, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0))
			return err
		}, "malformed"},
		{"media of no publication", tags(func(f *flv.Writer) error {
			return f.WriteVideoConfig(0, sps240, pps0)
		}), "malformed"},
		{"tags without sense", tags(func(f *flv.Writer) error {
			if err := published(f); err != nil {
				return err
			}
			return forever(func() error { return f.WriteTag(flv.Tag{Type: flv.VideoTag, Body: bytes.Repeat([]byte{0x17}, 1000)}) })
		}), "malformed"},
		{"another codec", tags(func(f *flv.Writer) error {
			if err := published(f); err != nil {
				return err
			}
			return forever(func() error { return f.WriteTag(flv.Tag{Type: flv.VideoTag, Body: []byte("\x90hvc1")}) })
		}), "malformed"},
		{"unknown tags without end", tags(func(f *flv.Writer) error {
			return forever(func() error { return f.WriteTag(flv.Tag{Type: 99, Body: make([]byte, 1<<20)}) })
		}), "closed"},
		{"pictures without an IDR or end", tags(func(f *flv.Writer) error {
			if err := errors.Join(published(f), f.WriteVideoConfig(0, sps240, pps0)); err != nil {
				return err
			}
			at := time.Second
			return forever(func() error {
				at += frame
				return f.WriteVideo(at, at, false, [][]byte{append([]byte{0x41}, make([]byte, 1<<20)...)})
			})
		}), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			here := newNode(t)
			var sent atomic.Int64 // by all connections
			peer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !strings.HasSuffix(r.URL.Path, "/primary.flv") {
					http.NotFound(w, r)
					return
				}
				_ = tt.body(&limited{w, &sent})
			}))
			defer peer.Close()
			defer peer.CloseClientConnections()
			before := memory()
			here.follow(peer.URL)
			eventually.True(t, "failure", func() bool { return tt.wants == "" || here.failures(tt.wants) >= 2 })
			if tt.wants == "" {
				time.Sleep(500 * ms)
			}
			if grown := memory() - before; grown > 64<<20 {
				t.Errorf("%d MB are held", grown>>20)
			}
			if snap := here.snapshot(primaryKey); snap.EntryPoint {
				t.Errorf("it is on air: %+v", snap)
			}
		})
	}
}

// limited is a peer's writer that fails after a while.
type limited struct {
	w    io.Writer
	sent *atomic.Int64
}

func (l *limited) Write(b []byte) (int, error) {
	if l.sent.Add(int64(len(b))) > 256<<20 {
		return 0, errors.New("enough")
	}
	return l.w.Write(b)
}

func memory() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestAReaderThatTakesNothingHoldsUpNobody(t *testing.T) {
	t.Parallel()
	there, here := newNode(t), newNode(t)
	here.follow(there.web.URL)
	stalled, err := net.Dial("tcp", strings.TrimPrefix(there.web.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer stalled.Close()
	if err := stalled.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(stalled, "GET /live/primary.flv HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", token); err != nil {
		t.Fatal(err)
	}
	e := &encoder{t: t, node: there, key: primaryKey, sps: sps240, format: aac48}
	e.start()
	e.playUntil("picture", func() bool { return here.snapshot(primaryKey).EntryPoint })
	dropped := there.metrics.FramesDropped.WithLabelValues("subscription")
	before := testutil.ToFloat64(dropped)
	sub := here.registry.Stream(primaryKey).Subscribe(1 << 16)
	defer sub.Close()
	var slowest time.Duration
	// Far more data than the buffers of a connection hold.
	for n := range 4000 {
		at := e.node.registry.Now()
		began := time.Now()
		e.check(e.pub.WriteVideo(at, at, [][]byte{append(number([]byte{0x41}, n), make([]byte, 8<<10)...)}))
		slowest = max(slowest, time.Since(began))
		if n%20 == 0 {
			time.Sleep(2 * ms)
		}
	}
	eventually.True(t, "drops", func() bool { return testutil.ToFloat64(dropped) > before })
	eventually.True(t, "pictures at the other reader", func() bool { return len(sub.C) >= 3000 })
	t.Logf("slowest write %v; %.0f units dropped; the other reader got %d", slowest, testutil.ToFloat64(dropped)-before, len(sub.C))
	if slowest > 2*time.Second {
		t.Error("the publisher was held up")
	}
	eventually.True(t, "end of the connection", func() bool { return !there.connected(stalled.LocalAddr()) })
}

func TestARefusalWithoutAnEndIsOne(t *testing.T) {
	t.Parallel()
	here := newNode(t)
	peer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer peer.Close()
	defer peer.CloseClientConnections()
	here.follow(peer.URL)
	eventually.True(t, "refusals", func() bool { return here.failures("refused") >= 4 })
}

// The publication that a newcomer at the peer waits to take over from ends with the relay, however
// many newcomers there were.
func TestNothingIsLeftOfSeveralTakeovers(t *testing.T) {
	registry := stream.NewRegistry(stream.Config{})
	p := &puller{Reader: &peer.Reader{Base: "http://peer"}, registry: registry, key: primaryKey}
	var file bytes.Buffer
	w, err := flv.NewWriter(&file, true, true)
	err = errors.Join(
		err,
		w.WriteTag(notePublished.tag(3000)),
		w.WriteVideoConfig(3*time.Second, sps240, pps0),
		w.WriteVideo(3*time.Second, 3*time.Second, true, [][]byte{{0x65, 0x88, 0x80}}),
		w.WriteTag(notePublished.tag(3100)),
		w.WriteTag(notePublished.tag(3200)),
	)
	if err != nil {
		t.Fatal(err)
	}
	tags := flv.NewReader(&file, maxTag)
	for range 5 {
		tag, err := tags.Next()
		if err != nil {
			t.Fatal(err)
		}
		if err := p.take(tag); err != nil {
			t.Fatal(err)
		}
	}
	if !registry.Stream(primaryKey).Snapshot().EntryPoint {
		t.Error("a newcomer without an IDR has taken over")
	}
	p.end(stream.EndClosed)
	if snap := registry.Stream(primaryKey).Snapshot(); snap.Publication != nil {
		t.Errorf("left is %+v", snap.Publication)
	}
}

func TestWhatIsNoStream(t *testing.T) {
	n := newNode(t)
	for _, path := range []string{"/live/primary", "/live/primary.m3u8", "/live/.flv", "/-/primary.flv"} {
		res, err := n.web.Client().Get(n.web.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, res.Status)
		}
	}
}

func FuzzPuller(f *testing.F) {
	var file bytes.Buffer
	w, err := flv.NewWriter(&file, true, true)
	if err != nil {
		f.Fatal(err)
	}
	err = errors.Join(
		w.WriteTag(notePublished.tag(5000)),
		w.WriteVideoConfig(3*time.Second, sps240, pps0),
		w.WriteAudioConfig(3*time.Second, flv.AAC, aac48.Config),
		w.WriteVideo(3*time.Second, 3*time.Second, true, [][]byte{{0x65, 0x88, 0x80}}),
		w.WriteAudio(3*time.Second, flv.AAC, []byte{1, 2, 3}),
		w.WriteTag(noteAlive.tag(5500)),
		w.WriteTag(noteLeaving.tag(5600)),
		w.WriteTag(beganTag(time.UnixMilli(1795373412345))),
		w.WriteTag(noteUnpublished.tag(6000)),
		w.WriteTag(notePublished.tag(1<<32-1)),
	)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes())
	f.Add([]byte("FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		registry := stream.NewRegistry(stream.Config{})
		p := &puller{Reader: &peer.Reader{Base: "http://peer"}, registry: registry, key: primaryKey}
		tags := flv.NewReader(bytes.NewReader(b), maxTag)
		for {
			tag, err := tags.Next()
			if err != nil || p.take(tag) != nil {
				break
			}
			for _, u := range registry.Stream(primaryKey).Cached() {
				if u.Format == nil || u.Arrival > registry.Now() {
					t.Fatalf("cached %+v", u)
				}
			}
		}
		p.end(stream.EndClosed)
		if registry.Stream(primaryKey).Snapshot().Publication != nil {
			t.Fatal("it has not ended")
		}
	})
}
