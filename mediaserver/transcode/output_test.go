package transcode

import (
	"testing"

	"github.com/streampair/streampair/hack/seeded"
)

func TestEncoderLookaheadIsWhatPacketsAreStampedWith(t *testing.T) {
	if got := newEncoder(96000).Lookahead(); got != encoderLookahead {
		t.Errorf("the encoder's look-ahead is %d samples, encoderLookahead %d", got, encoderLookahead)
	}
}

func TestEncoderSettlesOnTheSilencePacket(t *testing.T) {
	e := newEncoder(96000)
	loud, random := make([]float32, 2*frameSamples), seeded.Rand(t)
	for i := range loud {
		loud[i] = random.Float32() - 0.5
	}
	packet := make([]byte, maxPacket)
	for range 5 {
		if _, err := e.Encode(loud, packet); err != nil {
			t.Fatal(err)
		}
	}
	var n int
	for range quietFrames {
		var err error
		if n, err = e.Encode(make([]float32, 2*frameSamples), packet); err != nil {
			t.Fatal(err)
		}
	}
	if string(packet[:n]) != string(silencePacket) {
		t.Errorf("settled silence is % x, silencePacket % x", packet[:n], silencePacket)
	}
}

func TestEncoderKeepsItsParametersOverReset(t *testing.T) {
	e := newEncoder(64000)
	e.Reset()
	if e.Bitrate() != 64000 || e.Complexity() != complexity {
		t.Errorf("%d bit/s at complexity %d after Reset", e.Bitrate(), e.Complexity())
	}
}
