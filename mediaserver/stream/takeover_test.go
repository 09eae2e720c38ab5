package stream

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTakeover(t *testing.T) {
	type newcomer struct {
		authenticated bool
		// after is the time since the newcomer before.
		after time.Duration
		// silent reports whether the incumbent is silent until then.
		silent bool
		want   error
	}
	second := func(err error) newcomer { return newcomer{true, time.Second, false, err} }
	tests := []struct {
		name      string
		newcomers []newcomer
	}{
		{"authenticated, incumbent live: takes over", []newcomer{second(nil)}},
		{"without a token, incumbent live: refused", []newcomer{{false, time.Second, false, ErrStreamInUse}}},
		{"without a token, incumbent silent: takes over", []newcomer{{false, 2 * time.Second, true, nil}}},
		{"without a token, incumbent not yet silent long enough: refused", []newcomer{{false, time.Second, true, ErrStreamInUse}}},
		{"three takeovers within 60 s are allowed, the fourth is refused", []newcomer{second(nil), second(nil), second(nil), second(ErrTooManyTakeovers)}},
		{
			"refused while the window lasts, allowed after it",
			[]newcomer{second(nil), second(nil), second(nil), {true, 57 * time.Second, false, ErrTooManyTakeovers}, {true, 2 * time.Second, false, nil}},
		},
		{
			"a silent incumbent is always replaced",
			[]newcomer{second(nil), second(nil), second(nil), second(ErrTooManyTakeovers), {true, 2 * time.Second, true, nil}},
		},
		{
			"replacing silent ones does not count as taking over",
			[]newcomer{
				{true, 2 * time.Second, true, nil}, {true, 2 * time.Second, true, nil}, {true, 2 * time.Second, true, nil},
				second(nil), second(nil), second(nil), second(ErrTooManyTakeovers),
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := NewRegistry(Config{})
				s := r.Stream(keyLive)
				incumbent := begin(t, r)
				must(t, incumbent.SetAudioFormat(formatAAC))
				writeIDR(t, incumbent, 0)
				writeSound(t, incumbent, 0)
				for i, n := range tt.newcomers {
					for end := s.now() + n.after; s.now() < end; time.Sleep(20 * ms) {
						if !n.silent {
							writeInter(t, incumbent, s.now())
						}
					}
					p, err := r.Publish(PublishRequest{Key: keyLive, Authenticated: n.authenticated})
					if !errors.Is(err, n.want) {
						t.Fatalf("newcomer %d: %v, want %v", i+1, err, n.want)
					}
					if err != nil {
						continue
					}
					writeIDR(t, p, 0)
					if got := s.Snapshot().Publication.ID; got != p.ID() {
						t.Fatalf("newcomer %d: publication %d is on air, want %d", i+1, got, p.ID())
					}
					incumbent = p
				}
				r.Close()
			})
		})
	}
}

func TestIncumbentStaysOnAirUntilTheNewcomersFirstIDR(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry(Config{})
		s := r.Stream(keyLive)
		sub := s.Subscribe(100)
		defer sub.Close()
		var ended error
		incumbent, err := r.Publish(PublishRequest{Key: keyLive, Close: func(err error) { ended = err }})
		must(t, err)
		writeIDR(t, incumbent, 0)
		newcomer := begin(t, r)
		must(t, newcomer.SetVideoParameters(sps360, pps0))
		must(t, newcomer.SetAudioFormat(formatAAC))
		for ts := range 50 {
			at := time.Duration(ts) * 40 * ms
			writeInter(t, incumbent, at)
			writeInter(t, newcomer, at)
			writeSound(t, newcomer, at+100*ms) // audio comes ahead of its video
			time.Sleep(40 * ms)
		}
		for _, u := range drain(sub) {
			if u.Publication != incumbent {
				t.Fatal("the newcomer is on air before its first IDR")
			}
		}
		must(t, newcomer.WriteVideo(2*time.Second, 2*time.Second, [][]byte{sps360, pps0, idrSlice(10)}))
		synctest.Wait()
		if !errors.Is(ended, ErrTakenOver) {
			t.Errorf("the incumbent was told %v, want %v", ended, ErrTakenOver)
		}
		<-incumbent.Done()
		if err := incumbent.WriteVideo(0, 0, [][]byte{interSlice(10)}); !errors.Is(err, ErrPublicationEnded) {
			t.Errorf("write of the incumbent: %v, want %v", err, ErrPublicationEnded)
		}
		units := drain(sub)
		if got := describe(units); got != "aaV" {
			t.Errorf("delivered at the takeover: %s, want the audio of the IDR's time and the IDR", got)
		}
		// Subscribers must not mistake cached units of the newcomer for units of the incumbent that
		// they have received.
		var seqs []uint64
		for _, u := range s.Cached() {
			seqs = append(seqs, u.Seq)
		}
		if seqs[len(seqs)-1] != units[2].Seq || seqs[0] != units[2].Seq-uint64(len(seqs))+1 {
			t.Errorf("cached %v, on air since %d", seqs, units[2].Seq)
		}
		r.Close()
	})
}

func TestWhoSucceeds(t *testing.T) {
	tests := []struct {
		name string
		// act gets the incumbent and a newcomer that waits for its first IDR. It returns the
		// publication that should be on air then.
		act func(t *testing.T, r *Registry, incumbent, newcomer *Publication) *Publication
	}{
		{"the incumbent leaves: the newcomer, without waiting for its IDR", func(_ *testing.T, _ *Registry, incumbent, newcomer *Publication) *Publication {
			incumbent.End(EndClosed)
			return newcomer
		}},
		{"the newcomer leaves: the incumbent stays", func(_ *testing.T, _ *Registry, incumbent, newcomer *Publication) *Publication {
			newcomer.End(EndClosed)
			return incumbent
		}},
		{"a third comes: it waits in the newcomer's place", func(t *testing.T, r *Registry, incumbent, newcomer *Publication) *Publication {
			third := begin(t, r)
			<-newcomer.Done()
			writeInter(t, incumbent, 40*ms)
			writeIDR(t, third, 0)
			return third
		}},
		{"the incumbent falls silent: the newcomer with whatever it has", func(t *testing.T, _ *Registry, _, newcomer *Publication) *Publication {
			must(t, newcomer.SetAudioFormat(formatAAC))
			time.Sleep(1100 * ms)
			writeSound(t, newcomer, 0)
			return newcomer
		}},
		{"the incumbent falls silent and a third comes: the newcomer, and the third waits", func(t *testing.T, r *Registry, _, newcomer *Publication) *Publication {
			must(t, newcomer.SetAudioFormat(formatAAC))
			time.Sleep(900 * ms)
			writeSound(t, newcomer, 0)
			time.Sleep(200 * ms)
			begin(t, r)
			return newcomer
		}},
		{"all silent and a third comes: the third", func(t *testing.T, r *Registry, _, newcomer *Publication) *Publication {
			time.Sleep(1100 * ms)
			third := begin(t, r)
			<-newcomer.Done()
			return third
		}},
		{"a newcomer of audio only takes over after a second", func(t *testing.T, r *Registry, incumbent, newcomer *Publication) *Publication {
			must(t, newcomer.SetAudioFormat(formatAAC))
			for range 60 {
				writeInter(t, incumbent, r.Now())
				writeSound(t, newcomer, r.Now())
				time.Sleep(20 * ms)
				if r.Now()-newcomer.since < time.Second && newcomer.stream.current == newcomer {
					t.Fatal("took over too early")
				}
				if newcomer.stream.current == newcomer {
					break
				}
			}
			return newcomer
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := NewRegistry(Config{})
				incumbent := begin(t, r)
				writeIDR(t, incumbent, 0)
				newcomer := begin(t, r)
				want := tt.act(t, r, incumbent, newcomer)
				s := r.Stream(keyLive)
				if got := s.Snapshot().Publication; got == nil || got.ID != want.ID() {
					t.Errorf("on air: %+v, want publication %d", got, want.ID())
				}
				r.Close()
				if s.Snapshot().Publication != nil {
					t.Error("on air after Close")
				}
				for _, p := range []*Publication{incumbent, newcomer, want} {
					<-p.Done()
				}
			})
		})
	}
}

func TestSharedStreamIDIsShownWhileTheyQuarrel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry(Config{})
		s := r.Stream(keyLive)
		for range 4 {
			writeIDR(t, begin(t, r), 0)
		}
		if _, err := r.Publish(PublishRequest{Key: keyLive, Authenticated: true}); !errors.Is(err, ErrTooManyTakeovers) {
			t.Fatal(err)
		}
		if d := cmp.Diff([]string{"SharedStreamID"}, warningCodes(s)); d != "" {
			t.Error(d)
		}
		s.current.End(EndClosed)
		if got := warningCodes(s); got != nil {
			t.Errorf("warnings after the end: %v", got)
		}
	})
}

func TestASecondPublisherThatIsRefusedIsAConflictForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		changes := 0
		r := NewRegistry(Config{OnChange: func() { changes++ }})
		s := r.Stream(keyLive)
		if snap := s.Snapshot(); snap.Published || snap.Conflict {
			t.Errorf("before anybody came: %+v", snap)
		}
		p := begin(t, r)
		writeIDR(t, p, 0)
		before := changes
		for range 3 {
			if _, err := r.Publish(PublishRequest{Key: keyLive}); !errors.Is(err, ErrStreamInUse) {
				t.Fatal(err)
			}
		}
		if snap := s.Snapshot(); !snap.Published || !snap.Conflict || changes != before+1 {
			t.Errorf("conflict %v, and %d changes were told of, want true and 1", snap.Conflict, changes-before)
		}
		time.Sleep(takeoverWindow)
		if s.Snapshot().Conflict {
			t.Error("a minute later it is a conflict still")
		}
		p.End(EndClosed)
		if !s.Snapshot().Published {
			t.Error("it is forgotten that somebody published")
		}
	})
}

func TestPublisherAndNewcomerAreAskedForAnIDR(t *testing.T) {
	r := NewRegistry(Config{})
	asked := [2]int{}
	for i := range asked {
		p, err := r.Publish(PublishRequest{Key: keyLive, Authenticated: true, RequestIDR: func() { asked[i]++ }})
		must(t, err)
		defer p.End(EndClosed)
	}
	if p := r.Stream(keyLive).Snapshot().Publication; !p.TakesIDRRequests || asked != [2]int{} {
		t.Errorf("the snapshot says %v, and asked %v times", p.TakesIDRRequests, asked)
	}
	r.Stream(keyLive).RequestIDR()
	if asked != [2]int{1, 1} {
		t.Errorf("asked %v times", asked)
	}
	r.Stream(Key{"live", "nobody"}).RequestIDR()
}
