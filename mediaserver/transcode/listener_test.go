package transcode

import (
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/thesyncim/gopus"

	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/stream"
	"github.com/streampair/streampair/mediaserver/testunits"
)

// A listener is a receiver of the track. It checks that packets join, and decodes them.
type listener struct {
	t       *testing.T
	decoder *gopus.Decoder
	packets int
	bytes   int
	first   time.Duration
	next    time.Duration
	jumps   []time.Duration // between packets that do not join
	left    []float32       // left channel from first on, with silence for jumps
	right   []float32
}

func newListener(t *testing.T) *listener {
	t.Helper()
	d, err := gopus.NewDecoder(gopus.DefaultDecoderConfig(48000, 2))
	if err != nil {
		t.Fatal(err)
	}
	return &listener{t: t, decoder: d}
}

func (l *listener) emit(at, duration time.Duration, packet []byte) {
	if l.packets == 0 {
		l.first, l.next = at, at
	}
	if at < l.next {
		l.t.Fatalf("packet %d at %v begins before the last one ended at %v", l.packets, at, l.next)
	}
	if at > l.next {
		l.jumps = append(l.jumps, at-l.next)
		gap := make([]float32, sampleIndex(at)-sampleIndex(l.next))
		l.left, l.right = append(l.left, gap...), append(l.right, gap...)
	}
	out := make([]float32, 2*5760)
	n, err := l.decoder.Decode(packet, out)
	if err != nil {
		l.t.Fatalf("packet %d: %v", l.packets, err)
	}
	if got := sampleTime(int64(n)); got != duration {
		l.t.Fatalf("packet %d lasts %v and says %v", l.packets, got, duration)
	}
	for i := range n {
		l.left, l.right = append(l.left, out[2*i]), append(l.right, out[2*i+1])
	}
	l.next = at + duration
	l.packets++
	l.bytes += len(packet)
}

// between returns the left channel between two times of the media clock.
func (l *listener) between(from, to time.Duration) []float32 {
	l.t.Helper()
	a, b := sampleIndex(from)-sampleIndex(l.first), sampleIndex(to)-sampleIndex(l.first)
	if a < 0 || b > int64(len(l.left)) {
		l.t.Fatalf("no sound for %v..%v: the track is %v..%v", from, to, l.first, l.next)
	}
	return l.left[a:b]
}

// level returns the effective value of a signal.
func level(x []float32) float64 {
	sum := 0.0
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum / float64(max(len(x), 1)))
}

// onset returns when the signal first reaches a fifth of a tone's level.
func (l *listener) onset(after time.Duration) time.Duration {
	for i := sampleIndex(after) - sampleIndex(l.first); i < int64(len(l.left)); i++ {
		if math.Abs(float64(l.left[i])) > 0.1 {
			return sampleTime(sampleIndex(l.first) + i)
		}
	}
	l.t.Fatalf("no sound after %v", after)
	return 0
}

func (l *listener) joins() {
	l.t.Helper()
	if len(l.jumps) > 0 {
		l.t.Errorf("packets do not join: jumps of %v", l.jumps)
	}
}

// aac returns an AAC source of an expression in t, in the syntax of ffmpeg's aevalsrc. Its first
// frame is at start. The sound of time t in the expression is at start+t+priming.
func aac(t *testing.T, expression string, rate, channels int, seconds float64) []*stream.AccessUnit {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.flv")
	expressions := strings.TrimSuffix(strings.Repeat(expression+"|", channels), "|")
	out, err := exec.Command(mediatest.RequireFFmpeg(t), "-v", "error", "-nostdin", "-f", "lavfi",
		"-i", fmt.Sprintf("aevalsrc='%s':s=%d:d=%f", expressions, rate, seconds), "-c:a", "aac", "-b:a", "128k", "-y", path).CombinedOutput()
	if err != nil {
		t.Fatalf("make audio: %v %s", err, out)
	}
	return testunits.Load(t, path)
}

// shifted returns units moved by d on the media clock, with their own publication.
func shifted(units []*stream.AccessUnit, d time.Duration) []*stream.AccessUnit {
	format := *units[0].Format
	out := make([]*stream.AccessUnit, len(units))
	for i, u := range units {
		own := *u
		own.PTS, own.DTS, own.Arrival, own.Format = u.PTS+d, u.DTS+d, u.Arrival+d, &format
		out[i] = &own
	}
	return out
}

// priming returns the time that ffmpeg's AAC encoder puts before the sound, in an FLV file.
func priming(rate int) time.Duration { return 1024 * time.Second / time.Duration(rate) }

const (
	tone = "0.5*sin(2*PI*1000*t)"
	beep = "if(gte(t,1),0.5*sin(2*PI*1000*(t-1)),0)"
)

// opus returns an Opus source of a tone, in packets of the given length.
func opus(t *testing.T, hz float64, channels int, packet time.Duration, start time.Duration, seconds float64) []*stream.AccessUnit {
	t.Helper()
	e, err := gopus.NewEncoder(gopus.EncoderConfig{SampleRate: 48000, Channels: channels, Application: gopus.ApplicationAudio})
	if err != nil {
		t.Fatal(err)
	}
	n := int(packet.Seconds() * 48000)
	if err := e.SetFrameSize(n); err != nil {
		t.Fatal(err)
	}
	format := &stream.Format{Codec: stream.Opus, SampleRate: 48000, Channels: channels}
	var units []*stream.AccessUnit
	for at := 0; at < int(seconds*48000); at += n {
		x := make([]float32, n*channels)
		for i := range x {
			x[i] = float32(0.5 * math.Sin(2*math.Pi*hz*float64(at+i/channels)/48000))
		}
		frame, err := e.EncodeFloat32(x)
		if err != nil {
			t.Fatal(err)
		}
		pts := start + sampleTime(int64(at))
		units = append(units, &stream.AccessUnit{Kind: stream.Audio, PTS: pts, DTS: pts, Arrival: pts, Format: format, Frame: append([]byte(nil), frame...), Seq: uint64(len(units) + 1)})
	}
	return units
}
