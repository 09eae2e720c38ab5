package stream

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestSlowSubscriberDropsToTheNextIDR(t *testing.T) {
	tests := []struct {
		name  string
		depth int
		// script: V, v and a write an IDR, another picture and audio. At | and at the end, the
		// subscriber reads everything it has.
		script, want string
		dropped      uint64
	}{
		{"keeps up", 4, "Vvv|vvV|vv|", "VvvvvVvv", 0},
		{"overflow: pictures only from the next IDR on", 3, "Vvvvv|vvVvv|", "VvvVvv", 4},
		{"overflow by the IDR itself: waits for another", 2, "VvV|vvV|v", "VvVv", 3},
		{"audio goes on while video waits", 3, "Vvvv|vaav|a", "Vvvaaa", 3},
		{"lost audio costs no video", 2, "Vva|vv|", "Vvvv", 1},
		{"nothing before the first IDR", 4, "vvVv|", "Vv", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := NewRegistry(Config{})
			p := begin(t, r)
			defer p.End(EndClosed)
			must(t, p.SetVideoParameters(sps240, pps0))
			must(t, p.SetAudioFormat(formatAAC))
			slow := p.Stream().Subscribe(tt.depth)
			defer slow.Close()
			quick := p.Stream().Subscribe(100)
			defer quick.Close()
			var got []*AccessUnit
			for i, c := range tt.script {
				ts := time.Duration(i) * 40 * ms
				switch c {
				case 'V':
					writeIDR(t, p, ts)
				case 'v':
					writeInter(t, p, ts)
				case 'a':
					writeSound(t, p, ts)
				case '|':
					got = append(got, drain(slow)...)
				}
			}
			got = append(got, drain(slow)...)
			if s := describe(got); s != tt.want {
				t.Errorf("got %s, want %s", s, tt.want)
			}
			if slow.Dropped() != tt.dropped {
				t.Errorf("dropped %d, want %d", slow.Dropped(), tt.dropped)
			}
			if quick.Dropped() != 0 {
				t.Errorf("another subscriber lost %d", quick.Dropped())
			}
			for i := 1; i < len(got); i++ {
				if got[i].Seq <= got[i-1].Seq {
					t.Errorf("Seq %d after %d", got[i].Seq, got[i-1].Seq)
				}
			}
		})
	}
}

func TestChangedIsSignalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		changes := 0
		r := NewRegistry(Config{MaxCacheDuration: 2 * time.Second, OnChange: func() { changes++ }})
		s := r.Stream(keyLive)
		sub := s.Subscribe(10)
		defer sub.Close()
		var p *Publication
		step := func(what string, want bool, f func()) {
			t.Helper()
			changes = 0
			f()
			if (changes > 0) != want {
				t.Errorf("%s: OnChange was called %d times", what, changes)
			}
			if got := signalled(sub); got != want {
				t.Errorf("%s: signalled %v, want %v", what, got, want)
			}
		}
		step("publication begins", true, func() { p = begin(t, r) })
		step("audio announced", true, func() { must(t, p.SetAudioFormat(formatAAC)) })
		step("audio announced again", false, func() { must(t, p.SetAudioFormat(formatAAC)) })
		step("video announced", true, func() { must(t, p.SetVideoParameters(sps240, pps0)) })
		step("video announced again", false, func() { must(t, p.SetVideoParameters(sps240, pps0)) })
		step("first IDR: an entry point", true, func() { writeIDR(t, p, 0) })
		step("a picture", false, func() { writeInter(t, p, 40*ms) })
		step("another IDR, same parameters", false, func() { writeIDR(t, p, 80*ms) })
		step("other parameters", true, func() { must(t, p.WriteVideo(120*ms, 120*ms, [][]byte{sps360, pps0, idrSlice(10)})) })
		step("warning", true, func() { s.Warn("Code", "Do something.") })
		step("same warning", false, func() { s.Warn("Code", "Do something.") })
		step("warning taken back", true, func() { s.Unwarn("Code") })
		step("no IDR for long", true, func() {
			time.Sleep(3 * time.Second)
			writeInter(t, p, 3120*ms)
		})
		step("publication ends", true, func() { p.End(EndClosed) })
		step("ends again", false, func() { p.End(EndClosed) })
	})
}

func TestClosedSubscriptionGetsNothing(t *testing.T) {
	r := NewRegistry(Config{})
	sub := r.Stream(keyLive).Subscribe(10)
	sub.Close()
	sub.Close()
	p := begin(t, r)
	defer p.End(EndClosed)
	writeIDR(t, p, 0)
	if got := drain(sub); len(got) > 0 || signalled(sub) {
		t.Errorf("got %s", describe(got))
	}
}
