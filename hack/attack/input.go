package main

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"
)

// A target is what a stranger knows of a server.
type target struct {
	http, https, rtmp, webrtc, probe string // addresses, host:port
	// openIDs are the streams that anybody may publish.
	openIDs [2]string
}

func (s *server) target() target {
	a := s.addresses
	return target{http: a.HTTP, https: a.HTTPS, rtmp: a.RTMP, webrtc: a.WebRTC, probe: a.Probe, openIDs: [2]string{"open-a", "open-b"}}
}

// url returns the URL of a path below the media server's app.
func (t target) url(path string) string { return "http://" + t.http + "/live/" + path }

// An input is what one or more strangers send.
type input struct {
	name string
	// send sends until ctx ends, and counts the results.
	// It closes what it opened before it returns.
	send func(ctx context.Context, t target, came *tally)
	// undeclared says that the input publishes streams that
	// no manifest declares, to a server without tokens.
	undeclared bool
}

// inputs returns all inputs.
func inputs() []input {
	return []input{
		{name: "offers-of-many-formats", send: sendOffers(manyFormats)},
		{name: "offers-of-all-kinds", send: sendOffers(allOffers)},
		{name: "offers-that-never-connect", send: sendOffers(plainOffers)},
		{name: "fragments-of-all-kinds", send: sendFragments},
		{name: "rtp-sequence-jumps", send: sendRTP(sequenceJumps)},
		{name: "rtp-random", send: sendRTP(randomPackets)},
		{name: "rtp-nal-units", send: sendRTP(randomUnits)},
		{name: "rtp-endless-fragment", send: sendRTP(endlessFragment)},
		{name: "rtp-garbage-slices", send: sendRTP(garbageSlices)},
		{name: "flv-players-that-do-not-read", send: stallFLV},
		{name: "ice-tcp-viewers-that-do-not-read", send: stallICETCP},
		{name: "viewers-that-vanish", send: vanish},
		{name: "http-connections-idle", send: idle(func(t target) string { return t.http }, 9000)},
		{name: "http2-event-streams", send: eventStreams},
		{name: "events-of-pairs-on-demand", send: pairsOnDemand},
		{name: "ice-tcp-connections-idle", send: idle(func(t target) string { return t.webrtc }, 5000)},
		{name: "probe-connections-idle", send: idle(func(t target) string { return t.probe }, 9000)},
		{name: "rtmp-connections-that-linger", send: lingerRTMP},
		{name: "publishers-of-fat-gops", send: publishFat(2, false)},
		{name: "undeclared-publishers-of-fat-gops", send: publishFat(40, true), undeclared: true},
	}
}

// stranger is the address from which strangers connect. Viewers and encoders have another one.
var stranger = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 66)}

// dialer returns a dialer with the address of a stranger.
func dialer() *net.Dialer { return &net.Dialer{LocalAddr: stranger, Timeout: 5 * time.Second} }

// insecureClient returns a client that accepts any certificate, because
// the servers make their own. With dial nil it connects from any address.
func insecureClient(dial func(ctx context.Context, network, address string) (net.Conn, error)) *http.Client {
	return &http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{
			DialContext: dial, MaxIdleConnsPerHost: 64,
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // of a server on loopback that this program has started
		},
	}
}

// inParallel calls do n times at once, with the numbers from 0 on, and waits for all calls.
func inParallel(n int, do func(i int)) {
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() { do(i) })
	}
	wait.Wait()
}

// pause waits, and reports whether ctx is still going on.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
