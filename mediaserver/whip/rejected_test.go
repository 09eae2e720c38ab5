package whip

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/stream"
)

// replaced returns a change of an offer. It replaces the first text of each pair by the second.
func replaced(t *testing.T, pairs ...string) func(string) string {
	return func(offer string) string {
		t.Helper()
		for i := 0; i < len(pairs); i += 2 {
			if !strings.Contains(offer, pairs[i]) {
				t.Fatalf("no %s in the offer", pairs[i])
			}
		}
		return strings.NewReplacer(pairs...).Replace(offer)
	}
}

// GStreamer's offers, as they were recorded: the sound is bundle-only, and has no port.
func TestGStreamersOffersAreTaken(t *testing.T) {
	s := newTestServer(t, nil)
	for _, name := range []string{"gstreamer-whipsink", "gstreamer-whipclientsink"} {
		res, answer := s.do(t, http.MethodPost, "/live/whip/primary", sdpType, mediatest.RecordedOffer(t, name))
		if res.StatusCode != http.StatusCreated {
			t.Fatalf("%s: %s: %s", name, res.Status, answer)
		}
		for _, want := range []string{
			"a=group:BUNDLE video0 audio1\r\n", "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n", "a=mid:video0\r\n", "m=audio 9 UDP/TLS/RTP/SAVPF 97\r\n", "a=mid:audio1\r\n",
		} {
			if !strings.Contains(answer, want) {
				t.Errorf("%s: no %q in the answer:\n%s", name, want, answer)
			}
		}
		if n := strings.Count(answer, "a=recvonly\r\n"); n != 2 {
			t.Errorf("%s: %d sections are taken, want 2:\n%s", name, n, answer)
		}
		if w := s.registry.Stream(primary).Snapshot().Warnings; len(w) > 0 {
			t.Errorf("%s: warnings: %v", name, w)
		}
		s.do(t, http.MethodDelete, res.Header.Get("Location"), "", "")
	}
}

func TestASectionThatCannotBeTakenIsRejectedAlone(t *testing.T) {
	s := newTestServer(t, nil)
	for name, test := range map[string]struct {
		options  encoderOptions
		offer    func(string) string
		rejected []string // kinds of the rejected sections
		faults   [2]string
		warnings []string
	}{
		"all is taken": {},
		"H.265":        {offer: replaced(t, "H264/90000", "H265/90000"), rejected: []string{"video"}, faults: [2]string{warningUnsupportedVideo, ""}, warnings: []string{warningUnsupportedVideo}},
		"mode 0 only":  {offer: replaced(t, "packetization-mode=1", "packetization-mode=0"), rejected: []string{"video"}, faults: [2]string{warningUnsupportedVideo, ""}, warnings: []string{warningUnsupportedVideo}},
		"Speex":        {offer: replaced(t, "opus/48000/2", "speex/48000/2"), rejected: []string{"audio"}, faults: [2]string{"", warningUnsupportedAudio}, warnings: []string{warningUnsupportedAudio}},
		"data channel": {options: encoderOptions{dataChannel: true}, rejected: []string{"application"}},
		"a video track that only receives": {
			offer: func(o string) string {
				i := strings.Index(o, "m=video")
				return o[:i] + strings.Replace(o[i:], "a=sendonly", "a=recvonly", 1)
			},
			rejected: []string{"video"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEncoder(t, test.options)
			offer := e.offer(t)
			if test.offer != nil {
				offer = test.offer(offer)
			}
			res, answer := s.do(t, http.MethodPost, "/live/whip/primary", sdpType, offer)
			if res.StatusCode != http.StatusCreated {
				t.Fatalf("%s: %s", res.Status, answer)
			}
			defer s.do(t, http.MethodDelete, res.Header.Get("Location"), "", "")
			if got, want := strings.Count(answer, "\r\nm="), strings.Count(offer, "\r\nm="); got != want {
				t.Errorf("%d sections are answered, of %d", got, want)
			}
			var rejected []string
			for _, section := range strings.Split(answer, "\r\nm=")[1:] {
				if fields := strings.Fields(section); fields[1] == "0" {
					rejected = append(rejected, fields[0])
				}
			}
			if diff := cmp.Diff(test.rejected, rejected); diff != "" {
				t.Errorf("rejected (-want +got):\n%s", diff)
			}
			snap := s.registry.Stream(primary).Snapshot()
			var faults [2]string
			for i, track := range []stream.TrackSnapshot{snap.Video, snap.Audio} {
				if track.Fault != nil {
					faults[i] = track.Fault.Code
				}
			}
			var warnings []string
			for _, w := range snap.Warnings {
				warnings = append(warnings, w.Code)
			}
			if faults != test.faults || !slices.Equal(warnings, test.warnings) {
				t.Errorf("faults %q, warnings %q; want %q, %q", faults, warnings, test.faults, test.warnings)
			}
		})
	}
}
