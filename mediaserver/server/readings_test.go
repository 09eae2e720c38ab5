package server

import (
	"bytes"
	"encoding/json"
	"image/jpeg"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	api "github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/content"
	"github.com/streampair/streampair/mediaserver/measure"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

func TestTheMeasuresOfALeg(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	age := int64(400)
	black := content.Verdict{Known: true}
	black.Has[content.Black] = true
	for name, tt := range map[string]struct {
		state  measure.LegState
		latest measure.Latest
		want   api.LegMeasures
	}{
		"nothing has come": {},
		"all is measured": {
			measure.LegState{Verdict: black},
			measure.Latest{
				Time: now.Add(-400 * time.Millisecond), SoundTime: now.Add(-time.Second), PictureTime: now.Add(-8 * time.Second), Local: true,
				Sound: &measure.SoundBlock{RMS: -23, Peak: -9, Momentary: -22, ShortTerm: -24},
				Rates: &measure.Rates{BitrateBPS: 4e6, FrameRate: 25, UsualFrameRate: 50, KeyFrameInterval: 2 * time.Second, Jitter: 12 * time.Millisecond, Jumps: 1},
			},
			api.LegMeasures{
				Local: true, AgeMilliseconds: &age, SoundMeasured: true, PictureMeasured: true, Faults: []string{"Black"}, FaultsKnown: true,
				Sound: &api.SoundLevels{RMSDBFS: -23, PeakDBFS: -9, MomentaryLUFS: -22, ShortTermLUFS: -24},
				Rates: &api.Rates{BitrateBPS: 4e6, FrameRate: 25, UsualFrameRate: 50, KeyFrameIntervalMilliseconds: 2000, JitterMilliseconds: 12, Jumps: 1},
			},
		},
		"what the peer cannot measure": {
			measure.LegState{},
			measure.Latest{Time: now.Add(-400 * time.Millisecond), Unwatched: measure.UnwatchedFull, Undecoded: true},
			api.LegMeasures{AgeMilliseconds: &age, Unwatched: "Full", Undecoded: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, legMeasures(tt.state, tt.latest, now)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A leg without a publisher has neither measures nor a thumbnail.
func TestMeasuresAndThumbnailsOnTheMonitorPort(t *testing.T) {
	mediatest.SkipInShort(t)
	s := startServer(t, sticky, watching, func(c *Config) { c.MonitorAddress = "127.0.0.1:0" })
	s.encode("primary", "null", "anull")
	base := "http://" + s.Addresses().Monitor
	var primary, backup api.LegMeasures
	eventually.Seen(t, eventually.Patience, "measures of the primary", func() (any, bool) {
		var m api.Measures
		if err := json.Unmarshal(s.ask(base+"/v1/measures", http.StatusOK), &m); err != nil || len(m.Pairs) != 1 || len(m.Pairs[0].Legs) != 2 {
			return m, false
		}
		primary, backup = m.Pairs[0].Legs[0], m.Pairs[0].Legs[1]
		return m, primary.ThumbnailTime != nil && primary.SoundMeasured && primary.PictureMeasured && primary.Rates != nil && primary.Sound != nil
	})
	if primary.Sound.PeakDBFS < -40 || primary.Rates.BitrateBPS < 50_000 || !primary.Local {
		t.Errorf("the primary is measured wrong: %+v, %+v", primary.Sound, primary.Rates)
	}
	if diff := cmp.Diff(api.LegMeasures{Role: "Backup", App: "live", StreamID: "backup"}, backup); diff != "" {
		t.Errorf("the backup, which nobody publishes (-want +got):\n%s", diff)
	}
	if _, err := jpeg.Decode(bytes.NewReader(s.ask(base+"/v1/thumbnails/live/primary", http.StatusOK))); err != nil {
		t.Errorf("the thumbnail: %v", err)
	}
	s.ask(base+"/v1/thumbnails/live/backup", http.StatusNotFound)
	s.ask(base+"/v1/events", http.StatusNotFound)
}

// ask requests a URL, and returns the body.
func (s *testServer) ask(url string, want int) []byte {
	s.t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != want {
		s.t.Fatalf("%s: %s %s %v, want %d", url, answer.Status, body, err, want)
	}
	return body
}
