package rules

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// The examples of section 9 of the draft, and one of a live playlist as ffmpeg writes it.
var goodExamples = map[string]string{
	"9.1, simple": `#EXTM3U
#EXT-X-TARGETDURATION:10
#EXT-X-VERSION:3
#EXTINF:9.009,
http://media.example.com/first.ts
#EXTINF:9.009,
http://media.example.com/second.ts
#EXTINF:3.003,
http://media.example.com/third.ts
#EXT-X-ENDLIST
`,
	"9.2, live": "#EXTM3U\r\n#EXT-X-VERSION:3\r\n#EXT-X-TARGETDURATION:8\r\n#EXT-X-MEDIA-SEQUENCE:2680\r\n\r\n" +
		"#EXTINF:7.975,\r\nhttps://priv.example.com/fileSequence2680.ts\r\n#EXTINF:7.941,\r\nhttps://priv.example.com/fileSequence2681.ts\r\n",
	"9.3, encrypted": `#EXTM3U
#EXT-X-VERSION:3
#EXT-X-MEDIA-SEQUENCE:7794
#EXT-X-TARGETDURATION:15
#EXT-X-KEY:METHOD=AES-128,URI="https://priv.example.com/key.php?r=52"
#EXTINF:2.833,
http://media.example.com/fileSequence52-A.ts
#EXTINF:15.0,
http://media.example.com/fileSequence52-B.ts
#EXT-X-KEY:METHOD=AES-128,URI="https://priv.example.com/key.php?r=53"
#EXTINF:15.0,
http://media.example.com/fileSequence53-A.ts
`,
	"byte ranges of one file": `#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:4
#EXT-X-PLAYLIST-TYPE:VOD
#EXT-X-MAP:URI="all.mp4",BYTERANGE="800@0"
#EXTINF:4.0,
#EXT-X-BYTERANGE:1000@800
all.mp4
#EXTINF:4.0,a title, with "commas"
#EXT-X-BYTERANGE:1200
all.mp4
#EXT-X-UNKNOWN:of tomorrow
#EXT-X-ENDLIST
`,
	"9.4, multivariant": `#EXTM3U
#EXT-X-STREAM-INF:BANDWIDTH=1280000,AVERAGE-BANDWIDTH=1000000,CODECS="avc1.4d401e,mp4a.40.2"
http://example.com/low.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=65000,CODECS="mp4a.40.5"
http://example.com/audio-only.m3u8
`,
	"9.6, alternative audio": goodMultivariant,
}

const goodMultivariant = `#EXTM3U
#EXT-X-VERSION:7
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="aac",NAME="English",DEFAULT=YES,AUTOSELECT=YES,LANGUAGE="en",URI="main/english.m3u8"
#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID="cc",NAME="Captions",INSTREAM-ID="SERVICE1"
#EXT-X-STREAM-INF:BANDWIDTH=1280000,AVERAGE-BANDWIDTH=900000,CODECS="avc1.64001f,opus",RESOLUTION=1280x720,FRAME-RATE=29.970,AUDIO="aac",CLOSED-CAPTIONS="cc"
low/video.m3u8
#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=86000,URI="low/iframe.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=2560000,CODECS="hvc1.1.6.L93.B0,mp4a.40.2",RESOLUTION=1920x1080,FRAME-RATE=60,AUDIO="aac"
mid/video.m3u8
`

var start = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

const (
	partsPerSegment = 4
	windowSegments  = 15
	firstNumber     = 1_700_000_000
	// A discontinuity stands before each segment whose number is a multiple of this.
	discontinuityEvery = 8
)

// lowLatency writes the playlist of a stream of which so many parts of 500 ms exist. Segments
// last 2 s. With skip it is a Playlist Delta Update.
func lowLatency(parts int, skip bool) string {
	var b strings.Builder
	complete := parts / partsPerSegment
	first := max(0, complete-windowSegments)
	discontinuities := func(upTo int) int { return (upTo + discontinuityEvery - 1) / discontinuityEvery }
	fmt.Fprintf(&b, `#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:2
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.0,HOLD-BACK=6.0,PART-HOLD-BACK=1.5
#EXT-X-PART-INF:PART-TARGET=0.5
#EXT-X-MEDIA-SEQUENCE:%d
#EXT-X-DISCONTINUITY-SEQUENCE:%d
`, firstNumber+first, 100+discontinuities(first))
	from := first
	if skipped := complete - first - 6; skip && skipped > 0 {
		fmt.Fprintf(&b, "#EXT-X-SKIP:SKIPPED-SEGMENTS=%d\n", skipped)
		from += skipped
	}
	for i := from; i <= complete; i++ {
		if i%discontinuityEvery == 0 && (i < complete || parts%partsPerSegment > 0) {
			b.WriteString("#EXT-X-DISCONTINUITY\n")
		}
		if i == first || i%discontinuityEvery == 0 {
			fmt.Fprintf(&b, "#EXT-X-MAP:URI=\"init%d.mp4\"\n", i/discontinuityEvery)
		}
		if i < complete || parts%partsPerSegment > 0 {
			fmt.Fprintf(&b, "#EXT-X-PROGRAM-DATE-TIME:%s\n", start.Add(time.Duration(i)*2*time.Second).Format("2006-01-02T15:04:05.000Z07:00"))
		}
		if i >= complete-3 {
			for j := i * partsPerSegment; j < min(parts, (i+1)*partsPerSegment); j++ {
				independent := ""
				if j%partsPerSegment == 0 {
					independent = ",INDEPENDENT=YES"
				}
				fmt.Fprintf(&b, "#EXT-X-PART:DURATION=0.5,URI=\"p%d.mp4\"%s\n", j, independent)
			}
		}
		if i < complete {
			fmt.Fprintf(&b, "#EXTINF:2.000,\ns%d.mp4\n", i)
		}
	}
	fmt.Fprintf(&b, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p%d.mp4\"\n", parts)
	b.WriteString("#EXT-X-RENDITION-REPORT:URI=\"../audio.m3u8\",LAST-MSN=5,LAST-PART=1\n")
	return b.String()
}

// at is when a playlist with so many parts is fetched.
func at(parts int) time.Time { return start.Add(time.Duration(parts) * 500 * time.Millisecond) }

func TestGoodPlaylistsHaveNoBreach(t *testing.T) {
	for name, text := range goodExamples {
		for _, b := range Check(text) {
			// Examples of the draft leave out what the draft recommends.
			if !b.Advice {
				t.Errorf("%s: %v", name, b)
			}
		}
	}
	for parts := 1; parts < 100; parts++ {
		for _, b := range append(Check(lowLatency(parts, false)), Check(lowLatency(parts, true))...) {
			t.Errorf("%d parts: %v", parts, b)
		}
	}
}

func TestGoodLongRunHasNoBreach(t *testing.T) {
	for _, each := range []int{1, 3, 11} {
		var c Checker
		for parts := 1; parts < 1000; parts += each {
			skip := parts%2 == 0
			for _, b := range c.Next(Fetch{lowLatency(parts, skip), at(parts), skip}) {
				t.Errorf("%d parts, each %d: %v", parts, each, b)
			}
		}
	}
}

func TestDeltaUpdateGivesTheWholePlaylist(t *testing.T) {
	var whole, updated Checker
	for parts := 70; parts < 90; parts++ {
		whole.Next(Fetch{lowLatency(parts, false), at(parts), false})
		updated.Next(Fetch{lowLatency(parts, parts > 70), at(parts), parts > 70})
		a, b := whole.Last(), updated.Last()
		if len(a.Segments) != len(b.Segments) {
			t.Fatalf("%d parts: %d segments and %d", parts, len(a.Segments), len(b.Segments))
		}
		for i := range a.Segments {
			if s, d := a.Segments[i], b.Segments[i]; s.differs(d) != "" || s.Number != d.Number || s.Discontinuity != d.Discontinuity {
				t.Errorf("%d parts, segment %d: %+v and %+v", parts, i, s, d)
			}
		}
	}
}
