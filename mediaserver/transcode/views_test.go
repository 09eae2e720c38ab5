package transcode

import (
	"slices"
	"testing"
	"time"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/stream"
	"github.com/streampair/streampair/mediaserver/testunits"
)

func TestViewHandsOnWhatNeedsNoChange(t *testing.T) {
	r := newViewTest(t, withFFmpeg(t))
	r.view.Demand(true)
	raw, derived := r.raw.Subscribe(512), r.view.Stream().Subscribe(512)
	defer raw.Close()
	defer derived.Close()
	r.play(r.publish(primary), testunits.Load(t, mediatest.File(t, mediatest.Spec{Duration: 2 * time.Second})))
	for range 90 {
		a, b := <-raw.C, <-derived.C
		if a.Kind != b.Kind || a.PTS != b.PTS || a.DTS != b.DTS || a.Arrival != b.Arrival || a.IDR != b.IDR || a.Format != b.Format {
			t.Fatalf("%+v became %+v", a, b)
		}
		if a.Kind == stream.Video && &a.NALUs[0][0] != &b.NALUs[0][0] || a.Kind == stream.Audio && &a.Frame[0] != &b.Frame[0] {
			t.Fatal("the media was copied")
		}
	}
	if got := warnings(r.raw); len(got) != 0 {
		t.Errorf("warnings %v", got)
	}
	if r.children() != 0 {
		t.Error("ffmpeg runs")
	}
}

func TestViewBeginsWithWhatIsCached(t *testing.T) {
	r := newViewTest(t, ViewsConfig{})
	r.view.Close()
	r.play(r.publish(primary), testunits.Load(t, mediatest.File(t, mediatest.Spec{Duration: 4 * time.Second})))
	eventually.True(t, "some pictures", func() bool { return r.raw.Snapshot().GOPFrames > 10 })
	r.view = r.views.Open(r.raw)
	other := r.views.Open(r.raw)
	defer other.Close()
	if other.Stream() != r.view.Stream() {
		t.Error("two views of one stream do not share")
	}
	eventually.True(t, "an entry point", func() bool { return r.view.Stream().Snapshot().EntryPoint })
	a, b := r.view.Stream().Snapshot(), r.raw.Snapshot()
	if a.Video.Interval != b.Video.Interval || !a.Audio.Announced || a.Publication.Protocol != "test" {
		t.Errorf("the view is %+v, the stream %+v", a, b)
	}
}

func TestViewWithoutFFmpegShowsOnlyExactPictures(t *testing.T) {
	r := newViewTest(t, ViewsConfig{MaxTranscodes: 4})
	r.view.Demand(true)
	sub := r.view.Stream().Subscribe(1024)
	defer sub.Close()
	r.play(r.publish(primary), withBFrames(t))
	last := time.Duration(0)
	idrs := 0
	for _, u := range r.watch(sub, 6, nil) {
		if u.Format.Reordered {
			t.Error("a picture is said to be reordered")
		}
		if u.PTS <= last {
			t.Errorf("a picture at %v after one at %v", u.PTS, last)
		}
		last = u.PTS
		if u.IDR {
			idrs++
		}
	}
	if idrs == 6 {
		t.Error("only IDRs are shown")
	}
	if got := warnings(r.raw); !slices.Equal(got, []string{"BFrames"}) {
		t.Errorf("warnings %v, want BFrames", got)
	}
	eventually.True(t, "the warning where players look", func() bool { return slices.Equal(warnings(r.view.Stream()), []string{"BFrames"}) })
	// Most pictures are left out, but the stream is as live as its publisher.
	derived, raw := r.view.Stream().Snapshot(), r.raw.Snapshot()
	if derived.Video.Interval > 100*time.Millisecond || raw.Video.LastArrival-derived.Video.LastArrival > time.Second {
		t.Errorf("the view's video is %+v, the publisher's %+v", derived.Video, raw.Video)
	}
	if r.children() != 0 {
		t.Error("ffmpeg runs")
	}
}

func TestViewNeedsNoFFmpegForBFramesThatNeverCome(t *testing.T) {
	r := newViewTest(t, withFFmpeg(t))
	r.view.Demand(true)
	sub := r.view.Stream().Subscribe(1024)
	defer sub.Close()
	plain := testunits.Of(stream.Video, testunits.Load(t, mediatest.File(t, mediatest.Spec{Duration: 2 * time.Second, NoAudio: true})))
	// This picture is not decoded. It only has to say that pictures may be reordered.
	format := *testunits.Of(stream.Video, withBFrames(t))[0].Format
	for _, u := range plain {
		u.Format = &format
	}
	r.play(r.publish(primary), plain)
	for i, u := range r.watch(sub, 90, nil) {
		if u.Format.Reordered {
			t.Fatalf("picture %d is said to be reordered", i)
		}
	}
	if !r.raw.Snapshot().Video.Format.Reordered {
		t.Error("the test's stream does not allow for B-frames")
	}
	if got := warnings(r.raw); len(got) != 0 || r.children() != 0 {
		t.Errorf("warnings %v, %v ffmpeg children", got, r.children())
	}
}

func TestViewWarnsOfAudioThatCannotBeDecoded(t *testing.T) {
	r := newViewTest(t, ViewsConfig{})
	p := r.publish(primary)
	if err := p.SetAudioFormat(stream.Format{Codec: stream.AAC, Config: []byte{0x11, 0xb0}, SampleRate: 48000, Channels: 6}); err != nil {
		t.Fatal(err)
	}
	if err := p.WriteAudio(0, []byte{1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "a warning", func() bool { return slices.Contains(warnings(r.raw), "UnsupportedAudio") })
}
