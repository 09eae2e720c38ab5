package rtc

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/thesyncim/gopus"
	"pgregory.net/rapid"
)

// opusSilence is a 20 ms packet of silence (RFC 6716: CELT only, fullband, mono).
var opusSilence = []byte{0xf8, 0xff, 0xfe}

// sound is an Opus packet that is not silence.
var sound = []byte{0xfc, 1, 2, 3}

// listener adds a viewer that is served at once.
func (b *outputTest) listener() *listener {
	v, w := b.viewer()
	b.serve(v)
	return &listener{b, v, w}
}

// A listener is a viewer whose packets of sound are looked at.
type listener struct {
	*outputTest
	v *Viewer
	w *fakePeer
}

// speak writes Opus packets of 20 ms each, one after another.
func (b *listener) speak(d time.Duration, opus []byte) {
	for end := b.now + d; b.now < end; b.now += 20 * time.Millisecond {
		b.o.WriteOpus(b.now, 20*time.Millisecond, opus)
		b.serve(b.v)
	}
}

// A sentSound is a packet of sound as a viewer gets it.
type sentSound struct {
	At     time.Duration
	Marker bool
	Bytes  int
}

// heard returns what the viewer got since the last call.
func (b *listener) heard() []sentSound {
	b.t.Helper()
	packets := b.w.take(audioSSRC)
	var got []sentSound
	for i, p := range packets {
		if i > 0 && p.SequenceNumber != packets[i-1].SequenceNumber+1 {
			b.t.Errorf("sequence number %d follows %d", p.SequenceNumber, packets[i-1].SequenceNumber)
		}
		got = append(got, sentSound{time.Duration(p.Timestamp) * time.Second / audioClockRate, p.Marker, len(p.Payload)})
	}
	return got
}

func TestALongSilenceIsMostlyNotSent(t *testing.T) {
	b := newOutputTest(t, nil).listener()
	b.speak(time.Second, sound)
	b.heard()
	b.speak(fullSilence, opusSilence)
	if n := len(b.heard()); n != 25 {
		t.Errorf("%d packets of the first %v of silence, want all", n, fullSilence)
	}
	b.speak(1200*time.Millisecond, opusSilence)
	b.speak(40*time.Millisecond, sound)
	want := []sentSound{
		{At: 1500 * time.Millisecond, Bytes: 1},
		{At: 1900 * time.Millisecond, Bytes: 1},
		{At: 2300 * time.Millisecond, Bytes: 1},
		{At: 2700 * time.Millisecond, Bytes: len(sound), Marker: true},
		{At: 2720 * time.Millisecond, Bytes: len(sound)},
	}
	if d := cmp.Diff(want, b.heard()); d != "" {
		t.Error(d)
	}
}

func TestAViewerOfAStreamWithoutSoundGetsFewPackets(t *testing.T) {
	b := newOutputTest(t, nil).listener()
	b.speak(10*time.Second, opusSilence)
	b.heard()
	b = b.listener()
	b.speak(10*time.Second, opusSilence)
	if n := len(b.heard()); n < 20 || n > 25 {
		t.Errorf("%d packets of sound in 10 s, want one each %v", n, pauseInterval)
	}
}

func TestSilenceAfterAGapBeginsAnew(t *testing.T) {
	b := newOutputTest(t, nil).listener()
	b.speak(5*time.Second, opusSilence)
	b.heard()
	b.now += time.Minute // nobody listened
	b.speak(fullSilence, opusSilence)
	got := b.heard()
	if len(got) != 25 || !got[0].Marker {
		t.Errorf("%d packets, the first %+v", len(got), got[0])
	}
}

func TestEveryPacketOfSoundIsSentAndNoSilenceBecomesAGap(t *testing.T) {
	packets := map[string][]byte{"sound": sound, "silence": opusSilence, "stereo silence": {0xfc, 0xff, 0xfe}, "of another encoder": {0xfc}}
	rapid.Check(t, func(r *rapid.T) {
		b := newOutputTest(t, nil).listener()
		paused, last := false, time.Duration(-1)
		for range rapid.IntRange(1, 8).Draw(r, "parts") {
			kind := rapid.SampledFrom([]string{"sound", "silence", "stereo silence", "of another encoder"}).Draw(r, "kind")
			opus := packets[kind]
			n := rapid.IntRange(1, 60).Draw(r, "packets")
			from := b.now
			b.speak(time.Duration(n)*20*time.Millisecond, opus)
			got := b.heard()
			if isSilence(opus) {
				for _, p := range got {
					if last >= 0 && p.At-last > pauseInterval {
						r.Fatalf("nothing for %v", p.At-last)
					}
					if last = p.At; p.Marker && from > 0 {
						r.Fatal("silence has the marker")
					}
					paused = p.Bytes == 1
				}
				continue
			}
			if len(got) != n || got[0].At != from || got[0].Bytes != len(opus) || got[0].Marker != (paused || from == 0) {
				r.Fatalf("%d of %d packets, the first %+v, after a pause: %v", len(got), n, got[0], paused)
			}
			paused, last = false, got[n-1].At
		}
	})
}

// samples is the number of samples of a packet of 20 ms.
const samples = audioClockRate / 50

// buzz is 20 ms of a loud stereo tone of 500 Hz. It can be repeated without a click.
var buzz = func() []float32 {
	pcm := make([]float32, 2*samples)
	for i := range pcm {
		pcm[i] = float32(i/2%96)/96 - 0.5
	}
	return pcm
}()

// newTestEncoder returns a function that makes Opus packets of 20 ms.
func newTestEncoder(t testing.TB) func(pcm []float32) []byte {
	t.Helper()
	encoder, err := gopus.NewEncoder(gopus.EncoderConfig{SampleRate: audioClockRate, Channels: 2, Application: gopus.ApplicationLowDelay})
	if err != nil {
		t.Fatal(err)
	}
	return func(pcm []float32) []byte {
		opus := make([]byte, 1276)
		n, err := encoder.Encode(pcm, opus)
		if err != nil {
			t.Error(err)
		}
		return opus[:n]
	}
}

// A decoder plays zeros in a pause, and after the pause what it would have played without.
func TestAPauseSoundsAsSilence(t *testing.T) {
	encode := newTestEncoder(t)
	decoder, err := gopus.NewDecoder(gopus.DefaultDecoderConfig(audioClockRate, 2))
	if err != nil {
		t.Fatal(err)
	}
	decode := func(opus []byte) (loudest float32) {
		pcm := make([]float32, 2*samples)
		n, err := decoder.Decode(opus, pcm)
		if err != nil || n != samples {
			t.Fatalf("%d samples of %d: %v", n, samples, err)
		}
		for _, v := range pcm {
			loudest = max(loudest, v, -v)
		}
		return loudest
	}
	for range 10 {
		decode(encode(buzz))
	}
	var s silence
	none := make([]float32, 2*samples)
	for at := time.Duration(0); at < 5*time.Second; at += 20 * time.Millisecond {
		if payload, _ := s.transmit(at, 20*time.Millisecond, encode(none)); payload != nil {
			if loudest := decode(payload); at > time.Second && loudest > 1e-6 {
				t.Fatalf("a sample of %g %v after the sound", loudest, at)
			}
		}
	}
	if s.lasts < 4*time.Second {
		t.Fatal("the encoder's silence was not recognised")
	}
	for i := range 5 {
		if loudest := decode(encode(buzz)); i > 0 && loudest < 0.3 || loudest > 1 {
			t.Errorf("the loudest sample of packet %d after the pause is %g", i, loudest)
		}
	}
}
