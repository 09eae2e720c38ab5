package relay

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/peer"
	"github.com/streampair/streampair/mediaserver/stream"
)

func TestWhatIsPublishedThereIsPublishedHere(t *testing.T) {
	for _, format := range []stream.Format{aac48, opus, noFormat} {
		t.Run(format.Codec.String(), func(t *testing.T) {
			t.Parallel()
			there, here := newNode(t), newNode(t)
			here.follow(there.web.URL)
			sent := there.registry.Stream(primaryKey).Subscribe(4096)
			defer sent.Close()
			got := here.registry.Stream(primaryKey).Subscribe(4096)
			defer got.Close()
			e := &encoder{t: t, node: there, key: primaryKey, sps: sps240, format: format, zero: 5 * time.Hour}
			e.start()
			e.play(3 * time.Second)
			want := drain(sent)
			var units []*stream.AccessUnit
			eventually.True(t, "all that was sent", func() bool {
				units = append(units, drain(got)...)
				return len(units) >= len(want)
			})
			compare(t, want, units)
			measureLatency(t, there, here, want, units)
			if snap := here.snapshot(primaryKey); !snap.Publication.Relayed || snap.Publication.Protocol != Protocol {
				t.Errorf("publication %+v", snap.Publication)
			}
		})
	}
}

// compare checks that the access units that were sent were received: content, order within a track,
// and the distances in time between all of them, to the millisecond that FLV has.
func compare(t *testing.T, want, got []*stream.AccessUnit) {
	t.Helper()
	type plain struct {
		Kind   stream.Kind
		IDR    bool
		NALUs  [][]byte
		Frame  []byte
		Format *stream.Format
	}
	byTrack := func(units []*stream.AccessUnit) (tracks [2][]*stream.AccessUnit, contents [2][]plain) {
		for _, u := range units {
			tracks[u.Kind] = append(tracks[u.Kind], u)
			contents[u.Kind] = append(contents[u.Kind], plain{u.Kind, u.IDR, u.NALUs, u.Frame, u.Format})
		}
		return tracks, contents
	}
	_, wantContents := byTrack(want)
	gotTracks, gotContents := byTrack(got)
	if diff := cmp.Diff(wantContents, gotContents, cmpopts.IgnoreFields(stream.Format{}, "Reordered"), cmp.Comparer(bytes.Equal)); diff != "" {
		t.Fatalf("received something else (-want +got):\n%.2000s", diff)
	}
	// On the encoder's own clock, because both mappings settle: from IDR to IDR.
	var sent [2]int
	var shifts []time.Duration
	for _, w := range want {
		g := gotTracks[w.Kind][sent[w.Kind]]
		sent[w.Kind]++
		if w.IDR {
			shifts = nil
		}
		if g.PTS-g.DTS != w.PTS-w.DTS {
			t.Fatalf("%v %d is shown %v after it is decoded, want %v", w.Kind, sent[w.Kind], g.PTS-g.DTS, w.PTS-w.DTS)
		}
		shifts = append(shifts, (g.DTS-g.Offset)-(w.DTS-w.Offset))
		if spread := slices.Max(shifts) - slices.Min(shifts); spread > 2*ms {
			t.Fatalf("the distances between units changed by up to %v", spread)
		}
	}
}

// measureLatency logs how much later access units arrived here than there, and fails if the delay
// is long.
func measureLatency(t *testing.T, there, here *node, want, got []*stream.AccessUnit) {
	t.Helper()
	arrived := make(map[[2]int]time.Time)
	for _, u := range want {
		arrived[[2]int{int(u.Kind), numberOf(u)}] = there.wall(u.Arrival)
	}
	var took []time.Duration
	for _, u := range got[len(got)/4:] { // the first quarter may come out of the cache
		took = append(took, here.wall(u.Arrival).Sub(arrived[[2]int{int(u.Kind), numberOf(u)}]))
	}
	slices.Sort(took)
	median := took[len(took)/2]
	t.Logf("latency of %d units: median %v, 99 %% %v, worst %v", len(took), median, took[len(took)*99/100], took[len(took)-1])
	if median > 50*ms {
		t.Errorf("median latency %v", median)
	}
}

func TestAReaderThatComesLaterBeginsWithTheGOPCacheInItsTime(t *testing.T) {
	t.Parallel()
	there, here := newNode(t), newNode(t)
	e := &encoder{t: t, node: there, key: primaryKey, sps: sps240, format: aac48}
	e.start()
	e.play(2700 * ms)
	here.follow(there.web.URL)
	e.playUntil("entry point", func() bool { return here.snapshot(primaryKey).EntryPoint })
	e.play(100 * ms)
	first := here.registry.Stream(primaryKey).Cached()
	var idr *stream.AccessUnit
	for _, u := range first {
		// Cached units keep their times from there, and do not all have the moment when they were
		// relayed.
		for _, w := range there.registry.Stream(primaryKey).Cached() {
			if w.Kind != u.Kind || numberOf(w) != numberOf(u) {
				continue
			}
			if d := here.wall(u.PTS).Sub(there.wall(w.PTS)); d.Abs() > 250*ms {
				t.Errorf("%v %d lies %v later here", u.Kind, numberOf(u), d)
			}
			// Only the time of the arrival there is known here: this machine may have been late.
			if d := here.wall(u.Arrival).Sub(there.wall(w.DTS)); d < -250*ms || u.Arrival > here.registry.Now() {
				t.Errorf("%v %d arrived %v later here", u.Kind, numberOf(u), d)
			}
		}
		if u.Kind == stream.Video && idr == nil {
			idr = u
		}
	}
	if idr == nil || !idr.IDR || numberOf(idr) != 2*gop {
		t.Errorf("the cache begins with %+v", idr)
	}
	if n := len(first); n < 100 {
		t.Errorf("only %d units were cached", n)
	}
	for _, u := range first {
		if u.PTS > here.registry.Now()+3*frame {
			t.Errorf("%v %d lies in the future", u.Kind, numberOf(u))
		}
	}
}

func TestALossAndANewPublisherAreKnownAtOnce(t *testing.T) {
	t.Parallel()
	there, here := newNode(t), newNode(t)
	g, through := newGate(t, there.web.URL)
	here.follow(through)
	eventually.True(t, "connections", func() bool { return g.Opened() >= 2 })
	time.Sleep(600 * ms) // with heartbeats only
	var lost, began []time.Duration
	for range 10 {
		e := &encoder{t: t, node: there, key: primaryKey, sps: sps240, format: aac48}
		e.start()
		began = append(began, e.playUntil("first picture", func() bool { return here.snapshot(primaryKey).EntryPoint }))
		e.play(50 * ms)
		e.pub.End(stream.EndClosed)
		lost = append(lost, eventually.True(t, "loss", func() bool { return !here.publishing(primaryKey) }))
	}
	slices.Sort(lost)
	slices.Sort(began)
	t.Logf("publication to first picture here: median %v, worst %v; end to loss: median %v, worst %v",
		began[5], began[9], lost[5], lost[9])
	if lost[5] > 250*ms || began[5] > 250*ms {
		t.Error("that is too long")
	}
	// One connection for each stream, and a vain one for the pair, which does not exist there.
	if n := here.failures("closed") + here.failures("silent"); n > 0 {
		t.Errorf("%d connections were lost", n)
	}
}

func TestATakeoverGoesOnWithoutALoss(t *testing.T) {
	t.Parallel()
	there, here := newNode(t), newNode(t)
	here.follow(there.web.URL)
	got := here.registry.Stream(primaryKey).Subscribe(4096)
	defer got.Close()
	first := &encoder{t: t, node: there, key: primaryKey, sps: sps240, format: aac48, zero: time.Hour}
	first.start()
	first.play(1300 * ms)
	second := &encoder{t: t, node: there, key: primaryKey, sps: sps360, format: opus, zero: 3 * time.Hour}
	second.start()
	second.play(1500 * ms)
	var units []*stream.AccessUnit
	eventually.True(t, "the last picture", func() bool {
		units = append(units, drain(got)...)
		last := units[len(units)-1]
		return last.Publication.Relayed() && numberOf(last) >= second.pictures-1
	})
	publications, dts := map[uint64]int{}, [2]time.Duration{}
	widths := []int{}
	for _, u := range units {
		publications[u.Publication.ID()]++
		if u.DTS <= dts[u.Kind] {
			t.Errorf("%v %d of %d goes back by %v", u.Kind, numberOf(u), u.Publication.ID(), dts[u.Kind]-u.DTS)
		}
		if gap := u.DTS - dts[u.Kind]; dts[u.Kind] != 0 && gap > 200*ms {
			t.Errorf("%v ahead of %v %d", gap, u.Kind, numberOf(u))
		}
		dts[u.Kind] = u.DTS
		if u.Kind == stream.Video && !slices.Contains(widths, u.Format.Width) {
			widths = append(widths, u.Format.Width)
			if !u.IDR {
				t.Error("the newcomer does not begin with an IDR")
			}
		}
	}
	if diff := cmp.Diff([]int{320, 640}, widths); diff != "" || len(publications) != 2 {
		t.Errorf("%d publications, widths %v", len(publications), widths)
	}
	if snap := here.snapshot(primaryKey); snap.Audio.Format.Codec != stream.Opus {
		t.Errorf("sound is %v", snap.Audio.Format.Codec)
	}
}

func TestParametersMayChangeWithAnIDR(t *testing.T) {
	t.Parallel()
	there, here := newNode(t), newNode(t)
	here.follow(there.web.URL)
	sent := there.registry.Stream(primaryKey).Subscribe(4096)
	defer sent.Close()
	got := here.registry.Stream(primaryKey).Subscribe(4096)
	defer got.Close()
	e := &encoder{t: t, node: there, key: primaryKey, sps: sps240, format: aac48}
	e.start()
	e.play(1500 * ms)
	e.sps, e.format = sps360, aac44
	e.check(e.pub.SetAudioFormat(e.format))
	e.play(1500 * ms)
	want := drain(sent)
	var units []*stream.AccessUnit
	eventually.True(t, "all that was sent", func() bool {
		units = append(units, drain(got)...)
		return len(units) >= len(want)
	})
	compare(t, want, units)
	if id := units[0].Publication.ID(); units[len(units)-1].Publication.ID() != id {
		t.Error("it became another publication")
	}
	if snap := here.snapshot(primaryKey); snap.Video.Format.Width != 640 || snap.Audio.Format.SampleRate != 44100 {
		t.Errorf("the formats are %+v, %+v", snap.Video.Format, snap.Audio.Format)
	}
}

func TestATrackIsAnnouncedBeforeItComes(t *testing.T) {
	t.Parallel()
	there, here := newNode(t), newNode(t)
	here.follow(there.web.URL)
	e := &encoder{t: t, node: there, key: primaryKey, sps: sps240, format: aac48}
	e.start()
	eventually.True(t, "both tracks", func() bool {
		snap := here.snapshot(primaryKey)
		return snap.Video.Announced && snap.Audio.Announced
	})
}

func TestNothingIsRelayedInCircles(t *testing.T) {
	t.Parallel()
	a, b := newNode(t), newNode(t)
	a.follow(b.web.URL)
	b.follow(a.web.URL)
	e := &encoder{t: t, node: a, key: primaryKey, sps: sps240, format: aac48}
	for range 3 {
		e.start()
		e.playUntil("picture at the other server", func() bool { return b.snapshot(primaryKey).EntryPoint })
		e.play(100 * ms)
		if a.snapshot(primaryKey).Publication.Relayed {
			t.Fatal("it came back")
		}
		e.pub.End(stream.EndClosed)
		eventually.True(t, "end at both", func() bool { return !a.publishing(primaryKey) && !b.publishing(primaryKey) })
		time.Sleep(300 * ms)
		if a.publishing(primaryKey) || b.publishing(primaryKey) {
			t.Fatal("it came back")
		}
	}
}

func TestAnEncoderAtTheWrongServerWorksLikeAnyOther(t *testing.T) {
	t.Parallel()
	right, wrong := newNode(t), newNode(t)
	right.follow(wrong.web.URL)
	wrong.follow(right.web.URL)

	// The stream is there already, by the relay, when the encoder comes to the wrong server.
	e := &encoder{t: t, node: right, key: primaryKey, sps: sps240, format: aac48}
	e.start()
	e.playUntil("relay", func() bool { return wrong.snapshot(primaryKey).EntryPoint })
	astray := &encoder{t: t, node: wrong, key: primaryKey, sps: sps360, format: aac48}
	astray.start()
	astray.playUntil("takeover from the relay", func() bool {
		e.tick()
		p := wrong.snapshot(primaryKey).Publication
		return p != nil && !p.Relayed
	})
	id := astray.pub.ID()
	for end := time.Now().Add(700 * ms); time.Now().Before(end); time.Sleep(5 * ms) {
		e.tick()
		astray.tick()
	}
	if p := wrong.snapshot(primaryKey).Publication; p == nil || p.ID != id {
		t.Errorf("the relay took its place back: %+v", p)
	}
	if p := right.snapshot(primaryKey).Publication; p == nil || p.Relayed {
		t.Errorf("the relay took the place of the encoder at the right server: %+v", p)
	}

	// The encoder at the right server goes: both servers play the other one.
	e.pub.End(stream.EndClosed)
	took := astray.playUntil("picture at the right server", func() bool { return right.snapshot(primaryKey).EntryPoint })
	t.Logf("an encoder at the wrong server took over at the right one after %v", took)
	if snap := right.snapshot(primaryKey); snap.Video.Format.Width != 640 {
		t.Errorf("width %d", snap.Video.Format.Width)
	}

	// That encoder goes too, and the relay begins again in the other direction.
	astray.pub.End(stream.EndClosed)
	eventually.True(t, "end at both", func() bool { return !right.publishing(primaryKey) && !wrong.publishing(primaryKey) })
	e.start()
	e.playUntil("relay", func() bool { return wrong.snapshot(primaryKey).EntryPoint })
}

func TestAStreamThatIsNoLongerFollowedEnds(t *testing.T) {
	t.Parallel()
	there, here := newNode(t), newNode(t)
	c := here.follow(there.web.URL)
	e := &encoder{t: t, node: there, key: primaryKey, sps: sps240, format: aac48}
	e.start()
	e.playUntil("picture", func() bool { return here.snapshot(primaryKey).EntryPoint })
	c.Follow(nil)
	eventually.True(t, "end", func() bool { return !here.publishing(primaryKey) })
	c.Follow([]peer.SharedPair{here.sharedPair()})
	e.playUntil("picture", func() bool { return here.snapshot(primaryKey).EntryPoint })
}
