package whip

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/stream"
)

var testPictures = mediatest.Spec{Duration: 4 * time.Second, FPS: "50", GOP: time.Second}

var primary = stream.Key{App: "live", ID: "primary"}

func TestPublishedPicturesAndSoundArriveWhole(t *testing.T) {
	for name, o := range map[string]encoderOptions{
		"plain": {},
		// Both counters of RTP wrap within the first second.
		"sequence numbers and timestamps wrap": {start: 65500, origin: 1<<32 - 30000},
		"video only":                           {noAudio: true},
		"audio only":                           {noVideo: true},
	} {
		t.Run(name, func(t *testing.T) {
			all := pictures(t, testPictures)[:120]
			s := newTestServer(t, nil)
			got := collect(t, s.registry.Stream(primary))
			e := s.publish(t, "/live/whip/primary", o)
			e.play(all, nil)
			if !o.noVideo {
				eventually.True(t, "pictures", func() bool { return len(got.of(stream.Video)) >= len(all) })
				checkPictures(t, all, got.of(stream.Video), 20*time.Millisecond)
			}
			if !o.noAudio {
				eventually.True(t, "audio", func() bool { return len(got.of(stream.Audio)) >= len(all) })
				checkTimes(t, got.of(stream.Audio), 20*time.Millisecond)
				if f := got.of(stream.Audio)[0].Format; f.Codec != stream.Opus || f.SampleRate != 48000 || f.Channels != 2 {
					t.Errorf("audio format %+v", f)
				}
			}
			t.Log(got)
		})
	}
}

// checkPictures fails unless got are the pictures from the first IDR on.
func checkPictures(t *testing.T, want [][][]byte, got []*stream.AccessUnit, interval time.Duration) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d pictures, want %d", len(got), len(want))
	}
	for i, u := range got {
		if !sameNALUs(slicesOf(want[i]), u.NALUs) {
			t.Fatalf("picture %d differs", i)
		}
		if u.Format == nil || u.Format.Width != 320 || u.Format.Height != 180 {
			t.Fatalf("picture %d: format %+v", i, u.Format)
		}
	}
	checkTimes(t, got, interval)
}

// checkTimes fails unless the times advance by interval. It allows small steps back.
// The publication's clock makes one when an access unit comes with less delay than any
// before, as happens a few times on a busy machine.
func checkTimes(t *testing.T, got []*stream.AccessUnit, interval time.Duration) {
	t.Helper()
	steps := 0
	for i := 1; i < len(got); i++ {
		d := got[i].PTS - got[i-1].PTS
		if d > interval+time.Millisecond {
			t.Errorf("%v from access unit %d to the next, want %v", d, i-1, interval)
		}
		if d < interval-time.Millisecond {
			steps++
		}
	}
	if steps > len(got)/5 {
		t.Errorf("%d of %d intervals are shorter than %v", steps, len(got), interval)
	}
}

func TestLostPacketsAreSentAgain(t *testing.T) {
	all := pictures(t, mediatest.Spec{Duration: 4 * time.Second, FPS: "50", GOP: time.Second, Width: 640, Height: 360, VideoArgs: []string{"-b:v", "3M", "-minrate", "3M", "-bufsize", "1M"}})
	s := newTestServer(t, nil)
	network := &lossy{random: rand.New(rand.NewPCG(1, 2)), lose: 0.05, reorder: 0.05}
	got := collect(t, s.registry.Stream(primary))
	e := s.publish(t, "/live/whip/primary", encoderOptions{network: network})
	e.play(all, nil)
	time.Sleep(videoWait)
	video := got.of(stream.Video)
	t.Logf("%d of %d packets lost, %d NACKs, %d PLIs; %d of %d pictures, %d of %d audio packets",
		network.lost, network.sent, e.nacks.Load(), e.plis.Load(), len(video), len(all), len(got.of(stream.Audio)), len(all))
	if network.lost < 20 {
		t.Fatal("the network lost next to nothing")
	}
	// Only one packet in 8000 is lost three times, so nearly all pictures must come.
	if len(video) < len(all)*8/10 {
		t.Errorf("%d of %d pictures arrived", len(video), len(all))
	}
	checkWhole(t, all, video)
}

// checkWhole fails unless every picture was sent, and follows the picture that it refers to.
func checkWhole(t *testing.T, sent [][][]byte, got []*stream.AccessUnit) {
	t.Helper()
	index := map[string]int{}
	for i, picture := range sent {
		index[string(picture[len(picture)-1])] = i
	}
	last := -1
	for _, u := range got {
		i, ok := index[string(u.NALUs[len(u.NALUs)-1])]
		if !ok {
			t.Fatal("a picture arrived that was not sent")
		}
		if !sameNALUs(slicesOf(sent[i]), u.NALUs) {
			t.Fatalf("picture %d differs", i)
		}
		if i != last+1 && !u.IDR {
			t.Fatalf("picture %d after %d, and not a key frame", i, last)
		}
		last = i
	}
}

func TestLossWithoutRetransmissionResumesAtAKeyFrame(t *testing.T) {
	all := pictures(t, testPictures)
	s := newTestServer(t, nil)
	// For a while half of all packets are lost, retransmissions included.
	network := &lossy{random: rand.New(rand.NewPCG(3, 4))}
	got := collect(t, s.registry.Stream(primary))
	e := s.publish(t, "/live/whip/primary", encoderOptions{network: network})
	e.play(all[:60], nil)
	network.mu.Lock()
	network.lose = 0.7
	network.mu.Unlock()
	before := e.plis.Load()
	e.playFrom(60, all[60:90])
	network.mu.Lock()
	network.lose = 0
	network.mu.Unlock()
	e.playFrom(90, all[90:])
	eventually.True(t, "the last picture", func() bool {
		v := got.of(stream.Video)
		return len(v) > 0 && string(v[len(v)-1].NALUs[0]) == string(slicesOf(all[len(all)-1])[0])
	})
	checkWhole(t, all, got.of(stream.Video))
	if e.plis.Load() == before {
		t.Error("no key frame was asked for")
	}
	t.Logf("%v of %d; %d NACKs, %d PLIs", got, len(all), e.nacks.Load(), e.plis.Load())
}

// playFrom is like play, for the pictures from index on.
func (e *encoder) playFrom(index int, pictures [][][]byte) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for i, picture := range pictures {
		at := time.Duration(index+i) * 20 * time.Millisecond
		e.writeAudio(at)
		e.writeVideo(at, picture)
		<-ticker.C
	}
}

func TestKeyFramesAreAskedFor(t *testing.T) {
	all := pictures(t, testPictures)
	s := newTestServer(t, nil)
	e := s.publish(t, "/live/whip/primary", encoderOptions{noAudio: true})
	// One IDR comes, and only other pictures after it.
	e.writeVideo(0, all[0])
	start := time.Now()
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 1; i < 300; i++ {
			e.writeVideo(time.Duration(i)*100*ms, slicesOf(all[1]))
			select {
			case <-time.After(100 * ms):
			case <-stop:
				return
			}
		}
	}()
	eventually.True(t, "first PLI", func() bool { return e.plis.Load() >= 1 })
	eventually.True(t, "second PLI", func() bool { return e.plis.Load() >= 2 })
	if took := time.Since(start); took < 2*keyframeInterval-200*ms {
		t.Errorf("two PLIs within %v", took)
	}
	close(stop)
	<-done
}

// manySSRCs gives each packet its own SSRC.
type manySSRCs struct {
	interceptor.NoOp
	next atomic.Uint32
}

func (m *manySSRCs) NewInterceptor(string) (interceptor.Interceptor, error) { return m, nil }

func (m *manySSRCs) BindLocalStream(_ *interceptor.StreamInfo, next interceptor.RTPWriter) interceptor.RTPWriter {
	return interceptor.RTPWriterFunc(func(h *rtp.Header, payload []byte, a interceptor.Attributes) (int, error) {
		own := *h
		own.SSRC = m.next.Add(1)
		return next.Write(&own, payload, a)
	})
}

func TestPublisherOfTooManyStreamsIsEnded(t *testing.T) {
	for name, o := range map[string]encoderOptions{
		"one track": {noAudio: true}, "two tracks": {},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestServer(t, nil)
			o.interceptor = &manySSRCs{}
			e := s.publish(t, "/live/whip/primary", o)
			picture := pictures(t, testPictures)[0]
			eventually.True(t, "the end", func() bool {
				e.writeVideo(0, picture)
				return s.registry.Stream(primary).Snapshot().Publication == nil
			})
			if got := s.refusals(t, "TooManyRTPStreams"); got != 1 {
				t.Errorf("%v are counted, want 1", got)
			}
		})
	}
}

// An encoder that sends reports about its sound, but no sound, has it muted.
func TestMutedPresenterIsHeardAsSilence(t *testing.T) {
	for name, packets := range map[string]int{"from the start": 0, "after a while": 50} {
		t.Run(name, func(t *testing.T) {
			all := pictures(t, testPictures)
			s := newTestServer(t, nil)
			got := collect(t, s.registry.Stream(primary))
			e := s.publish(t, "/live/whip/primary", encoderOptions{})
			e.play(all[:packets], nil)
			e.audio = nil // the track stays, and pion sends a report about it each second
			e.play(all, nil)
			eventually.True(t, "silence", func() bool {
				audio := got.of(stream.Audio)
				return len(audio) > packets+50 && audio[len(audio)-1].PTS > got.of(stream.Video)[len(all)-1].PTS-time.Second
			})
		})
	}
}
