package stream

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/streampair/streampair/mediaserver/budget"
)

func TestCachedIsWhatIsNeededToBegin(t *testing.T) {
	tests := []struct {
		name string
		// script: V, v and a write an IDR, another picture and audio, 40 ms each. A dot is a
		// second.
		script, want string
	}{
		{"nothing", "", ""},
		{"pictures before the first IDR are not kept", "vvav", "a"},
		{"all since the IDR, with the audio before it", "VvavaVvav", "aaVvav"},
		{"an IDR begins anew", "Vvv.Vvv.V", "V"},
		{"audio of the last 2 s, whatever the GOP", "aVa.aa.av.a", "Vava"},
		{"a GOP longer than the bound is forgotten, its audio is not", "Vv.v.v.va", "a"},
		{"pictures without an entry point are not kept", "Vv.v.v.vvva", "a"},
		{"the next IDR is an entry point again", "Vv.v.v.vvVvv", "Vvv"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := NewRegistry(Config{MaxCacheDuration: 2500 * ms})
				p := begin(t, r)
				must(t, p.SetVideoParameters(sps240, pps0))
				must(t, p.SetAudioFormat(formatAAC))
				for _, c := range tt.script {
					switch c {
					case 'V':
						writeIDR(t, p, r.Now())
					case 'v':
						writeInter(t, p, r.Now())
					case 'a':
						writeSound(t, p, r.Now())
					case '.':
						time.Sleep(time.Second)
					}
					time.Sleep(40 * ms)
				}
				cached := p.Stream().Cached()
				if got := describe(cached); got != tt.want {
					t.Errorf("cached %s, want %s", got, tt.want)
				}
				for i := 1; i < len(cached); i++ {
					if cached[i].Seq <= cached[i-1].Seq {
						t.Error("not in the order of Seq")
					}
				}
				snap := p.Stream().Snapshot()
				pictures := 0
				for _, u := range cached {
					if u.Kind == Video {
						pictures++
					}
				}
				if snap.GOPFrames != pictures || snap.EntryPoint != (pictures > 0) {
					t.Errorf("snapshot has %d pictures, entry point %v", snap.GOPFrames, snap.EntryPoint)
				}
				p.End(EndClosed)
				if got := p.Stream().Cached(); got != nil {
					t.Errorf("cached %s after the end", describe(got))
				}
			})
		})
	}
}

func TestNoEntryPointIsShownAndEnds(t *testing.T) {
	type step struct {
		c    rune
		want []string
	}
	none, shown := []string(nil), []string{"NoEntryPoint"}
	tests := []struct {
		name  string
		steps []step // as in the scripts above, with the warnings after each step
	}{
		{"the keyframe interval is too long", []step{{'V', none}, {'.', none}, {'v', none}, {'.', none}, {'v', none}, {'.', none}, {'v', shown}, {'v', shown}, {'V', none}}},
		{"the publisher never sends one", []step{{'v', none}, {'.', none}, {'.', none}, {'.', none}, {'v', shown}, {'a', shown}, {'V', none}}},
		{"audio alone needs none", []step{{'a', none}, {'.', none}, {'.', none}, {'.', none}, {'a', none}}},
		{"silence alone says nothing about IDRs", []step{{'V', none}, {'.', none}, {'.', none}, {'.', none}, {'a', none}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := NewRegistry(Config{MaxCacheDuration: 2500 * ms})
				p := begin(t, r)
				must(t, p.SetVideoParameters(sps240, pps0))
				must(t, p.SetAudioFormat(formatAAC))
				for i, step := range tt.steps {
					switch step.c {
					case 'V':
						writeIDR(t, p, r.Now())
					case 'v':
						writeInter(t, p, r.Now())
					case 'a':
						writeSound(t, p, r.Now())
					case '.':
						time.Sleep(time.Second)
					}
					if d := cmp.Diff(step.want, warningCodes(p.Stream())); d != "" {
						t.Errorf("step %d: %s", i, d)
					}
				}
				p.End(EndClosed)
				if got := warningCodes(p.Stream()); got != nil {
					t.Errorf("warnings after the end: %v", got)
				}
			})
		})
	}
}

func TestWaitingNewcomerDoesNotWarnForTheIncumbent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry(Config{MaxCacheDuration: 2 * time.Second})
		incumbent := begin(t, r)
		newcomer := begin(t, r)
		must(t, newcomer.SetVideoParameters(sps240, pps0))
		for range 100 {
			writeIDR(t, incumbent, r.Now())
			writeInter(t, newcomer, r.Now())
			time.Sleep(40 * ms)
		}
		if got := warningCodes(r.Stream(keyLive)); got != nil {
			t.Errorf("warnings: %v", got)
		}
		incumbent.End(EndClosed)
		writeInter(t, newcomer, r.Now())
		if d := cmp.Diff([]string{"NoEntryPoint"}, warningCodes(r.Stream(keyLive))); d != "" {
			t.Error(d)
		}
		r.Close()
	})
}

// Whatever is sent, the cache stays within its bytes and its time. It begins with an IDR, and has
// everything since that IDR.
func TestCacheBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := gopCache{maxBytes: 20000, maxDuration: 3 * time.Second}
		c.account = budget.New(budget.Unlimited).Open(budget.Declared, func() {})
		now := time.Second
		var seq uint64
		var since []*AccessUnit // since the last IDR
		for range rapid.IntRange(1, 200).Draw(t, "units") {
			now += time.Duration(rapid.Int64Range(0, int64(300*ms)).Draw(t, "wait"))
			seq++
			u := &AccessUnit{Kind: Kind(rapid.IntRange(0, 1).Draw(t, "kind")), Arrival: now, Seq: seq}
			size := rapid.IntRange(1, 2000).Draw(t, "size")
			if u.Kind == Audio {
				u.Frame = make([]byte, size)
			} else {
				u.NALUs = [][]byte{make([]byte, size)}
				u.IDR = rapid.IntRange(0, 20).Draw(t, "idr") == 0
			}
			c.add(u)
			if u.IDR {
				since = nil
			}
			if u.Kind == Video {
				since = append(since, u)
			}

			held, payload := 0, 0
			for _, u := range c.video {
				held, payload = held+footprint(u), payload+u.Size()
			}
			audioHeld := 0
			for _, u := range c.audio {
				audioHeld += footprint(u)
			}
			if held != c.videoHeld || payload != c.videoBytes || audioHeld != c.audioHeld {
				t.Fatalf("counted %d, %d, %d bytes; are %d, %d, %d", c.videoHeld, c.videoBytes, c.audioHeld, held, payload, audioHeld)
			}
			if held > c.maxBytes || audioHeld > c.maxBytes/audioShare {
				t.Fatalf("holds %d + %d bytes", held, audioHeld)
			}
			if n := len(c.video); n > 0 && (!c.video[0].IDR || n != len(since) || c.video[0] != since[0]) {
				t.Fatalf("holds %d of %d pictures, %s", n, len(since), describe(c.video))
			}
			if n := len(c.video); n > 0 && c.video[n-1].Arrival-c.video[0].Arrival > c.maxDuration {
				t.Fatal("holds more than its time")
			}
			if n := len(c.audio); n > 0 && c.audio[n-1].Arrival-c.audio[0].Arrival > audioTail {
				t.Fatal("holds more than the audio tail")
			}
			if len(c.units()) != len(c.video)+len(c.audio) {
				t.Fatal("units leaves some out")
			}
		}
	})
}
