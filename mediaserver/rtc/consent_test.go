package rtc

import (
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/rtp"
	"github.com/pion/stun/v3"
)

func TestWhatCountsAsConsent(t *testing.T) {
	const s = time.Second
	var now time.Duration
	host := func(port int) ice.Candidate {
		c, err := ice.NewCandidateHost(&ice.CandidateHostConfig{Network: "udp", Address: "192.0.2.1", Port: port, Component: 1})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	server, viewer, other := host(9), host(1), host(2)
	p := newPath(overUDP)
	p.now = func() time.Duration { return now }
	request := func(at time.Duration, from ice.Candidate) {
		now = at
		if p.request(stun.New(), server, from, nil) {
			t.Error("a request that nominates nothing selects its address")
		}
	}
	expect := func(what string, at time.Duration, want bool) {
		t.Helper()
		if got := p.consents(at); got != want {
			t.Errorf("%s: consent %v at %v", what, got, at)
		}
	}
	request(100*s, viewer)
	p.selectPair(server, viewer)
	expect("for almost ten seconds", 110*s-1, true)
	expect("after ten seconds", 110*s, false)
	request(105*s, viewer)
	expect("renewed", 115*s-1, true)
	request(110*s, other)
	expect("a request from another address", 115*s, false)
	now = 120 * s
	p.selectPair(server, other)
	expect("the other address, which has answered a check", 130*s-1, true)
}

func TestAViewerThatDoesNotConsentIsSentNothing(t *testing.T) {
	b := newOutputTest(t, nil)
	b.silent = true
	v, w := b.viewer()
	b.write(60, true, 2000)
	b.serve(v)
	if len(w.take(videoSSRC)) == 0 {
		t.Fatal("nothing was sent to a viewer that has just come")
	}
	var last rtp.Header
	for b.now < 14*time.Second { // nothing comes from the viewer
		b.write(30, true, 2000)
		b.serve(v)
		for _, p := range w.take(videoSSRC) {
			last = p.Header
			if b.now > 11*time.Second {
				t.Fatalf("a packet at %v", b.now)
			}
		}
	}
	w.mu.Lock()
	w.reports = nil
	w.mu.Unlock()
	b.serve(v)
	if len(w.reports) > 0 {
		t.Error("reports are sent to it")
	}
	// The viewer answers again. It goes on at the last IDR, and gets nothing from before.
	v.path.connected()
	b.write(1, false, 2000)
	b.drain(v)
	packets := w.take(videoSSRC)
	if len(packets) == 0 || !startsPicture(packets[0]) {
		t.Fatalf("%d packets, and the first begins no picture", len(packets))
	}
	if n := packets[0].SequenceNumber - last.SequenceNumber; n != 1 {
		t.Errorf("the sequence number grows by %d", n)
	}
	if int32(packets[0].Timestamp-last.Timestamp) <= 0 {
		t.Errorf("timestamp %d follows %d", packets[0].Timestamp, last.Timestamp)
	}
	follows(t, packets)
	if pictures := 31; len(packets) > 3*pictures+10 {
		t.Errorf("%d packets at once", len(packets))
	}
}
