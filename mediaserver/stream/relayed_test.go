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

func TestARelayedPublicationNeverReplacesALivePublisher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry(Config{})
		p := begin(t, r)
		writeIDR(t, p, 0)
		refused := func(when string) {
			t.Helper()
			if _, err := r.Publish(relayedLive); !errors.Is(err, ErrStreamInUse) || p.Stream().Admits("", time.Time{}) {
				t.Errorf("%s: %v, want %v", when, err, ErrStreamInUse)
			}
		}
		refused("a live one")
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

func TestARelayedPublicationReplacesASilentPublisherAtItsIDR(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry(Config{})
		var told error
		req := PublishRequest{Key: keyLive, Authenticated: true}
		req.Close = func(err error) { told = err }
		own, err := r.Publish(req)
		if err != nil {
			t.Fatal(err)
		}
		s := own.Stream()
		must(t, own.SetVideoParameters(sps240, pps0))
		writeIDR(t, own, 0)
		time.Sleep(1500 * ms)
		relayed := relay(t, r)
		must(t, relayed.SetVideoParameters(sps240, pps0))
		relayed.Anchor(5 * time.Second)
		writeIDR(t, relayed, 2*time.Second)
		if id := s.Snapshot().Publication.ID; id != own.ID() {
			t.Fatal("it took over with an IDR of three seconds ago, and may be as silent")
		}
		writeInter(t, relayed, 5*time.Second)
		if id := s.Snapshot().Publication.ID; id != own.ID() {
			t.Fatal("it took over without an IDR")
		}
		writeIDR(t, relayed, 5*time.Second+40*ms)
		synctest.Wait()
		if snap := s.Snapshot(); snap.Publication.ID != relayed.ID() || !errors.Is(told, ErrTakenOver) {
			t.Fatalf("it did not take over from a silent publisher, which is told %v: %+v", told, snap.Publication)
		}
		if err := own.WriteAudio(0, []byte{1}); err == nil {
			t.Error("the silent one goes on")
		}
	})
}

func TestAPublisherThatIsHeardAgainKeepsItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry(Config{})
		own := begin(t, r)
		writeIDR(t, own, 0)
		time.Sleep(1500 * ms)
		relayed := relay(t, r)
		must(t, relayed.SetVideoParameters(sps240, pps0))
		writeInter(t, own, 1500*ms)
		if err := relayed.WriteVideo(0, 0, [][]byte{sps240, pps0, {0x65, 0x88}}); !errors.Is(err, ErrPublicationEnded) {
			t.Errorf("the relay, which is to give way: %v", err)
		}
		if id := own.Stream().Snapshot().Publication.ID; id != own.ID() {
			t.Error("it lost its place")
		}
	})
}

// The encoder's connection hangs, so the encoder connects again while a relay is about to take
// over.
func TestAPublisherThatComesAgainIsPreferredToTheRelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry(Config{})
		hangs := begin(t, r)
		writeIDR(t, hangs, 0)
		time.Sleep(1500 * ms)
		relayed := relay(t, r)
		again := begin(t, r)
		for _, p := range []*Publication{hangs, relayed} {
			select {
			case <-p.Done():
			default:
				t.Errorf("publication %d goes on", p.ID())
			}
		}
		if id := again.Stream().Snapshot().Publication.ID; id != again.ID() {
			t.Error("it does not begin at once")
		}
	})
}

// Two servers of a leg both have a publisher. The encoder has forgotten one of these connections.
func TestOfTwoRelayedPublicationsTheLaterWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry(Config{})
		of := func(remote string, began time.Time) PublishRequest {
			req := relayedLive
			req.Remote, req.Began = remote, began
			return req
		}
		earlier, later := of("first", time.Now().Add(-time.Hour)), of("second", time.Now().Add(-time.Minute))
		p, err := r.Publish(later)
		if err != nil {
			t.Fatal(err)
		}
		writeIDR(t, p, 0)
		if _, err := r.Publish(earlier); !errors.Is(err, ErrStreamInUse) || p.Stream().Admits("first", earlier.Began) {
			t.Errorf("the earlier one: %v", err)
		}
		if !p.Stream().Admits("second", later.Began) {
			t.Error("the same server may not begin again")
		}
		if p.Stream().Admits("the second's other address", later.Began) || p.Stream().Admits("third", time.Time{}) {
			t.Error("the same again by another way, or one of which nothing is known, may begin")
		}
		if p.Stream().HasPublisher() {
			t.Error("a relayed one counts as a publisher")
		}
		time.Sleep(1500 * ms)
		instead, err := r.Publish(earlier)
		if err != nil {
			t.Fatalf("the earlier one, while the later is silent: %v", err)
		}
		writeIDR(t, instead, 0)
		back, err := r.Publish(later)
		if err != nil {
			t.Fatal(err)
		}
		if id := p.Stream().Snapshot().Publication.ID; id != instead.ID() {
			t.Error("it took over without an IDR")
		}
		back.Anchor(5 * time.Second)
		writeIDR(t, back, 2*time.Second)
		if id := p.Stream().Snapshot().Publication.ID; id != instead.ID() {
			t.Error("it took over with an IDR of three seconds ago, and may be silent still")
		}
		writeIDR(t, back, 5*time.Second)
		if id := p.Stream().Snapshot().Publication.ID; id != back.ID() {
			t.Error("it did not take over")
		}
	})
}

func TestAPublicationOfAServerThatDrainsIsLeaving(t *testing.T) {
	r := NewRegistry(Config{})
	own := begin(t, r)
	other := PublishRequest{Key: Key{"live", "other"}, Relayed: true}
	relayed, err := r.Publish(other)
	if err != nil {
		t.Fatal(err)
	}
	derived := NewDerived(own.Stream())
	r.Drain()
	if !own.Stream().Snapshot().Leaving || !derived.Snapshot().Leaving {
		t.Error("its publisher's is not")
	}
	if relayed.Stream().Snapshot().Leaving {
		t.Error("another server's is, too")
	}
	sub := relayed.Stream().Subscribe(1)
	defer sub.Close()
	relayed.Leave()
	select {
	case <-sub.Changed:
	default:
		t.Error("nobody is told")
	}
	if !relayed.Stream().Snapshot().Leaving {
		t.Error("the other server's is not, although it said so")
	}
	for _, s := range []*Stream{own.Stream(), relayed.Stream()} {
		s.EndLocal(EndShutdown, ErrShuttingDown)
	}
	if own.Stream().Snapshot().Publication != nil || relayed.Stream().Snapshot().Publication == nil {
		t.Error("of the two, only the server's own publisher's is to end")
	}
}

func TestAPublisherReplacesARelayedPublicationAtItsIDR(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry(Config{})
		s := r.Stream(keyLive)
		for n := range maxTakeovers + 3 { // takeovers of a relayed publication are not limited
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

// A reader joins a stream whose publisher began a while ago, and gets the cached media.
func TestWhatWasCachedKeepsItsPlaceInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry(Config{})
		time.Sleep(time.Hour)
		p := relay(t, r)
		sub := p.Stream().Subscribe(1000)
		defer sub.Close()
		must(t, p.SetAudioFormat(formatAAC))
		const zero = 7 * time.Hour // on the publisher's clock
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
		// Live media takes its place by its arrival.
		time.Sleep(30 * ms)
		writeInter(t, p, zero+40*ms) // early
		if u := drain(sub)[0]; u.DTS != joined+30*ms || u.Arrival != joined+30*ms {
			t.Errorf("an early picture lies at %v and arrived at %v, want %v", u.DTS, u.Arrival, joined+30*ms)
		}
		// A peer that keeps sending old media is treated like a peer whose clock has jumped.
		time.Sleep(maxBacklog)
		writeInter(t, p, zero-time.Second)
		if u := drain(sub)[0]; u.DTS != r.Now() {
			t.Errorf("an old picture lies at %v, want %v", u.DTS, r.Now())
		}
	})
}
