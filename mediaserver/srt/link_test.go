package srt

import (
	"encoding/binary"
	"flag"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gosrt "github.com/datarhei/gosrt"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/hack/seeded"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/stream"
)

var linkTime = flag.Duration("srt.link", 10*time.Second, "how long the tests of bad links last")

// pictures receives pictures of harness.feed for d, and checks that none is missing.
func (h *harness) pictures(sub *stream.Subscription, d time.Duration) (n int) {
	h.Helper()
	next := 0
	for end := time.After(d); ; n++ {
		select {
		case u := <-sub.C:
			picture := u.NALUs[len(u.NALUs)-1]
			number := numberIn(picture[3:])
			if n > 0 && number != next {
				h.Errorf("picture %d came after picture %d", number, next-1)
			}
			next = number + 1
		case <-end:
			return n
		}
	}
}

// through connects a caller through a link, who sends pictures, and receives them for some time.
func (h *harness) through(pass func(b []byte, toServer bool) bool, change func(*gosrt.Config)) (pictures int) {
	h.Helper()
	proxy := mediatest.NewUDPProxy(h, h.server.Addr(), pass)
	cfg := gosrt.DefaultConfig()
	cfg.StreamId, cfg.ConnectionTimeout = "publish:live/secret", 5*time.Second
	cfg.Passphrase = passphrase
	if change != nil {
		change(&cfg)
	}
	var c gosrt.Conn
	eventually.True(h, "a connection", func() bool { // the library's caller does not repeat its handshake
		var err error
		c, err = gosrt.Dial("srt", proxy.Addr(), cfg)
		return err == nil
	})
	h.Cleanup(func() { _ = c.Close() })
	sub := h.registry.Stream(secret).Subscribe(1000)
	defer sub.Close()
	h.feed(c)
	return h.pictures(sub, *linkTime)
}

// mostPictures is how many pictures may not have come yet at the end.
const mostPictures = 60

func TestLostPacketsAreRepaired(t *testing.T) {
	h := start(t, nil)
	var mu sync.Mutex
	random := seeded.Rand(t)
	var lost atomic.Int32
	n := h.through(func([]byte, bool) bool {
		mu.Lock()
		defer mu.Unlock()
		if random.IntN(100) < 5 {
			lost.Add(1)
			return false
		}
		return true
	}, nil)
	s, _ := h.server.Stats(secret)
	t.Logf("%d pictures, %d datagrams lost; %+v", n, lost.Load(), s)
	if want := int(linkTime.Seconds()*30) - mostPictures; n < want || s.Retransmitted == 0 {
		t.Errorf("%d pictures, want %d; %d packets came again", n, want, s.Retransmitted)
	}
}

// The sender's clock runs 200 ppm fast, its timestamps wrap within the test, and it changes its key.
func TestTimestampsWrapAndDriftAndKeysChange(t *testing.T) {
	h := start(t, nil)
	var keys atomic.Int32
	n := h.through(func(b []byte, toServer bool) bool {
		if toServer && len(b) >= headerSize {
			ts := binary.BigEndian.Uint32(b[8:])
			ts += ts/5000 + (1<<32 - 3_000_000)
			binary.BigEndian.PutUint32(b[8:], ts)
			if b[0] == 0xff && b[1] == 0xff {
				keys.Add(1)
			}
		}
		return true
	}, func(c *gosrt.Config) { c.KMRefreshRate, c.KMPreAnnounce = 300, 100 })
	s, _ := h.server.Stats(secret)
	t.Logf("%d pictures, %d key messages; %+v", n, keys.Load(), s)
	if want := int(linkTime.Seconds()*30) - mostPictures; n < want || s.Lost > 0 || keys.Load() == 0 {
		t.Errorf("%d pictures, want %d; %d packets lost, %d key messages", n, want, s.Lost, keys.Load())
	}
	if s.Buffered > s.Latency {
		t.Errorf("%v are buffered, with a latency of %v", s.Buffered, s.Latency)
	}
}

// After a time without any datagram the connection goes on where the sender is.
func TestALinkThatIsCutGoesOn(t *testing.T) {
	h := start(t, nil)
	var mu sync.Mutex
	began := time.Now()
	cut := func() bool {
		mu.Lock()
		defer mu.Unlock()
		d := time.Since(began)
		return d > 3*time.Second && d < 5*time.Second
	}
	proxy := mediatest.NewUDPProxy(t, h.server.Addr(), func([]byte, bool) bool { return !cut() })
	cfg := gosrt.DefaultConfig()
	cfg.StreamId = "publish:live/primary:TOKEN"
	c, err := gosrt.Dial("srt", proxy.Addr(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	h.feed(c)
	sub := h.registry.Stream(primary).Subscribe(1000)
	defer sub.Close()
	after := 0
	for timeout := time.After(patience); after < 30; {
		select {
		case <-sub.C:
			if time.Since(began) > 6*time.Second {
				after++
			}
		case <-timeout:
			t.Fatalf("%d pictures after the cut", after)
		}
	}
	if s, _ := h.server.Stats(primary); s.Lost == 0 {
		t.Error("nothing was lost in the cut")
	}
}
