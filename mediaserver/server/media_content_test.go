package server

import (
	"os/exec"
	"path/filepath"
	"slices"
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
	contentPicture = "testsrc2=size=320x180:rate=25"
	contentSound   = "aevalsrc='0.4*sin(2*PI*(300+40*t)*t)*(0.5+0.5*sin(t*t/2))':s=48000"
	// contentFaultAt is when a fault begins, in seconds of the programme, and contentFaultUntil when it
	// ends. Before the fault, the offset of the legs can be estimated.
	contentFaultAt, contentFaultUntil = "22", "60"
)

// watching lets a server watch pictures.
func watching(c *Config) { c.MaxAnalysers = 4 }

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
	t.Parallel()
	during := "enable='between(t," + contentFaultAt + "," + contentFaultUntil + ")'"
	for name, tt := range map[string]struct {
		picture, sound string
		reason         failover.Reason
	}{
		"black":  {"drawbox=t=fill:c=black:" + during, "anull", failover.ReasonPrimaryBlack},
		"frozen": {"loop=loop=900:size=1:start=550", "anull", failover.ReasonPrimaryFrozen},
		"silent": {"null", "volume=volume=0:" + during, failover.ReasonPrimarySilent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, contentFailover, watching)
			s.encode("primary", tt.picture, tt.sound)
			s.onAir("primary", true, false)
			s.encode("backup", "null", "anull")
			s.onAir("primary", true, true)
			began := time.Now()
			v := s.watchPair()
			eventually.True(t, "the switch", func() bool { return s.pair("sunday").Switches == 1 })
			t.Logf("switched %v after both legs were on air", time.Since(began).Round(ms))
			p := s.pair("sunday")
			if p.Reason != string(tt.reason) || p.ActiveStreamID != "backup" {
				t.Errorf("%s is on air for %s, want the backup for %s", p.ActiveStreamID, p.Reason, tt.reason)
			}
			if faults := p.Legs[0].Content.Faults; len(faults) == 0 || p.Legs[0].Rank == "Full" {
				t.Errorf("the primary has the faults %v and rank %s", faults, p.Legs[0].Rank)
			}
			if c := p.Legs[1].Content; !c.Compared || len(c.Faults) > 0 || c.NotWatched != "" {
				t.Errorf("the backup: %+v", c)
			}
			switched := len(v.Video().Packets)
			eventually.True(t, "a second of the backup's pictures", func() bool { return len(v.Video().Packets) > switched+25 })
			if gap := longestGap(v.Video().Packets); gap > maxGap {
				t.Errorf("no picture for %v", gap)
			}
		})
	}
}

// longestGap returns the longest time between two packets.
func longestGap(packets []mediatest.Packet) time.Duration {
	longest := time.Duration(0)
	for i := range packets[1:] {
		longest = max(longest, packets[i+1].Arrival.Sub(packets[i].Arrival))
	}
	return longest
}

// With Observe nothing moves, and both servers of a pair tell of the fault. Both know by how much the
// encoders differ.
func TestBothServersTellOfAFault(t *testing.T) {
	mediatest.SkipInShort(t)
	t.Parallel()
	w := startRelayedPair(t, sticky, watching)
	w.servers[0].encode("primary", "drawbox=t=fill:c=blue:enable='between(t,25,70)'", "anull")
	w.servers[0].onAir("primary", true, false)
	time.Sleep(3 * time.Second) // by so much the backup is later
	w.servers[1].encode("backup", "null", "anull")
	for leg, s := range w.servers {
		eventually.True(t, "the step of both encoders at server "+legIDs[leg], func() bool {
			step := s.pair("sunday").Step
			return step != nil && step.Known && step.OffsetMilliseconds > 2500 && step.OffsetMilliseconds < 4500
		})
		eventually.True(t, "the fault at server "+legIDs[leg], func() bool {
			c := s.pair("sunday").Legs[0].Content
			return c != nil && c.Compared && slices.Equal(c.Faults, []string{"Black"})
		})
		if got := s.counted(`streampair_content_fault{fault="Black",leg="Primary",pair="sunday"}`); got != "1" {
			t.Errorf("server %s: the metric of the fault is %q", legIDs[leg], got)
		}
		if p := s.pair("sunday"); p.Switches != 0 || p.ActiveStreamID != "primary" || p.Legs[0].Rank != "Full" {
			t.Errorf("server %s: %s is on air after %d switches, and the primary has rank %s", legIDs[leg], p.ActiveStreamID, p.Switches, p.Legs[0].Rank)
		}
	}
}

// Without ffmpeg, or without a place, pictures are not watched, and everything else is.
func TestPicturesAreNotWatched(t *testing.T) {
	mediatest.SkipInShort(t)
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*Config)
		why    string
	}{
		"no ffmpeg":  {func(c *Config) { c.FFmpegPath = "" }, "NoFFmpeg"},
		"not wanted": {func(c *Config) { c.MaxAnalysers = 0 }, "NoFFmpeg"},
		"one place":  {func(c *Config) { c.MaxAnalysers = 1 }, "Full"},
		"no memory":  {func(c *Config) { c.containerLimit = 256 << 20 }, "NoMemory"},
		"it fails":   {func(c *Config) { c.FFmpegPath = "/bin/false" }, "Failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, sticky, watching, tt.change)
			s.encode("primary", "null", "anull")
			s.onAir("primary", true, false)
			s.encode("backup", "null", "anull")
			eventually.True(t, "the backup is compared", func() bool {
				c := s.pair("sunday").Legs[1].Content
				return c != nil && c.Compared && c.NotWatched == tt.why
			})
		})
	}
}
