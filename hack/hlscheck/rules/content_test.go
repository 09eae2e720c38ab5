package rules

import (
	"slices"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4/seekablebuffer"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"
)

var (
	sound = &fmp4.InitTrack{ID: 2, TimeScale: 48000, Codec: &codecs.MPEG4Audio{
		Config: mpeg4audio.AudioSpecificConfig{Type: mpeg4audio.ObjectTypeAACLC, SampleRate: 48000, ChannelConfig: 2},
	}}
	film  = &fmp4.InitTrack{ID: 1, TimeScale: 90000, Codec: &codecs.H264{}}
	both  = &fmp4.Init{Tracks: []*fmp4.InitTrack{film, sound}}
	alone = &fmp4.Init{Tracks: []*fmp4.InitTrack{film}}
)

// frames are 12 pictures of 1/24 s with 24 audio frames: half a second. Number counts half seconds.
func frames(number uint64, change ...func(*fmp4.Part)) []byte {
	video, audio := &fmp4.PartTrack{ID: 1, BaseTime: number * 45000}, &fmp4.PartTrack{ID: 2, BaseTime: number * 24000}
	for i := range 12 {
		unit := byte(1)
		if number%4 == 0 && i == 0 {
			unit = 5 // IDR
		}
		s := &fmp4.Sample{Duration: 3750, IsNonSyncSample: unit != 5}
		if err := s.FillH264(0, [][]byte{{unit, byte(number), byte(i)}}); err != nil {
			panic(err)
		}
		video.Samples = append(video.Samples, s)
	}
	for range 24 {
		audio.Samples = append(audio.Samples, &fmp4.Sample{Duration: 1000, Payload: []byte{1, 2}})
	}
	p := &fmp4.Part{Tracks: []*fmp4.PartTrack{video, audio}}
	for _, c := range change {
		c(p)
	}
	var b seekablebuffer.Buffer
	if err := p.Marshal(&b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func part(number uint64, change ...func(*fmp4.Part)) Content {
	return Content{Name: "Part", Listed: time.Second / 2, Part: true, Independent: number%4 == 0, Bytes: frames(number, change...)}
}

func TestTimelineOfGoodPartsHasNoBreach(t *testing.T) {
	var timeline Timeline
	for n := range uint64(20) {
		c := part(n)
		if n >= 10 { // time starts again, with other tracks
			c = part(n-8, func(p *fmp4.Part) { p.Tracks = p.Tracks[:1] })
			c.Discontinuity = 1
		}
		init := both
		if n >= 10 {
			init = alone
		}
		for _, b := range timeline.Next(init, c) {
			t.Errorf("part %d: %v", n, b)
		}
	}
}

func TestTimelineFindsWhatIsWrong(t *testing.T) {
	back := func(track int, ticks uint64) func(*fmp4.Part) {
		return func(p *fmp4.Part) { p.Tracks[track].BaseTime -= ticks }
	}
	unmarked := part(4)
	unmarked.Independent = false
	marked := part(5)
	marked.Independent = true
	long := part(5)
	long.Listed += 45 * time.Millisecond
	for _, test := range []struct {
		rule  string
		first uint64
		init  *fmp4.Init
		next  Content
	}{
		{"", 4, both, part(5, back(0, 3750))}, // one frame may be a guess
		{"tfdt-back", 4, both, part(5, back(0, 3751))},
		{"tfdt-back", 4, both, part(5, back(1, 1001))},
		{"tfdt-back", 5, both, part(1)},
		{"media-duration", 4, both, part(5, func(p *fmp4.Part) { p.Tracks[0].Samples = p.Tracks[0].Samples[:10] })},
		{"media-duration", 4, both, long},
		{"media", 4, both, Content{Name: "Part", Bytes: []byte("<html>not found</html>")}},
		{"track-unknown", 4, both, part(5, func(p *fmp4.Part) { p.Tracks[1].ID = 3 })},
		{"tracks-change", 4, alone, part(5, func(p *fmp4.Part) { p.Tracks = p.Tracks[:1] })},
		{"independent", 4, both, marked},
		{"independent-unmarked", 3, both, unmarked},
	} {
		var timeline Timeline
		if found := timeline.Next(both, part(test.first)); len(found) > 0 {
			t.Errorf("the first part: %v", found)
		}
		var want []string
		if test.rule != "" {
			want = []string{test.rule}
		}
		if found := timeline.Next(test.init, test.next); !slices.Equal(ruleNames(found), want) {
			t.Errorf("want %q, found %v", test.rule, found)
		}
	}
}

func TestSegmentHasTheSamplesOfItsParts(t *testing.T) {
	a, b := frames(4), frames(5)
	segment := slices.Concat(a, b)
	for rule, parts := range map[string][][]byte{
		"":              {a, b},
		"parts-bytes":   {a, slices.Concat([]byte{0, 0, 0, 12, 'f', 'r', 'e', 'e', 1, 2, 3, 4}, b)},
		"parts-samples": {a, frames(5, func(p *fmp4.Part) { p.Tracks[0].Samples[3].Payload[4] = 9 })},
	} {
		var want []string
		if rule != "" {
			want = []string{rule}
		}
		if found := CheckParts("Segment", segment, parts); !slices.Equal(ruleNames(found), want) {
			t.Errorf("want %q, found %v", rule, found)
		}
	}
}

func TestInitThatCannotBeReadIsABreach(t *testing.T) {
	if _, found := ParseInit([]byte("not found")); !slices.Equal(ruleNames(found), []string{"init"}) {
		t.Errorf("found %v", found)
	}
}
