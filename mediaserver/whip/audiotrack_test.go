package whip

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/streampair/streampair/hack/seeded"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/stream"
)

// A recordingPublication records what a receiver publishes.
type recordingPublication struct {
	audio, video []time.Duration
	announced    bool
	faults       map[stream.Kind]string
}

func (n *recordingPublication) SetVideoParameters(...[]byte) error { return nil }
func (n *recordingPublication) SetAudioFormat(stream.Format) error { n.announced = true; return nil }
func (n *recordingPublication) WriteVideo(_, pts time.Duration, _ [][]byte) error {
	n.video = append(n.video, pts)
	return nil
}

func (n *recordingPublication) WriteAudio(pts time.Duration, _ []byte) error {
	n.audio = append(n.audio, pts)
	return nil
}

func (n *recordingPublication) SetFault(k stream.Kind, f *stream.Fault) {
	if f == nil {
		delete(n.faults, k)
		return
	}
	n.faults[k] = f.Code
}

func TestPublisherWhoReportsOnSoundAndSendsNoneIsMuted(t *testing.T) {
	const s = time.Second
	picture := pictures(t, testPictures)[0]
	type span [2]time.Duration
	for _, test := range []struct {
		name    string
		packets []span        // each 20 ms
		reports []span        // each report
		every   time.Duration // the interval of reports
		// sounding are spans in which sound must be published at least each 100 ms.
		// lost are spans in which no sound may be published.
		sounding, lost []span
		faulty         bool // at the end
		counting       bool // timestamps count only what is sent, so they stand still during a mute
	}{
		{"sound all the time", []span{{0, 20 * s}}, []span{{0, 20 * s}}, s, []span{{0, 20 * s}}, nil, false, false},
		{"muted after 5 s", []span{{0, 5 * s}}, []span{{0, 20 * s}}, s, []span{{0, 5 * s}, {6500 * ms, 20 * s}}, nil, false, false},
		{"muted, with a report each 5 s", []span{{0, 5 * s}}, []span{{0, 40 * s}}, 5 * s, []span{{6500 * ms, 40 * s}}, nil, false, false},
		{"muted and back", []span{{0, 5 * s}, {10 * s, 20 * s}}, []span{{0, 20 * s}}, s, []span{{6500 * ms, 20 * s}}, nil, false, false},
		{"muted and back, timestamps stood still", []span{{0, 5 * s}, {10 * s, 20 * s}}, []span{{0, 20 * s}}, s, []span{{6500 * ms, 20 * s}}, nil, false, true},
		{"muted for a moment, timestamps stood still", []span{{0, 5 * s}, {6040 * ms, 20 * s}}, []span{{0, 20 * s}}, s, []span{{6 * s, 20 * s}}, nil, false, true},
		{"muted from the start", nil, []span{{0, 20 * s}}, s, []span{{1 * s, 20 * s}}, nil, false, false},
		{"muted from the start, then on", []span{{5 * s, 20 * s}}, []span{{0, 20 * s}}, s, []span{{1 * s, 20 * s}}, nil, false, false},
		{"neither packets nor reports: lost", []span{{0, 5 * s}}, []span{{0, 5 * s}}, s, []span{{0, 5 * s}}, []span{{9 * s, 20 * s}}, true, false},
		{"no packets and no reports at all", nil, nil, s, nil, []span{{0, 20 * s}}, true, false},
	} {
		for _, beside := range []string{"a picture", "nothing"} {
			t.Run(test.name+", beside "+beside, func(t *testing.T) {
				n := &recordingPublication{faults: map[stream.Kind]string{}}
				hasPicture := beside == "a picture"
				r := newReceiver(n, metrics.New(prometheus.NewRegistry()), tracks{video: hasPicture, audio: true, audioSSRCs: []uint32{7}})
				video := &source{ssrc: 8}
				const start = 100 * time.Second // the media clock does not begin at 0
				end := 20 * s
				for _, spans := range [][]span{test.packets, test.reports} {
					for _, x := range spans {
						end = max(end, x[1])
					}
				}
				r.arrivals.connect(start)
				within := func(spans []span, at time.Duration) bool {
					for _, x := range spans {
						if at >= x[0] && at < x[1] {
							return true
						}
					}
					return false
				}
				seq := uint16(0)
				for at := time.Duration(0); at < end; at += 20 * ms {
					now := start + at
					if within(test.packets, at) {
						seq++
						clock := at
						if test.counting {
							clock = time.Duration(seq) * 20 * ms
						}
						if err := r.packet(stream.Audio, 7, noRID, &packet{seq: seq, timestamp: ticks(clock, 48000), payload: []byte{1}, arrival: now}); err != nil {
							t.Fatal(err)
						}
					}
					if hasPicture {
						video.picture(t, r, now, at, picture)
					}
					if within(test.reports, at) && at%test.every == 0 {
						r.report(7, uint64(now/time.Second)<<32, ticks(at, 48000), now)
					}
					if _, err := r.tick(now); err != nil {
						t.Fatal(err)
					}
				}
				var last time.Duration
				for _, pts := range n.audio {
					if pts <= last {
						t.Fatalf("sound of %v after that of %v", pts-start, last-start)
					}
					last = pts
					if within(test.lost, pts-start) {
						t.Fatalf("sound of %v, where there is none", pts-start)
					}
				}
				for _, x := range test.sounding {
					last := x[0]
					for _, pts := range n.audio {
						if at := pts - start; at >= x[0] && at < x[1] {
							if at-last > 100*ms {
								t.Errorf("no sound from %v to %v", last, at)
							}
							last = at
						}
					}
					if x[1]-last > 200*ms {
						t.Errorf("no sound from %v to %v", last, x[1])
					}
				}
				want := map[stream.Kind]string{}
				if stopped := len(test.packets) > 0 && !hasPicture; test.faulty && !stopped { // a publisher that has stopped altogether is silent
					want[stream.Audio] = "NoAudioPackets"
				}
				if diff := cmp.Diff(want, n.faults); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

// libwebrtc draws each interval of its sender reports at random. Whatever it draws, a
// muted browser stays a whole leg.
func TestMutedPublisherWhoReportsAtRandomIsNotLost(t *testing.T) {
	random := seeded.Rand(t)
	shortThenLong := []time.Duration{2600 * ms, 7 * time.Second, 2500 * ms, 2500 * ms, 7500 * ms}
	for run := range 20 {
		n := &recordingPublication{faults: map[stream.Kind]string{}}
		r := newReceiver(n, metrics.New(prometheus.NewRegistry()), tracks{audio: true, audioSSRCs: []uint32{7}})
		const start = 100 * time.Second
		r.arrivals.connect(start)
		if err := r.packet(stream.Audio, 7, noRID, &packet{seq: 1, payload: []byte{1}, arrival: start}); err != nil {
			t.Fatal(err)
		}
		next := start
		for i, now := 0, start; i < 20; now += 100 * ms {
			if now >= next {
				r.report(7, ntpAt(now), ticks(now-start, 48000), now)
				interval := time.Duration(2500+random.IntN(5001)) * ms
				if run == 0 && i < len(shortThenLong) {
					interval = shortThenLong[i]
				}
				next = now + interval
				i++
			}
			if _, err := r.tick(now); err != nil {
				t.Fatal(err)
			}
			if len(n.faults) > 0 {
				t.Fatalf("run %d: %v %v before the next report, intervals up to %v", run, n.faults, next-now, r.audio.interval)
			}
		}
	}
}
