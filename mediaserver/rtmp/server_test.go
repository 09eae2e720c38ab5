package rtmp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/stream"
)

func TestHandshakes(t *testing.T) {
	h := start(t, func(c *Config) { c.Limits.PublishTimeout = time.Second })
	t.Run("another protocol is refused at its first byte", func(t *testing.T) {
		c := h.dialOnly()
		c.send([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
		c.waitClosed()
		eventually.True(h, "counted", func() bool { return h.guardRefusals(ReasonHandshake) == 1 })
	})
	t.Run("silence ends at the deadline", func(t *testing.T) {
		c := h.dialOnly()
		c.waitClosed()
		eventually.True(h, "counted", func() bool { return h.guardRefusals(ReasonPublishTimeout) == 1 })
	})
	t.Run("a byte at a time does not move the deadline", func(t *testing.T) {
		c := h.dialOnly()
		began := time.Now()
		for c.send([]byte{3}) && time.Since(began) < patience {
			time.Sleep(50 * time.Millisecond)
		}
		c.waitClosed()
		eventually.True(h, "counted", func() bool { return h.guardRefusals(ReasonPublishTimeout) == 2 })
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
	for c.message(2, typeAcknowledgement, 0, 0, []byte{0, 0, 0, 1}) { // a sign of life, but no media
		time.Sleep(20 * time.Millisecond)
	}
	c.waitClosed()
	eventually.True(h, "counted", func() bool { return h.guardRefusals(ReasonIdle) == 1 })
}

func TestBytesAreAcknowledged(t *testing.T) {
	h := start(t, nil)
	c := h.dial()
	c.publish("primary")
	c.message(2, typeAckWindow, 0, 0, binary.BigEndian.AppendUint32(nil, minAckWindow))
	c.setChunkSize(1 << 16)
	c.message(6, typeVideo, 1, 0, picture(true, minAckWindow))
	header := appendHeader(nil, chunkStreamControl, message{typ: typeAcknowledgement, payload: make([]byte, 4)})
	eventually.Seen(t, eventually.Patience, "all bytes are acknowledged", func() (acknowledged uint32, done bool) {
		_, number, found := strings.Cut(c.said(), string(header))
		if !found || len(number) < 4 {
			return 0, false
		}
		acknowledged = binary.BigEndian.Uint32([]byte(number))
		return acknowledged, acknowledged == uint32(c.sent)
	})
}

func TestAClientThatDoesNotReadIsClosed(t *testing.T) {
	h := start(t, func(c *Config) { c.Limits.WriteTimeout = 200 * time.Millisecond })
	c := h.dial()
	c.publish("primary")
	c.stopListening()
	// The server answers each of these.
	ask := bytes.Repeat(appendMessage(nil, 3, c.chunkSize, message{typ: typeCommand, payload: amf("FCPublish", 9.0, nil, "primary")}), 1000)
	for began := time.Now(); c.send(ask); {
		if time.Since(began) > patience {
			t.Fatal("the server goes on writing")
		}
	}
	eventually.True(h, "the publication ends", func() bool { return h.registry.Stream(live).Snapshot().Publication == nil })
}

func TestStrangersDoNotLockPublishersOut(t *testing.T) {
	h := start(t, func(c *Config) { c.Limits.MaxUnauthenticated = 8; c.Limits.PublishTimeout = time.Minute })
	for range 30 {
		h.dialOnly()
	}
	c := h.dial()
	c.publish("primary")
	h.showsPictures(c, "primary", 0)
	eventually.True(h, "the oldest are pushed out", func() bool { return h.guardRefusals(ReasonPushedOut) == 23 })
}

// Each stranger buffers as much as it may, in an incomplete message.
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

// start's cleanup fails the test if Run does not end.
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
	first := h.dialFrom("127.0.0.2")
	first.publish("s0")
	h.dialFrom("127.0.0.2").publish("s1")
	waits := h.dialFrom("127.0.0.3")
	h.dialFrom("127.0.0.4").publish("s2")
	waits.waitClosed()
	if n := h.guardRefusals(ReasonPushedOut); n != 1 {
		t.Errorf("%d that did not publish were pushed out, want 1", n)
	}
	h.connectFrom("127.0.0.5").waitClosed()
	if n := h.guardRefusals(ReasonTooManyConnections); n != 1 {
		t.Errorf("%d refusals, want 1: all who are there publish", n)
	}
	for _, name := range []string{"s0", "s1", "s2"} {
		if h.registry.Stream(keyOf(name)).Snapshot().Publication == nil {
			t.Errorf("the publisher of %s was ended for a newcomer", name)
		}
	}
}

// Refused clients linger for a second each. Even many of them must not take the places of encoders.
func TestRefusedClientsThatLingerKeepNoEncoderOut(t *testing.T) {
	const places, lingering = 8, 4
	h := start(t, func(c *Config) {
		c.Limits.MaxConnections, c.Limits.MaxLingering, c.Limits.PublishTimeout = places, lingering, time.Minute
	})
	// attack sends a command that is refused, and stays.
	attack := func() {
		c := h.connectFrom("127.0.0.2")
		c.send(append([]byte{3}, make([]byte, 2*1536)...))
		c.message(2, typeSetChunkSize, 0, 0, []byte{0, 0, 0, 0})
	}
	// Half of the places stay free, so that none is pushed out before its command is read.
	for sent := 0; sent < 5*places; {
		for range places / 2 {
			attack()
			sent++
		}
		eventually.True(h, "they are refused", func() bool { return h.guardRefusals(ReasonChunkSize) >= sent })
	}
	for i := range 3 {
		name := fmt.Sprintf("s%d", i)
		c := h.dialFrom("127.0.0.3")
		attack()
		attack()
		c.publish(name)
		h.showsPictures(c, name, 0)
	}
	if n := h.server.connections.lingering.Taken(); n > lingering {
		t.Errorf("%d clients linger, want at most %d", n, lingering)
	}
	// Another refused client is still told why.
	c := h.dialFrom("127.0.0.4")
	c.connect()
	c.command(0, "createStream", 2.0, nil)
	c.command(1, "publish", 3.0, nil, "a/b/c", "live")
	c.waitFor("rtmp://host/app/id")
}

// An IPv6 host owns a /64. All its addresses count as one host.
func TestAHostOfIPv6CountsOnce(t *testing.T) {
	one := (&connection{remote: "[2001:db8::1]:1"}).network()
	if two := (&connection{remote: "[2001:db8::ffff:2]:2"}).network(); one != two {
		t.Errorf("%v and %v", one, two)
	}
	if other := (&connection{remote: "[2001:db8:0:1::1]:1"}).network(); one == other {
		t.Errorf("%v is that of two hosts", other)
	}
}

func TestTheRemoteAddressIsTheOneAProxyTells(t *testing.T) {
	proxies := &admission.Proxies{}
	proxies.Trust([]netip.Prefix{netip.MustParsePrefix("127.0.0.9/32")})
	h := start(t, func(c *Config) { c.Proxies = proxies })
	c := h.connectFrom("127.0.0.9")
	c.send([]byte("PROXY TCP4 198.51.100.1 192.0.2.1 1000 1935\r\n"))
	c.shakeHands()
	c.publish("primary")
	if p := h.registry.Stream(live).Snapshot().Publication; p == nil || p.Remote != "198.51.100.1:1000" {
		t.Errorf("published by %+v", p)
	}
}

func TestARefusedPublisherIsTold(t *testing.T) {
	for name, test := range map[string]struct {
		name, code, why string
		reason          Reason
		change          func(*Config)
	}{
		"unknown": {
			name: "primray?token=x", code: "NetStream.Publish.BadName", why: "the nearest is live/primary", reason: ReasonUnknownStream,
			change: func(c *Config) {
				c.Authorize = func(k stream.Key, _ string) (bool, error) {
					return false, fmt.Errorf("publish %s: %w; the nearest is live/primary", k, stream.ErrUndeclared)
				}
			},
		},
		"bad name": {name: "a/b/c", code: "NetStream.Publish.BadName", why: "rtmp://host/app/id", reason: ReasonInvalidName},
		"unauthorized": {
			name: "primary?token=x", code: "NetStream.Publish.Unauthorized", why: "the token is wrong; append ?token=… to the stream key", reason: ReasonUnauthorized,
			change: func(c *Config) {
				c.Authorize = func(stream.Key, string) (bool, error) { return false, errors.New("the token is wrong") }
			},
		},
		"in use": {
			name: "primary", code: "NetStream.Publish.BadName", why: "another publisher is live", reason: ReasonStreamInUse,
			change: func(c *Config) {
				c.Authorize = nil
				publishSound(t, c.Registry)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var lines mediatest.LogLines
			h := start(t, func(c *Config) {
				c.Logger = slog.New(slog.NewTextHandler(&lines, nil))
				if test.change != nil {
					test.change(c)
				}
			})
			c := h.dial()
			c.connect()
			c.command(0, "createStream", 2.0, nil)
			c.command(1, "publish", 3.0, nil, test.name, "live")
			c.waitFor(test.code)
			c.waitFor(test.why)
			c.waitClosed()
			eventually.True(h, "counted", func() bool { return h.publishRefusals(test.reason) == 1 })
			eventually.True(h, "logged", func() bool { return strings.Contains(lines.String(), "RTMP client refused") })
			name, _, hasToken := strings.Cut(test.name, "?")
			if test.reason != ReasonInvalidName && !strings.Contains(lines.String(), "stream=live/"+name) {
				t.Errorf("the log does not tell the stream: %s", lines.String())
			}
			if hasToken && strings.Contains(lines.String(), "token=x") {
				t.Errorf("the log tells the token: %s", lines.String())
			}
		})
	}
}

// publishSound publishes sound as the live stream until the test ends. A publisher
// that only announces a stream does not keep others out.
func publishSound(t *testing.T, r *stream.Registry) {
	t.Helper()
	p, err := r.Publish(stream.PublishRequest{Key: live})
	if err != nil {
		t.Fatal(err)
	}
	send := func() error { return p.WriteAudio(r.Now(), []byte{1}) }
	if err := errors.Join(p.SetAudioFormat(stream.Format{Codec: stream.AAC, SampleRate: 48000, Channels: 2, Config: []byte{0x11, 0x90}}), send()); err != nil {
		t.Fatal(err)
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for send() == nil {
			time.Sleep(20 * time.Millisecond)
		}
	}()
	t.Cleanup(func() {
		p.End(stream.EndClosed)
		<-sent
	})
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
			// Media that still comes is dropped, and the same connection may publish again.
			c.message(6, typeVideo, 1, 400, picture(true, 50))
			c.command(0, "deleteStream", 5.0, nil, 1.0)
			c.command(0, "createStream", 6.0, nil)
			c.command(1, "publish", 7.0, nil, "primary", "live")
			eventually.True(h, "it publishes again", func() bool { return h.registry.Stream(live).Snapshot().Publication != nil })
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
	eventually.True(h, "all publications end", func() bool { return len(h.registry.Streams()) == 0 })
}

// An encoder that takes a request to reconnect gets one when the server has no more use for it, and not
// an error.
func TestAnEncoderThatReconnectsIsAskedTo(t *testing.T) {
	for capabilities, want := range map[float64]statusCode{0: statusShutdown, 2: statusShutdown, 1: statusReconnect, 3: statusReconnect} {
		h := start(t, nil)
		c := h.dial()
		c.connect(append(key("capsEx"), appendAMF(nil, capabilities)...))
		c.command(0, "createStream", 2.0, nil)
		c.command(1, "publish", 3.0, nil, "primary", "live")
		c.waitFor(string(statusPublishStart))
		h.registry.Stream(stream.Key{App: "live", ID: "primary"}).EndLocal(stream.EndShutdown, stream.ErrShuttingDown)
		c.waitFor(string(want))
	}
}
