package rtmp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

func TestHandshakes(t *testing.T) {
	h := start(t, func(c *Config) { c.Limits.PublishTimeout = time.Second })
	t.Run("another protocol is refused at its first byte", func(t *testing.T) {
		c := h.dialOnly()
		c.send([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
		c.waitClosed()
		h.eventually("counted", func() bool { return h.guardRefusals(ReasonHandshake) == 1 })
	})
	t.Run("silence ends at the deadline", func(t *testing.T) {
		c := h.dialOnly()
		c.waitClosed()
		h.eventually("counted", func() bool { return h.guardRefusals(ReasonPublishTimeout) == 1 })
	})
	t.Run("a byte at a time does not move the deadline", func(t *testing.T) {
		c := h.dialOnly()
		began := time.Now()
		for c.send([]byte{3}) && time.Since(began) < patience {
			time.Sleep(50 * time.Millisecond)
		}
		c.waitClosed()
		h.eventually("counted", func() bool { return h.guardRefusals(ReasonPublishTimeout) == 2 })
	})
	t.Run("a look and away is nobody's fault", func(t *testing.T) {
		c := h.dialOnly()
		_ = c.Close()
	})
}

func TestAPublisherThatGoesSilentIsClosedAfterAWhile(t *testing.T) {
	h := start(t, func(c *Config) { c.Limits.IdleTimeout = 500 * time.Millisecond })
	c := h.dial()
	c.publish("primary")
	h.showsPictures(c, "primary", 0)
	for c.message(2, typeAcknowledgement, 0, 0, []byte{0, 0, 0, 1}) { // life, but no media
		time.Sleep(20 * time.Millisecond)
	}
	c.waitClosed()
	h.eventually("counted", func() bool { return h.guardRefusals(ReasonIdle) == 1 })
}

func TestBytesAreAcknowledged(t *testing.T) {
	h := start(t, nil)
	c := h.dial()
	c.publish("primary")
	c.message(2, typeAckWindow, 0, 0, binary.BigEndian.AppendUint32(nil, minAckWindow))
	before := c.heard()
	c.setChunkSize(1 << 16)
	c.message(6, typeVideo, 1, 0, picture(true, minAckWindow))
	h.eventually("acknowledged", func() bool { return c.heard() > before })
}

func TestAClientThatDoesNotReadIsClosed(t *testing.T) {
	h := start(t, func(c *Config) { c.Limits.WriteTimeout = 200 * time.Millisecond })
	c := h.dial()
	c.publish("primary")
	c.stopListening()
	// Each of these is answered.
	ask := bytes.Repeat(appendMessage(nil, 3, c.chunkSize, message{typ: typeCommand, payload: amf("FCPublish", 9.0, nil, "primary")}), 1000)
	for began := time.Now(); c.send(ask); {
		if time.Since(began) > patience {
			t.Fatal("the server goes on writing")
		}
	}
	h.eventually("the publication ends", func() bool { return h.registry.Stream(live).Snapshot().Publication == nil })
}

func TestStrangersDoNotLockPublishersOut(t *testing.T) {
	h := start(t, func(c *Config) { c.Limits.MaxUnauthenticated = 8; c.Limits.PublishTimeout = time.Minute })
	for range 30 {
		h.dialOnly()
	}
	c := h.dial()
	c.publish("primary")
	h.showsPictures(c, "primary", 0)
	h.eventually("the oldest are pushed out", func() bool { return h.guardRefusals(ReasonPushedOut) == 23 })
}

// Each stranger buffers as much as it may, and leaves it unfinished.
func TestStrangersTakeLittleMemory(t *testing.T) {
	h := start(t, func(c *Config) { c.Limits.PublishTimeout = time.Minute })
	peak := heapPeak(t)
	const strangers = 64
	for range strangers {
		c := h.dial()
		c.setChunkSize(1 << 20)
		c.send(raw(6, typeVideo, 4<<20, make([]byte, 50<<10)))
	}
	time.Sleep(200 * time.Millisecond) // let the bytes be read
	p := peak()
	t.Logf("%d connections, peak heap %.1f MB", strangers, float64(p)/1e6)
	if p > 50e6 {
		t.Errorf("the heap grew to %d MB", p/1e6)
	}
}

// start's clean-up fails the test if Run does not end.
func TestRunEndsWhileAClientDoesNotRead(t *testing.T) {
	h := start(t, func(c *Config) { c.Limits.WriteTimeout = time.Hour })
	c := h.publisher()
	c.stopListening()
	ask := bytes.Repeat(appendMessage(nil, 3, c.chunkSize, message{typ: typeCommand, payload: amf("FCPublish", 9.0, nil, "primary")}), 1000)
	_ = c.SetWriteDeadline(time.Now().Add(time.Second))
	for c.send(ask) {
		continue
	}
}

func TestConnectionsAreLimited(t *testing.T) {
	h := start(t, func(c *Config) { c.Limits.MaxConnections = 3; c.Limits.PublishTimeout = time.Minute })
	for range 3 {
		h.dial()
	}
	h.dialOnly().waitClosed()
	if n := h.guardRefusals(ReasonTooManyConnections); n != 1 {
		t.Errorf("%d refusals", n)
	}
}

func TestARefusedPublisherIsTold(t *testing.T) {
	for name, test := range map[string]struct {
		name, code, why string
		reason          Reason
		change          func(*Config)
	}{
		"bad name": {name: "a/b/c", code: "NetStream.Publish.BadName", why: "rtmp://host/app/id", reason: ReasonInvalidName},
		"unauthorized": {
			name: "primary?token=x", code: "NetStream.Publish.Unauthorized", why: "the token is wrong", reason: ReasonUnauthorized,
			change: func(c *Config) {
				c.Authorize = func(stream.Key, string) (bool, error) { return false, errors.New("the token is wrong") }
			},
		},
		"in use": {
			name: "primary", code: "NetStream.Publish.BadName", why: "another publisher is live", reason: ReasonStreamInUse,
			change: func(c *Config) {
				c.Authorize = nil
				if _, err := c.Registry.Publish(stream.PublishRequest{Key: live}); err != nil {
					t.Fatal(err)
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t, test.change)
			c := h.dial()
			c.connect()
			c.command(0, "createStream", 2.0, nil)
			c.command(1, "publish", 3.0, nil, test.name, "live")
			c.waitFor(test.code)
			c.waitFor(test.why)
			c.waitClosed()
			h.eventually("counted", func() bool { return h.publishRefusals(test.reason) == 1 })
		})
	}
}

func TestGoodbyesEndThePublicationAtOnce(t *testing.T) {
	for name, bye := range map[string]func(*client){
		"FCUnpublish":              func(c *client) { c.command(0, "FCUnpublish", 5.0, nil, "primary") },
		"deleteStream":             func(c *client) { c.command(0, "deleteStream", 5.0, nil, 1.0) },
		"deleteStream on a stream": func(c *client) { c.command(1, "deleteStream", 5.0, nil, 1.0) },
		"closeStream":              func(c *client) { c.command(1, "closeStream", 5.0, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t, nil)
			c := h.dial()
			c.publish("primary")
			h.showsPictures(c, "primary", 0)
			bye(c)
			c.waitFor("NetStream.Unpublish.Success")
			if h.registry.Stream(live).Snapshot().Publication != nil {
				t.Error("the publication goes on")
			}
			// What still comes is dropped, and the same connection may publish again.
			c.message(6, typeVideo, 1, 400, picture(true, 50))
			c.command(0, "deleteStream", 5.0, nil, 1.0)
			c.command(0, "createStream", 6.0, nil)
			c.command(1, "publish", 7.0, nil, "primary", "live")
			h.eventually("it publishes again", func() bool { return h.registry.Stream(live).Snapshot().Publication != nil })
			h.showsPictures(c, "primary", 800)
		})
	}
}

func TestShutdownEndsPublications(t *testing.T) {
	h := start(t, func(c *Config) { c.TLSAddress, c.TLSConfig = "127.0.0.1:0", selfSigned(t) })
	for i, c := range []*client{h.dial(), h.dialTLS()} {
		name := fmt.Sprintf("s%d", i)
		c.publish(name)
		h.showsPictures(c, name, 0)
	}
	h.registry.Close()
	h.eventually("all publications end", func() bool { return len(h.registry.Streams()) == 0 })
}
