package failover

import (
	"encoding/binary"
	"encoding/hex"
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// Parameter sets as x264 makes them: 320x240, Main, no B-frames.
var (
	testSPS = unhex("674d400dda0507ec0440000003004000000c83c50aa8")
	testPPS = unhex("68ef0fcb")
)

var (
	aac  = stream.Format{Codec: stream.AAC, Config: []byte{0x11, 0x90}, SampleRate: 48000, Channels: 2}
	opus = stream.Format{Codec: stream.Opus, SampleRate: 48000, Channels: 2}
)

// An encoder publishes one leg: numbered pictures and sounds, at even intervals.
type encoder struct {
	t        testingT
	registry *stream.Registry
	key      stream.Key

	frame  time.Duration // between pictures; 0: no video
	gop    int           // pictures from IDR to IDR
	bytes  int           // per picture
	sound  time.Duration // between audio frames; 0: no audio
	late   time.Duration // how far audio is interleaved behind video
	format stream.Format

	// collect is how long media is kept before it is sent at once. phase moves the moment of
	// sending.
	collect, phase time.Duration
	// blind stops the video and mute stops the audio while the connection stays.
	blind, mute bool
	asked       int // how often the encoder was asked for an IDR

	pub                    *stream.Publication
	zero                   time.Duration // of the publisher's own clock
	nextPicture, nextSound time.Duration
	pictures, sounds       int
}

// start begins to publish, with an IDR at once. If the encoder publishes already, this is a second
// connection that takes over.
func (e *encoder) start() {
	e.t.Helper()
	pub, err := e.registry.Publish(stream.PublishRequest{
		Key: e.key, Authenticated: true, Protocol: "test", RequestIDR: func() { e.asked++ },
	})
	if err != nil {
		e.t.Fatalf("publish %v: %v", e.key, err)
	}
	e.pub, e.zero = pub, e.registry.Now()
	e.nextPicture, e.nextSound = e.zero, e.zero
	e.pictures, e.sounds = 0, 0
	e.blind, e.mute = false, false
	if e.frame > 0 {
		e.must(pub.SetVideoParameters(testSPS, testPPS))
	}
	if e.sound > 0 {
		e.must(pub.SetAudioFormat(e.format))
	}
	e.tick()
}

// kill closes the connection.
func (e *encoder) kill() {
	if e.pub != nil {
		e.pub.End(stream.EndClosed)
	}
	e.pub = nil
}

// pause stops both tracks, as SIGSTOP does.
func (e *encoder) pause(on bool) { e.blind, e.mute = on, on }

// tick writes the media that is due. Media that was due while a track was silent is never sent.
func (e *encoder) tick() {
	if e.pub == nil {
		return
	}
	select {
	case <-e.pub.Done(): // taken over
		e.pub = nil
		return
	default:
	}
	now := e.registry.Now()
	if e.collect > 0 { // all media that was made up to then
		now -= (now + e.phase) % e.collect
	}
	for ; e.frame > 0 && e.nextPicture <= now; e.nextPicture += e.frame {
		if !e.blind {
			e.picture(e.nextPicture - e.zero)
		}
	}
	for ; e.sound > 0 && e.nextSound+e.late <= now; e.nextSound += e.sound {
		if !e.mute {
			e.must(e.pub.WriteAudio(e.nextSound-e.zero, number(nil, e.sounds)))
			e.sounds++
		}
	}
}

func (e *encoder) picture(ts time.Duration) {
	slice := number([]byte{0x41}, e.pictures)
	if e.pictures%e.gop == 0 {
		slice[0] = 0x65
	}
	slice = append(slice, make([]byte, e.bytes)...)
	e.must(e.pub.WriteVideo(ts, ts, [][]byte{testSPS, testPPS, slice}))
	e.pictures++
}

func (e *encoder) must(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatalf("%v at %v: %v", e.key, e.registry.Now(), err)
	}
}

// toIDR returns the time until the next IDR.
func (e *encoder) toIDR() time.Duration {
	left := (e.gop - e.pictures%e.gop) % e.gop
	return e.nextPicture + time.Duration(left)*e.frame - e.registry.Now()
}

func number(b []byte, n int) []byte { return binary.BigEndian.AppendUint64(b, uint64(n)) }

// numberOf returns the number that the encoder gave u.
func numberOf(u *stream.AccessUnit) int {
	if u.Kind == stream.Audio {
		return int(binary.BigEndian.Uint64(u.Frame))
	}
	return int(binary.BigEndian.Uint64(u.NALUs[len(u.NALUs)-1][1:]))
}

// legOf returns the id of the stream that u belongs to.
func legOf(u *stream.AccessUnit) string { return u.Publication.Stream().Key().ID }
