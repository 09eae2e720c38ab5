package server

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

const contentFailover = sticky + `
  failover:
    content: {policy: Failover, black: {afterSeconds: 5}, frozen: {afterSeconds: 6}, silence: {afterSeconds: 5}, clearSeconds: 3}
`

const (
	// The programme of the content tests: a picture that moves, and sound that nowhere repeats.
	contentPicture = "testsrc2=size=640x360:rate=25"
	contentSound   = "aevalsrc='0.4*sin(2*PI*(300+40*t)*t)*(0.5+0.5*sin(t*t/2))':s=48000"
	// contentFaultAt is when a fault begins, in seconds of the programme, and contentFaultUntil when it
	// ends. Before the fault, the offset of the legs can be estimated.
	contentFaultAt, contentFaultUntil = "25", "60"
)

// encode publishes the programme, with filters for picture and sound.
func (s *testServer) encode(streamID, picture, sound string) *mediatest.Publisher {
	s.t.Helper()
	args := []string{"-re", "-f", "lavfi", "-i", contentPicture, "-re", "-f", "lavfi", "-i", contentSound}
	args = append(args, contentCodecs(picture, sound)...)
	return mediatest.Start(s.t, append(args, "-flvflags", "no_duration_filesize", s.publishURL(streamID))...)
}

func contentCodecs(picture, sound string) []string {
	return []string{
		"-vf", picture + ",format=yuv420p", "-af", sound, "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency",
		"-g", "50", "-keyint_min", "50", "-sc_threshold", "0", "-bf", "0", "-c:a", "aac", "-b:a", "96k", "-f", "flv",
	}
}

// contentFile returns a file with the first seconds of the programme.
func contentFile(t *testing.T, seconds int) string {
	t.Helper()
	name, length := filepath.Join(t.TempDir(), "programme.flv"), strconv.Itoa(seconds)
	args := []string{"-nostdin", "-loglevel", "error", "-t", length, "-f", "lavfi", "-i", contentPicture, "-t", length, "-f", "lavfi", "-i", contentSound}
	args = append(args, contentCodecs("null", "anull")...)
	if out, err := exec.CommandContext(t.Context(), mediatest.RequireFFmpeg(t), append(args, name)...).CombinedOutput(); err != nil {
		t.Fatalf("encode the programme: %v\n%s", err, out)
	}
	return name
}

// A leg whose content is faulty goes off air by a planned switch, so that no picture is lost. With
// Observe, nothing moves.
func TestAFaultOfTheContent(t *testing.T) {
	mediatest.SkipInShort(t)
	during := "enable='between(t," + contentFaultAt + "," + contentFaultUntil + ")'"
	for name, tt := range map[string]struct {
		picture, sound string
		reason         failover.Reason
	}{
		"black":  {"drawbox=t=fill:c=black:" + during, "anull", failover.ReasonPrimaryBlack},
		"frozen": {"loop=loop=900:size=1:start=625", "anull", failover.ReasonPrimaryFrozen},
		"silent": {"null", "volume=volume=0:" + during, failover.ReasonPrimarySilent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, contentFailover)
			s.encode("primary", tt.picture, tt.sound)
			s.onAir("primary", true, false)
			s.encode("backup", "null", "anull")
			s.onAir("primary", true, true)
			began := time.Now()
			eventually.True(t, "the switch", func() bool { return s.pair("sunday").Switches == 1 })
			t.Logf("switched %v after both legs were on air", time.Since(began).Round(ms))
			if p := s.pair("sunday"); p.Reason != string(tt.reason) || p.ActiveStreamID != "backup" {
				t.Errorf("%s is on air for %s, want the backup for %s", p.ActiveStreamID, p.Reason, tt.reason)
			}
		})
	}
}
