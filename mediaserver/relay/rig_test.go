package relay

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/peer"
	"github.com/streampair/streampair/mediaserver/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	ms = time.Millisecond
	// patience is how long a test waits for an event that should take a moment. The machines are
	// small and busy.
	patience = eventually.Patience
	// silence is how long a peer may say nothing before it is asked anew.
	silence = 4 * peer.Heartbeat
	token   = "between-the-two"
)

var primaryKey, backupKey = stream.Key{App: "live", ID: "primary"}, stream.Key{App: "live", ID: "backup"}

// A node is a media server, as far as the relay sees it.
type node struct {
	t         *testing.T
	registry  *stream.Registry
	metrics   *metrics.Metrics
	handler   *Handler
	standings *peer.StandingHandler
	web       *httptest.Server
	pair      *failover.Pair // nil: none is declared

	mu      sync.Mutex // guards all below
	changed chan struct{}
	readers map[string]bool // addresses of connected readers
}

func newNode(t *testing.T) *node {
	n := &node{t: t, metrics: metrics.New(prometheus.NewRegistry()), changed: make(chan struct{}), readers: make(map[string]bool)}
	n.registry = stream.NewRegistry(stream.Config{Metrics: n.metrics, OnChange: func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		close(n.changed)
		n.changed = make(chan struct{})
	}})
	n.handler = NewHandler(HandlerConfig{
		Registry: n.registry, Clear: n.clear(nil), Metrics: n.metrics,
	})
	n.standings = peer.NewStandingHandler(peer.StandingHandlerConfig{
		Pair: func(failover.PairKey) *failover.Pair { return n.pair }, Epoch: n.registry.Epoch(), Clear: n.clear(nil),
	})
	mux := http.NewServeMux()
	n.handler.Register(mux)
	n.standings.Register(mux)
	n.web = httptest.NewUnstartedServer(mux)
	n.web.Config.ConnState = func(c net.Conn, state http.ConnState) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.readers[c.RemoteAddr().String()] = state != http.StateClosed
	}
	n.web.Start()
	t.Cleanup(func() {
		n.registry.Close()
		n.handler.Close()
		n.standings.Close()
		n.web.Close()
	})
	return n
}

// clear admits the peers that show the token, while allowed says so; nil: always.
func (n *node) clear(allowed func() (bool, <-chan struct{})) peer.ClearAccess {
	return peer.ClearAccess{IsToken: func(got string) bool { return got == token }, Allowed: allowed, Metrics: n.metrics}
}

func (n *node) next() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.changed
}

// connected reports whether the reader with that address is connected.
func (n *node) connected(address net.Addr) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.readers[address.String()]
}

// bases are peers that never change.
type bases []string

func (b bases) Bases() []string        { return b }
func (bases) Changed() <-chan struct{} { return nil }

func (bases) Route(base string) peer.Route            { return peer.Plain(base) }
func (bases) Failed(string, peer.Route)               {}
func (bases) Joined(string, peer.Route) (left func()) { return func() {} }

// connections returns the number of connected readers.
func (n *node) connections() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	count := 0
	for _, there := range n.readers {
		if there {
			count++
		}
	}
	return count
}

// follow relays both streams of the pair from the server at url, until the test ends.
func (n *node) follow(url string, options ...func(*peer.ClientConfig)) *peer.Client {
	cfg := peer.ClientConfig{
		Peers: bases{url}, Token: func() string { return token }, Epoch: n.registry.Epoch(), Pull: Pull(n.registry, n.next),
		Logger: slog.New(slog.NewTextHandler(n.t.Output(), nil)), Metrics: n.metrics,
	}
	for _, option := range options {
		option(&cfg)
	}
	c := peer.NewClient(cfg)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	n.t.Cleanup(func() {
		stop()
		if err := <-done; !errors.Is(err, context.Canceled) {
			n.t.Errorf("the client ended: %v", err)
		}
	})
	c.Follow([]peer.SharedPair{n.sharedPair()})
	return c
}

func (n *node) sharedPair() peer.SharedPair {
	t := peer.SharedPair{PairKey: failover.PairKey{App: "live", Primary: "primary", Backup: "backup"}, Pair: n.pair}
	if t.Pair == nil {
		t.Pair = failover.NewPair(failover.PairConfig{
			Primary: source{n.registry.Stream(primaryKey)}, Backup: source{n.registry.Stream(backupKey)},
			Output: deaf{}, NewAudio: func(func(at, duration time.Duration, opus []byte)) failover.Audio { return nil },
		})
	}
	return t
}

// source and deaf stand in for the other parts that a pair needs.
type source struct{ s *stream.Stream }

func (s source) Stream() *stream.Stream { return s.s }
func (source) Demand(bool)              {}

type deaf struct{}

func (deaf) WriteVideo(time.Duration, *stream.AccessUnit, bool) {}
func (deaf) WriteOpus(_, _ time.Duration, _ []byte)             {}
func (deaf) ViewerCount() int                                   { return 0 }
func (deaf) ViewersChanged() <-chan struct{}                    { return nil }
func (deaf) BurstDuration(int) time.Duration                    { return 0 }

func (n *node) snapshot(k stream.Key) stream.Snapshot { return n.registry.Stream(k).Snapshot() }

// publishing reports whether there is a publication of the stream, the node's own or a relayed one.
func (n *node) publishing(k stream.Key) bool { return n.snapshot(k).Publication != nil }

// failures returns how often connections of the node's client failed for a reason.
func (n *node) failures(reason string) int {
	return int(testutil.ToFloat64(n.metrics.RelayFailures.WithLabelValues(reason)))
}

// wall returns a media time of the node as time of day.
func (n *node) wall(d time.Duration) time.Time { return n.registry.Epoch().Add(d) }

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// Parameter sets as x264 makes them.
var (
	sps240   = unhex("674d400dda0507ec0440000003004000000c83c50aa8")       // 320x240, Main
	sps360   = unhex("6764001eacb405017fcb8088000003000800000301e078b175") // 640x360, High
	pps0     = unhex("68ef0fcb")
	pps1     = unhex("685bc0") // pic_parameter_set_id 1
	aac48    = stream.Format{Codec: stream.AAC, Config: []byte{0x11, 0x90}, SampleRate: 48000, Channels: 2}
	aac44    = stream.Format{Codec: stream.AAC, Config: []byte{0x12, 0x10}, SampleRate: 44100, Channels: 2}
	opus     = stream.Format{Codec: stream.Opus, SampleRate: 48000, Channels: 2}
	noFormat = stream.Format{}
)

// An encoder publishes numbered pictures and sounds in real time, with B-frames: 25 pictures and 50
// frames of sound a second, an IDR every second.
type encoder struct {
	t      *testing.T
	node   *node
	key    stream.Key
	sps    []byte
	format stream.Format // format of the sound; noFormat: no sound
	zero   time.Duration // what the encoder's clock shows at its first picture

	pub              *stream.Publication
	began            time.Duration
	pictures, sounds int
}

const (
	frame  = 40 * ms
	sound  = 20 * ms
	gop    = 25
	ofWhom = 8 // bytes of the number in a payload
)

func (e *encoder) start() {
	e.t.Helper()
	pub, err := e.node.registry.Publish(stream.PublishRequest{Key: e.key, Authenticated: true, Protocol: "test"})
	if err != nil {
		e.t.Fatal(err)
	}
	e.pub, e.began, e.pictures, e.sounds = pub, e.node.registry.Now(), 0, 0
	e.check(pub.SetVideoParameters(e.sps, pps0))
	if e.format.Codec != 0 {
		e.check(pub.SetAudioFormat(e.format))
	}
}

func (e *encoder) check(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Error(err)
	}
}

// tick sends the media that is due.
func (e *encoder) tick() {
	e.t.Helper()
	ran := e.node.registry.Now() - e.began
	for ; time.Duration(e.pictures)*frame <= ran; e.pictures++ {
		dts := e.zero + time.Duration(e.pictures)*frame
		slice := number([]byte{0x41}, e.pictures)
		nalus := [][]byte{append(slice, make([]byte, 3000)...)}
		pts := dts + frame // I B P B P …: a B-frame is shown when it is decoded
		if n := e.pictures % gop; n == 0 {
			slice[0] = 0x65
			nalus = [][]byte{e.sps, pps0, pps1, append(slice, make([]byte, 20000)...)}
		} else if n%2 == 0 {
			pts = dts
		} else {
			pts += frame
		}
		e.check(e.pub.WriteVideo(dts, pts, nalus))
	}
	for ; e.format.Codec != 0 && time.Duration(e.sounds)*sound <= ran; e.sounds++ {
		e.check(e.pub.WriteAudio(e.zero+time.Duration(e.sounds)*sound, number([]byte{0xfc}, e.sounds)))
	}
}

// play lets the encoder send for some time.
func (e *encoder) play(d time.Duration) {
	e.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(2 * ms) {
		e.tick()
	}
}

// playUntil lets the encoder send until cond holds, and returns how long that took.
func (e *encoder) playUntil(what string, cond func() bool) time.Duration {
	e.t.Helper()
	return eventually.True(e.t, what, func() bool {
		e.tick()
		return cond()
	})
}

func number(b []byte, n int) []byte { return binary.BigEndian.AppendUint64(b, uint64(n)) }

func numberOf(u *stream.AccessUnit) int {
	b := u.Frame
	if u.Kind == stream.Video {
		b = u.NALUs[len(u.NALUs)-1]
	}
	return int(binary.BigEndian.Uint64(b[1 : 1+ofWhom]))
}

// drain returns the access units that a subscription holds.
func drain(sub *stream.Subscription) []*stream.AccessUnit {
	var units []*stream.AccessUnit
	for {
		select {
		case u := <-sub.C:
			units = append(units, u)
		default:
			return units
		}
	}
}

// newGate opens a gate to the server at url.
func newGate(t *testing.T, url string) (gate *mediatest.FaultyProxy, through string) {
	g := mediatest.NewFaultyProxy(t)
	g.SetTarget(strings.TrimPrefix(url, "http://"))
	return g, "http://" + g.Addr()
}
