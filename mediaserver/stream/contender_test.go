package stream

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestAConnectionAloneClaimsNoStream(t *testing.T) {
	open := func(t *testing.T, r *Registry) *Publication {
		t.Helper()
		p, err := r.Publish(PublishRequest{Key: keyLive})
		must(t, err)
		return p
	}
	tests := []struct {
		name string
		// act returns the publication that should be on air at the end.
		act func(t *testing.T, r *Registry) *Publication
	}{
		{"one that sends nothing, then one that sends a picture: the latter, at once", func(t *testing.T, r *Registry) *Publication {
			idle := open(t, r)
			encoder := open(t, r)
			writeIDR(t, encoder, 0)
			<-idle.Done()
			return encoder
		}},
		{"one comes after the other, and none sends: an encoder that is slow to begin is not ended", func(t *testing.T, r *Registry) *Publication {
			encoder := open(t, r)
			for range 20 {
				open(t, r)
				time.Sleep(300 * ms)
			}
			writeIDR(t, encoder, 0)
			return encoder
		}},
		{"the last of many sends first", func(t *testing.T, r *Registry) *Publication {
			for range 20 {
				open(t, r)
			}
			encoder := open(t, r)
			must(t, encoder.SetVideoParameters(sps360, pps0))
			writeInter(t, encoder, 0)
			if encoder.stream.current == encoder {
				t.Fatal("took over without an IDR, which cannot be decoded")
			}
			writeIDR(t, encoder, 40*ms)
			return encoder
		}},
		{"a contender that is too late is refused, and the incumbent stays", func(t *testing.T, r *Registry) *Publication {
			encoder, late := open(t, r), open(t, r)
			writeIDR(t, encoder, 0)
			if err := late.WriteVideo(0, 0, [][]byte{sps360, pps0, idrSlice(10)}); !errors.Is(err, ErrPublicationEnded) {
				t.Errorf("write of the one that is late: %v", err)
			}
			<-late.Done()
			if !encoder.stream.Snapshot().Conflict {
				t.Error("the conflict is not shown")
			}
			return encoder
		}},
		{"an encoder stalls: a connection does not end it, and it goes on", func(t *testing.T, r *Registry) *Publication {
			encoder := open(t, r)
			writeIDR(t, encoder, 0)
			time.Sleep(1500 * ms)
			open(t, r)
			writeInter(t, encoder, 1500*ms)
			return encoder
		}},
		{"an encoder stalls, and the next sends a picture: the next", func(t *testing.T, r *Registry) *Publication {
			encoder := open(t, r)
			writeIDR(t, encoder, 0)
			time.Sleep(1500 * ms)
			next := open(t, r)
			writeIDR(t, next, 0)
			<-encoder.Done()
			return next
		}},
		{"the one on air leaves: the contender that waits for longest", func(t *testing.T, r *Registry) *Publication {
			idle, next := open(t, r), open(t, r)
			open(t, r)
			idle.End(EndClosed)
			return next
		}},
		{"a contender leaves: it is not begun later", func(t *testing.T, r *Registry) *Publication {
			idle, gone, next := open(t, r), open(t, r), open(t, r)
			gone.End(EndClosed)
			idle.End(EndClosed)
			return next
		}},
		{"sound alone takes over after a second", func(t *testing.T, r *Registry) *Publication {
			idle, encoder := open(t, r), open(t, r)
			must(t, encoder.SetAudioFormat(formatAAC))
			for !idle.Ended() {
				writeSound(t, encoder, r.Now())
				time.Sleep(20 * ms)
			}
			return encoder
		}},
		{"one with a token takes a stream from one without that sends nothing", func(t *testing.T, r *Registry) *Publication {
			open(t, r)
			encoder := begin(t, r)
			writeIDR(t, encoder, 0)
			return encoder
		}},
		{"a contender does not push out one with a token that waits for its IDR", func(t *testing.T, r *Registry) *Publication {
			open(t, r)
			stranger := open(t, r)
			encoder := begin(t, r)
			if err := stranger.WriteVideo(0, 0, [][]byte{sps360, pps0, idrSlice(10)}); !errors.Is(err, ErrPublicationEnded) {
				t.Errorf("write of the stranger: %v", err)
			}
			writeIDR(t, encoder, 0)
			return encoder
		}},
		{"connections do not keep the relay out", func(t *testing.T, r *Registry) *Publication {
			open(t, r)
			for range 4 {
				time.Sleep(300 * ms)
				open(t, r)
			}
			relayed, err := r.Publish(PublishRequest{Key: keyLive, Authenticated: true, Relayed: true, Remote: "peer", Began: r.epoch})
			must(t, err)
			writeIDR(t, relayed, 0)
			return relayed
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := NewRegistry(Config{})
				want := tt.act(t, r)
				s := r.Stream(keyLive)
				if got := s.Snapshot().Publication; got == nil || got.ID != want.ID() {
					t.Errorf("on air: %+v, want publication %d", got, want.ID())
				}
				if want.Ended() {
					t.Error("the one on air was ended")
				}
				contenders := slices.Clone(s.contenders)
				r.Close()
				for _, p := range append(contenders, want) {
					if !p.Ended() {
						t.Error("Close left a publication open")
					}
				}
				if len(s.contenders) > 0 || s.pending != nil || s.current != nil {
					t.Error("Close left a publication in the stream")
				}
			})
		})
	}
}

func TestReplacingAPublisherThatSentNothingIsNoTakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry(Config{})
		for range 2 * maxTakeovers {
			begin(t, r)
			time.Sleep(100 * ms)
		}
		encoder := begin(t, r)
		writeIDR(t, encoder, 0)
		if got := warningCodes(encoder.stream); got != nil {
			t.Errorf("warnings %v", got)
		}
		r.Close()
	})
}
