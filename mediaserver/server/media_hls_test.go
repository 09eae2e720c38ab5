package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/hls"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// An hlsPlayer is ffmpeg, which plays a playlist and hands its pictures over.
type hlsPlayer struct {
	mu        sync.Mutex // guards sightings
	sightings []mediatest.Sighting
}

func playHLS(t *testing.T, url string) *hlsPlayer {
	const width, height = 640, 360
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, mediatest.RequireFFmpeg(t), "-hide_banner", "-loglevel", "warning", "-nostdin",
		"-i", url, "-map", "0:v", "-vf", fmt.Sprintf("scale=%d:%d", width, height), "-fps_mode", "passthrough", "-pix_fmt", "yuv420p",
		"-f", "rawvideo", "pipe:1")
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	p, done := &hlsPlayer{}, make(chan struct{})
	go func() {
		defer close(done)
		in := bufio.NewReaderSize(out, 1<<20)
		picture := make([]byte, width*height*3/2)
		for {
			if _, err := io.ReadFull(in, picture); err != nil {
				return
			}
			if code, ok := (mediatest.Image{Width: width, Height: height, Y: picture[:width*height]}).TimeCode(); ok {
				p.mu.Lock()
				p.sightings = append(p.sightings, mediatest.Sighting{Seen: time.Now(), TimeCode: code})
				p.mu.Unlock()
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		_ = cmd.Wait()
		t.Logf("ffmpeg: %s", log.String())
	})
	return p
}

func (p *hlsPlayer) seen() []mediatest.Sighting {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]mediatest.Sighting(nil), p.sightings...)
}

// sees waits for pictures of a leg since a moment, and returns when the first came.
func (p *hlsPlayer) sees(t *testing.T, leg int, since time.Time) time.Time {
	t.Helper()
	var at time.Time
	eventually.True(t, fmt.Sprintf("pictures of leg %d in ffmpeg", leg), func() bool {
		n := 0
		for _, s := range p.seen() {
			if s.Leg == leg && s.Seen.After(since) {
				if n++; n == 1 {
					at = s.Seen
				}
			}
		}
		return n >= fps
	})
	return at
}

func TestAServerWithoutHLSSaysWhy(t *testing.T) {
	s := startServer(t, sticky, func(c *Config) { c.HLS.Off = true })
	res, err := http.Get(s.url("streams/primary.m3u8"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusNotFound || !strings.Contains(string(text), "--hls") {
		t.Errorf("status %d, %q, %v", res.StatusCode, text, err)
	}
}

func TestTheManifestSaysHowHLSIsServed(t *testing.T) {
	const hlsSpec = "  playback: {hls: {mode: %q, segmentSeconds: 1, partMilliseconds: 500, windowSeconds: 60}, allowedOrigins: [https://www.example.com]}\n"
	s := startServer(t, sticky)
	s.status() // the manifest of the start is in force now
	for _, key := range []failover.PairKey{{App: "live", Primary: "primary", Backup: "backup"}, {App: "live", Primary: "backup"}} {
		if got := s.hlsSettings(key); got != hls.DefaultSettings() {
			t.Errorf("by default %+v", got)
		}
		for name, mode := range map[string]hls.Mode{"OnDemand": hls.OnDemand, "Always": hls.Always, "Off": hls.Off} {
			if err := s.Configure([]byte(sticky + fmt.Sprintf(hlsSpec, name))); err != nil {
				t.Fatal(err)
			}
			want := hls.Settings{Mode: mode, Segment: time.Second, Part: 500 * ms, Window: time.Minute}
			if got := s.hlsSettings(key); got != want {
				t.Errorf("%s: %+v", name, got)
			}
		}
		if err := s.Configure([]byte(sticky)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Configure([]byte(sticky + fmt.Sprintf(hlsSpec, "Off"))); err != nil {
		t.Fatal(err)
	}
	answer, text := s.do("GET", s.url("streams/primary.m3u8", "backupStreamId", "backup"), "", "Origin", "https://www.example.com")
	if answer.StatusCode != http.StatusNotFound || !strings.Contains(text, "HLS is off") || answer.Header.Get("Access-Control-Allow-Origin") != "https://www.example.com" {
		t.Errorf("%s: %s, %v", answer.Status, text, answer.Header)
	}
}

func TestHLSGoesOnThroughSwitches(t *testing.T) {
	t.Parallel()
	mediatest.RequireFFmpeg(t)
	s := startServer(t, sticky)
	var publish [2]func() publisher
	for leg, id := range legIDs {
		p := mediatest.Programme{Leg: leg, BFrames: leg == 0}
		if leg == 1 {
			p.Width, p.Height, p.GOPPhase = 480, 270, 700*ms
		}
		programme := file(t, p)
		publish[leg] = func() publisher {
			return mediatest.Publish(t, programme, s.publishURL(id), "-stream_loop", "-1")
		}
	}
	encoders := [2]publisher{publish[0](), nil}
	s.onAir(legIDs[0], true, false)
	encoders[1] = publish[1]()
	s.onAir(legIDs[0], true, true)

	url := s.url("streams/primary.m3u8", "backupStreamId", "backup")
	reader := &hlsReader{t: t, url: url, mayWait: true, contents: make(map[string][sha256.Size]byte)}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var reading sync.WaitGroup
	reading.Go(func() { reader.run(ctx) })
	player := playHLS(t, url)
	player.sees(t, 0, time.Time{})

	const switches = 4
	var kills []time.Time
	for n := range switches {
		active, other := n%2, 1-n%2
		s.onAir(legIDs[active], true, true)
		killed := time.Now()
		kills = append(kills, killed)
		encoders[active].Kill()
		s.onAir(legIDs[other], other == 0, other == 1)
		seen := player.sees(t, other, killed)
		t.Logf("switch %d: ffmpeg showed the other leg after %v", n, seen.Sub(killed).Round(ms))
		encoders[active] = publish[active]()
		s.onAir(legIDs[other], true, true)
		player.sees(t, other, time.Now())
	}
	stop()
	reading.Wait()

	if len(reader.switched) != switches {
		t.Errorf("%d discontinuities, want %d", len(reader.switched), switches)
	}
	for n, at := range reader.switched[:min(len(reader.switched), switches)] {
		t.Logf("switch %d: the other leg's first part was read %v after the kill", n, at.Sub(kills[n]).Round(ms))
	}
	// What was read is decoded, so that nothing depends on when it was read.
	stays := decodeStays(t, reader.segments)
	t.Logf("%d playlists, %d names, %d segments, %d stays", reader.reads, len(reader.contents), len(reader.segments), len(stays))
	if len(stays) < switches+1 {
		t.Errorf("%d stays on a leg, want %d", len(stays), switches+1)
	}
	for i, stay := range stays {
		if leg := stay[0].Leg; leg != i%2 {
			t.Errorf("stay %d is on leg %d", i, leg)
		}
		// An encoder that is killed may have sent a picture, and not those that are shown before it.
		const reordered = 4
		for j := 1; j < len(stay)-reordered; j++ {
			if stay[j].Leg != stay[0].Leg || stay[j].Frame != (stay[j-1].Frame+1)%(8*fps) {
				t.Errorf("stay %d: picture %d of leg %d after %d of leg %d", i, stay[j].Frame, stay[j].Leg, stay[j-1].Frame, stay[j-1].Leg)
			}
		}
	}
	if missing := missingPictures(player.seen()); missing > switches {
		t.Errorf("ffmpeg lost pictures in %d places", missing)
	}
}

// decodeStays decodes segments, and returns the pictures of each stretch without a discontinuity.
func decodeStays(t *testing.T, segments []hlsSegment) (stays [][]mediatest.TimeCode) {
	t.Helper()
	decode := func(media []byte) {
		if len(media) == 0 {
			return
		}
		name := filepath.Join(t.TempDir(), "stay.mp4")
		if err := os.WriteFile(name, media, 0o600); err != nil {
			t.Fatal(err)
		}
		var codes []mediatest.TimeCode
		if err := mediatest.DecodeFile(t.Context(), name, 640, 360, func(m mediatest.Image) {
			if code, ok := m.TimeCode(); ok {
				codes = append(codes, code)
			}
		}); err != nil {
			t.Error(err)
		}
		if len(codes) == 0 {
			t.Fatalf("a stay of %d bytes has no pictures", len(media))
		}
		stays = append(stays, codes)
	}
	var media []byte
	for i, s := range segments {
		if i == 0 || s.begins {
			decode(media)
			media = bytes.Clone(s.section)
		}
		media = append(media, s.media...)
	}
	decode(media)
	return stays
}

// missingPictures returns in how many places pictures are missing between two of the same leg.
func missingPictures(sightings []mediatest.Sighting) (n int) {
	for i := 1; i < len(sightings); i++ {
		if a, b := sightings[i-1], sightings[i]; a.Leg == b.Leg && b.Frame != (a.Frame+1)%(8*fps) {
			n++
		}
	}
	return n
}
