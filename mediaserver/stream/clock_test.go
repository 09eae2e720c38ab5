package stream

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestClockMapping(t *testing.T) {
	type unit struct {
		ts, arrival, media time.Duration // milliseconds
	}
	tests := []struct {
		name    string
		units   []unit
		anchors int
	}{
		{"the first access unit is anchored at its arrival", []unit{{5000, 100, 100}}, 0},
		{"late ones keep their place", []unit{{0, 100, 100}, {40, 190, 140}, {80, 200, 180}, {120, 220, 220}}, 0},
		{"an early one pulls the mapping down, for those after it too", []unit{{0, 100, 100}, {40, 110, 110}, {80, 190, 150}}, 0},
		{"audio interleaved 400 ms late stays in sync", []unit{{0, 100, 100}, {400, 500, 500}, {0, 500, 100}, {440, 540, 540}, {40, 540, 140}}, 0},
		{"where late audio comes first, video pulls the mapping down and they are in sync", []unit{{0, 500, 500}, {400, 500, 500}, {21, 521, 121}, {440, 540, 540}}, 0},
		{"exactly 1 s late is not a jump", []unit{{0, 100, 100}, {40, 1140, 140}}, 0},
		{"more than 1 s late is anchored anew", []unit{{0, 100, 100}, {40, 1141, 1141}, {80, 1181, 1181}}, 1},
		{"a jump forward", []unit{{0, 100, 100}, {900000, 140, 140}, {900040, 180, 180}}, 1},
		{"a jump back", []unit{{900000, 100, 100}, {40, 140, 140}, {80, 180, 180}}, 1},
		{"a looped file jumps back once a turn", []unit{{0, 100, 100}, {9960, 10060, 10060}, {0, 10100, 10100}, {9960, 20060, 20060}, {0, 20100, 20100}}, 2},
		{
			"tracks that jump at different units anchor once",
			[]unit{{0, 100, 100}, {5, 105, 105}, {90000, 140, 140}, {45, 145, 145}, {90040, 180, 180}, {85, 185, 185}, {90085, 225, 225}, {90080, 225, 220}}, 1,
		},
		{
			"the track that has yet to jump may come early",
			[]unit{{0, 100, 100}, {10, 110, 110}, {90000, 140, 140}, {60, 145, 145}, {90040, 180, 180}, {100, 195, 185}, {90100, 240, 240}, {140, 241, 225}}, 1,
		},
		{
			"the track that has yet to jump may be 400 ms behind",
			[]unit{{400, 500, 500}, {0, 500, 100}, {90000, 540, 540}, {40, 540, 140}, {90360, 900, 900}, {400, 900, 500}, {90400, 940, 940}, {90000, 940, 540}}, 1,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var c clock
			var got, want []time.Duration
			for _, u := range tt.units {
				got = append(got, u.ts*ms+c.media(u.ts*ms, u.arrival*ms))
				want = append(want, u.media*ms)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
			if c.anchors != tt.anchors {
				t.Errorf("anchored anew %d times, want %d", c.anchors, tt.anchors)
			}
		})
	}
}

// playTracks calls each for the access units of a programme of two tracks, in the order of their
// arrival.
func playTracks(from, until, base, audioDelay time.Duration, speed float64, each func(kind Kind, ts, arrival time.Duration)) {
	type event struct {
		kind        Kind
		ts, arrival time.Duration
	}
	at := func(kind Kind, ts time.Duration) event {
		arrival := time.Duration(float64(ts)/speed) + base
		if kind == Audio {
			arrival += audioDelay
		}
		return event{kind, ts, arrival}
	}
	v, a := at(Video, from), at(Audio, from)
	for v.ts < until {
		e := v
		if a.arrival < v.arrival {
			e = a
			a = at(Audio, a.ts+21333*time.Microsecond)
		} else {
			v = at(Video, v.ts+40*ms)
		}
		each(e.kind, e.ts, e.arrival)
	}
}

func TestClockFollowsASlowEncoderWithoutJumps(t *testing.T) {
	for _, tt := range []struct {
		name  string
		speed float64 // of the encoder's clock
	}{
		{"100 ppm slow", 1 - 100e-6}, {"100 ppm fast", 1 + 100e-6}, {"in step", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var c clock
			var last, worst time.Duration
			playTracks(0, 12*time.Hour, time.Second, 0, tt.speed, func(kind Kind, ts, arrival time.Duration) {
				media := ts + c.media(ts, arrival)
				if kind != Video {
					return
				}
				if step := media - last; last != 0 && (step < 39*ms || step > 41*ms) {
					t.Fatalf("step of %v at %v", step, arrival)
				}
				last, worst = media, max(worst, arrival-media)
			})
			if c.anchors != 0 || worst > 10*ms {
				t.Errorf("%d anchors, at most %v behind", c.anchors, worst)
			}
		})
	}
}

func TestMappedTimeIsNeverAheadOfArrival(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c clock
		arrival := time.Second
		ts := [2]time.Duration{}
		for range rapid.IntRange(1, 300).Draw(t, "units") {
			arrival += time.Duration(rapid.Int64Range(0, int64(3*time.Second)).Draw(t, "wait"))
			kind := rapid.IntRange(0, 1).Draw(t, "kind")
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				ts[kind] = time.Duration(rapid.Int64().Draw(t, "jump"))
			case 1:
				ts[kind] = ts[1-kind]
			default:
				ts[kind] += time.Duration(rapid.Int64Range(-int64(100*ms), int64(2*time.Second)).Draw(t, "step"))
			}
			media := ts[kind] + c.media(ts[kind], arrival)
			if media > arrival {
				t.Fatalf("mapped to %v, arrived %v", media, arrival)
			}
			if most := c.maxLag(arrival); arrival-media > most || c.gaps.Repeated(arrival) == 0 && most != MaxDeparture {
				t.Fatalf("mapped to %v, arrived %v: further than %v", media, arrival, most)
			}
		}
	})
}

// A publisher that was stopped for 10 s sends the media of those 10 s at once.
func TestBacklogAfterAPauseNeverStepsBack(t *testing.T) {
	var c clock
	var last [2]time.Duration
	var lagging time.Duration
	pauseEnd := 15 * time.Second
	playTracks(0, 20*time.Second, time.Second, 0, 1, func(kind Kind, ts, arrival time.Duration) {
		if arrival > 5*time.Second && arrival < pauseEnd {
			arrival = pauseEnd + (arrival-5*time.Second)/100
		} else if arrival >= pauseEnd {
			arrival += 100 * ms
		}
		media := ts + c.media(ts, arrival)
		if media < last[kind] {
			t.Fatalf("%v at %v stepped back from %v to %v", kind, ts, last[kind], media)
		}
		last[kind], lagging = media, arrival-media
	})
	if c.anchors != 1 || lagging > 5*ms {
		t.Errorf("anchored anew %d times, want 1; %v behind at the end", c.anchors, lagging)
	}
}

// Both tracks of a programme keep their distance, whatever the interleaving, the jitter and the
// jumps. This holds once the clock has seen the smallest delay.
func TestLipSyncSurvivesJumpsAndLateAudio(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c clock
		audioDelay := time.Duration(rapid.Int64Range(0, 400).Draw(t, "audioDelay")) * ms
		base, from := time.Second, time.Duration(0)
		for turn := range rapid.IntRange(1, 4).Draw(t, "turns") {
			length := time.Duration(rapid.Int64Range(1500, 5000).Draw(t, "length")) * ms
			var offsets [2]time.Duration
			playTracks(from, from+length, base, audioDelay, 1, func(kind Kind, ts, arrival time.Duration) {
				offsets[kind] = c.media(ts, arrival)
			})
			if d := offsets[Audio] - offsets[Video]; d < -ms || d > ms {
				t.Fatalf("turn %d: audio is %v from its video", turn, d)
			}
			next := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "from"))
			base += from + length - next
			from = next
		}
	})
}
