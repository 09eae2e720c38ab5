package step

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/streampair/streampair/hack/seeded"
	"github.com/streampair/streampair/mediaserver/measure/sound"
)

// feed adds the blocks of both legs.
func feed(e *Estimator, primary, backup []sound.Block) {
	for _, b := range primary {
		e.Add(Primary, b.At, b.Print)
	}
	for _, b := range backup {
		e.Add(Backup, b.At, b.Print)
	}
}

// anyDoubt is wanted where chance says which doubt there is.
const anyDoubt Doubt = "any"

func TestOffset(t *testing.T) {
	r := seeded.Rand(t)
	speech, other := newCommentary(r, 200*time.Second), newCommentary(r, 200*time.Second)
	beat := loop{newCommentary(r, 5*time.Second), 4}
	piece := newMusic(r, 0.1, 200*time.Second)
	// A leg has 65 s, unless the test says otherwise. Codecs leave noise.
	leg := func(l reader) reader {
		if l.to == 0 {
			l.from, l.to = 50, 115
		}
		if l.noise == 0 {
			l.noise = -70
		}
		return l
	}
	// Most primaries are read only once.
	var usual reader
	usualPrints := leg(reader{of: speech}).prints(t, r)
	type answer struct {
		Doubt  Doubt
		Offset time.Duration
	}
	ms := func(n float64) answer { return answer{Offset: time.Duration(n * float64(time.Millisecond))} }
	tests := []struct {
		name            string
		primary, backup reader
		want            answer
	}{
		{"both in step", usual, reader{of: speech}, ms(0)},
		{"backup 0.4 s later", usual, reader{of: speech, late: 0.4}, ms(400)},
		{"backup 3 s later", usual, reader{of: speech, late: 3}, ms(3000)},
		{"backup 20 s later", usual, reader{of: speech, late: 20}, ms(20000)},
		{"backup 20 s earlier", usual, reader{of: speech, late: -20}, ms(-20000)},
		{"not a whole number of bins", usual, reader{of: speech, late: 1.2375}, ms(1237.5)},
		{"backup 12 dB quieter", usual, reader{of: speech, late: 0.4, level: -12}, ms(400)},
		{"stereo of 48 kHz, mono of 44.1 kHz", reader{of: speech, rate: 48000, channels: 2}, reader{of: speech, rate: 44100, late: 0.4}, ms(400)},
		{"48 kHz and 8 kHz", reader{of: speech, rate: 48000}, reader{of: speech, rate: 8000, late: 0.4}, ms(400)},
		{"noise at -40 dBFS", reader{of: speech, noise: -40}, reader{of: speech, noise: -40, late: 3}, ms(3000)},
		{"a hum in one leg", usual, reader{of: mix{speech, hum{0.03, 0}}, late: 0.4}, ms(400)},
		{"another commentary over the same sound", reader{of: mix{speech, other}}, reader{of: speech, late: 3}, ms(3000)},
		{"music with a steady beat", reader{of: piece}, reader{of: piece, late: 0.4}, ms(400)},
		{"17 s of sound", reader{of: speech, from: 50, to: 67}, reader{of: speech, from: 50, to: 67, late: 0.4}, ms(400)},
		{"clocks that have nothing in common", usual, reader{of: speech, late: 3600, from: 3652, to: 3717}, ms(3600 * 1000)},

		{"14 s of sound", reader{of: speech, from: 50, to: 64}, reader{of: speech, from: 50, to: 64}, answer{Doubt: TooLittle}},
		{"silence of both", reader{of: silence{}, noise: -90}, reader{of: silence{}, noise: -90}, answer{Doubt: Flat}},
		{"silence of one", usual, reader{of: silence{}, noise: -90}, answer{Doubt: Flat}},
		{"hum at -55 dBFS", reader{of: hum{0.0018, 0}}, reader{of: hum{0.0018, 0}, late: 0.4}, answer{Doubt: anyDoubt}},
		{"loud hum", reader{of: hum{0.2, 0}}, reader{of: hum{0.2, 0}, late: 0.4}, answer{Doubt: anyDoubt}},
		{"hum that swells", reader{of: hum{0.2, 1.3}}, reader{of: hum{0.2, 1.3}, late: 0.4}, answer{Doubt: Ambiguous}},
		{"different sound", usual, reader{of: other}, answer{Doubt: Different}},
		{"other music of the same tempo", reader{of: piece}, reader{of: newMusic(r, 0.1, 200*time.Second), late: 0.4}, answer{Doubt: anyDoubt}},
		{"a loop of 4 s", reader{of: beat}, reader{of: beat, late: 0.4}, answer{Doubt: Ambiguous}},
		{"further apart than the range", usual, reader{of: speech, late: 40}, answer{Doubt: Different}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			primary := usualPrints
			if tt.primary.of != nil {
				primary = leg(tt.primary).prints(t, r)
			}
			e := NewEstimator()
			feed(e, primary, leg(tt.backup).prints(t, r))
			got := e.Estimate()
			t.Logf("%+v", got)
			if tt.want.Doubt == anyDoubt && got.Doubt != NoDoubt {
				tt.want.Doubt = got.Doubt
			}
			within := cmpopts.EquateApprox(0, float64(2*time.Millisecond))
			type offset struct {
				Doubt  Doubt
				Offset float64
			}
			if diff := cmp.Diff(offset{tt.want.Doubt, float64(tt.want.Offset)}, offset{got.Doubt, float64(got.Offset)}, within); diff != "" {
				t.Error(diff)
			}
			if known := got.Doubt == NoDoubt; known != (got.Confidence > 0) {
				t.Errorf("confidence is %v", got.Confidence)
			}
		})
	}
}

// A hole shorter than a restart costs its own sound only. A restart forgets what was known.
func TestGapsAndRestarts(t *testing.T) {
	r := seeded.Rand(t)
	speech := newCommentary(r, 200*time.Second)
	all := func(late float64) []sound.Block {
		return reader{of: speech, late: late, noise: -70, to: 120}.prints(t, r)
	}
	primary, backup := all(0), all(3)
	without := func(blocks []sound.Block, from, to time.Duration) (out []sound.Block) {
		for _, b := range blocks {
			if b.At < from || b.At >= to {
				out = append(out, b)
			}
		}
		return out
	}
	later := func(blocks []sound.Block, by time.Duration) (out []sound.Block) {
		for _, b := range blocks {
			b.At += by
			out = append(out, b)
		}
		return out
	}
	const s = time.Second
	type answer struct {
		Doubt  Doubt
		Offset time.Duration
	}
	tests := []struct {
		name   string
		backup []sound.Block
		want   answer
	}{
		{"a hole of 1 s", without(backup, 100*s, 101*s), answer{Offset: 3 * s}},
		{"many holes of 0.3 s", without(without(without(backup, 80*s, 80300*time.Millisecond), 90*s, 90300*time.Millisecond), 95*s, 95300*time.Millisecond), answer{Offset: 3 * s}},
		{"10 s after a gap of 5 s", without(backup, 105*s, 110*s), answer{Doubt: TooLittle}},
		{"20 s after a gap of 5 s", without(backup, 95*s, 100*s), answer{Offset: 3 * s}},
		{"20 s after a restart with another clock", append(backup[:1000:1000], later(backup[1000:], -90*s)...), answer{Offset: -87 * s}},
		{"10 s after a restart with another clock", append(backup[:1100:1100], later(backup[1100:], -90*s)...), answer{Doubt: TooLittle}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := NewEstimator()
			feed(e, primary, tt.backup)
			got := e.Estimate()
			if diff := cmp.Diff(tt.want, answer{got.Doubt, got.Offset.Round(5 * time.Millisecond)}); diff != "" {
				t.Error(diff)
			}
			e.Reset(Backup)
			if got := e.Estimate(); got.Doubt != TooLittle {
				t.Errorf("after Reset: %+v", got)
			}
		})
	}
}

func TestDriftIsSeenWithin10Minutes(t *testing.T) {
	r := seeded.Rand(t)
	const end = 10 * 60.0
	speech := newCommentary(r, 11*time.Minute)
	const ppm = 100
	primary := reader{of: speech, noise: -70, to: end}.prints(t, r)
	backup := reader{of: speech, noise: -70, to: end, late: 0.4, ppm: ppm}.prints(t, r)
	e := NewEstimator()
	var got Estimate
	for n := 0; n+50 <= min(len(primary), len(backup)); n += 50 {
		feed(e, primary[n:n+50], backup[n:n+50])
		got = e.Estimate()
	}
	if math.Abs(got.DriftPPM-ppm) > 30 || got.DriftConfidence < 0.9 {
		t.Errorf("%v ppm are seen as %.1f, confidence %.2f", ppm, got.DriftPPM, got.DriftConfidence)
	}
}

// BenchmarkEstimate measures the cost of one estimate of two full histories.
func BenchmarkEstimate(b *testing.B) {
	r := seeded.New(1)
	speech := newCommentary(r, 80*time.Second)
	e := NewEstimator()
	feed(e, reader{of: speech, to: 70}.prints(b, r), reader{of: speech, to: 70, late: 3}.prints(b, r))
	b.ReportAllocs()
	for b.Loop() {
		if got := e.Estimate(); got.Doubt != NoDoubt {
			b.Fatalf("%+v", got)
		}
	}
}
