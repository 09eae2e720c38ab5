package rtmp

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/feed"
	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/stream"
)

// publisher returns a client that the server has accepted.
func (h *harness) publisher() *client {
	h.Helper()
	c := h.dial()
	c.publish("primary")
	return c
}

func TestEnhancedRTMPVideo(t *testing.T) {
	h := start(t, nil)
	sub := h.subscribe(live)
	c := h.publisher()
	c.message(6, typeVideo, 1, 0, []byte("\x90avc1"), avcRecord())
	avcc := picture(true, 100)[5:]
	c.message(6, typeVideo, 1, 0, []byte("\x91avc1\x00\x00\x50"), avcc)
	c.message(6, typeVideo, 1, 40, []byte("\xa3avc1"), picture(false, 50)[5:])
	c.message(6, typeVideo, 1, 80, []byte("\x92avc1"))
	r := h.receive(sub, func(r *received) bool { return r.video == 2 })
	if d := r.units[0].PTS - r.units[0].DTS; d != 80*time.Millisecond {
		t.Errorf("composition time %v", d)
	}
	if d := r.units[1].DTS - r.units[0].DTS; d > 40*time.Millisecond {
		t.Errorf("frames %v apart", d)
	}
	if f := r.units[0].Format; f.Width != 1920 || f.Height != 1080 {
		t.Errorf("format %+v", f)
	}
}

func TestParameterSetsBesideTheFirstTravelWithTheNextIDR(t *testing.T) {
	h := start(t, nil)
	sub := h.subscribe(live)
	c := h.publisher()
	second := []byte{0x68, 0x5a, 0x11} // another id
	record := avcRecord()
	record[len(record)-len(testPPS)-3]++ // number of PPS
	record = append(append(record, 0, byte(len(second))), second...)
	c.message(6, typeVideo, 1, 0, []byte{0x17, 0, 0, 0, 0}, record)
	c.message(6, typeVideo, 1, 0, picture(true, 100))
	r := h.receive(sub, func(r *received) bool { return r.video == 1 })
	if diff := cmp.Diff(second, r.units[0].NALUs[0]); diff != "" {
		t.Errorf("the second PPS is not ahead of the picture (-want +got)\n%s", diff)
	}
}

func TestInBandParameterSetsAreEnough(t *testing.T) {
	h := start(t, nil)
	sub := h.subscribe(live)
	c := h.publisher()
	body := []byte{0x17, 1, 0, 0, 0}
	for _, nalu := range [][]byte{testSPS, testPPS, {0x65, 0x88, 0x80}} {
		body = append(binary.BigEndian.AppendUint32(body, uint32(len(nalu))), nalu...)
	}
	c.message(6, typeVideo, 1, 0, body)
	h.receive(sub, func(r *received) bool { return r.idr == 1 })
}

func TestAggregateMessagesAreTakenApart(t *testing.T) {
	h := start(t, nil)
	sub := h.subscribe(live)
	c := h.publisher()
	c.message(6, typeVideo, 1, 0, videoConfig())
	var payload []byte
	for i := range 3 {
		p := picture(i == 0, 40)
		payload = append(payload, byte(typeVideo), 0, 0, byte(len(p)), 0, 0, byte(50+i*20), 0, 0, 0, 0)
		payload = append(append(payload, p...), 0, 0, 0, 0)
	}
	c.message(6, typeAggregate, 1, 1000, payload)
	c.message(6, typeVideo, 1, 1060, picture(false, 40))
	r := h.receive(sub, func(r *received) bool { return r.video == 4 })
	// The aggregate's timestamp belongs to its first message. The pictures are 20 ms
	// apart, less what the clock takes off because they come early.
	for i, u := range r.units[1:] {
		if d := u.DTS - r.units[i].DTS; d < 0 || d > 20*time.Millisecond {
			t.Errorf("picture %d comes %v after the one before", i+1, d)
		}
	}
}

func TestAudioThatCannotBePlayedIsLeftOutWithAWarning(t *testing.T) {
	for name, config := range map[string][]byte{
		"Opus in 5.1": flv.AppendAudioConfig(nil, flv.Opus, feed.OpusHead(6)),
		"Opus in 7.1": flv.AppendAudioConfig(nil, flv.Opus, feed.OpusHead(8)),
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t, nil)
			c := h.publisher()
			c.message(4, typeAudio, 1, 0, config)
			c.message(4, typeAudio, 1, 0, []byte("\x91Opus\xfc\xff\xfe"))
			h.showsPictures(c, "primary", 0)
			eventually.True(h, "there is a warning", func() bool {
				w := h.registry.Stream(live).Snapshot().Warnings
				return len(w) == 1 && w[0].Code == feed.WarningUnsupportedAudio
			})
			if snap := h.registry.Stream(live).Snapshot().Audio; !snap.Announced || snap.Fault == nil {
				t.Errorf("the sound is announced: %v, its fault is %v: the leg looks whole", snap.Announced, snap.Fault)
			}
		})
	}
}

func TestAPictureInSeveralMessagesHasTheBoundOfOneInOne(t *testing.T) {
	h := start(t, func(c *Config) { c.Limits.MaxVideoMessage = 10_000 })
	c := h.publisher()
	later := picture(true, 6000)
	const sliceHeader = 5 + 4 + 1 // after the tag's header, the NAL unit's length and its type
	later[sliceHeader] = 0x68     // first_mb_in_slice 2
	c.message(6, typeVideo, 1, 0, videoConfig())
	c.message(6, typeVideo, 1, 0, picture(true, 6000))
	c.message(6, typeVideo, 1, 0, later)
	c.message(6, typeVideo, 1, 40, picture(false, 50))
	eventually.True(h, "there is a warning with both sizes", func() bool {
		return slices.ContainsFunc(h.registry.Stream(live).Snapshot().Warnings, func(w stream.Warning) bool {
			return w.Code == feed.WarningTooLarge && strings.Contains(w.Message, "12000 bytes") && strings.Contains(w.Message, "at most 10000")
		})
	})
}

func TestOpusIsTaken(t *testing.T) {
	h := start(t, nil)
	sub := h.subscribe(live)
	c := h.publisher()
	c.message(4, typeAudio, 1, 0, []byte("\x90OpusOpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00"))
	c.message(4, typeAudio, 1, 0, []byte("\x91Opus\xfc\xff\xfe"))
	r := h.receive(sub, func(r *received) bool { return r.audio == 1 })
	if diff := cmp.Diff(&stream.Format{Codec: stream.Opus, SampleRate: 48000, Channels: 2}, r.units[0].Format); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Audio may be late. The two tracks keep their distance.
func TestTimestampsOfBothTracksKeepTheirDistance(t *testing.T) {
	for name, origin := range map[string]uint32{
		"from zero":              0,
		"around 16,777 s":        0xffffff - 300,
		"far above":              20_000_000,
		"around the 32-bit wrap": 0xffffffff - 300,
		"around ffmpeg's wrap":   0x7fffffff - 300,
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t, nil)
			sub := h.subscribe(live)
			c := h.publisher()
			c.message(6, typeVideo, 1, origin, videoConfig())
			c.message(4, typeAudio, 1, origin, []byte{0xaf, 0, 0x11, 0x90})
			mask := uint32(0xffffffff)
			if name == "around ffmpeg's wrap" {
				mask = 0x7fffffff
			}
			// Audio is 200 ms behind its video, so it is sent with older timestamps.
			const lag, step, frames = 200, 40, 20
			for i := range uint32(frames) {
				at := origin + i*step
				c.message(6, typeVideo, 1, at&mask, picture(i == 0, 400))
				c.message(4, typeAudio, 1, (at-lag)&mask, []byte{0xaf, 1, 0x21, 0x10})
			}
			r := h.receive(sub, func(r *received) bool { return r.video == frames && r.audio == frames })
			// All media come at once, so the mapping moves with each message. It has
			// settled at the last pair.
			n := len(r.units)
			if d := r.units[n-2].DTS - r.units[n-1].DTS; d != lag*time.Millisecond {
				t.Errorf("audio %v behind its video, want %v", d, lag*time.Millisecond)
			}
		})
	}
}

func TestAPanicEndsOneConnection(t *testing.T) {
	h := start(t, func(c *Config) {
		c.Authorize = func(key stream.Key, _ string) (bool, error) {
			if key.ID == "boom" {
				panic("boom")
			}
			return true, nil
		}
	})
	other := h.publisher()
	c := h.dial()
	c.connect()
	c.command(0, "createStream", 2.0, nil)
	c.command(1, "publish", 3.0, nil, "boom")
	c.waitClosed()
	eventually.True(h, "counted", func() bool { return h.guardRefusals(ReasonPanic) == 1 })
	h.showsPictures(other, "primary", 0)
}
