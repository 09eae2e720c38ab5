package server

import (
	"slices"
	"testing"
	"time"

	api "github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/stream"
)

// inBursts delivers an encoder's media in bursts of that length, as a relay or
// a bonded link does, until the test ends. The first burst ends after first.
func inBursts(t *testing.T, r *mediatest.Replayer, length, first time.Duration) {
	t.Helper()
	go func() {
		for wait := first; ; wait = length {
			r.Pause()
			select {
			case <-t.Context().Done():
				return
			case <-time.After(wait - 50*ms):
			}
			r.Resume()
			time.Sleep(50 * ms) // sends what has collected
		}
	}()
}

// Both encoders publish through the same kind of relay, so failover does not help.
// Once the gaps have repeated, the pictures go out as evenly as they were made.
func TestBothLegsInBursts(t *testing.T) {
	t.Parallel()
	const length, watched = 4 * time.Second, 20 * time.Second
	s := startServer(t, sticky)
	primary := s.replay("primary", mediatest.Programme{}, mediatest.ReplayOptions{})
	s.onAir("primary", true, false)
	backup := s.replay("backup", mediatest.Programme{Leg: 1}, mediatest.ReplayOptions{})
	s.onAir("primary", true, true)
	v := s.watchPair()
	v.sees(0, fps, time.Time{})
	inBursts(t, primary, length, length)
	inBursts(t, backup, length, length/2)
	eventually.True(t, "both legs are known to come in bursts", func() bool {
		legs := s.pair("sunday").Legs
		return isBursty(legs[0].Warnings) && isBursty(legs[1].Warnings)
	})
	time.Sleep(length + time.Second) // for the longest gap
	from, before := time.Now(), s.pair("sunday").Switches
	time.Sleep(watched)
	p := s.pair("sunday")
	if before > 1 || p.Switches != before {
		t.Errorf("%d switches at first and %d later, want one at most and none", before, p.Switches-before)
	}
	if !p.OnAir {
		t.Error("off air")
	}
	r := v.leaves()
	r.isContinuous()
	seen := 0
	for _, one := range r.sightings {
		if one.Seen.After(from) && one.Seen.Before(from.Add(watched)) {
			seen++
		}
	}
	gap := mediatest.LongestGap(r.sightings, from, from.Add(watched))
	t.Logf("%d pictures in %v, none for %v at the longest; %d switches", seen, watched, gap.Round(ms), p.Switches)
	// Without the delay, viewers see nothing for most of each gap.
	if want := int(watched.Seconds()) * fps; seen < want*9/10 || gap > length/2 {
		t.Errorf("%d pictures in %v, none for %v at the longest; want %d", seen, watched, gap, want)
	}
}

// A leg with regular input is better than one that arrives in bursts.
func TestTheLegWithoutBurstsIsChosen(t *testing.T) {
	t.Parallel()
	s := startServer(t, preferPrimary)
	primary := s.replay("primary", mediatest.Programme{}, mediatest.ReplayOptions{})
	s.onAir("primary", true, false)
	s.replay("backup", mediatest.Programme{Leg: 1}, mediatest.ReplayOptions{})
	s.onAir("primary", true, true)
	inBursts(t, primary, 900*ms, 900*ms) // below the loss time
	eventually.True(t, "the backup is on air", func() bool { return s.pair("sunday").Active == "Backup" })
	if p := s.pair("sunday"); p.Reason != "PrimaryDegraded" || !isBursty(p.Legs[0].Warnings) || isBursty(p.Legs[1].Warnings) {
		t.Errorf("reason %s, warnings %+v", p.Reason, p.Legs)
	}
	time.Sleep(12 * time.Second) // the mode would switch back after 10 s
	if p := s.pair("sunday"); p.Active != "Backup" || p.Switches != 1 {
		t.Errorf("%s is on air after %d switches", p.Active, p.Switches)
	}
}

func isBursty(all []api.Warning) bool {
	return slices.ContainsFunc(all, func(w api.Warning) bool { return w.Code == "BurstyInput" })
}

// maxJitterMilliseconds: 0 switches off all handling
// of bursts, including the mapping of their times.
func TestNoJitterIsPutUpWithIfThePairSaysSo(t *testing.T) {
	const length = 2500 * time.Millisecond
	for _, tt := range []struct {
		name, manifest string
		steady         bool
	}{
		{"unless told", sticky, true},
		{"maxJitterMilliseconds: 0", sticky + "  failover: {maxJitterMilliseconds: 0}\n", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, tt.manifest)
			key := stream.Key{App: "live", ID: "primary"}
			p, err := s.registry.Publish(stream.PublishRequest{Key: key, Authenticated: true})
			if err != nil {
				t.Fatal(err)
			}
			defer p.End(stream.EndClosed)
			if err := p.SetAudioFormat(stream.Format{Codec: stream.Opus, SampleRate: 48000, Channels: 2}); err != nil {
				t.Fatal(err)
			}
			sub := s.registry.Stream(key).Subscribe(1024)
			defer sub.Close()
			offsets := make(map[time.Duration]bool) // of the last bursts
			for ts := time.Duration(0); ts < 6*length; ts += 20 * ms {
				if ts%length == 0 {
					time.Sleep(length)
				}
				if err := p.WriteAudio(ts, []byte{0xfc, 1, 2, 3}); err != nil {
					t.Fatal(err)
				}
				if u := <-sub.C; ts >= 4*length {
					offsets[u.Offset.Round(500*ms)] = true
				}
			}
			if steady := len(offsets) == 1; steady != tt.steady {
				t.Errorf("the times of bursts are moved by %v, want one and the same: %v", offsets, tt.steady)
			}
		})
	}
}
