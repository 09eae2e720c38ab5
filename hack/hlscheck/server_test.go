package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4/seekablebuffer"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"
)

const (
	partsPerSegment = 4
	windowSegments  = 10
	firstNumber     = 1000
	// Time starts again, with EXT-X-DISCONTINUITY, at this segment.
	discontinuityAt = 17
	endPart         = 80
)

// A liveServer is an LL-HLS server of a stream whose next part exists when a blocking reload asks
// for the part. Parts last 250 ms. The stream ends after endPart parts.
type liveServer struct {
	// text and media change what is served; either may be nil.
	text  func(string) string
	media func(name string, data []byte) []byte // nil for 404
	// deaf servers do not block.
	deaf bool

	mu       sync.Mutex
	produced int // parts
}

// livePart is a part of six pictures of 1/24 s.
func livePart(number int) []byte {
	at := number
	if number >= discontinuityAt*partsPerSegment {
		at -= discontinuityAt * partsPerSegment
	}
	track := &fmp4.PartTrack{ID: 1, BaseTime: uint64(at) * 22500}
	for i := range 6 {
		unit := byte(1)
		if number%partsPerSegment == 0 && i == 0 {
			unit = 5 // IDR
		}
		s := &fmp4.Sample{Duration: 3750, IsNonSyncSample: unit != 5}
		if err := s.FillH264(0, [][]byte{{unit, byte(number), byte(i)}}); err != nil {
			panic(err)
		}
		track.Samples = append(track.Samples, s)
	}
	var b seekablebuffer.Buffer
	if err := (fmp4.Part{Tracks: []*fmp4.PartTrack{track}}).Marshal(&b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func liveSegment(number int) []byte {
	var b bytes.Buffer
	for i := range partsPerSegment {
		b.Write(livePart(number*partsPerSegment + i))
	}
	return b.Bytes()
}

// These are the parameter sets of a picture of 1920x1080.
var (
	sps = []byte{
		0x67, 0x42, 0xc0, 0x28, 0xd9, 0x00, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04,
		0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc9, 0x20,
	}
	pps = []byte{0x68, 0xee, 0x3c, 0x80}
)

func liveInit() []byte {
	init := fmp4.Init{Tracks: []*fmp4.InitTrack{{ID: 1, TimeScale: 90000, Codec: &codecs.H264{SPS: sps, PPS: pps}}}}
	var b seekablebuffer.Buffer
	if err := init.Marshal(&b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func (s *liveServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := strings.TrimPrefix(r.URL.Path, "/")
	number, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimLeft(name, "ps"), ".mp4"))
	var data []byte
	switch {
	case name == "all.m3u8":
		data = []byte("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=100000,CODECS=\"avc1.42c028\",RESOLUTION=1920x1080,FRAME-RATE=24.000\nstream.m3u8?token=x\n")
	case strings.HasPrefix(name, "stream"):
		data = []byte(s.playlist(r))
	case strings.HasPrefix(name, "init"):
		data = liveInit()
	case strings.HasPrefix(name, "p") && number < s.produced:
		data = livePart(number)
	case strings.HasPrefix(name, "s") && number < s.produced/partsPerSegment:
		data = liveSegment(number)
	}
	if s.media != nil {
		data = s.media(name, data)
	}
	if data == nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Write(data) //nolint:errcheck // the client may be gone
}

func (s *liveServer) playlist(r *http.Request) string {
	q := r.URL.Query()
	s.produced = max(s.produced, 15*partsPerSegment+1)
	if msn, err := strconv.Atoi(q.Get("_HLS_msn")); err == nil && !s.deaf {
		part, _ := strconv.Atoi(q.Get("_HLS_part"))
		s.produced = max(s.produced, min(endPart, (msn-firstNumber)*partsPerSegment+part+1))
	}
	text := livePlaylist(s.produced, q.Get("_HLS_skip") == "YES")
	if s.text != nil {
		text = s.text(text)
	}
	return text
}

func livePlaylist(produced int, skip bool) string {
	var b strings.Builder
	complete := produced / partsPerSegment
	first := complete - windowSegments
	discontinuity := 0
	if first > discontinuityAt {
		discontinuity = 1
	}
	fmt.Fprintf(&b, "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:1\n#EXT-X-PART-INF:PART-TARGET=0.25\n"+
		"#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=6,PART-HOLD-BACK=0.75\n"+
		"#EXT-X-MEDIA-SEQUENCE:%d\n#EXT-X-DISCONTINUITY-SEQUENCE:%d\n", firstNumber+first, discontinuity)
	from := first
	if skip && produced < endPart {
		from = complete - 6
		fmt.Fprintf(&b, "#EXT-X-SKIP:SKIPPED-SEGMENTS=%d\n", from-first)
	}
	for i := from; i <= complete && i*partsPerSegment < produced; i++ {
		if i == discontinuityAt {
			b.WriteString("#EXT-X-DISCONTINUITY\n")
		}
		if i == first || i == discontinuityAt {
			fmt.Fprintf(&b, "#EXT-X-MAP:URI=\"init%d.mp4\"\n", i/discontinuityAt)
		}
		fmt.Fprintf(&b, "#EXT-X-PROGRAM-DATE-TIME:%s\n", time.Unix(int64(i), 0).UTC().Format(time.RFC3339))
		for j := i * partsPerSegment; i >= complete-3 && j < min(produced, (i+1)*partsPerSegment); j++ {
			fmt.Fprintf(&b, "#EXT-X-PART:DURATION=0.25,URI=\"p%d.mp4\"", j)
			if j%partsPerSegment == 0 {
				b.WriteString(",INDEPENDENT=YES")
			}
			b.WriteString("\n")
		}
		if i < complete {
			fmt.Fprintf(&b, "#EXTINF:1,\ns%d.mp4\n", i)
		}
	}
	if produced < endPart {
		fmt.Fprintf(&b, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p%d.mp4\"\n", produced)
	} else {
		b.WriteString("#EXT-X-ENDLIST\n")
	}
	return b.String()
}

// check runs the command on a server until the stream ends.
func check(t *testing.T, handler http.Handler, path string, o options) (*report, string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	var out bytes.Buffer
	r := &report{out: &out}
	if err := run(t.Context(), o, server.URL+path, r); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	return r, out.String()
}

// runOnly is check for a run that fails.
func runOnly(t *testing.T, handler http.Handler, path string) error {
	server := httptest.NewServer(handler)
	defer server.Close()
	return run(t.Context(), whole, server.URL+path, &report{out: &bytes.Buffer{}})
}
