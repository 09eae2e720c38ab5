package transcode

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/streampair/streampair/hack/seeded"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/stream"
	"github.com/streampair/streampair/mediaserver/testunits"
)

func TestAudioKeepsLipSync(t *testing.T) {
	for _, rate := range []int{48000, 44100, 22050, 16000} {
		for _, channels := range []int{1, 2} {
			t.Run(fmt.Sprintf("%d Hz, %d channels", rate, channels), func(t *testing.T) {
				t.Parallel()
				const start = 100*time.Hour + 123456789
				l := newListener(t)
				a := NewAudio(AudioConfig{Emit: l.emit})
				for _, u := range shifted(aac(t, beep, rate, channels, 2), start) {
					a.Write(u)
				}
				l.joins()
				got := l.onset(start) - start
				want := time.Second + priming(rate)
				t.Logf("beep %v from its place; %.0f kbit/s", got-want, float64(l.bytes)*8/(l.next-l.first).Seconds()/1000)
				if off := (got - want).Abs(); off > 5*time.Millisecond {
					t.Errorf("beep at %v, want %v", got, want)
				}
				if lv := level(l.between(start+1200*time.Millisecond, start+1900*time.Millisecond)); math.Abs(lv-0.5/math.Sqrt2) > 0.02 {
					t.Errorf("level %.3f, want %.3f", lv, 0.5/math.Sqrt2)
				}
			})
		}
	}
}

func TestAudioTakesJitterAndRoundingForWhatTheyAre(t *testing.T) {
	type jitter func(i int) time.Duration
	random := func(random *rand.Rand) jitter {
		return func(int) time.Duration { return time.Duration(random.IntN(20)-10) * time.Millisecond }
	}
	tests := map[string]jitter{
		"rounded to 1 ms":       func(int) time.Duration { return 0 }, // the file itself is rounded
		"±10 ms":                random(seeded.Rand(t)),
		"in bursts of three":    func(i int) time.Duration { return -time.Duration(i%3) * 20 * time.Millisecond },
		"the first 10 ms early": func(i int) time.Duration { return -time.Duration(max(1-i, 0)) * 10 * time.Millisecond },
		"the first 10 ms late":  func(i int) time.Duration { return time.Duration(max(1-i, 0)) * 10 * time.Millisecond },
	}
	for _, seed := range worstJitter {
		tests[fmt.Sprintf("±10 ms, seed %d", seed)] = random(seeded.New(seed))
	}
	units := aac(t, tone, 44100, 2, 6)
	for name, jitter := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const start = time.Hour
			l := newListener(t)
			a := NewAudio(AudioConfig{Emit: l.emit})
			for i, u := range shifted(units, start) {
				u.PTS += jitter(i)
				a.Write(u)
			}
			l.joins()
			s := purity(l.between(start+1500*time.Millisecond, start+5500*time.Millisecond))
			t.Logf("the tone at worst %.1f dB over all else", s)
			if s < leastPurity {
				t.Errorf("the tone at worst %.1f dB over all else, want at least %v: something clicks", s, leastPurity)
			}
		})
	}
}

// worstJitter are the seeds of the least purity among 500 seeds: 32.1 dB.
var worstJitter = []uint64{285, 472, 189}

func TestAudioFollowsADriftingClock(t *testing.T) {
	for _, ppm := range []float64{-500, 500} {
		t.Run(fmt.Sprintf("%+.0f ppm", ppm), func(t *testing.T) {
			t.Parallel()
			const start = time.Hour
			l := newListener(t)
			a := NewAudio(AudioConfig{Emit: l.emit})
			units := shifted(aac(t, "if(gte(t,14),0.5*sin(2*PI*1000*t),0.02*sin(2*PI*300*t))", 44100, 2, 15), start)
			for _, u := range units {
				u.PTS += time.Duration(float64(u.PTS-start) * ppm / 1e6).Round(time.Millisecond)
				a.Write(u)
			}
			l.joins()
			at := 14*time.Second + priming(44100)
			want := at + time.Duration(float64(at)*ppm/1e6)
			got := l.onset(start) - start
			t.Logf("beep %v from its place after drifting by %v", got-want, want-at)
			if off := (got - want).Abs(); off > 5*time.Millisecond {
				t.Errorf("beep at %v, want %v", got, want)
			}
		})
	}
}

func TestAudioMakesSilenceOfGaps(t *testing.T) {
	const start = time.Hour
	units := shifted(aac(t, tone, 48000, 2, 3), start)
	l := newListener(t)
	a := NewAudio(AudioConfig{Emit: l.emit})
	for _, u := range units {
		if at := u.PTS - start; at >= time.Second && at < 1500*time.Millisecond {
			continue
		}
		a.Write(u)
	}
	l.joins()
	if lv := level(l.between(start+1040*time.Millisecond, start+1480*time.Millisecond)); lv > 1e-3 {
		t.Errorf("level %.4f in the gap", lv)
	}
	for _, at := range []time.Duration{500 * time.Millisecond, 1600 * time.Millisecond} {
		if lv := level(l.between(start+at, start+at+300*time.Millisecond)); lv < 0.3 {
			t.Errorf("level %.3f at %v", lv, at)
		}
	}
}

func TestAudioMakesSilenceOfCorruptFrames(t *testing.T) {
	const start = time.Hour
	units := shifted(aac(t, tone, 44100, 2, 3), start)
	l := newListener(t)
	a := NewAudio(AudioConfig{Emit: l.emit})
	for i, u := range units {
		if i%20 == 10 {
			u.Frame = []byte{0xff, 0xff, 0xff, 0xff, 0xff}
		}
		a.Write(u)
	}
	l.joins()
	if lv := level(l.between(start+500*time.Millisecond, start+2500*time.Millisecond)); lv < 0.3 {
		t.Errorf("level %.3f: one frame in 20 is corrupt", lv)
	}
}

func TestAudioSwitchesWithoutAGap(t *testing.T) {
	const start = time.Hour
	primary := shifted(aac(t, tone, 44100, 2, 4), start)
	backup := shifted(aac(t, tone, 48000, 1, 4), start+7*time.Millisecond)
	l := newListener(t)
	a := NewAudio(AudioConfig{Emit: l.emit})
	for k := range 10 { // every 300 ms, back and forth
		from, to := primary, start+time.Duration(k+1)*300*time.Millisecond
		if k%2 == 1 {
			from = backup
		}
		var past, now []*stream.AccessUnit
		for _, u := range from {
			switch {
			case u.PTS >= to:
			case u.PTS >= to-200*time.Millisecond:
				now = append(now, u)
			default:
				past = append(past, u)
			}
		}
		a.Switch(append(past, now[:len(now)/2]...)) // a part of the next access units is cached already
		for _, u := range now {                     // the subscription brings them again
			a.Write(u)
		}
	}
	l.joins()
	x := l.between(start+200*time.Millisecond, start+2900*time.Millisecond)
	for at := 0; at+480 <= len(x); at += 480 {
		if lv := level(x[at : at+480]); lv < 0.15 {
			t.Errorf("level %.3f at %v: a hole", lv, sampleTime(int64(at))+200*time.Millisecond)
		}
	}
	// A click would be a step larger than any step of a 1 kHz tone at this level.
	step := 0.0
	for i := 1; i < len(x); i++ {
		step = math.Max(step, math.Abs(float64(x[i]-x[i-1])))
	}
	if own := 0.5 * 2 * math.Pi * 1000 / 48000; step > 2.5*own {
		t.Errorf("largest step %.3f, that of the tone is %.3f: a click", step, own)
	}
}

func TestAudioFillsWhereASourceHasNone(t *testing.T) {
	const start = time.Hour
	l := newListener(t)
	a := NewAudio(AudioConfig{Emit: l.emit})
	for at := start; at < start+2*time.Second; at += 37 * time.Millisecond {
		a.Fill(at)
	}
	// The source's audio comes at last. What lies before the position is left out.
	for _, u := range shifted(aac(t, tone, 48000, 2, 3), start) {
		a.Write(u)
	}
	l.joins()
	if lv := level(l.between(start+100*time.Millisecond, start+1900*time.Millisecond)); lv != 0 {
		t.Errorf("level %.4f before the sound", lv)
	}
	if lv := level(l.between(start+2100*time.Millisecond, start+2800*time.Millisecond)); lv < 0.3 {
		t.Errorf("level %.4f once there is sound", lv)
	}
	// A silent track is as small as possible.
	quiet := newListener(t)
	a = NewAudio(AudioConfig{Emit: quiet.emit})
	a.Fill(start)
	a.Fill(start + 5*time.Second)
	if perPacket := quiet.bytes / quiet.packets; perPacket > 10 {
		t.Errorf("%d bytes per packet of silence", perPacket)
	}
}

func TestAudioIgnoresWhatCannotBeDecoded(t *testing.T) {
	l := newListener(t)
	a := NewAudio(AudioConfig{Emit: l.emit})
	surround := &stream.Format{Codec: stream.AAC, Config: []byte{0x11, 0xb0}}
	for i := range 50 {
		at := time.Hour + time.Duration(i)*21*time.Millisecond
		a.Write(&stream.AccessUnit{Kind: stream.Audio, PTS: at, Format: surround, Frame: []byte{1, 2, 3}})
		a.Fill(at)
	}
	l.joins()
	if l.packets < 40 || level(l.left) != 0 {
		t.Errorf("%d packets at level %g, want silence all the way", l.packets, level(l.left))
	}
}

func TestAudioRestsWhileNobodyListens(t *testing.T) {
	const start = time.Hour
	units := shifted(aac(t, tone, 48000, 2, 6), start)
	l := newListener(t)
	a := NewAudio(AudioConfig{Emit: l.emit})
	packets := 0
	for i, u := range units {
		switch at := u.PTS - start; {
		case at < time.Second:
		case at < 4*time.Second:
			if packets == 0 {
				a.Stop()
				packets = l.packets
				if pos := a.Position(); pos != 0 {
					t.Errorf("position %v while stopped", pos)
				}
			}
			a.Fill(u.PTS - time.Second)
		case packets > 0:
			if l.packets != packets {
				t.Fatalf("%d packets while nobody listened", l.packets-packets)
			}
			packets = -1
			a.Switch(units[:i])
		}
		a.Write(u)
	}
	if len(l.jumps) != 1 || l.jumps[0] < 2900*time.Millisecond || l.jumps[0] > 3*time.Second {
		t.Fatalf("jumps %v, want one of 3 s", l.jumps)
	}
	if lv := level(l.between(start+4050*time.Millisecond, start+5800*time.Millisecond)); lv < 0.3 {
		t.Errorf("level %.3f after the rest", lv)
	}
}

func TestAudioJumpsOverWhatIsTooLongForSilence(t *testing.T) {
	l := newListener(t)
	a := NewAudio(AudioConfig{Emit: l.emit})
	units := aac(t, tone, 48000, 2, 1)
	for _, u := range append(shifted(units, time.Hour), shifted(units, time.Hour+time.Minute)...) {
		u.Seq = 0
		a.Write(u)
	}
	if len(l.jumps) != 1 || l.packets > 150 {
		t.Errorf("%d packets, jumps %v: want one jump of a minute", l.packets, l.jumps)
	}
}

func TestSampleTimesRoundTrip(t *testing.T) {
	for _, i := range []int64{0, 1, 2, 959, 960, 47999, 48000, 48001, 1 << 40} {
		if got := sampleIndex(sampleTime(i)); got != i {
			t.Errorf("sample %d comes back as %d", i, got)
		}
		if d := sampleTime(i+frameSamples) - sampleTime(i); d != 20*time.Millisecond {
			t.Errorf("a packet after sample %d lasts %v", i, d)
		}
	}
}

func BenchmarkAudio(b *testing.B) {
	units := testunits.Load(b, mediatest.File(b, mediatest.Spec{NoVideo: true, SampleRate: 44100, Duration: 10 * time.Second}))
	span := units[len(units)-1].PTS
	a := NewAudio(AudioConfig{Emit: func(time.Duration, time.Duration, []byte) {}})
	n := 0
	for b.Loop() {
		for _, u := range shifted(units, time.Duration(n)*span) {
			u.Seq = 0
			a.Write(u)
		}
		n++
	}
	b.ReportMetric(100*b.Elapsed().Seconds()/(float64(n)*span.Seconds()), "%core")
	b.ReportMetric(0, "ns/op")
}
