package pcm_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"testing"
	"time"

	"github.com/thesyncim/gopus"

	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/pcm"
	"github.com/streampair/streampair/mediaserver/stream"
	"github.com/streampair/streampair/mediaserver/testunits"
)

// reference is what ffmpeg decodes of a file's audio: interleaved stereo, mono in both
// channels at full level.
func reference(t *testing.T, path string, channels int) []int16 {
	t.Helper()
	out, err := exec.Command(mediatest.RequireFFmpeg(t), "-v", "error", "-nostdin", "-i", path, "-vn",
		"-af", fmt.Sprintf("pan=stereo|c0=c0|c1=c%d", channels-1), "-f", "s16le", "-").Output()
	if err != nil {
		t.Fatalf("decode with ffmpeg: %v", err)
	}
	s := make([]int16, len(out)/2)
	for i := range s {
		s[i] = int16(uint16(out[2*i]) | uint16(out[2*i+1])<<8)
	}
	return s
}

func TestDecoderAgreesWithFFmpeg(t *testing.T) {
	for name, spec := range map[string]mediatest.Spec{
		"stereo 48000": {Channels: 2, SampleRate: 48000},
		"stereo 44100": {Channels: 2, SampleRate: 44100},
		"mono 44100":   {Channels: 1, SampleRate: 44100},
		"mono 16000":   {Channels: 1, SampleRate: 16000},
	} {
		t.Run(name, func(t *testing.T) {
			spec.NoVideo, spec.Duration = true, 2*time.Second
			path := mediatest.File(t, spec)
			units := testunits.Load(t, path)
			d, err := pcm.NewDecoder(units[0].Format)
			if err != nil {
				t.Fatal(err)
			}
			if d.Rate != spec.SampleRate {
				t.Errorf("rate %d, want %d", d.Rate, spec.SampleRate)
			}
			want := reference(t, path, spec.Channels)
			worst := 0.0
			for i, u := range units {
				s, err := d.Decode(u.Frame)
				if err != nil {
					t.Fatalf("frame %d: %v", i, err)
				}
				if s.Len() != 1024 {
					t.Fatalf("frame %d has %d samples", i, s.Len())
				}
				for k := range s.L {
					at := 2 * (1024*i + k)
					worst = max(worst, abs(float64(s.L[k])*32768-float64(want[at])), abs(float64(s.R[k])*32768-float64(want[at+1])))
				}
			}
			if worst > 3 {
				t.Errorf("differs from ffmpeg by up to %.1f of 32768", worst)
			}
		})
	}
}

func abs(x float64) float64 { return max(x, -x) }

func TestDecoderTakesTheConfigsThatEncodersSend(t *testing.T) {
	for name, tc := range map[string]struct {
		format stream.Format
		rate   int // 0: unsupported
	}{
		"ffmpeg, LC 48 kHz stereo":          {stream.Format{Codec: stream.AAC, Config: []byte{0x11, 0x90}}, 48000},
		"ffmpeg's FLV, with sync extension": {stream.Format{Codec: stream.AAC, Config: []byte{0x11, 0x90, 0x56, 0xe5, 0x00}}, 48000},
		"HE-AAC, backward compatible":       {stream.Format{Codec: stream.AAC, Config: []byte{0x13, 0x10, 0x56, 0xe5, 0x98}}, 24000},
		"HE-AAC, explicit":                  {stream.Format{Codec: stream.AAC, Config: []byte{0x2b, 0x11, 0x88, 0x00}}, 24000},
		"HE-AAC v2, explicit":               {stream.Format{Codec: stream.AAC, Config: []byte{0xeb, 0x09, 0x88, 0x00}}, 24000},
		"5.1":                               {stream.Format{Codec: stream.AAC, Config: []byte{0x11, 0xb0}}, 0},
		"AAC-LD":                            {stream.Format{Codec: stream.AAC, Config: []byte{0xb9, 0x90}}, 0},
		"nothing":                           {stream.Format{Codec: stream.AAC}, 0},
		"one byte":                          {stream.Format{Codec: stream.AAC, Config: []byte{0x11}}, 0},
		"960 samples a frame":               {stream.Format{Codec: stream.AAC, Config: []byte{0x11, 0x94}}, 0},
		"a sample rate that has no number":  {stream.Format{Codec: stream.AAC, Config: []byte{0x17, 0x80, 0x5d, 0xc0, 0x10}}, 0},
		"Opus":                              {stream.Format{Codec: stream.Opus, SampleRate: 48000, Channels: 2}, 48000},
		"video":                             {stream.Format{Codec: stream.H264}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := pcm.NewDecoder(&tc.format)
			if tc.rate == 0 {
				if !errors.Is(err, pcm.ErrUnsupported) {
					t.Errorf("error %v, want ErrUnsupported", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d.Rate != tc.rate {
				t.Errorf("rate %d, want %d", d.Rate, tc.rate)
			}
		})
	}
}

func TestDecoderGoesOnAfterCorruptFrames(t *testing.T) {
	units := testunits.Load(t, mediatest.File(t, mediatest.Spec{NoVideo: true, Duration: 2 * time.Second}))
	d, err := pcm.NewDecoder(units[0].Format)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	refused := 0
	for range 5000 {
		frame := append([]byte(nil), units[random.IntN(len(units))].Frame...)
		for range 1 + random.IntN(8) {
			frame[random.IntN(len(frame))] = byte(random.Uint32())
		}
		if random.IntN(4) == 0 {
			frame = frame[:random.IntN(len(frame))]
		}
		if _, err := d.Decode(frame); err != nil {
			refused++
		}
	}
	if refused == 0 {
		t.Error("no corrupt frame was refused")
	}
	for i := range 4 {
		if _, err := d.Decode(units[i].Frame); err != nil {
			t.Errorf("good frame after corrupt ones: %v", err)
		}
	}
}

func TestDecoderOfOpusGoesOnAfterCorruptPackets(t *testing.T) {
	e, err := gopus.NewEncoder(gopus.EncoderConfig{SampleRate: 48000, Channels: 2, Application: gopus.ApplicationAudio})
	if err != nil {
		t.Fatal(err)
	}
	noise := make([]float32, 1920)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = random.Float32() - 0.5
	}
	good, err := e.EncodeFloat32(noise)
	if err != nil {
		t.Fatal(err)
	}
	d, err := pcm.NewDecoder(&stream.Format{Codec: stream.Opus})
	if err != nil {
		t.Fatal(err)
	}
	for range 3000 {
		packet := append([]byte(nil), good[:1+random.IntN(len(good))]...)
		for range 1 + random.IntN(8) {
			packet[random.IntN(len(packet))] = byte(random.Uint32())
		}
		if s, err := d.Decode(packet); err == nil && s.Len() > 5760 {
			t.Fatalf("%d samples", s.Len())
		}
	}
	s, err := d.Decode(good)
	if err != nil || s.Len() != 960 {
		t.Errorf("good packet after corrupt ones: %d samples, %v", s.Len(), err)
	}
	if got := pcm.FrameSamples(stream.Opus, good); got != 960 {
		t.Errorf("FrameSamples %d, want 960", got)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{0x11, 0x90}, []byte{0x21, 0x10, 0x04, 0x60, 0x8c, 0x1c}, false)
	f.Add([]byte{0x12, 0x08}, []byte{0x01, 0x18, 0x20, 0x07}, false)
	f.Add([]byte{}, []byte{0xfc, 0xff, 0xfe}, true)
	f.Add([]byte{}, []byte{0xff, 0x41, 0xff, 0x00}, true)
	f.Fuzz(func(t *testing.T, config, frame []byte, opus bool) {
		format := &stream.Format{Codec: stream.AAC, Config: config}
		if opus {
			format.Codec = stream.Opus
		}
		pcm.FrameSamples(format.Codec, frame)
		d, err := pcm.NewDecoder(format)
		if err != nil {
			return
		}
		for range 2 {
			s, err := d.Decode(frame)
			if err == nil && (s.Len() == 0 || s.Len() != len(s.R) || s.Len() > 5760) {
				t.Errorf("%d and %d samples", s.Len(), len(s.R))
			}
		}
	})
}
