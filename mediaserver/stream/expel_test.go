package stream

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWhoIsRefusedAfterAnExpulsion(t *testing.T) {
	const bad, other, peer = "192.0.2.1:1000", "192.0.2.2:1000", "http://peer"
	type attempt struct {
		after   time.Duration // after the expulsion
		relayed bool
		remote  string
		began   time.Duration // relayed: when it began at the other server, after the expulsion
		unknown bool          // its start is unknown
		want    error
	}
	own := func(after time.Duration, remote string, want error) attempt {
		return attempt{after: after, remote: remote, want: want}
	}
	relayed := func(after, began time.Duration, want error) attempt {
		return attempt{after: after, relayed: true, remote: peer, began: began, want: want}
	}
	tests := map[string]struct {
		remote  string
		relayed bool
		try     attempt
	}{
		"the same address, at once":                       {bad, false, own(0, bad, ErrExpelled)},
		"the same address, on another port":               {bad, false, own(time.Second, "192.0.2.1:2000", ErrExpelled)},
		"the same address, after 29 s":                    {bad, false, own(29*time.Second, bad, ErrExpelled)},
		"the same address, after 30 s":                    {bad, false, own(30*time.Second, bad, nil)},
		"the same IPv6 network":                           {"[2001:db8::1]:1", false, own(0, "[2001:db8::2]:1", ErrExpelled)},
		"an honest second encoder":                        {bad, false, own(0, other, nil)},
		"the same publisher by the relay":                 {bad, false, relayed(time.Second, time.Millisecond, ErrExpelled)},
		"the same publisher by the relay, after 30 s":     {bad, false, relayed(30*time.Second, time.Millisecond, nil)},
		"an encoder that was at the peer before":          {bad, false, relayed(0, -time.Minute, nil)},
		"by the relay, since nobody knows when":           {bad, false, attempt{relayed: true, remote: peer, unknown: true, want: ErrExpelled}},
		"the same relayed publication":                    {peer, true, relayed(0, -10*time.Second, ErrExpelled)},
		"the relayed publisher, connected anew":           {peer, true, relayed(time.Second, 500*time.Millisecond, ErrExpelled)},
		"the relayed publisher, after 30 s":               {peer, true, relayed(30*time.Second, 500*time.Millisecond, nil)},
		"a publisher of this server after a relayed one":  {peer, true, own(0, other, nil)},
		"an older relayed publication than that expelled": {peer, true, relayed(0, -20*time.Second, nil)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := NewRegistry(Config{})
				defer r.Close()
				time.Sleep(10 * time.Second)
				told := make(chan error, 1)
				req := PublishRequest{Key: keyLive, Authenticated: true, Remote: tt.remote, Relayed: tt.relayed, Close: func(err error) { told <- err }}
				if tt.relayed {
					req.Began = time.Now().Add(-10 * time.Second)
				}
				p, err := r.Publish(req)
				must(t, err)
				p.Expel()
				if err := <-told; !errors.Is(err, ErrExpelled) || !p.Ended() {
					t.Fatalf("the publisher was told %v", err)
				}
				expelled := time.Now()
				time.Sleep(tt.try.after)
				again := PublishRequest{Key: keyLive, Authenticated: true, Remote: tt.try.remote, Relayed: tt.try.relayed}
				if tt.try.relayed && !tt.try.unknown {
					again.Began = expelled.Add(tt.try.began)
				}
				if tt.try.relayed {
					if got := r.Stream(keyLive).Admits(again.Remote, again.Began); got != (tt.try.want == nil) {
						t.Errorf("Admits: %v", got)
					}
				}
				if _, err := r.Publish(again); !errors.Is(err, tt.try.want) {
					t.Errorf("got %v, want %v", err, tt.try.want)
				}
			})
		})
	}
}

func TestAnExpulsionIsShownWhileItLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry(Config{MaxStreams: 1})
		p := begin(t, r)
		p.Expel()
		p.Expel() // a second call is allowed
		s := p.Stream()
		if d := cmp.Diff([]string{"PublisherExpelled"}, warningCodes(s)); d != "" {
			t.Error(d)
		}
		// Other streams of a stranger do not make the server forget the expulsion.
		if _, err := r.Publish(PublishRequest{Key: Key{"live", "other"}}); !errors.Is(err, ErrTooManyStreams) {
			t.Errorf("got %v", err)
		}
		for range 2 * maxExpulsions {
			p.Expel()
		}
		if n := len(s.expulsions); n != maxExpulsions {
			t.Errorf("%d expulsions are remembered", n)
		}
		time.Sleep(ExpulsionTime)
		if got := warningCodes(s); got != nil {
			t.Errorf("shown after its time: %v", got)
		}
	})
}

func TestADerivedPublicationExpelsWhatItIsMadeOf(t *testing.T) {
	r := NewRegistry(Config{})
	raw := begin(t, r)
	derived := NewDerived(raw.Stream())
	p, err := derived.Publish(PublishRequest{Key: keyLive, MadeOf: raw})
	must(t, err)
	p.Expel()
	if !raw.Ended() {
		t.Error("the raw publication goes on")
	}
	if _, err := r.Publish(PublishRequest{Key: keyLive, Authenticated: true}); !errors.Is(err, ErrExpelled) {
		t.Errorf("its publisher got %v", err)
	}
	// The view starts again with the next publication, whoever publishes it.
	p.End(EndClosed)
	if _, err := derived.Publish(PublishRequest{Key: keyLive}); err != nil {
		t.Errorf("the derived stream refuses: %v", err)
	}
}

func TestATakeoverGoesOnAfterTheIncumbentIsExpelled(t *testing.T) {
	r := NewRegistry(Config{})
	incumbent, err := r.Publish(PublishRequest{Key: keyLive, Authenticated: true, Remote: "192.0.2.1:1"})
	must(t, err)
	newcomer, err := r.Publish(PublishRequest{Key: keyLive, Authenticated: true, Remote: "192.0.2.2:1"})
	must(t, err)
	incumbent.Expel()
	writeIDR(t, newcomer, 0)
	if got := newcomer.Stream().Snapshot().Publication; got == nil || got.ID != newcomer.ID() {
		t.Errorf("on air: %+v", got)
	}
	newcomer.End(EndClosed)
}
