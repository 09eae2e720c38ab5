package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/hack/e2e/measure"
)

const deltaUpdate = `#EXTM3U
#EXT-X-MEDIA-SEQUENCE:10
#EXT-X-SKIP:SKIPPED-SEGMENTS=2
#EXT-X-PART:DURATION=0.50000,URI="a/1.mp4",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.40000,URI="a/2.mp4"
#EXTINF:0.90000,
a/12.mp4
#EXT-X-PART:DURATION=0.50000,URI="a/3.mp4",INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="a/4.mp4"
`

func TestPartsOfADeltaUpdate(t *testing.T) {
	parts, next, err := partsFrom([]byte(deltaUpdate), position{12, 1})
	if err != nil {
		t.Fatal(err)
	}
	want := []part{{position{12, 1}, 400 * time.Millisecond, "a/2.mp4"}, {position{13, 0}, 500 * time.Millisecond, "a/3.mp4"}}
	if diff := cmp.Diff(want, parts, cmp.AllowUnexported(part{}, position{})); diff != "" {
		t.Error(diff)
	}
	if next != (position{13, 1}) {
		t.Errorf("the next part is %v", next)
	}
}

func TestLatenessCountsFromTheEarliestPart(t *testing.T) {
	var line timeline
	start := time.Unix(1000, 0)
	line.add([]part{{position{1, 0}, time.Second, ""}, {position{1, 1}, time.Second, ""}})
	line.add([]part{{position{1, 1}, time.Second, ""}, {position{2, 0}, time.Second, ""}})
	line.reloaded(position{0, 0}, start) // an older part says nothing
	line.reloaded(position{1, 0}, start.Add(time.Second+30*time.Millisecond))
	line.reloaded(position{1, 1}, start.Add(2*time.Second))
	line.reloaded(position{2, 0}, start.Add(3*time.Second+200*time.Millisecond))
	want := measure.Figures{30 * time.Millisecond, 0, 200 * time.Millisecond}
	if diff := cmp.Diff(want, line.late()); diff != "" {
		t.Error(diff)
	}
	if late := line.late(); late != nil {
		t.Errorf("%v is told twice", late)
	}
}

func TestPlaylistsOfAPlayer(t *testing.T) {
	const multivariant = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",URI=\"b.m3u8?session=1\"\n#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"audio\"\na.m3u8?session=1\n"
	if diff := cmp.Diff([]string{"a.m3u8?session=1", "b.m3u8?session=1"}, playlistsOf([]byte(multivariant))); diff != "" {
		t.Error(diff)
	}
}
