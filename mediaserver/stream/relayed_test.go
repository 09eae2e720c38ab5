package stream

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

var relayedLive = PublishRequest{Key: keyLive, Authenticated: true, Relayed: true, Protocol: "relay"}

func relay(t *testing.T, r *Registry) *Publication {
	t.Helper()
	p, err := r.Publish(relayedLive)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestARelayedPublicationNeverReplacesAPublisher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry(Config{})
		p := begin(t, r)
		writeIDR(t, p, 0)
		refused := func(when string) {
			t.Helper()
			if _, err := r.Publish(relayedLive); !errors.Is(err, ErrStreamInUse) {
				t.Errorf("%s: %v, want %v", when, err, ErrStreamInUse)
			}
		}
		refused("a live one")
		time.Sleep(time.Minute)
		refused("a silent one")
		p.End(EndClosed)
		relayed := relay(t, r)
		writeIDR(t, relayed, 0)
		begin(t, r)
		refused("one that is about to begin")
		if r.Stream(keyLive).Snapshot().Conflict {
			t.Error("a relay that is refused is no second encoder")
		}
	})
}

func TestAPublisherReplacesARelayedPublicationAtItsIDR(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry(Config{})
		s := r.Stream(keyLive)
		for n := range maxTakeovers + 3 { // as often as it likes
			relayed := relay(t, r)
			writeIDR(t, relayed, 0)
			if !s.Snapshot().Publication.Relayed {
				t.Fatal("the snapshot does not tell that it is relayed")
			}
			p := begin(t, r)
			must(t, p.SetVideoParameters(sps240, pps0))
			if id := s.Snapshot().Publication.ID; id != relayed.ID() {
				t.Fatalf("turn %d: it took over without an IDR", n)
			}
			writeIDR(t, p, 0)
			select {
			case <-relayed.Done():
			default:
				t.Fatalf("turn %d: the relayed one goes on", n)
			}
			if snap := s.Snapshot(); snap.Publication.ID != p.ID() || snap.Publication.Relayed || len(snap.Warnings) > 0 {
				t.Fatalf("turn %d: %+v, %v", n, snap.Publication, snap.Warnings)
			}
			p.End(EndClosed)
		}
	})
}

func TestARelayedPublicationIsReplacedByTheNextAtItsIDR(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry(Config{})
		s := r.Stream(keyLive)
		before := relay(t, r)
		writeIDR(t, before, 0)
		for n := range maxTakeovers + 3 {
			next := relay(t, r)
			if id := s.Snapshot().Publication.ID; id != before.ID() {
				t.Fatalf("turn %d: it took over without an IDR", n)
			}
			writeIDR(t, next, 0)
			if id := s.Snapshot().Publication.ID; id != next.ID() {
				t.Fatalf("turn %d: it did not take over", n)
			}
			before = next
		}
	})
}

func TestADrainingRegistryRelaysOn(t *testing.T) {
	r := NewRegistry(Config{})
	r.Drain()
	if _, err := r.Publish(PublishRequest{Key: keyLive}); !errors.Is(err, ErrShuttingDown) {
		t.Errorf("a publisher: %v", err)
	}
	relay(t, r)
	r.Close()
	if _, err := r.Publish(relayedLive); !errors.Is(err, ErrShuttingDown) {
		t.Errorf("after the end: %v", err)
	}
}

// A reader joins a stream whose publisher began a while ago, and is sent what is cached.
func TestWhatWasCachedKeepsItsPlaceInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry(Config{})
		time.Sleep(time.Hour)
		p := relay(t, r)
		sub := p.Stream().Subscribe(1000)
		defer sub.Close()
		must(t, p.SetAudioFormat(formatAAC))
		const zero = 7 * time.Hour // on the other clock
		joined := r.Now()
		p.Anchor(zero)
		writeIDR(t, p, zero-3*time.Second)
		for ago := 2960 * ms; ago > 0; ago -= 40 * ms {
			writeInter(t, p, zero-ago)
			writeSound(t, p, zero-ago)
		}
		units := drain(sub)
		for _, u := range units {
			if want := joined + u.DTS - u.Offset - zero; u.DTS != want || u.Arrival != want {
				t.Fatalf("%v of %v lies at %v and arrived at %v, want %v", u.Kind, u.DTS-u.Offset, u.DTS, u.Arrival, want)
			}
		}
		if n := len(units); n != 1+74*2 {
			t.Errorf("%d units", n)
		}
		if snap := p.Stream().Snapshot(); r.Now()-snap.Video.LastArrival != 40*ms {
			t.Errorf("the last picture came %v ago", r.Now()-snap.Video.LastArrival)
		}
		// What is live takes its place by its arrival.
		time.Sleep(30 * ms)
		writeInter(t, p, zero+40*ms) // early
		if u := drain(sub)[0]; u.DTS != joined+30*ms || u.Arrival != joined+30*ms {
			t.Errorf("an early picture lies at %v and arrived at %v, want %v", u.DTS, u.Arrival, joined+30*ms)
		}
		// A peer that goes on sending what is old is taken for one whose clock has jumped.
		time.Sleep(maxBacklog)
		writeInter(t, p, zero-time.Second)
		if u := drain(sub)[0]; u.DTS != r.Now() {
			t.Errorf("an old picture lies at %v, want %v", u.DTS, r.Now())
		}
	})
}
