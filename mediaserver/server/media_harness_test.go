package server

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// The tests in media_*_test.go publish programmes that can be measured. They watch them
// with a WebRTC client that is not a browser, and check each packet that it receives.

const (
	ms  = time.Millisecond
	fps = 30 // of programmes that do not set another rate

	// maxSkew is how far sound and picture may be apart.
	maxSkew = 40 * ms
	// maxSilence is how much sound may be missing at a switch.
	maxSilence = 100 * ms
	// maxGap bounds the time without a new picture at a switch. It is
	// five times what viewers are promised, because machines are busy.
	maxGap = 5 * 250 * ms
)

// A publisher is an encoder that can be killed.
type publisher interface{ Kill() }

// replay publishes a programme to a stream of the app live until the test ends.
func (s *testServer) replay(streamID string, p mediatest.Programme, options mediatest.ReplayOptions) *mediatest.Replayer {
	s.t.Helper()
	tape, err := p.Tape(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := mediatest.Replay(s.t.Context(), s.publishURL(streamID), tape, options)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(r.Kill)
	return r
}

// file returns the path of a programme.
func file(t *testing.T, p mediatest.Programme) string {
	t.Helper()
	path, err := p.File(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// stalls notes when this process, and so the machine, was held up.
// Whatever a viewer missed then proves nothing about the server.
type stalls struct {
	mu   sync.Mutex // guards each
	each []stall
}

type stall struct{ begin, end time.Time }

// What a stall of the machine excuses. A shorter stall than longStall loses
// no packets and delays no sound. Sound may be late for as long as stallEcho after it.
const (
	longStall   = 100 * ms
	stallEcho   = time.Second
	leastJudged = 80 // percent of a recording
)

func newStalls(t *testing.T) *stalls {
	s := &stalls{}
	go func() {
		tick := time.NewTicker(10 * ms)
		defer tick.Stop()
		for last := time.Now(); ; {
			select {
			case <-t.Context().Done():
				return
			case <-tick.C:
			}
			now := time.Now()
			if now.Sub(last) > longStall {
				s.mu.Lock()
				s.each = append(s.each, stall{last, now})
				s.mu.Unlock()
			}
			last = now
		}
	}()
	return s
}

// near reports whether there was a stall at t, or shortly before.
func (s *stalls) near(t time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.each, func(e stall) bool { return !t.Before(e.begin) && t.Before(e.end.Add(stallEcho)) })
}

// judged returns how much of the time between two moments is not near a stall, in percent.
func (s *stalls) judged(from, to time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	excused, until := time.Duration(0), from
	for _, e := range s.each {
		begin, end := e.begin, e.end.Add(stallEcho)
		if begin.Before(until) {
			begin = until
		}
		if end.After(to) {
			end = to
		}
		if end.After(begin) {
			excused, until = excused+end.Sub(begin), end
		}
	}
	return int(100 - 100*excused/max(to.Sub(from), 1))
}

// A viewer is a WebRTC client that watches a stream, or a pair if query names a backup.
type viewer struct {
	*mediatest.Viewer
	t      *testing.T
	stalls *stalls
}

// watch opens a session, and ends it when the test ends.
func (s *testServer) watch(options mediatest.WatchOptions, streamID string, query ...string) *viewer {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	v, err := mediatest.WatchWHEP(ctx, s.url("whep/"+streamID, query...), options)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(v.Close)
	return &viewer{v, s.t, s.stalls}
}

// watchPair watches the pair sunday and decodes its pictures.
func (s *testServer) watchPair() *viewer {
	s.t.Helper()
	return s.watch(mediatest.WatchOptions{Decode: true}, "primary", "backupStreamId", "backup")
}

// sees waits until the viewer has received n pictures
// of a leg since a moment, and returns the first one.
func (v *viewer) sees(leg, n int, since time.Time) mediatest.Sighting {
	v.t.Helper()
	var first mediatest.Sighting
	eventually.True(v.t, "pictures of the expected leg", func() bool {
		found := 0
		for _, s := range v.Sightings() {
			if s.Leg == leg && s.Seen.After(since) {
				if found++; found == 1 {
					first = s
				}
			}
		}
		return found >= n
	})
	return first
}

// hears waits until sound of a duration has arrived since a moment. A pause in a silence counts.
func (v *viewer) hears(d time.Duration, since time.Time) {
	v.t.Helper()
	eventually.True(v.t, "sound", func() bool {
		packets := v.Audio().Packets
		from, _ := slices.BinarySearchFunc(packets, since, func(p mediatest.Packet, t time.Time) int { return p.Arrival.Compare(t) })
		if from == len(packets) {
			return false
		}
		played := int32(packets[len(packets)-1].Timestamp - packets[from].Timestamp)
		return time.Duration(played)*time.Second/48000+20*ms >= d
	})
}

// A reception is all that a viewer received.
type reception struct {
	t            *testing.T
	stalls       *stalls
	video, audio *mediatest.Recording
	sightings    []mediatest.Sighting
	sound        mediatest.Sound
}

// leaves ends the session and returns what the viewer received.
func (v *viewer) leaves() reception {
	v.t.Helper()
	// The last packets only get a time once the next sender report has arrived.
	last := time.Now()
	eventually.True(v.t, "sender reports", func() bool {
		for _, r := range []*mediatest.Recording{v.Video(), v.Audio()} {
			if n := len(r.Reports); r.Count > 0 && (n == 0 || r.Reports[n-1].Arrival.Before(last)) {
				return false
			}
		}
		return true
	})
	v.Close()
	r := reception{t: v.t, stalls: v.stalls, video: v.Video(), audio: v.Audio(), sightings: v.Sightings()}
	var err error
	if r.sound, err = r.audio.Sound(); err != nil {
		v.t.Error(err)
	}
	if len(r.video.Packets) > 0 {
		share := r.stalls.judged(r.video.Packets[0].Arrival, r.video.Last)
		v.t.Logf("%d %% of the recording can be judged", share)
		if share < leastJudged {
			v.t.Errorf("only %d %% of the recording can be judged, want %d %%: the machine was held up too often", share, leastJudged)
		}
	}
	return r
}

// isContinuous checks what a decoder relies on: one SSRC, no missing sequence
// number, and times that go forward. Packets that this client's socket could
// not hold are not counted, in the burst at the start and in a stall.
func (r reception) isContinuous() {
	r.t.Helper()
	for name, track := range map[string]*mediatest.Recording{"video": r.video, "audio": r.audio} {
		if len(track.SSRCs) > 1 {
			r.t.Errorf("%s came with %d SSRCs", name, len(track.SSRCs))
		}
		packets := inOrder(track.Packets)
		overflowed := false
		for i := 1; i < len(packets); i++ {
			n, at := packets[i].Sequence-packets[i-1].Sequence-1, packets[i].Arrival
			if joining := at.Sub(packets[0].Arrival) < time.Second; int16(n) > 0 && !joining && !r.stalls.near(at) {
				r.t.Errorf("%d sequence numbers of %s are missing %v after the first packet", n, name, at.Sub(packets[0].Arrival).Round(ms))
			}
			// The packet was sent again, perhaps too late
			// for the code here that assembles pictures.
			overflowed = overflowed || int16(n) > 0 || at.Before(packets[i-1].Arrival)
		}
		if track.Broken > 0 && !overflowed {
			r.t.Errorf("%d pictures lacked packets", track.Broken)
		}
		back := 0
		for i, p := range packets[:max(len(packets)-1, 0)] {
			// Packets of one picture have one timestamp.
			if step := int32(packets[i+1].Timestamp - p.Timestamp); step < 0 || step == 0 && p.Marker == packets[i+1].Marker && name == "audio" {
				back++
			}
		}
		if back > 0 {
			r.t.Errorf("timestamps of %s go back %d times", name, back)
		}
	}
	for i := 1; i < len(r.video.Pictures); i++ {
		if r.video.Pictures[i].Timestamp == r.video.Pictures[i-1].Timestamp {
			r.t.Error("two pictures have the same time")
		}
	}
}

// inOrder sorts packets by sequence number.
func inOrder(packets []mediatest.Packet) []mediatest.Packet {
	out := slices.Clone(packets)
	if len(out) == 0 {
		return nil
	}
	// The 64-bit number of a packet is the one nearest to the number before.
	extended := make(map[*mediatest.Packet]int64, len(out))
	pointers := make([]*mediatest.Packet, len(out))
	last := int64(out[0].Sequence)
	for i := range out {
		last += int64(int16(out[i].Sequence - uint16(last)))
		extended[&out[i]], pointers[i] = last, &out[i]
	}
	slices.SortStableFunc(pointers, func(a, b *mediatest.Packet) int { return int(extended[a] - extended[b]) })
	sorted := make([]mediatest.Packet, len(out))
	for i, p := range pointers {
		sorted[i] = *p
	}
	return sorted
}

// legChanges returns the presentation times of the first pictures after a change of legs.
func (r reception) legChanges() []time.Time {
	var changes []time.Time
	for i := 1; i < len(r.sightings); i++ {
		if r.sightings[i].Leg != r.sightings[i-1].Leg {
			changes = append(changes, r.sightings[i].Presented)
		}
	}
	return changes
}

// nearestChange says how far t is from a change of legs.
func (r reception) nearestChange(t time.Time) string {
	nearest, found := time.Duration(math.MaxInt64), false
	for _, change := range r.legChanges() {
		if d := t.Sub(change); d.Abs() < nearest.Abs() {
			nearest, found = d, true
		}
	}
	if !found {
		return ""
	}
	return fmt.Sprintf(", %v from a change of legs", nearest.Round(ms))
}

// isInSync checks the skew between each beep and its picture. It ignores
// beeps within the given times before and after a change of legs. Such
// beeps may be cut in two, and the pictures that lead up to the live edge
// are shown faster than they were taken. At least n beeps must be left.
func (r reception) isInSync(n int, before, after time.Duration) {
	r.t.Helper()
	changes := r.legChanges()
	beeps := slices.DeleteFunc(r.sound.Beeps(), func(beep time.Time) bool {
		return slices.ContainsFunc(changes, func(change time.Time) bool {
			return beep.After(change.Add(-before)) && beep.Before(change.Add(after))
		})
	})
	skews := mediatest.Skews(r.sightings, beeps, fps)
	if len(skews) < n {
		r.t.Errorf("only %d of %d beeps could be compared with pictures, want %d", len(skews), len(beeps), n)
	}
	var all []time.Duration
	for _, s := range skews {
		all = append(all, s.Late.Round(ms))
		if s.Late.Abs() > maxSkew && !r.stalls.near(s.At) {
			r.t.Errorf("%v after the first picture the sound is %v late%s", s.At.Sub(r.sightings[0].Presented).Round(ms), s.Late.Round(ms), r.nearestChange(s.At))
		}
	}
	r.t.Logf("sound against picture, %d beeps: worst %v, median %v", len(all), mediatest.WorstSkew(skews).Round(ms), median(all))
}

// hasSound checks that from a moment on no sound is missing for longer than the limit.
func (r reception) hasSound(limit time.Duration, from time.Time) {
	r.t.Helper()
	var missing []time.Duration
	for _, s := range r.sound.Silences(10 * ms) {
		if s.Begin.Before(from) {
			continue
		}
		missing = append(missing, s.Length.Round(ms))
		if s.Length > limit && !r.stalls.near(s.Begin) {
			r.t.Errorf("sound is missing for %v, %v after the first packet%s", s.Length.Round(ms), s.Begin.Sub(r.sound.Time(0)).Round(ms), r.nearestChange(s.Begin))
		}
	}
	r.t.Logf("sound missing, of %v: %v", duration(r.sound), missing)
}

// soundBegins returns when the programme's sound is first heard. A viewer may join before that.
func (r reception) soundBegins() time.Time {
	if s := r.sound.Silences(10 * ms); len(s) > 0 && s[0].Begin.Equal(r.sound.Time(0)) {
		return s[0].Begin.Add(s[0].Length)
	}
	return r.sound.Time(0)
}

func duration(s mediatest.Sound) time.Duration {
	return (time.Duration(len(s.Samples)) * time.Second / time.Duration(max(s.Rate, 1))).Round(ms)
}

// frameRate returns how many pictures a second the viewer received, by their timestamps.
func (r reception) frameRate() float64 {
	n := len(r.video.Pictures)
	if n < 2 {
		return 0
	}
	span := r.video.Pictures[n-1].Timestamp - r.video.Pictures[0].Timestamp
	return math.Round(float64(n-1)*90000*100/float64(span)) / 100
}

func median[T ~int64](values []T) T {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[len(values)/2]
}
