package pods

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/streampair/streampair/api/control"
)

var (
	_ manager.Runnable               = (*Streams)(nil)
	_ manager.LeaderElectionRunnable = (*Streams)(nil)
)

func TestAStatusIsKeptAndHintedAt(t *testing.T) {
	inBubble(t, func(t *testing.T, f *followed) {
		began := time.Now()
		f.Follow(sunday, []Target{f.pod.target(sundayPrimary)})
		f.wantHints(0, "before the first status")
		if s := f.State(sundayPrimary); s.Connected || s.Status != nil || !s.Since.Equal(began) {
			t.Errorf("before the first status: %+v", s)
		}
		time.Sleep(time.Second)
		connected := time.Now()
		f.pod.send(playing("Primary"))
		f.wantHints(1, "the first status")

		figures := playing("Primary")
		figures.Viewers, figures.Pairs[0].Viewers, figures.Streams[0].BitrateBPS = 7, 7, 3_000_000
		f.pod.send(figures)
		f.wantHints(0, "other figures")

		f.pod.send(playing("Backup"))
		f.wantHints(1, "another leg")
		want := State{Connected: true, Since: connected, Status: new(playing("Backup"))}
		if diff := cmp.Diff(want, f.State(sundayPrimary)); diff != "" {
			t.Errorf("state (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(State{}, f.State(Key{Pair: "monday"})); diff != "" {
			t.Errorf("a pod that is not followed (-want +got):\n%s", diff)
		}
	})
}

func TestALostPodIsHintedAtAtOnceAndWhenItIsUnreachable(t *testing.T) {
	inBubble(t, func(t *testing.T, f *followed) {
		f.connect()
		lost := time.Now()
		_ = f.pod.server.Close()
		f.wantHints(1, "the stream ends")
		s := f.State(sundayPrimary)
		if s.Connected || !s.Since.Equal(lost) || s.Status == nil || s.Status.Pairs[0].Active != "Primary" {
			t.Errorf("after the loss: %+v", s)
		}
		if s.Err != "the pod closed the event stream" {
			t.Errorf("after the loss: %q", s.Err)
		}
		time.Sleep(UnreachableAfter - time.Millisecond)
		f.wantHints(0, "still within 15 s")
		time.Sleep(time.Millisecond)
		f.wantHints(1, "unreachable")
		if s := f.State(sundayPrimary); time.Since(s.Since) < UnreachableAfter {
			t.Errorf("hinted at too early: lost for %v", time.Since(s.Since))
		}
		time.Sleep(time.Hour)
		f.wantHints(0, "it stays away")
	})
}

func TestAPodThatNeverAnsweredIsHintedAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, f *followed) {
		target := f.pod.target(sundayPrimary)
		target.Address = "192.0.2.9:9091"
		f.Follow(sunday, []Target{target})
		time.Sleep(UnreachableAfter)
		f.wantHints(1, "unreachable")
		time.Sleep(time.Hour)
		f.wantHints(0, "later")
		if s := f.State(sundayPrimary); s.Connected || !strings.HasPrefix(s.Err, "connect to the pod: ") {
			t.Errorf("got %+v", s)
		}
	})
}

func TestAPodThatReturnsIsFollowedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, f *followed) {
		f.connect()
		f.pod.hangUp <- struct{}{}
		f.wantHints(1, "the stream ends")
		time.Sleep(f.times.retryMax)
		f.pod.send(playing("Primary"))
		f.wantHints(1, "the pod returns")
		if s := f.State(sundayPrimary); !s.Connected || s.Err != "" {
			t.Errorf("got %+v", s)
		}
		lastWord := time.Now()
		time.Sleep(UnreachableAfter - time.Millisecond)
		f.pod.out <- ":\n"
		f.wantHints(1, "silence for longer than 10 s ends it") // and the first loss gives no late hint
		if s := f.State(sundayPrimary); s.Connected || !s.Since.Equal(lastWord) {
			t.Errorf("not connected since %v, and the last word was at %v", s.Since, lastWord)
		}
		time.Sleep(time.Millisecond)
		f.wantHints(1, "15 s without a word")
	})
}

func TestASlowReconcilerGetsOneHintPerPair(t *testing.T) {
	inBubble(t, func(t *testing.T, f *followed) {
		f.connect()
		// Nobody takes a hint. The stream must not stop, and nothing must pile up.
		for i := range 200 {
			time.Sleep(100 * time.Millisecond)
			f.pod.send(playing([]string{"Primary", "Backup"}[(i+1)%2]))
		}
		synctest.Wait()
		if s := f.State(sundayPrimary); s.Status.Pairs[0].Active != "Primary" {
			t.Error("the last status was not taken in")
		}
		if got := f.hinted(); len(got) > 2 {
			t.Errorf("%d hints for one pair", len(got))
		} else if len(got) == 0 {
			t.Error("no hint")
		}
	})
}

func TestFollowDisturbsNoStreamThatGoesOn(t *testing.T) {
	inBubble(t, func(t *testing.T, f *followed) {
		f.connect()
		same := f.pod.target(sundayPrimary)
		same.Certificate = slices.Clone(same.Certificate)
		renewed := same
		renewed.Token = "renewed-token"
		for _, targets := range [][]Target{{same}, {same}, {renewed}, {same}} {
			f.Follow(sunday, targets)
			synctest.Wait()
		}
		f.wantHints(0, "nothing happened")
		if got := f.pod.opened(); got != 1 || !f.State(sundayPrimary).Connected {
			t.Errorf("%d streams were opened; state %+v", got, f.State(sundayPrimary))
		}
	})
}

func TestARenewedTokenIsTriedAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, f *followed) {
		f.pod.change("renewed-token", accept)
		target := f.pod.target(sundayPrimary)
		f.Follow(sunday, []Target{target})
		time.Sleep(time.Minute)
		if got, want := f.State(sundayPrimary).Err, "GET /v1/events: 401 Unauthorized: the bearer token is missing; or wrong"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		f.hinted()
		target.Token = "renewed-token"
		f.Follow(sunday, []Target{target})
		f.pod.send(playing("Primary"))
		f.wantHints(1, "the pod connects")
	})
}

func TestAPodThatMovedIsReachedThere(t *testing.T) {
	inBubble(t, func(t *testing.T, f *followed) {
		f.connect()
		moved := newFakePod(t)
		moved.certificate, moved.pem = f.pod.certificate, f.pod.pem
		moved.serve(t, f.network.listen("192.0.2.2:9091"))
		target := f.pod.target(sundayPrimary)
		target.Address = "192.0.2.2:9091"
		f.Follow(sunday, []Target{target})
		moved.send(playing("Backup"))
		f.hinted()
		if s := f.State(sundayPrimary); !s.Connected || s.Status.Pairs[0].Active != "Backup" {
			t.Errorf("got %+v", s)
		}
	})
}

func TestPodsThatAreGoneAreForgotten(t *testing.T) {
	for name, targets := range map[string]func(*fakePod) []Target{
		"the pair was deleted": func(*fakePod) []Target { return nil },
		"the pod was replaced": func(f *fakePod) []Target {
			key := sundayPrimary
			key.UID = "uid-2"
			return []Target{f.target(key)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *followed) {
				f.connect()
				next := targets(f.pod)
				f.Follow(sunday, next)
				synctest.Wait()
				if diff := cmp.Diff(State{}, f.State(sundayPrimary)); diff != "" {
					t.Errorf("state (-want +got):\n%s", diff)
				}
				for _, target := range next {
					f.pod.send(playing("Primary"))
					synctest.Wait()
					if !f.State(target.Key).Connected {
						t.Error("the new pod is not followed")
					}
				}
				f.hinted()
				f.Follow(sunday, nil)
				time.Sleep(time.Hour)
				f.wantHints(0, "the pair was deleted")
				if len(f.pairs) != 0 {
					t.Errorf("%d pairs are still known", len(f.pairs))
				}
			})
		})
	}
}

func TestPodsFollowedBeforeRunAreNotMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network, pod := &pipes{}, newFakePod(t)
		pod.serve(t, network.listen("192.0.2.1:9091"))
		p := New(Config{})
		p.dial = network.dial
		p.Follow(sunday, []Target{pod.target(sundayPrimary)})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = p.Start(ctx)
		}()
		pod.send(playing("Primary"))
		synctest.Wait()
		if !p.State(sundayPrimary).Connected {
			t.Error("not connected")
		}
		if err := p.Run(ctx); err == nil {
			t.Error("Run ran twice")
		}
		stop()
		<-ended
		if p.State(sundayPrimary).Connected {
			t.Error("connected though Run has ended")
		}
	})
}

func TestHintsBecomeRequests(t *testing.T) {
	inBubble(t, func(t *testing.T, f *followed) {
		queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
		defer queue.ShutDown()
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		if err := f.Source().Start(ctx, queue); err != nil {
			t.Fatal(err)
		}
		f.Follow(sunday, []Target{f.pod.target(sundayPrimary)})
		f.pod.send(playing("Primary"))
		got, _ := queue.Get()
		if got.NamespacedName != sunday {
			t.Errorf("got %v", got)
		}
		queue.Done(got)
	})
}

func TestOnePodDoesNotHoldUpTheOthers(t *testing.T) {
	inBubble(t, func(t *testing.T, f *followed) {
		// These pods accept the connection and send nothing, and nobody takes hints.
		f.network.listen("192.0.2.66:9091")
		var broken []Target
		for i := range 50 {
			target := f.pod.target(Key{"live", "broken", "Primary", types.UID(fmt.Sprint(i))})
			target.Address = "192.0.2.66:9091"
			broken = append(broken, target)
		}
		f.Follow(types.NamespacedName{Namespace: "live", Name: "broken"}, broken)
		synctest.Wait()
		began := time.Now()
		f.Follow(sunday, []Target{f.pod.target(sundayPrimary)})
		f.pod.send(playing("Primary"))
		synctest.Wait()
		if !f.State(sundayPrimary).Connected || time.Since(began) > 0 {
			t.Errorf("connected after %v: %+v", time.Since(began), f.State(sundayPrimary))
		}
	})
}

func TestOnlyWhatLastsInAStatusMatters(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*control.Status)
		same   bool
	}{
		{"nothing", func(*control.Status) {}, true},
		{"viewers", func(s *control.Status) { s.Viewers, s.Pairs[0].Viewers = 3, 3 }, true},
		{"memory", func(s *control.Status) { s.Memory = &control.Memory{LimitBytes: 2, DeclaredBytes: 1} }, true},
		{"a bit rate", func(s *control.Status) { s.Streams[0].BitrateBPS = 1 }, true},
		{"a frame rate and silence", func(s *control.Status) { s.Streams[1].Video = &control.Track{Codec: "H264", SilentMilliseconds: 40} }, true},
		{"a pair that a viewer made", func(s *control.Status) {
			s.Pairs = append(s.Pairs, control.Pair{Name: "live/other", App: "live", PrimaryID: "other"})
		}, true},
		{"a stream of another pair", func(s *control.Status) {
			s.Streams = append(s.Streams, control.Stream{App: "live", StreamID: "other"})
		}, true},
		{"the active leg", func(s *control.Status) { s.Pairs[0].Active = "Backup" }, false},
		{"on air", func(s *control.Status) { s.Pairs[0].OnAir = false }, false},
		{"a switch that waits", func(s *control.Status) { s.Pairs[0].SwitchingTo = "Backup" }, false},
		{"a pin", func(s *control.Status) { s.Pairs[0].Select = "Backup" }, false},
		{"since", func(s *control.Status) { s.Pairs[0].Since = new(s.StartTime.Add(time.Second)) }, false},
		{"the last switch", func(s *control.Status) { s.Pairs[0].LastSwitch = &control.Switch{To: "Backup"} }, false},
		{"a leg that is lost", func(s *control.Status) { s.Pairs[0].Legs[1].Live = false }, false},
		{"a rank", func(s *control.Status) { s.Pairs[0].Legs[1].Rank = "VideoOnly" }, false},
		{"an entry point", func(s *control.Status) { s.Pairs[0].Legs[1].EntryPoint = false }, false},
		{"a conflict", func(s *control.Status) { s.Pairs[0].Legs[1].Conflict = true }, false},
		{"a warning", func(s *control.Status) {
			s.Pairs[0].Legs[0].Warnings = []control.Warning{{Code: "BFrames", Message: "B-frames"}}
		}, false},
		{"a publisher", func(s *control.Status) { s.Streams[1].Publishing = false }, false},
		{"the generation of the configuration", func(s *control.Status) { s.ConfigGeneration = 2 }, false},
		{"a mistake in the configuration", func(s *control.Status) { s.ConfigErrors = []string{"no"} }, false},
		{"the certificate's end", func(s *control.Status) { s.TLS = &control.TLS{Present: true, NotAfter: &s.StartTime} }, false},
		{"addresses", func(s *control.Status) { s.Advertised = []string{"203.0.113.1"} }, false},
		{"a restart", func(s *control.Status) { s.BootID = "boot-2" }, false},
		{"no pair any more", func(s *control.Status) { s.Pairs = nil }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b, untouched := playing("Primary"), playing("Primary"), playing("Primary")
			tt.change(&b)
			if got := sameForPair("sunday", &a, &b); got != tt.same {
				t.Errorf("same: %v, want %v", got, tt.same)
			}
			if diff := cmp.Diff(untouched, a); diff != "" {
				t.Errorf("comparing changed a status (-before +after):\n%s", diff)
			}
		})
	}
	if s := playing(""); sameForPair("sunday", nil, &s) || !sameForPair("sunday", nil, nil) {
		t.Error("no status is like no status, and like no other")
	}
}
