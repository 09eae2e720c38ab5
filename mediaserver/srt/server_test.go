package srt

import (
	"strings"
	"testing"
	"time"

	gosrt "github.com/datarhei/gosrt"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/stream"
)

func TestWhoMayPublish(t *testing.T) {
	h := start(t, nil)
	for _, test := range []struct {
		name, streamID, passphrase string
		want                       Reason
		code                       string
	}{
		{"no stream id", "", "", ReasonInvalidName, "1400"},
		{"a viewer", "#!::m=request,r=live/primary", "", ReasonPlay, "1405"},
		{"no token", "publish:live/primary", "", ReasonUnauthorized, "1401"},
		{"a wrong token", "#!::m=publish,r=live/primary,s=OTHER", "", ReasonUnauthorized, "1401"},
		{"an unknown stream", "publish:live/other:TOKEN", "", ReasonUnknownStream, "1404"},
		{"a passphrase where there is none", "publish:live/primary:TOKEN", passphrase, ReasonPassphrase, "1011"},
		{"no passphrase", "publish:live/secret:TOKEN", "", ReasonPassphrase, "1011"},
		{"a wrong passphrase", "publish:live/secret:TOKEN", "another passphrase", ReasonPassphrase, "1010"},
		{"a wrong token with the passphrase", "publish:live/secret:OTHER", passphrase, ReasonUnauthorized, "1401"},
	} {
		before := h.refused(test.want)
		c, err := h.dial(test.streamID, test.passphrase, nil)
		if err == nil {
			_ = c.Close()
		}
		// The library writes the code in base 32.
		if err == nil || !strings.Contains(err.Error(), "REJECT") || h.refused(test.want) != before+1 {
			t.Errorf("%s: %v, counted %d times", test.name, err, h.refused(test.want)-before)
		}
	}
	for _, test := range []struct {
		streamID, passphrase string
		key                  stream.Key
	}{
		{"#!::m=publish,r=live/primary,s=TOKEN", "", primary},
		{"publish:live/primary:TOKEN", "", primary},
		{"publish:live/secret", passphrase, secret},
		{"publish:live/secret:TOKEN", passphrase, secret},
	} {
		c, err := h.dial(test.streamID, test.passphrase, nil)
		if err != nil {
			t.Errorf("%s: %v", test.streamID, err)
			continue
		}
		h.awaitPublished(test.key, true)
		_ = c.Close() // sends a shutdown
		h.awaitPublished(test.key, false)
	}
}

// The newest encoder with the token takes over, and the other one is told.
func TestTakeOver(t *testing.T) {
	h := start(t, nil)
	first := h.feed(h.mustDial("publish:live/primary:TOKEN", "", nil))
	eventually.True(t, "pictures of the first", func() bool { return h.registry.Stream(primary).Snapshot().EntryPoint })
	id := h.registry.Stream(primary).Snapshot().Publication.ID
	h.feed(h.mustDial("publish:live/primary:TOKEN", "", nil))
	eventually.True(t, "another publication", func() bool {
		p := h.registry.Stream(primary).Snapshot().Publication
		return p != nil && p.ID != id
	})
	select {
	case <-first:
	case <-time.After(patience):
		t.Error("the first caller is not told")
	}
}

func TestCallersWhoSendNothingAreEnded(t *testing.T) {
	h := start(t, func(c *Config) { c.Limits.PeerTimeout, c.Limits.IdleTimeout = time.Second, 3*time.Second })
	// The library's caller keeps the connection alive without media.
	h.mustDial("publish:live/primary:TOKEN", "", nil)
	h.awaitPublished(primary, true)
	h.awaitPublished(primary, false)
	// This one answers nothing any more.
	s := h.socket()
	h.conclude(s, conclusionOf(nil))
	h.awaitPublished(primary, true)
	h.awaitPublished(primary, false)
	eventually.True(t, "no connection is left", func() bool {
		h.server.mu.Lock()
		defer h.server.mu.Unlock()
		return len(h.server.bySocket)+len(h.server.byPeer) == 0
	})
}

func TestLatencyIsBounded(t *testing.T) {
	h := start(t, nil)
	c := h.mustDial("publish:live/primary:TOKEN", "", func(c *gosrt.Config) { c.PeerLatency = time.Minute })
	_ = c
	h.awaitPublished(primary, true)
	if s, ok := h.server.Stats(primary); !ok || s.Latency != 5*time.Second {
		t.Errorf("latency %v", s.Latency)
	}
}

// The passphrase opens a stream, but not one whose pair is paused.
func TestPausedPairsTakeNobodyWithThePassphrase(t *testing.T) {
	h := start(t, func(c *Config) {
		c.Authorize = func(stream.Key, string) (bool, error) { return false, stream.ErrUndeclared }
	})
	if c, err := h.dial("publish:live/secret", passphrase, nil); err == nil {
		_ = c.Close()
		t.Error("the caller publishes")
	}
	if h.refused(ReasonUnknownStream) != 1 {
		t.Error("the refusal is not counted")
	}
}

// One network cannot take all places, even with media.
func TestPlacesOfANetworkAreBounded(t *testing.T) {
	h := start(t, func(c *Config) {
		c.Authorize = func(stream.Key, string) (bool, error) { return false, nil }
		c.Limits.MaxConnections, c.Limits.MaxPerNetwork = 10, 2
	})
	for _, id := range []string{"a", "b"} {
		h.feed(h.mustDial("publish:live/"+id, "", nil))
		eventually.True(t, "pictures", func() bool { return h.registry.Stream(stream.Key{App: "live", ID: id}).Snapshot().EntryPoint })
	}
	if c, err := h.dial("publish:live/c", "", nil); err == nil {
		_ = c.Close()
		t.Error("a third caller of the network is taken")
	}
	if h.refused(ReasonTooMany) != 1 {
		t.Error("the refusal is not counted")
	}
}

func TestCallersWithoutMediaGoForOthers(t *testing.T) {
	h := start(t, func(c *Config) {
		c.Authorize = func(stream.Key, string) (bool, error) { return false, nil }
		c.Limits.MaxConnections, c.Limits.MaxPerNetwork = 2, 2
	})
	h.feed(h.mustDial("publish:live/a", "", nil))
	eventually.True(t, "pictures", func() bool { return h.registry.Stream(stream.Key{App: "live", ID: "a"}).Snapshot().EntryPoint })
	h.mustDial("publish:live/b", "", nil)
	h.mustDial("publish:live/c", "", nil)
	h.awaitPublished(stream.Key{App: "live", ID: "b"}, false)
	if !h.isPublished(stream.Key{App: "live", ID: "a"}) {
		t.Error("the caller with media has gone")
	}
}

// What never has a PES packet of a track is no media, however much of it comes.
func TestCallersWhoSendNoTransportStreamAreEnded(t *testing.T) {
	h := start(t, func(c *Config) { c.Limits.IdleTimeout = 3 * time.Second })
	c := h.mustDial("publish:live/primary:TOKEN", "", nil)
	h.awaitPublished(primary, true)
	eventually.True(t, "the end", func() bool {
		_, _ = c.Write([]byte(strings.Repeat("FLV", 400)))
		return !h.isPublished(primary)
	})
}
