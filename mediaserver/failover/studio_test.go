package failover

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testingT is what the studio needs of *testing.T and *rapid.T.
type testingT interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

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
	bytes  int           // of a picture
	sound  time.Duration // between audio frames; 0: no audio
	late   time.Duration // audio is interleaved that much behind video
	format stream.Format

	// blind and mute stop a track while the connection stays.
	blind, mute bool
	asked       int // for an IDR

	pub                    *stream.Publication
	zero                   time.Duration // of the publisher's own clock
	nextPicture, nextSound time.Duration
	pictures, sounds       int
}

// start begins to publish, with an IDR at once. If the encoder publishes already, this
// is a second connection that takes over.
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

// tick writes what is due. What was due while a track was silent is never sent.
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

// toIDR is how long it is until the next IDR.
func (e *encoder) toIDR() time.Duration {
	left := (e.gop - e.pictures%e.gop) % e.gop
	return e.nextPicture + time.Duration(left)*e.frame - e.registry.Now()
}

func number(b []byte, n int) []byte { return binary.BigEndian.AppendUint64(b, uint64(n)) }

// numberOf is the number the encoder gave u.
func numberOf(u *stream.AccessUnit) int {
	if u.Kind == stream.Audio {
		return int(binary.BigEndian.Uint64(u.Frame))
	}
	return int(binary.BigEndian.Uint64(u.NALUs[len(u.NALUs)-1][1:]))
}

// leg is the id of the stream u came by.
func legOf(u *stream.AccessUnit) string { return u.Publication.Stream().Key().ID }

// sent is one picture that went out.
type sent struct {
	at, now time.Duration
	unit    *stream.AccessUnit
	burst   bool
}

func (s sent) String() string {
	what := "picture"
	if s.unit.IDR {
		what = "IDR"
	}
	if s.burst {
		what = "cached " + what
	}
	return fmt.Sprintf("%s %d of %s/%d at %v", what, numberOf(s.unit), legOf(s.unit), s.unit.Publication.ID(), s.at)
}

// screen is an Output that remembers what was sent.
type screen struct {
	now     func() time.Duration
	viewers int
	changed chan struct{}
	hold    time.Duration // for how long the next WriteVideo stalls
	sent    []sent
}

func (s *screen) WriteVideo(at time.Duration, u *stream.AccessUnit, burst bool) {
	time.Sleep(s.hold)
	s.hold = 0
	s.sent = append(s.sent, sent{at, s.now(), u, burst})
}

func (s *screen) ViewerCount() int                { return s.viewers }
func (s *screen) ViewersChanged() <-chan struct{} { return s.changed }

// since returns what was sent since then.
func (s *screen) since(then time.Duration) []sent {
	for i, p := range s.sent {
		if p.now >= then {
			return s.sent[i:]
		}
	}
	return nil
}

// segment is what an Audio was given since one Switch.
type segment struct {
	prime, live []*stream.AccessUnit
}

// speaker is an Audio that remembers what it was given, and plays it the way the real
// one does: what lies before its position comes too late.
type speaker struct {
	now         func() time.Duration
	frame       time.Duration
	segments    []segment
	stops       int
	stopped     bool
	passthrough bool

	position time.Duration // 0: nothing played yet, or not since Stop
	rested   time.Duration // the position at the last Stop
	played   []*stream.AccessUnit
	tooLate  int           // live units that came behind the position
	silence  time.Duration // in all
}

func (s *speaker) Switch(prime []*stream.AccessUnit) {
	s.stopped = false
	s.segments = append(s.segments, segment{prime: prime})
	if s.position == 0 && len(prime) > 0 { // at the live edge
		s.position = max(s.rested, prime[len(prime)-1].PTS)
	}
	for _, u := range prime {
		s.play(u)
	}
}

func (s *speaker) Write(u *stream.AccessUnit) {
	if len(s.segments) == 0 {
		s.segments = append(s.segments, segment{})
	}
	last := &s.segments[len(s.segments)-1]
	last.live = append(last.live, u)
	if !s.play(u) {
		s.tooLate++
	}
}

func (s *speaker) play(u *stream.AccessUnit) bool {
	if u.PTS < s.position-ms/10 {
		return false
	}
	s.Fill(u.PTS)
	s.played = append(s.played, u)
	s.position = u.PTS + s.frame
	return true
}

func (s *speaker) Fill(until time.Duration) {
	if s.stopped {
		return
	}
	if s.position != 0 && until > s.position {
		s.silence += until - s.position
	}
	s.position = max(s.position, until)
}

func (s *speaker) SetPassthrough(on bool) { s.passthrough = on }

func (s *speaker) Stop() {
	s.stopped, s.rested, s.position = true, max(s.rested, s.position), 0
	s.stops++
}

// source is a leg's Source.
type source struct {
	stream *stream.Stream
	wanted bool
}

func (s *source) Stream() *stream.Stream { return s.stream }
func (s *source) Demand(on bool)         { s.wanted = on }

// A studio is a pair with its encoders and one viewer, all on the clock of a synctest
// bubble. The test's goroutine drives the encoders; the pair's has done its work
// whenever run returns.
type studio struct {
	t               testingT
	wait            func()
	registry        *stream.Registry
	primary, backup *encoder
	legs            [2]*source
	screen          *screen
	speaker         *speaker
	pair            *Pair
	collected       *prometheus.Registry
	changes         int // calls of OnChange
	encoders        []*encoder

	stop  context.CancelFunc
	ended chan error
}

// newStudio returns a studio whose encoders do not run yet: 25 pictures and 50 audio
// frames a second, an IDR every 2 s. It must be called in a bubble, as must close.
func newStudio(t testingT, wait func(), change func(*PairConfig)) *studio {
	s := &studio{t: t, wait: wait, collected: prometheus.NewRegistry(), ended: make(chan error, 1)}
	m := metrics.New(s.collected)
	s.registry = stream.NewRegistry(stream.Config{Metrics: m})
	s.screen = &screen{now: s.registry.Now, viewers: 1, changed: make(chan struct{}, 1)}
	s.speaker = &speaker{now: s.registry.Now, frame: 20 * ms}
	cfg := PairConfig{
		Name: "show", PrimaryID: "primary", BackupID: "backup", Policy: standard,
		Output: s.screen, Audio: s.speaker, Metrics: m, OnChange: func() { s.changes++ },
	}
	for i, id := range []string{"primary", "backup"} {
		key := stream.Key{App: "live", ID: id}
		s.legs[i] = &source{stream: s.registry.Stream(key)}
		s.encoders = append(s.encoders, &encoder{
			t: t, registry: s.registry, key: key, frame: 40 * ms, gop: 50, bytes: 100, sound: 20 * ms, format: aac,
		})
	}
	s.primary, s.backup = s.encoders[0], s.encoders[1]
	cfg.Primary, cfg.Backup = s.legs[0], s.legs[1]
	if change != nil {
		change(&cfg)
	}
	s.pair = NewPair(cfg)
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go func() { s.ended <- s.pair.Run(ctx) }()
	s.wait()
	return s
}

func (s *studio) now() time.Duration { return s.registry.Now() }

// run lets time pass.
func (s *studio) run(d time.Duration) {
	const step = 5 * ms
	for end := s.now() + d; s.now() < end; {
		time.Sleep(min(step, end-s.now()))
		for _, e := range s.encoders {
			e.tick()
		}
		s.wait()
	}
	s.wait()
}

// runUntil lets time pass until cond holds, for a minute at most.
func (s *studio) runUntil(what string, cond func() bool) {
	s.t.Helper()
	for end := s.now() + time.Minute; !cond(); s.run(5 * ms) {
		if s.now() > end {
			s.t.Fatalf("no %s within a minute", what)
		}
	}
}

func (s *studio) viewers(n int) {
	s.screen.viewers = n
	select {
	case s.screen.changed <- struct{}{}:
	default:
	}
	s.wait()
}

// wantOn checks the status.
func (s *studio) wantOn(r Role, why Reason, switches int) {
	s.t.Helper()
	got := s.pair.Status()
	if got.Active != r || got.Reason != why || got.Switches != switches || !got.OnAir {
		s.t.Fatalf("at %v: %q for %s after %d switches, on air %v; want %q for %s after %d",
			s.now(), got.Active, got.Reason, got.Switches, got.OnAir, r, why, switches)
	}
}

// close ends the pair and checks what must hold for every run: pictures go out in an
// order that decodes, at times that only move forward, and each audio unit goes out
// once and in its place.
func (s *studio) close() {
	s.t.Helper()
	s.wait()
	s.stop()
	if err := <-s.ended; !errors.Is(err, context.Canceled) {
		s.t.Fatalf("Run returned %v", err)
	}
	for _, e := range s.encoders {
		e.kill()
	}
	if streams := s.registry.Streams(); len(streams) > 0 {
		s.t.Fatalf("%d streams are still in use", len(streams))
	}
	s.checkPictures()
	s.checkSound()
}

func (s *studio) checkPictures() {
	s.t.Helper()
	for i, p := range s.screen.sent {
		if i == 0 {
			if !p.unit.IDR {
				s.t.Fatalf("began with %v", p)
			}
			continue
		}
		before := s.screen.sent[i-1]
		if p.at < before.at+tick {
			s.t.Fatalf("%v follows %v", p, before)
		}
		follows := p.unit.Publication == before.unit.Publication && numberOf(p.unit) == numberOf(before.unit)+1
		if !p.unit.IDR && !follows {
			s.t.Fatalf("%v follows %v: that cannot be decoded", p, before)
		}
		if ahead := p.at - p.now; ahead > 20*ms {
			s.t.Fatalf("%v is ahead of the clock by %v", p, ahead)
		}
	}
}

func (s *studio) checkSound() {
	s.t.Helper()
	for _, seg := range s.speaker.segments {
		units := append(append([]*stream.AccessUnit(nil), seg.prime...), seg.live...)
		for i := 1; i < len(units); i++ {
			u, before := units[i], units[i-1]
			if u.Publication != before.Publication || numberOf(u) != numberOf(before)+1 || u.Seq <= before.Seq {
				s.t.Fatalf("audio %d of %s/%d follows %d of %s/%d", numberOf(u), legOf(u), u.Publication.ID(),
					numberOf(before), legOf(before), before.Publication.ID())
			}
		}
	}
	seen := make(map[*stream.AccessUnit]bool)
	for i, u := range s.speaker.played {
		if seen[u] {
			s.t.Fatalf("audio %d of %s was played twice", numberOf(u), legOf(u))
		}
		seen[u] = true
		if i > 0 && u.PTS < s.speaker.played[i-1].PTS {
			s.t.Fatalf("audio went back from %v to %v", s.speaker.played[i-1].PTS, u.PTS)
		}
	}
}
