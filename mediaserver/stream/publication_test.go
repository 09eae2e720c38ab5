package stream

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/streampair/streampair/mediaserver/metrics"
)

func TestSnapshotTellsWhatArrives(t *testing.T) {
	type tracks struct {
		Video, Audio bool // announced
		// Milliseconds since the last arrival, and the median interval.
		VideoAge, AudioAge           time.Duration
		VideoInterval, AudioInterval time.Duration
		EntryPoint                   bool
	}
	tests := []struct {
		name string
		do   func(t *testing.T, p *Publication)
		want tracks
	}{
		{"nothing yet", func(*testing.T, *Publication) {}, tracks{}},
		{"announced, and then silent", func(t *testing.T, p *Publication) {
			must(t, p.SetVideoParameters(sps240, pps0))
			must(t, p.SetAudioFormat(formatAAC))
			time.Sleep(3 * time.Second)
		}, tracks{true, true, 3000, 3000, 40, 0, false}},
		{"25 pictures a second", func(t *testing.T, p *Publication) {
			play(t, p, 40*ms, 2*time.Second, true, false)
		}, tracks{true, false, 40, 0, 40, 0, true}},
		{"1 picture a second is known after two", func(t *testing.T, p *Publication) {
			must(t, p.SetVideoParameters(sps360, pps0)) // the SPS says 30 fps
			play(t, p, time.Second, 2*time.Second, true, false)
		}, tracks{true, false, 1000, 0, 1000, 0, true}},
		{"a change of rate is followed within a second of video", func(t *testing.T, p *Publication) {
			play(t, p, time.Second, 5*time.Second, true, false)
			play(t, p, 50*ms, time.Second, true, false)
		}, tracks{true, false, 50, 0, 50, 0, true}},
		{"some frames left out change nothing", func(t *testing.T, p *Publication) {
			for range 5 {
				play(t, p, 40*ms, 200*ms, true, false)
				time.Sleep(300 * ms)
			}
		}, tracks{true, false, 340, 0, 40, 0, true}},
		{"a jump of the clock changes nothing", func(t *testing.T, p *Publication) {
			play(t, p, 40*ms, 80*ms, true, false)
			writeIDR(t, p, 24*time.Hour)
		}, tracks{true, false, 0, 0, 40, 0, true}},
		{"audio only", func(t *testing.T, p *Publication) {
			must(t, p.SetAudioFormat(formatOpus))
			play(t, p, 20*ms, time.Second, false, true)
		}, tracks{false, true, 0, 20, 0, 20, false}},
		{"audio alone stops", func(t *testing.T, p *Publication) {
			must(t, p.SetAudioFormat(formatAAC))
			play(t, p, 20*ms, time.Second, true, true)
			play(t, p, 20*ms, time.Second, true, false)
		}, tracks{true, true, 20, 1020, 20, 20, true}},
		{"its video alone stops", func(t *testing.T, p *Publication) {
			must(t, p.SetAudioFormat(formatAAC))
			play(t, p, 20*ms, time.Second, true, true)
			play(t, p, 20*ms, time.Second, false, true)
		}, tracks{true, true, 1020, 20, 20, 20, true}},
		{"pictures that cannot be decoded yet show that it is alive", func(t *testing.T, p *Publication) {
			must(t, p.SetVideoParameters(sps240, pps0))
			time.Sleep(time.Second)
			writeInter(t, p, 0)
		}, tracks{true, false, 0, 0, 40, 0, false}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := NewRegistry(Config{})
				p := begin(t, r)
				tt.do(t, p)
				snap := p.Stream().Snapshot()
				age := func(s TrackSnapshot) time.Duration {
					if !s.Announced {
						return 0
					}
					return (r.Now() - s.LastArrival) / ms
				}
				got := tracks{
					snap.Video.Announced, snap.Audio.Announced, age(snap.Video), age(snap.Audio),
					snap.Video.Interval / ms, snap.Audio.Interval / ms, snap.EntryPoint,
				}
				if d := cmp.Diff(tt.want, got); d != "" {
					t.Error(d)
				}
				p.End(EndClosed)
				if d := cmp.Diff(Snapshot{Published: true}, p.Stream().Snapshot()); d != "" {
					t.Errorf("after the end: %s", d)
				}
			})
		})
	}
}

// play sends media in real time. All its pictures are IDRs. When play returns, the last picture is
// an interval old.
func play(t *testing.T, p *Publication, interval, length time.Duration, video, audio bool) {
	t.Helper()
	for range int(length / interval) {
		now := p.Stream().Now()
		if video {
			writeIDR(t, p, now)
		}
		if audio {
			writeSound(t, p, now)
		}
		time.Sleep(interval)
	}
}

func TestIDRInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry(Config{})
		p := begin(t, r)
		for i := range 3 {
			writeIDR(t, p, r.Now())
			lastIDR := r.Now()
			time.Sleep(4 * time.Second)
			writeInter(t, p, r.Now())
			want := map[bool]time.Duration{true: 4 * time.Second}[i > 0]
			if snap := p.Stream().Snapshot(); snap.IDRInterval != want || snap.LastIDR != lastIDR || snap.GOPFrames != 2 || snap.GOPBytes != 1100 {
				t.Errorf("%+v, want an interval of %v, last at %v", snap, want, lastIDR)
			}
			if regular := p.Stream().Snapshot().RegularIDRs; regular != (i > 1) {
				t.Errorf("after %d IDRs: regular %v", i+1, regular)
			}
		}
		time.Sleep(time.Second) // a change of scene
		writeIDR(t, p, r.Now())
		if snap := p.Stream().Snapshot(); snap.IDRInterval != 5*time.Second || snap.RegularIDRs {
			t.Errorf("%+v, want an irregular interval of 5 s", snap)
		}
		p.End(EndClosed)
	})
}

func TestAudioFormats(t *testing.T) {
	tests := []struct {
		name   string
		format Format
		ok     bool
	}{
		{"AAC", formatAAC, true},
		{"Opus", formatOpus, true},
		{"video", Format{Codec: H264, SampleRate: 48000, Channels: 2}, false},
		{"none", Format{}, false},
		{"no rate", Format{Codec: AAC, Channels: 2}, false},
		{"AAC with a program config element", Format{Codec: AAC, Config: []byte{0x11, 0x80}, SampleRate: 48000}, true},
		{"AAC without channels and configuration", Format{Codec: AAC, SampleRate: 48000}, false},
		{"Opus without channels", Format{Codec: Opus, SampleRate: 48000}, false},
		{"too many channels", Format{Codec: AAC, SampleRate: 48000, Channels: 9}, false},
		{"absurd rate", Format{Codec: AAC, SampleRate: 1 << 30, Channels: 2}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := NewRegistry(Config{})
			p := begin(t, r)
			defer p.End(EndClosed)
			if err := p.SetAudioFormat(tt.format); (err == nil) != tt.ok {
				t.Errorf("error %v", err)
			}
			if err := p.WriteAudio(0, []byte{1}); (err == nil) != tt.ok {
				t.Errorf("write: %v", err)
			}
			if err := p.WriteAudio(0, nil); err == nil {
				t.Error("an empty frame was taken")
			}
		})
	}
}

func TestRepeatedAudioFormatIsTheSame(t *testing.T) {
	r := NewRegistry(Config{})
	p := begin(t, r)
	defer p.End(EndClosed)
	must(t, p.SetAudioFormat(formatAAC))
	first := p.Stream().Snapshot().Audio.Format
	again := formatAAC
	again.Config = []byte{0x12, 0x10}
	must(t, p.SetAudioFormat(again))
	if p.Stream().Snapshot().Audio.Format != first {
		t.Error("the same format again is another one")
	}
	again.Config = []byte{0x12, 0x08}
	must(t, p.SetAudioFormat(again))
	if p.Stream().Snapshot().Audio.Format == first {
		t.Error("another format is the same")
	}
}

func TestWritesAfterTheEndAreRefused(t *testing.T) {
	r := NewRegistry(Config{})
	p := begin(t, r)
	writeIDR(t, p, 0)
	p.End(EndClosed)
	p.End(EndError)
	<-p.Done()
	for name, err := range map[string]error{
		"video":            p.WriteVideo(0, 0, [][]byte{idrSlice(9)}),
		"malformed video":  p.WriteVideo(0, 0, nil),
		"video parameters": p.SetVideoParameters(sps240, pps0),
		"audio format":     p.SetAudioFormat(formatAAC),
		"audio":            p.WriteAudio(0, []byte{1}),
		"forwarded":        p.Forward(&AccessUnit{Format: &formatOpus, Kind: Audio}),
	} {
		if !errors.Is(err, ErrPublicationEnded) {
			t.Errorf("%s: %v, want %v", name, err, ErrPublicationEnded)
		}
	}
}

func TestDerivedStreamForwardsUnitsAsTheyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := metrics.New(prometheus.NewRegistry())
		r := NewRegistry(Config{Metrics: m})
		parent := r.Stream(keyLive)
		derived := NewDerived(parent)
		in, out := parent.Subscribe(10), derived.Subscribe(10)
		defer in.Close()
		defer out.Close()
		source := begin(t, r)
		must(t, source.SetAudioFormat(formatAAC))
		view, err := derived.Publish(PublishRequest{Key: derived.Key(), Protocol: "view"})
		must(t, err)
		writeInter := func(ts time.Duration) { must(t, source.WriteVideo(ts, ts+80*ms, [][]byte{interSlice(9)})) }
		must(t, source.WriteVideo(0, 80*ms, [][]byte{sps240B, pps0, idrSlice(9)}))
		writeInter(40 * ms)
		writeSound(t, source, 40*ms)
		time.Sleep(100 * ms) // the view lags behind its parent
		want := drain(in)
		for _, u := range want {
			must(t, view.Forward(u))
		}
		got := drain(out)
		if describe(got) != "Vva" {
			t.Fatalf("forwarded %s", describe(got))
		}
		for i, u := range got {
			if u == want[i] || u.Publication != view || u.Format != want[i].Format ||
				u.PTS != want[i].PTS || u.DTS != want[i].DTS || u.Arrival != want[i].Arrival {
				t.Errorf("forwarded %+v as %+v", want[i], u)
			}
		}
		if want[0].Publication != source {
			t.Error("the original was changed")
		}
		if derived.Key() != keyLive || derived.Now() != r.Now() {
			t.Error("a derived stream has another name or clock")
		}
		if snap := derived.Snapshot(); !snap.EntryPoint || !snap.Video.Announced || !snap.Audio.Announced {
			t.Errorf("derived: %+v", snap)
		}
		if got := gauge(t, m.StreamsLive); got != 1 {
			t.Errorf("%v streams live, want the parent only", got)
		}
		view.End(EndClosed)
		source.End(EndClosed)
		if got := gauge(t, m.StreamsLive); got != 0 {
			t.Errorf("%v streams live at the end", got)
		}
	})
}

func TestDerivedStreamShowsItsParentsWarnings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry(Config{Metrics: metrics.New(prometheus.NewRegistry())})
		parent := r.Stream(keyLive)
		derived := NewDerived(parent)
		sub := derived.Subscribe(1)
		defer sub.Close()
		parent.Warn("Both", "The parent's words.")
		parent.Warn("Parent", "Do something.")
		derived.Warn("Both", "The view's words.")
		derived.Warn("View", "Do something else.")
		<-sub.Changed
		derived.ParentChanged()
		<-sub.Changed
		want := []Warning{{"Both", "The parent's words."}, {"Parent", "Do something."}, {"View", "Do something else."}}
		if diff := cmp.Diff(want, derived.Snapshot().Warnings); diff != "" {
			t.Error(diff)
		}
	})
}

func TestUnitsLeftOutOfADerivedStreamShowThatItsTrackIsAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry(Config{})
		derived := NewDerived(r.Stream(keyLive))
		view, err := derived.Publish(PublishRequest{Key: keyLive})
		must(t, err)
		unit := func() *AccessUnit {
			return &AccessUnit{Kind: Audio, Format: &formatAAC, Frame: []byte{1}, PTS: r.Now(), DTS: r.Now(), Arrival: r.Now()}
		}
		view.Heard(unit())
		if derived.Snapshot().Audio.Announced {
			t.Error("a track was announced that the view never handed on")
		}
		must(t, view.Forward(unit()))
		time.Sleep(time.Second)
		view.Heard(unit())
		if got := derived.Snapshot().Audio; got.LastArrival != r.Now() || len(derived.Cached()) != 1 {
			t.Errorf("%+v, %d cached", got, len(derived.Cached()))
		}
		view.End(EndClosed)
		time.Sleep(time.Second)
		view.Heard(unit())
	})
}

func TestBitrate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := metrics.New(prometheus.NewRegistry())
		r := NewRegistry(Config{Metrics: m})
		p := begin(t, r)
		play(t, p, 40*ms, 5*time.Second, true, false) // 1000 bytes each
		if got := p.Stream().Snapshot().Publication.BitrateBPS; got < 190_000 || got > 210_000 {
			t.Errorf("%d bit/s, want 200000", got)
		}
		if got := gauge(t, m.IngestBitrateBPS.WithLabelValues("live", "primary")); got < 190_000 || got > 210_000 {
			t.Errorf("metric: %v bit/s, want 200000", got)
		}
		time.Sleep(5 * time.Second)
		if got := p.Stream().Snapshot().Publication.BitrateBPS; got != 0 {
			t.Errorf("%d bit/s while silent", got)
		}
		synctest.Wait()
		if got := gauge(t, m.IngestBitrateBPS.WithLabelValues("live", "primary")); got != 0 {
			t.Errorf("a silent publisher has a bit rate of %v in the metrics", got)
		}
		p.End(EndClosed)
	})
}

func gauge(t *testing.T, g prometheus.Metric) float64 {
	t.Helper()
	var m dto.Metric
	must(t, g.Write(&m))
	return m.GetGauge().GetValue() + m.GetCounter().GetValue()
}
