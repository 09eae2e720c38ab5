package rtc

import (
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/rtp"
)

func TestWhenMediaMayBeSent(t *testing.T) {
	const s, never = time.Second, -1
	for _, tt := range []struct {
		name  string
		shown consent
		now   time.Duration
		given bool
	}{
		{"heard of just now", consent{100 * s, never, 100 * s}, 100 * s, true},
		{"silent for almost ten seconds", consent{100 * s, never, 100 * s}, 110*s - 1, true},
		{"silent for ten seconds", consent{100 * s, never, 100 * s}, 110 * s, false},
		{"silent for ten seconds, and sent sound alone", consent{100 * s, never, never}, 110 * s, false},
		{"at a new address for almost three seconds", consent{100 * s, 100 * s, 100 * s}, 103*s - 1, true},
		{"at a new address for three seconds", consent{100 * s, 100 * s, 100 * s}, 103 * s, false},
		{"at a new address, and sent pictures since", consent{100 * s, 100 * s, 102 * s}, 103 * s, false},
		{"at a new address for five seconds, without pictures for a minute", consent{100 * s, 100 * s, 40 * s}, 105 * s, true},
		{"at a new address for almost eight seconds, sent sound alone", consent{100 * s, 100 * s, never}, 108*s - 1, true},
		{"at a new address for eight seconds, sent sound alone", consent{100 * s, 100 * s, never}, 108 * s, false},
		{"paused, it stays so", consent{100 * s, 100 * s, 102 * s}, 108 * s, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if given := tt.shown.given(tt.now); given != tt.given {
				t.Errorf("given: %v", given)
			}
		})
	}
}

// A place is a viewer's address, as a source.
type place struct {
	port int
	last time.Time
}

func (p *place) Address() string              { return "192.0.2.1" }
func (p *place) Port() int                    { return p.port }
func (p *place) NetworkType() ice.NetworkType { return ice.NetworkTypeUDP4 }
func (p *place) LastReceived() time.Time      { return p.last }

func TestWhatCountsAsHeard(t *testing.T) {
	var now time.Duration
	zero := time.Now()
	at := func(d time.Duration) time.Time { now = d; return zero.Add(d) }
	old, other := &place{port: 1}, &place{port: 2}
	p := newPath(overUDP)
	p.now = func() time.Duration { return now }
	expect := func(what string, heard, moved time.Duration) {
		t.Helper()
		if c := p.consent(0); c.heardAt != heard || c.movedAt != moved {
			t.Errorf("%s: heard %v, moved %v; want %v, %v", what, c.heardAt, c.movedAt, heard, moved)
		}
	}
	const s, never = time.Second, -1
	p.requested(true, old, at(1*s))
	expect("the first address is no change", 1*s, never)
	p.requested(false, other, at(2*s))
	expect("another address that does not nominate itself", 1*s, never)
	old.last = at(3 * s)
	p.reported(at(3 * s))
	expect("a report from the address", 3*s, never)
	p.reported(at(5 * s))
	expect("a report from elsewhere", 3*s, never)
	other.last = at(6 * s)
	p.requested(true, other, at(6*s))
	expect("another address that nominates itself", 6*s, 6*s)
	p.reported(at(6*s + 50*time.Millisecond))
	expect("a report while only the request that moved it has come", 6*s, 6*s)
	p.requested(true, old, at(7*s))
	expect("back, while the address before is unproved", 7*s, 6*s)
	p.requested(false, old, at(8*s))
	expect("a second request from the address", 8*s, never)
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
	v.path.requested(true, &place{port: 1}, time.Now())
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
