package playlist

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/mediaserver/hls/cut"
	"github.com/streampair/streampair/mediaserver/hls/list"
	"github.com/streampair/streampair/mediaserver/stream"
)

// example returns a list of a pair that has switched once: five segments of each leg, and one that
// is being made.
func example() *list.List {
	epoch := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	l := list.New(list.Config{First: 1000, FirstDiscontinuity: 1000, Target: 2 * time.Second})
	at := time.Duration(0)
	for publication := range uint64(2) {
		run := &cut.Run{
			Map: cut.Name{Boot: "b00t", Publication: publication, Part: cut.Initialization}, Epoch: epoch,
			Video: &stream.Format{
				Codec: stream.H264, SPS: []byte{0x67, 0x64, 0, byte(30 + publication)}, Width: 640 + 640*int(publication), Height: 360 + 360*int(publication),
			},
			Sound: &stream.Format{Codec: stream.AAC, Config: []byte{0x11, 0x90}},
		}
		for segment := range uint64(5) {
			for part := range 2 {
				l.Add(cut.Part{
					Name: cut.Name{Boot: "b00t", Publication: publication, Segment: segment, Part: part}, Run: run,
					Data: make([]byte, 1000), Start: at, Duration: time.Second, Independent: part == 0, Pictures: 25, Last: part == 1,
				})
				at += time.Second
			}
		}
		if publication == 1 {
			l.Add(cut.Part{
				Name: cut.Name{Boot: "b00t", Publication: 1, Segment: 5}, Run: run,
				Data: make([]byte, 1000), Start: at, Duration: 900 * time.Millisecond, Independent: true, Pictures: 22,
			})
		}
	}
	l.Show(l.Head())
	return l
}

const head = `#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:2
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.00000,HOLD-BACK=6.00000,PART-HOLD-BACK=3.00000
#EXT-X-PART-INF:PART-TARGET=1.00000
`

const tail = `#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="primary/b00t-1-0.mp4?token=x"
#EXT-X-PROGRAM-DATE-TIME:2026-03-01T10:00:10.000Z
#EXTINF:2.00000,
primary/b00t-1-0.m4s?token=x
#EXT-X-PROGRAM-DATE-TIME:2026-03-01T10:00:12.000Z
#EXTINF:2.00000,
primary/b00t-1-1.m4s?token=x
#EXT-X-PROGRAM-DATE-TIME:2026-03-01T10:00:14.000Z
#EXT-X-PART:DURATION=1.00000,URI="primary/b00t-1-2-0.m4s?token=x",INDEPENDENT=YES
#EXT-X-PART:DURATION=1.00000,URI="primary/b00t-1-2-1.m4s?token=x"
#EXTINF:2.00000,
primary/b00t-1-2.m4s?token=x
#EXT-X-PROGRAM-DATE-TIME:2026-03-01T10:00:16.000Z
#EXT-X-PART:DURATION=1.00000,URI="primary/b00t-1-3-0.m4s?token=x",INDEPENDENT=YES
#EXT-X-PART:DURATION=1.00000,URI="primary/b00t-1-3-1.m4s?token=x"
#EXTINF:2.00000,
primary/b00t-1-3.m4s?token=x
#EXT-X-PROGRAM-DATE-TIME:2026-03-01T10:00:18.000Z
#EXT-X-PART:DURATION=1.00000,URI="primary/b00t-1-4-0.m4s?token=x",INDEPENDENT=YES
#EXT-X-PART:DURATION=1.00000,URI="primary/b00t-1-4-1.m4s?token=x"
#EXTINF:2.00000,
primary/b00t-1-4.m4s?token=x
#EXT-X-PROGRAM-DATE-TIME:2026-03-01T10:00:20.000Z
#EXT-X-PART:DURATION=0.90000,URI="primary/b00t-1-5-0.m4s?token=x",INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="primary/b00t-1-5-1.m4s?token=x"
`

func media(l *list.List) Media {
	return Media{
		Segments: l.Segments(), Target: l.Target(), PartTarget: time.Second, Prefix: "primary/", Query: "?token=x",
		Hint: cut.Name{Boot: "b00t", Publication: 1, Segment: 5, Part: 1},
	}
}

func TestMediaPlaylist(t *testing.T) {
	l := example()
	l.Trim(16*time.Second, 2)
	want := head + `#EXT-X-MEDIA-SEQUENCE:1002
#EXT-X-DISCONTINUITY-SEQUENCE:1000
#EXT-X-MAP:URI="primary/b00t-0-0.mp4?token=x"
#EXT-X-PROGRAM-DATE-TIME:2026-03-01T10:00:04.000Z
#EXTINF:2.00000,
primary/b00t-0-2.m4s?token=x
#EXT-X-PROGRAM-DATE-TIME:2026-03-01T10:00:06.000Z
#EXTINF:2.00000,
primary/b00t-0-3.m4s?token=x
#EXT-X-PROGRAM-DATE-TIME:2026-03-01T10:00:08.000Z
#EXTINF:2.00000,
primary/b00t-0-4.m4s?token=x
` + tail
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(string(media(l).Text()), "\n")); diff != "" {
		t.Error(diff)
	}
}

func TestADeltaUpdateLeavesOldSegmentsOut(t *testing.T) {
	l := example()
	m := media(l)
	m.Skip = true
	got := string(m.Text())
	want := head + `#EXT-X-MEDIA-SEQUENCE:1000
#EXT-X-DISCONTINUITY-SEQUENCE:1000
#EXT-X-SKIP:SKIPPED-SEGMENTS=4
#EXT-X-MAP:URI="primary/b00t-0-0.mp4?token=x"
#EXT-X-PROGRAM-DATE-TIME:2026-03-01T10:00:08.000Z
#EXTINF:2.00000,
primary/b00t-0-4.m4s?token=x
` + tail
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" {
		t.Error(diff)
	}
}

func TestTheDiscontinuitySequenceCountsRemovedTags(t *testing.T) {
	l := example()
	l.Trim(10*time.Second, 2) // the first segment that stays has the tag
	if got := string(media(l).Text()); !strings.HasPrefix(got, head+"#EXT-X-MEDIA-SEQUENCE:1005\n#EXT-X-DISCONTINUITY-SEQUENCE:1000\n#EXT-X-DISCONTINUITY\n#EXT-X-MAP") {
		t.Error(got)
	}
	l.Trim(8*time.Second, 2)
	if got := string(media(l).Text()); !strings.HasPrefix(got, head+"#EXT-X-MEDIA-SEQUENCE:1006\n#EXT-X-DISCONTINUITY-SEQUENCE:1001\n#EXT-X-MAP") {
		t.Error(got)
	}
}

func TestAPlaylistNeverEndsWithASegment(t *testing.T) {
	l := example()
	l.End()
	m := media(l)
	m.Hint = cut.Name{}
	if got := string(m.Text()); !strings.HasSuffix(got, "\nprimary/b00t-1-5.m4s?token=x\n# No part is announced.\n") {
		t.Error(got)
	}
}

func TestMultivariantPlaylist(t *testing.T) {
	got := string(Multivariant(example().Segments(), "primary.m3u8?backupStreamId=backup"))
	want := `#EXTM3U
#EXT-X-VERSION:9
#EXT-X-STREAM-INF:BANDWIDTH=8888,AVERAGE-BANDWIDTH=8038,CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=1280x720,FRAME-RATE=24.976
primary.m3u8?backupStreamId=backup
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
