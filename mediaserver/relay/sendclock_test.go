package relay

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/peer"
	"github.com/streampair/streampair/mediaserver/stream"
)

// An encoder's clock settles, drifts and jumps. All relayed media still has its time on the media
// clock: no picture and no sound gets another time than at the encoder's own server.
func TestARelayedStreamHasTheTimesOfTheMediaClock(t *testing.T) {
	type picture struct{ ts, arrival time.Duration } // milliseconds
	pictures := func(n int, ts, arrival time.Duration) (all []picture) {
		for i := range time.Duration(n) {
			all = append(all, picture{ts + i*40, arrival + i*40})
		}
		return all
	}
	hurry := append([]picture{{0, 100}, {40, 101}, {80, 130}}, pictures(100, 120, 150)...)
	for name, all := range map[string][]picture{
		"in step":           pictures(60, 0, 0),
		"begins in a hurry": hurry,
		"is earlier later":  append(pictures(30, 0, 0), pictures(60, 1200, 1130)...),
		"jumps ahead":       append(hurry, pictures(60, 3600_000, 4150)...),
		"jumps back, twice": append(append(pictures(30, 9000, 0), pictures(30, 0, 1200)...), pictures(30, 0, 2400)...),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				there, here := stream.NewRegistry(stream.Config{}), stream.NewRegistry(stream.Config{})
				published, relayed := there.Stream(primaryKey).Subscribe(4096), here.Stream(primaryKey).Subscribe(4096)
				r, w := io.Pipe()
				go func() {
					p := &puller{Reader: &peer.Reader{}, registry: here, key: primaryKey}
					for tags := flv.NewReader(r, maxTag); ; {
						tag, err := tags.Next()
						if err != nil {
							return
						}
						if err := p.take(tag); err != nil {
							t.Error(err)
						}
					}
				}()

				must := func(err error) {
					t.Helper()
					if err != nil {
						t.Fatal(err)
					}
				}
				s, err := newSender(w, there.Stream(primaryKey))
				must(err)
				pub, err := there.Publish(stream.PublishRequest{Key: primaryKey, Authenticated: true, Protocol: "test"})
				must(err)
				must(pub.SetVideoParameters(sps240, pps0))
				must(pub.SetAudioFormat(aac48))
				must(s.begin())
				var want []*stream.AccessUnit
				began, sound := time.Now(), all[0].ts
				for i, u := range all {
					time.Sleep(time.Until(began.Add(u.arrival * ms)))
					slice := number([]byte{0x41}, i)
					if i%gop == 0 {
						slice[0] = 0x65
					}
					must(pub.WriteVideo(u.ts*ms, u.ts*ms, [][]byte{slice}))
					// The sound of a picture comes after the next picture, so it jumps later.
					must(pub.WriteAudio(sound*ms, number([]byte{0xfc}, i)))
					sound = u.ts
					for _, u := range drain(published) {
						must(s.send(u))
						want = append(want, u)
					}
					synctest.Wait()
				}
				must(w.Close())
				got := drain(relayed)
				if len(got) != 2*len(all) || len(want) != len(got) {
					t.Fatalf("%d of %d access units were sent, and %d came", len(want), 2*len(all), len(got))
				}
				worst := time.Duration(0)
				for i, u := range got {
					if u.Kind != want[i].Kind || numberOf(u) != numberOf(want[i]) {
						t.Fatalf("%v %d came for %v %d", u.Kind, numberOf(u), want[i].Kind, numberOf(want[i]))
					}
					if d := u.PTS - want[i].PTS; d.Abs() > ms {
						t.Errorf("%v %d, at %v there, lies %v later here", u.Kind, numberOf(u), want[i].PTS, d)
					}
					worst = max(worst, (u.PTS - want[i].PTS).Abs())
				}
				t.Logf("at most %v apart", worst)
			})
		})
	}
}
