package stream

import (
	"encoding/hex"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ms = time.Millisecond

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// Parameter sets as x264 makes them, without start codes.
var (
	sps240     = unhex("674d400dda0507ec0440000003004000000c83c50aa8")       // 320x240, 25 fps, Main, no B-frames
	sps240B    = unhex("6764000dacd94141fb011000000300100000030320f1429960") // 320x240, 25 fps, High, B-frames
	sps360     = unhex("6764001eacb405017fcb8088000003000800000301e078b175") // 640x360, 30 fps, High, no B-frames
	spsSlow    = unhex("6742c00bda0507ec044000000300400000030083c50aa8")     // 320x240, 1 fps, Baseline
	sps180ID1  = unhex("6764000c4b2d02833f3e0220000003002000000641e28554")   // 320x180, seq_parameter_set_id 1
	pps1SPS1   = unhex("684af0fcb0")                                         // pic_parameter_set_id 1, refers to SPS 1
	pps0       = unhex("68ef0fcb")                                           // pic_parameter_set_id 0
	pps0Other  = unhex("68ce0fc8")                                           // pic_parameter_set_id 0 again, with other content
	pps1       = unhex("685bc0")                                             // pic_parameter_set_id 1
	sei        = []byte{0x06, 0x05, 0x01, 0x00, 0x80}
	aud        = []byte{0x09, 0xf0}
	filler     = []byte{0x0c, 0xff, 0x80}
	endOfSeq   = []byte{0x0a}
	keyLive    = Key{"live", "primary"}
	formatAAC  = Format{Codec: AAC, Config: []byte{0x12, 0x10}, SampleRate: 44100, Channels: 2}
	formatOpus = Format{Codec: Opus, SampleRate: 48000, Channels: 2}
)

func idrSlice(size int) []byte   { return slice(0x65, size) }
func interSlice(size int) []byte { return slice(0x41, size) }

// slice allocates once and copies nothing. The race detector makes each pass over the bytes slow,
// and some tests write gigabytes of pictures.
func slice(header byte, size int) []byte {
	nalu := make([]byte, size)
	nalu[0] = header
	return nalu
}

// begin publishes keyLive with a token.
func begin(t *testing.T, r *Registry) *Publication {
	t.Helper()
	p, err := r.Publish(PublishRequest{Key: keyLive, Authenticated: true, Protocol: "rtmp"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// writeIDR and writeInter write a picture with the timestamp ts.
func writeIDR(t *testing.T, p *Publication, ts time.Duration) {
	t.Helper()
	must(t, p.WriteVideo(ts, ts, [][]byte{sps240, pps0, idrSlice(1000)}))
}

func writeInter(t *testing.T, p *Publication, ts time.Duration) {
	t.Helper()
	must(t, p.WriteVideo(ts, ts, [][]byte{interSlice(100)}))
}

func writeSound(t *testing.T, p *Publication, ts time.Duration) {
	t.Helper()
	must(t, p.WriteAudio(ts, make([]byte, 50)))
}

// drain returns the access units that the subscription holds now.
func drain(sub *Subscription) []*AccessUnit {
	var units []*AccessUnit
	for {
		select {
		case u := <-sub.C:
			units = append(units, u)
		default:
			return units
		}
	}
}

// signalled reports whether Changed has received a value since the last call.
func signalled(sub *Subscription) bool {
	select {
	case <-sub.Changed:
		return true
	default:
		return false
	}
}

// describe writes access units as a string for a table: V is an IDR, v another picture, a audio.
func describe(units []*AccessUnit) string {
	s := ""
	for _, u := range units {
		switch {
		case u.Kind == Audio:
			s += "a"
		case u.IDR:
			s += "V"
		default:
			s += "v"
		}
	}
	return s
}

func warningCodes(s *Stream) []string {
	var codes []string
	for _, w := range s.Snapshot().Warnings {
		codes = append(codes, w.Code)
	}
	return codes
}
