package step

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/streampair/streampair/mediaserver/measure/sound"
)

// A source is a sound that can be had at any time, so that a leg may read it at any rate, late, or
// by a clock that is wrong.
type source interface {
	at(t float64) float64
}

// commentary is speech of a kind: syllables of random length, pitch and loudness, with pauses.
type commentary struct {
	syllables []syllable
	last      int // the syllable that was read last: the next sample is near
}

type syllable struct {
	start, length, amplitude float64
	hz, phase                [3]float64
}

func newCommentary(r *rand.Rand, length time.Duration) *commentary {
	c := &commentary{}
	for t := 0.0; t < length.Seconds(); {
		s := syllable{start: t, length: 0.06 + 0.2*r.Float64(), amplitude: math.Pow(10, -1.3+0.8*r.Float64())}
		for i, base := range [3]float64{150, 700, 1800} {
			s.hz[i], s.phase[i] = base*(0.8+0.6*r.Float64()), 2*math.Pi*r.Float64()
		}
		c.syllables = append(c.syllables, s)
		t += s.length
		if r.IntN(4) == 0 {
			t += 0.4 * r.Float64()
		}
	}
	return c
}

func (c *commentary) at(t float64) float64 {
	for c.last > 0 && c.syllables[c.last].start > t {
		c.last--
	}
	for c.last+1 < len(c.syllables) && c.syllables[c.last+1].start <= t {
		c.last++
	}
	s := &c.syllables[c.last]
	past := t - s.start
	if past < 0 || past > s.length {
		return 0
	}
	sum := 0.0
	for i, hz := range s.hz {
		sum += math.Sin(2*math.Pi*hz*past+s.phase[i]) / float64(i+1)
	}
	// Syllables begin within some 5 ms, and fade.
	return s.amplitude * sum * min(past/0.005, 1) * (1 - past/s.length)
}

// music is a drum at 120 beats a minute, and a melody of four notes a second.
type music struct {
	drum  float64   // its amplitude
	notes []float64 // Hz
}

func newMusic(r *rand.Rand, drum float64, length time.Duration) music {
	m := music{drum: drum}
	for range int(4 * length.Seconds()) {
		m.notes = append(m.notes, 220*math.Pow(2, float64(r.IntN(24))/12))
	}
	return m
}

func (m music) at(t float64) float64 {
	const beat, note = 0.5, 0.25
	if t < 0 || t >= note*float64(len(m.notes)) {
		return 0
	}
	sine := func(hz, t float64) float64 { return math.Sin(2 * math.Pi * hz * t) }
	past := math.Mod(t, beat)
	drum := math.Exp(-past/0.05) * (sine(90, past) + 0.5*sine(500, past) + 0.7*sine(1500, past))
	hz, past := m.notes[int(t/note)], math.Mod(t, note)
	melody := min(past/0.01, 1) * math.Exp(-past/0.15) * (sine(hz, t) + 0.5*sine(2*hz, t))
	return m.drum*drum + 0.1*melody
}

// hum is that of the mains. It swells by a half at a frequency of its own.
type hum struct{ amplitude, swellHz float64 }

func (h hum) at(t float64) float64 {
	swell := 1 + 0.5*math.Sin(2*math.Pi*h.swellHz*t)
	return h.amplitude * swell * (math.Sin(2*math.Pi*50*t) + 0.3*math.Sin(2*math.Pi*150*t))
}

// loop repeats a source.
type loop struct {
	of     source
	period float64
}

func (l loop) at(t float64) float64 { return l.of.at(t - l.period*math.Floor(t/l.period)) }

// mix is the sum of sources.
type mix []source

func (m mix) at(t float64) (sum float64) {
	for _, s := range m {
		sum += s.at(t)
	}
	return sum
}

type silence struct{}

func (silence) at(float64) float64 { return 0 }

// A reader is how one leg's encoder takes the sound of a source.
type reader struct {
	of       source
	rate     int     // Hz; default 8000
	channels int     // default 1
	late     float64 // seconds by which the leg's times are later than the programme's
	ppm      float64 // by how much the leg's clock is fast
	level    float64 // dB
	noise    float64 // dBFS of what a codec adds; 0: none
	from, to float64 // what part of the leg's time is read, in seconds; default from 0
}

// prints returns the fingerprints of a leg.
func (l reader) prints(tb testing.TB, r *rand.Rand) []sound.Block {
	tb.Helper()
	if l.rate == 0 {
		l.rate = 8000
	}
	l.channels = max(l.channels, 1)
	m, err := sound.NewMeter(sound.Config{Rate: l.rate, Channels: l.channels})
	if err != nil {
		tb.Fatal(err)
	}
	gain, noise := math.Pow(10, l.level/20), 0.0
	if l.noise < 0 {
		noise = math.Pow(10, l.noise/20)
	}
	const frame = 1024
	var blocks []sound.Block
	samples := make([][]float32, l.channels)
	for i := range samples {
		samples[i] = make([]float32, frame)
	}
	count := int((l.to - l.from) * float64(l.rate))
	for n := 0; n+frame <= count; n += frame {
		for i := range frame {
			// The leg's clock shows now when the programme is at t.
			now := l.from + float64(n+i)/float64(l.rate)
			t := (now - l.late) / (1 + l.ppm/1e6)
			v := gain * l.of.at(t)
			for c := range samples {
				samples[c][i] = float32(v + noise*r.NormFloat64())
			}
		}
		at := time.Duration((l.from + float64(n)/float64(l.rate)) * float64(time.Second))
		blocks = append(blocks, m.Write(at.Round(time.Millisecond), samples)...)
	}
	return blocks
}
