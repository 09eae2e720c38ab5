package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/hack/seeded"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// An attack is what a stranger does to a server, again and again,
// until ctx ends. Tests of the packages check whether it is refused
// or survived. Here it must not affect the streams of others.
type attack func(ctx context.Context, s *testServer)

var attacks = map[string]attack{
	"RTMP: no handshake": func(ctx context.Context, s *testServer) {
		hold(ctx, s.Addresses().RTMP, 100, nil)
	},
	"RTMP: half a handshake": func(ctx context.Context, s *testServer) {
		hold(ctx, s.Addresses().RTMP, 50, append([]byte{3}, make([]byte, 700)...))
	},
	"RTMP: another protocol": func(ctx context.Context, s *testServer) {
		flood(ctx, s.Addresses().RTMP, []byte("GET / HTTP/1.1\r\n\r\n"), 1<<10)
	},
	"RTMP: garbage after the handshake": func(ctx context.Context, s *testServer) {
		garbage := make([]byte, 64<<10)
		seeded.Fill(seeded.Rand(s.t), garbage)
		flood(ctx, s.Addresses().RTMP, append(append([]byte{3}, make([]byte, 2*1536)...), garbage...), 4<<20)
	},
	"RTMP: an array of two thousand million": func(ctx context.Context, s *testServer) {
		flood(ctx, s.Addresses().RTMP, rtmpCommand([]byte{10, 0x7f, 0xff, 0xff, 0xff}), 1<<10)
	},
	"RTMP: objects in objects": func(ctx context.Context, s *testServer) {
		flood(ctx, s.Addresses().RTMP, rtmpCommand(bytes.Repeat([]byte{3, 0, 1, 'a'}, 10_000)), 1<<10)
	},
	// The attack is on the backup, which is published all the time.
	// The id of a publisher that has gone is free for the next one.
	"RTMP: a publisher of what is published": func(ctx context.Context, s *testServer) {
		tape, err := mediatest.Programme{Leg: 2, Duration: 2 * time.Second}.Tape(ctx)
		for err == nil && ctx.Err() == nil {
			if r, err := mediatest.Replay(ctx, s.publishURL("backup"), tape, mediatest.ReplayOptions{}); err == nil {
				select {
				case <-r.Done():
				case <-ctx.Done():
				}
				r.Kill()
			}
		}
	},
	"HTTP: slow headers": func(ctx context.Context, s *testServer) {
		hold(ctx, s.Addresses().HTTP, 100, []byte("GET /live/play.html HTTP/1.1\r\nHost: a\r\n"))
	},
	"HTTP: endless headers": func(ctx context.Context, s *testServer) {
		flood(ctx, s.Addresses().HTTP, []byte("GET / HTTP/1.1\r\nX: "+strings.Repeat("x", 1<<20)), 8<<20)
	},
	"HTTP: bodies that never come": func(ctx context.Context, s *testServer) {
		hold(ctx, s.Addresses().HTTP, 50, []byte("POST /live/whep/primary HTTP/1.1\r\nHost: a\r\nContent-Type: application/sdp\r\nContent-Length: 60000\r\n\r\nv=0"))
	},
	"HTTP: offers that are none": func(ctx context.Context, s *testServer) {
		offers := [][]byte{nil, []byte("v=0"), bytes.Repeat([]byte("a=x\r\n"), 1<<10), bytes.Repeat([]byte{0}, 1<<20),
			[]byte("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n" + strings.Repeat("m=video 9 UDP/TLS/RTP/SAVPF 96\r\n", 200))}
		for n := 0; ctx.Err() == nil; n++ {
			for _, path := range []string{"whep/primary", "whip/primary", "whip/other", "whep/primary/none"} {
				request(ctx, http.MethodPost, s.url(path), "application/sdp", offers[n%len(offers)])
				request(ctx, http.MethodPatch, s.url(path), "application/trickle-ice-sdpfrag", offers[n%len(offers)])
			}
		}
	},
	"HTTP: players of a thousand streams": func(ctx context.Context, s *testServer) {
		var players sync.WaitGroup
		for n := range 200 {
			players.Go(func() { request(ctx, http.MethodGet, s.url(fmt.Sprintf("events/stream%d", n)), "", nil) })
		}
		players.Wait()
	},
	"commands from a web page": func(ctx context.Context, s *testServer) {
		for ctx.Err() == nil {
			r, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://"+s.Addresses().Control+"/v1/pairs/sunday/select", strings.NewReader(`{"select":"Backup"}`))
			if err != nil {
				return
			}
			r.Host = "evil.example"
			if answer, err := http.DefaultClient.Do(r); err == nil {
				if answer.StatusCode != http.StatusForbidden {
					s.t.Errorf("a command for another host is answered with %s", answer.Status)
				}
				_ = answer.Body.Close()
			}
		}
	},
	"WebRTC: datagrams that are none of it": func(ctx context.Context, s *testServer) {
		datagrams(ctx, s.t, s.Addresses().WebRTC, 0, 20, 22, 128, 200) // STUN, DTLS, RTP, RTCP
	},
	"SRT: datagrams that are none of it": func(ctx context.Context, s *testServer) {
		datagrams(ctx, s.t, s.Addresses().SRT, 0x80, 0, 0xff)
	},
	"WebSocket: messages that are none": func(ctx context.Context, s *testServer) {
		messages := []string{"", "{", "[]", `{"command":1}`, `{"command":"nothing"}`, `{"command":"play","streamId":"` + strings.Repeat("x", 1<<10) + `"}`,
			`{"command":"takeConfiguration","streamId":"primary","type":"answer","sdp":"v=0"}`, strings.Repeat("x", 1<<20)}
		for n := 0; ctx.Err() == nil; n++ {
			ws, _, err := websocket.Dial(ctx, "ws"+s.url("websocket")[len("http"):], nil)
			if err != nil {
				time.Sleep(10 * ms)
				continue
			}
			_ = ws.Write(ctx, websocket.MessageText, []byte(messages[n%len(messages)]))
			time.Sleep(10 * ms)
			_ = ws.CloseNow()
		}
	},
	"WebRTC: TCP that is none of it": func(ctx context.Context, s *testServer) {
		flood(ctx, s.Addresses().WebRTC, bytes.Repeat([]byte{0xff, 0xff, 1, 2, 3}, 1<<10), 1<<20)
	},
}

// rtmpCommand returns a handshake and a connect command with a property.
func rtmpCommand(value []byte) []byte {
	// Adobe's RTMP specification 1.0, sections 5.2, 5.3.1.1 and 7.2.1.1; AMF0.
	payload := append([]byte{2, 0, 7}, "connect"...)
	payload = append(payload, 0, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0) // transaction 1
	payload = append(payload, 3, 0, 1, 'x')
	payload = append(payload, value...)
	n := len(payload)
	out := append([]byte{3}, make([]byte, 2*1536)...)
	out = append(out, 2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0xff, 0xff) // set chunk size
	out = append(out, 3, 0, 0, 0, byte(n>>16), byte(n>>8), byte(n), 20, 0, 0, 0, 0)
	return append(out, payload...)
}

// hold opens connections, writes the beginning to each, and keeps them open.
func hold(ctx context.Context, address string, connections int, beginning []byte) {
	var open []net.Conn
	for range connections {
		if c, err := net.Dial("tcp", address); err == nil {
			_, _ = c.Write(beginning)
			open = append(open, c)
		}
	}
	<-ctx.Done()
	for _, c := range open {
		_ = c.Close()
	}
}

// flood opens one connection after another. To each it writes
// up to limit bytes, or until the connection is closed.
func flood(ctx context.Context, address string, data []byte, limit int) {
	for ctx.Err() == nil {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return
		}
		end := context.AfterFunc(ctx, func() { _ = c.Close() })
		go func() { _, _ = io.Copy(io.Discard, c) }()
		for written := 0; written < limit; {
			n, err := c.Write(data)
			if err != nil {
				break
			}
			written += n
		}
		time.Sleep(20 * ms)
		end()
		_ = c.Close()
	}
}

// datagrams sends random datagrams of all lengths that begin with one of these bytes.
func datagrams(ctx context.Context, t *testing.T, address string, first ...byte) {
	c, err := net.Dial("udp", address)
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	datagram, random := make([]byte, 1200), seeded.Rand(t)
	for n := 0; ctx.Err() == nil; n++ {
		seeded.Fill(random, datagram)
		datagram[0] = first[n%len(first)]
		_, _ = c.Write(datagram[:n%len(datagram)])
		if n%100 == 0 {
			time.Sleep(10 * ms) // otherwise this would test the machine
		}
	}
}

func request(ctx context.Context, method, url, contentType string, body []byte) {
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return
	}
	r.Header.Set("Content-Type", contentType)
	if answer, err := http.DefaultClient.Do(r); err == nil {
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
	}
}

// All attacks run at once while a viewer watches and the pair switches.
func TestAttacksDoNotTouchThePairThatPlays(t *testing.T) {
	s := startServer(t, sticky, withSRT)
	primary := s.replay("primary", mediatest.Programme{}, mediatest.ReplayOptions{})
	s.onAir("primary", true, false)
	s.replay("backup", mediatest.Programme{Leg: 1}, mediatest.ReplayOptions{})
	s.onAir("primary", true, true)
	v := s.watchPair()
	v.sees(0, fps, time.Time{})
	before := runtime.NumGoroutine()

	ctx, stop := context.WithCancel(t.Context())
	var attackers sync.WaitGroup
	for _, a := range attacks {
		attackers.Go(func() { a(ctx, s) })
	}
	began := time.Now()
	v.sees(0, 4*fps, began)
	if p := s.pair("sunday"); p.Switches != 0 {
		t.Errorf("%d switches while the attacks run, for %s", p.Switches, p.Reason)
	}
	v.sees(0, fps, time.Now())
	killed := time.Now()
	primary.Kill()
	first := v.sees(1, 2*fps, killed)
	stop()
	attackers.Wait()
	ended := time.Now()
	v.sees(1, fps, ended)

	r := v.leaves()
	r.isContinuous()
	r.isInSync(3, 300*ms, 300*ms)
	gap := mediatest.LongestGap(r.sightings, began, ended)
	t.Logf("%d attacks for %v: longest gap %v, killed to the other leg's picture %v",
		len(attacks), ended.Sub(began).Round(ms), gap.Round(ms), first.Seen.Sub(killed).Round(ms))
	if gap > maxGap {
		t.Errorf("no picture for %v", gap)
	}
	eventually.True(t, "as many goroutines as before", func() bool {
		http.DefaultClient.CloseIdleConnections()
		// The pairs made for strangers' URLs linger.
		return runtime.NumGoroutine() <= before+10*defaultLimits().onDemand
	})
	// A new viewer is served.
	late := s.watchPair()
	late.sees(1, fps, time.Time{})
}
