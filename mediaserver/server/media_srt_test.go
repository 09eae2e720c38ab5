package server

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// An srtEncoder is an ffmpeg that publishes by SRT. Its Kill ends it in order.
type srtEncoder struct{ *mediatest.Publisher }

func (e srtEncoder) Kill() { e.Stop() }

// withSRT lets a server take SRT.
func withSRT(c *Config) { c.SRTAddress = "127.0.0.1:0" }

// publishSRT publishes a file by SRT.
func (s *testServer) publishSRT(id, path string) *mediatest.Publisher {
	s.t.Helper()
	url := fmt.Sprintf("srt://%s?streamid=publish:live/%s&transtype=live", s.Addresses().SRT, id)
	return mediatest.Start(s.t, "-re", "-stream_loop", "-1", "-i", path, "-c", "copy", "-f", "mpegts", url)
}

// The primary comes by SRT and the backup by RTMP. Each in turn is ended in order.
func TestAnSRTEncoderThatStopsCostsAViewerHardlyAnything(t *testing.T) {
	t.Parallel()
	s := startServer(t, sticky, withSRT)
	primary := file(t, mediatest.Programme{})
	backup := file(t, mediatest.Programme{Leg: 1, GOPPhase: 700 * ms})
	r := s.killInTurns([2]func() publisher{
		func() publisher { return srtEncoder{s.publishSRT("primary", primary)} },
		func() publisher { return mediatest.Publish(t, backup, s.publishURL("backup"), "-stream_loop", "-1") },
	}, func(mediatest.Sighting) bool { return true })
	r.isContinuous()
	r.isInSync(switches, 300*ms, 300*ms)
	r.hasSound(maxSilence, r.soundBegins())
}

// An SRT encoder that is killed or frozen says nothing. Its leg is lost after the input loss time.
func TestASilentSRTEncoderIsSwitchedFrom(t *testing.T) {
	t.Parallel()
	s := startServer(t, sticky, withSRT)
	files := [2]string{file(t, mediatest.Programme{}), file(t, mediatest.Programme{Leg: 1})}
	encoders := [2]*mediatest.Publisher{s.publishSRT("primary", files[0])}
	s.onAir("primary", true, false)
	encoders[1] = s.publishSRT("backup", files[1])
	s.onAir("primary", true, true)
	v := s.watchPair()
	v.sees(0, fps, time.Now())
	var gaps []time.Duration
	for n, fail := range []func(*mediatest.Publisher){(*mediatest.Publisher).Kill, (*mediatest.Publisher).Pause} {
		active := n % 2
		failed := time.Now()
		fail(encoders[active])
		v.sees(1-active, fps, failed)
		gaps = append(gaps, mediatest.LongestGap(v.Sightings(), failed, time.Now()))
		encoders[active].Kill()
		encoders[active] = s.publishSRT(legIDs[active], files[active])
		s.onAir(legIDs[1-active], true, true)
	}
	t.Logf("longest gap: killed %v, frozen %v", gaps[0].Round(ms), gaps[1].Round(ms))
	if worst := slices.Max(gaps); worst > 5*time.Second {
		t.Errorf("no picture for %v", worst)
	}
	eventually.True(t, "the status has the figures of the link", func() bool {
		link := s.stream("primary").SRT
		return link != nil && link.LatencyMilliseconds == 120 && link.PacketsReceived > 0
	})
}

// stream returns what the status says of a stream.
func (s *testServer) stream(id string) control.Stream {
	for _, one := range s.status().Streams {
		if one.StreamID == id {
			return one
		}
	}
	return control.Stream{}
}

// A newer publisher by another protocol takes a leg over, with the token.
func TestALegIsTakenOverFromSRT(t *testing.T) {
	t.Parallel()
	s := startServer(t, guarded, withSRT)
	files := [2]string{file(t, mediatest.Programme{}), file(t, mediatest.Programme{Leg: 1})}
	bySRT := s.publishSRT("primary:publish-me-1", files[0])
	s.onAir("primary", true, false)
	eventually.True(t, "the leg comes by SRT", func() bool { return s.stream("primary").Protocol == "srt" })
	mediatest.Publish(t, files[0], s.publishURL("primary?token=publish-me-1"), "-stream_loop", "-1")
	eventually.True(t, "the leg comes by RTMP", func() bool { return s.stream("primary").Protocol == "rtmp" })
	select {
	case <-bySRT.Exited():
	case <-time.After(patience):
		t.Error("the SRT encoder is not told")
	}
	opus := withOpus(t, mediatest.Programme{})
	mediatest.PublishFFmpeg8(t, opus, "whip", s.url("whip/primary"), "authorization=publish-me-1")
	eventually.True(t, "the leg comes by WHIP", func() bool { return s.stream("primary").Protocol == "whip" })
	s.onAir("primary", true, false)
	s.publishSRT("primary:publish-me-1", files[0])
	eventually.True(t, "the leg comes by SRT again", func() bool { return s.stream("primary").Protocol == "srt" })
}
