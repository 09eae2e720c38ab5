package mediatest

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var epoch = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

const ms = time.Millisecond

// at returns the time n milliseconds after epoch.
func at(n int) time.Time { return epoch.Add(time.Duration(n) * ms) }

// steady returns sightings of every picture of a leg, 25 a second, from one time up to another in
// milliseconds. Each picture was seen late milliseconds after it was due.
func steady(leg, from, to, late int) []Sighting {
	var out []Sighting
	for n := from; n < to; n += 40 {
		out = append(out, Sighting{Seen: at(n + late), Presented: at(n), TimeCode: TimeCode{leg, n / 40 % 200}})
	}
	return out
}

func age(s Sighting) time.Duration { return Age(s, epoch, 25, 8*time.Second) }

func TestAge(t *testing.T) {
	tests := []struct {
		name  string
		seen  int // milliseconds
		frame int
		want  time.Duration
	}{
		{"on time", 400, 10, 0},
		{"late", 650, 10, 250 * ms},
		{"in the second turn of the loop", 8450, 10, 50 * ms},
		{"late across the loop's seam", 8050, 195, 250 * ms},
		{"early", 395, 10, -5 * ms},
		{"early in a later turn", 16395, 10, -5 * ms},
		{"long ago", 5400, 10, 5 * time.Second},
	}
	for _, tt := range tests {
		if got := age(Sighting{Seen: at(tt.seen), TimeCode: TimeCode{0, tt.frame}}); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestGapsAndFirstCurrentPicture(t *testing.T) {
	seen := steady(0, 0, 2000, 10)                      // the primary, killed at 2000
	seen = append(seen, steady(1, 1000, 1080, 1300)...) // stale pictures of the backup
	seen = append(seen, steady(1, 2400, 4000, 10)...)
	if got := LongestGap(seen, at(0), at(1970)); got != 40*ms {
		t.Errorf("longest gap before %v", got)
	}
	if got := LongestGap(seen, at(2000), at(4000)); got != 300*ms {
		t.Errorf("longest gap %v, want 300ms up to the first stale picture", got)
	}
	if got := LongestGap(seen, at(2000), at(9000)); got != 9000*ms-3970*ms {
		t.Errorf("longest gap %v, want that to the end", got)
	}
	got, ok := FirstCurrent(seen, 1, at(2000), 300*ms, age)
	if !ok || !got.Seen.Equal(at(2410)) {
		t.Errorf("first current picture %+v", got)
	}
	if _, ok := FirstCurrent(seen, 2, at(0), time.Hour, age); ok {
		t.Error("found a leg that was never seen")
	}
}

func TestStepsBack(t *testing.T) {
	frames := func(numbers ...int) []Sighting {
		var out []Sighting
		for _, n := range numbers {
			out = append(out, Sighting{TimeCode: TimeCode{0, n}})
		}
		return out
	}
	for _, tt := range []struct {
		name string
		seen []Sighting
		want int
	}{
		{"forward", frames(1, 2, 3, 5, 9), 0},
		{"loop", frames(198, 199, 0, 1), 0},
		{"back", frames(5, 6, 3, 4), 1},
		{"the same again", frames(5, 5, 6), 1},
		{"back across the seam", frames(0, 199, 0), 1},
		{"none", nil, 0},
	} {
		if got := StepsBack(tt.seen, 200); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestSkews(t *testing.T) {
	tests := []struct {
		name  string
		seen  []Sighting
		beeps []time.Time
		want  []time.Duration
	}{
		{"in step", steady(0, 0, 3000, 0), []time.Time{at(1000), at(2000)}, []time.Duration{0, 0}},
		{"sound late", steady(0, 0, 3000, 0), []time.Time{at(1030), at(2410)}, []time.Duration{30 * ms, 410 * ms}},
		{"sound early", steady(0, 0, 3000, 0), []time.Time{at(985)}, []time.Duration{-15 * ms}},
		{"whenever the pictures were seen", steady(0, 0, 3000, 900), []time.Time{at(1000)}, []time.Duration{0}},
		{"over the loop's seam", steady(0, 0, 20000, 0), []time.Time{at(8010)}, []time.Duration{10 * ms}},
		{"the picture of the beep was lost", append(steady(0, 0, 900, 0), steady(0, 1200, 2000, 0)...), []time.Time{at(1005)}, []time.Duration{5 * ms}},
		{"no picture near", steady(0, 0, 1000, 0), []time.Time{at(5000)}, nil},
		{"no reports", []Sighting{{Seen: at(1000)}}, []time.Time{at(1000)}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []time.Duration
			worst := time.Duration(0)
			skews := Skews(tt.seen, tt.beeps, 25)
			for _, s := range skews {
				got = append(got, s.Late)
				if s.Late.Abs() > worst.Abs() {
					worst = s.Late
				}
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
			if WorstSkew(skews) != worst {
				t.Errorf("worst %v, want %v", WorstSkew(skews), worst)
			}
		})
	}
}

// sound returns a programme's sound with a gap from one time to another.
func sound(length, holeFrom, holeTo time.Duration) Sound {
	s := Sound{Rate: 48000, Time: func(i int) time.Time { return epoch.Add(time.Duration(i) * time.Second / 48000) }}
	for i := range int(length * 48000 / time.Second) {
		t := time.Duration(i) * time.Second / 48000
		v := toneLevel * math.Sin(2*math.Pi*300*t.Seconds())
		if t%time.Second < BeepLength {
			v = beepLevel * math.Sin(2*math.Pi*beepHz*(t%time.Second).Seconds())
		}
		if t >= holeFrom && t < holeTo {
			v = 0
		}
		s.Samples = append(s.Samples, float32(v))
	}
	return s
}

func TestBeepsAndSilences(t *testing.T) {
	s := sound(3500*ms, 2200*ms, 2290*ms)
	want := []time.Time{at(1000), at(2000), at(3000)} // the first beep might have begun before the sound
	if d := cmp.Diff(want, s.Beeps(), cmpopts.EquateApproxTime(ms)); d != "" {
		t.Error(d)
	}
	got := s.Silences(20 * ms)
	if len(got) != 1 || got[0].Begin.Sub(at(2200)).Abs() > ms || (got[0].Length-90*ms).Abs() > ms {
		t.Errorf("silences: %+v", got)
	}
	if got := s.Silences(100 * ms); got != nil {
		t.Errorf("silences of 100 ms: %+v", got)
	}
}

func TestPSNR(t *testing.T) {
	a, b := Image{Y: make([]byte, 1000)}, Image{Y: make([]byte, 1000)}
	if got := PSNR(a, b); got != 100 {
		t.Errorf("equal: %v dB", got)
	}
	for i := range b.Y {
		b.Y[i] = 1
	}
	if got := PSNR(a, b); got < 48.1 || got > 48.2 {
		t.Errorf("one level apart: %v dB", got)
	}
	if got := PSNR(a, Image{}); got != 0 {
		t.Errorf("different sizes: %v dB", got)
	}
}

func TestPresentationUsesTheNearestReport(t *testing.T) {
	r := Recording{clockRate: 90000, Reports: []Report{{NTP: at(1000), RTP: math.MaxUint32 - 89999}, {NTP: at(2001), RTP: 0}}}
	for _, tt := range []struct {
		timestamp uint32
		want      time.Time
	}{
		{math.MaxUint32 - 89999, at(1000)},
		{math.MaxUint32 - 89999 + 900, at(1010)},
		{math.MaxUint32 - 899, at(1991)},
		{9000, at(2101)},
		{math.MaxUint32 - 98999, at(900)},
	} {
		if got, ok := r.Presentation(tt.timestamp); !ok || !got.Equal(tt.want) {
			t.Errorf("%d: %v, want %v", tt.timestamp, got, tt.want)
		}
	}
	if _, ok := (&Recording{clockRate: 90000}).Presentation(0); ok {
		t.Error("mapped without a report")
	}
}
