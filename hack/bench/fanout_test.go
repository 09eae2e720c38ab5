package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/mediaserver/mediatest"
)

// TestMain makes the test's program the publisher or the viewers, when the bench starts itself.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains([]string{"-publish", "-publish-rtmp", "-watch-light"}, os.Args[1]) {
		main()
		return
	}
	os.Exit(m.Run())
}

// The test is a short run of the bench. It says nothing about the figures.
func TestTheFanoutAndIngestBenchesMeasure(t *testing.T) {
	mediatest.SkipInShort(t)
	binary := filepath.Join(t.TempDir(), "streampair-mediaserver")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, "../../mediaserver/cmd/streampair-mediaserver")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the media server: %v\n%s", err, out)
	}
	const viewers = 6
	o := options{server: binary, runs: 1, viewers: []int{viewers}, cores: 1, window: 2 * time.Second, kbps: 1000}
	s := newScope(t.Context())
	defer s.CleanUp()
	err := s.try(func() {
		video, sound := fanoutFiles(s, o)
		for name, media := range map[string]fanoutMedia{"video only": {video: video}, "with sound": {video, sound}} {
			r := fanoutOf(s, o, fanoutServers(o)[0], media, viewers)
			t.Logf("%s: %+v", name, r)
			switch {
			case r.Packets == 0 || r.Frames == 0 || r.Bytes == 0 || r.Dark > 0:
				t.Errorf("%s: %d packets, %d pictures, %d bytes, %d viewers without a picture", name, r.Packets, r.Frames, r.Bytes, r.Dark)
			case r.Missing > 0 || r.Reordered > 0 || r.Undecryptable > 0:
				t.Errorf("%s: %d packets are missing, %d came out of order, %d could not be decrypted", name, r.Missing, r.Reordered, r.Undecryptable)
			case r.Delays == 0 || r.Fastest <= 0 || r.P99 < r.P50:
				t.Errorf("%s: %d delays from %v on, median %v, 99 %% %v", name, r.Delays, r.Fastest, r.P50, r.P99)
			}
		}
		var kills table
		fanoutKill(s, o, video, viewers, &kills)
		t.Logf("the active encoder leaves: %v", kills.rows) // it fails without pictures of the other leg
		o.publishers = 4
		tape := prepare(s, mediatest.Programme{GOP: ingestGOP, BitrateBPS: o.kbps * 1000})
		r, _ := ingestOf(s, o, ingestServers(o)[0], tape)
		t.Logf("ingest: %+v", r)
		if r.idle <= 0 || r.idle > 1 {
			t.Errorf("ingest: the load left %v of its cores idle", r.idle)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSplitCores(t *testing.T) {
	type split struct{ Server, Load []int }
	for name, test := range map[string]struct {
		cores, all int
		want       split
	}{
		"one of two":   {1, 2, split{[]int{0}, []int{1}}},
		"two of two":   {2, 2, split{}},
		"two of three": {2, 3, split{[]int{0, 1}, nil}},
		"two of eight": {2, 8, split{[]int{0, 1}, []int{2, 3}}},
		"the only one": {1, 1, split{}},
	} {
		t.Run(name, func(t *testing.T) {
			server, load := options{cores: test.cores}.splitCores(test.all)
			if diff := cmp.Diff(test.want, split{server, load}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReadPictures(t *testing.T) {
	nalu := func(b ...byte) []byte { return append([]byte{0, 0, 0, 1}, b...) }
	first := slices.Concat(nalu(9, 0xf0), nalu(0x67, 1, 2), nalu(0x68, 3), nalu(0x65, 0x88, 1), nalu(0x65, 0x40, 2))
	second := slices.Concat(nalu(0x41, 0x9a, 3), nalu(0x41, 0x20, 4))
	third := slices.Concat(nalu(6, 5, 1, 9, 0x80), nalu(0x41, 0x9a, 5))
	file := filepath.Join(t.TempDir(), "video.h264")
	if err := os.WriteFile(file, slices.Concat(first, second, third), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := readPictures(file)
	if err != nil {
		t.Fatal(err)
	}
	// The next start code's fourth byte is a zero before that code.
	if diff := cmp.Diff([][]byte{first, second[1:], third[1:]}, got); diff != "" {
		t.Error(diff)
	}
}
