package server

import (
	"flag"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

var hlsSwitches = flag.Int("hls.switches", 2, "how often the encoder on air is killed while players of HLS watch")

// A screen is a video element of a page.
type screen struct {
	*page
	name, video string // video is the element, in JavaScript
}

// record makes the page note the longest time between two pictures.
func (s screen) record() {
	s.do(chromedp.Evaluate[chromedp.Void](`(() => {
		const video = ` + s.video + `;
		let last;
		window.longest = 0;
		const note = (now) => {
			if (last !== undefined) longest = Math.max(longest, now - last);
			last = now;
			video.requestVideoFrameCallback(note);
		};
		video.requestVideoFrameCallback(note);
	})()`))
}

// longest returns the longest time between two pictures since it was called last.
func (s screen) longest() time.Duration {
	return time.Duration(evaluate[float64](s.page, `[longest, longest = 0][0]`)) * ms
}

// sees waits until the page shows moving pictures of a leg.
func (s screen) sees(leg int) {
	s.t.Helper()
	type shown struct{ Leg, Frame int }
	frames := make(map[int]bool)
	eventually.True(s.t, fmt.Sprintf("%s shows leg %d", s.name, leg), func() bool {
		now := evaluate[*shown](s.page, `(`+mediatest.TimeCodeJS+`)(`+s.video+`)`)
		if now != nil && now.Leg == leg {
			frames[now.Frame] = true
		}
		return len(frames) > 5
	})
}

// withOpus returns a minute of a programme, with Opus in place of AAC.
func withOpus(t *testing.T, p mediatest.Programme) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "opus.mkv")
	out, err := exec.Command(mediatest.RequireFFmpeg(t), "-hide_banner", "-loglevel", "error", "-stream_loop", "7", "-i", file(t, p),
		"-c:v", "copy", "-c:a", "libopus", "-b:a", "96k", name).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return name
}

// Players of HLS go on through switches and the loss of a server, whichever server answers. One leg
// comes by RTMP with B-frames. The other one comes by WHIP with other pictures.
func TestPlayersOfHLSGoThroughSwitches(t *testing.T) {
	primary := mediatest.Programme{Leg: 0, BFrames: true}
	t.Run("both legs with Opus", func(t *testing.T) {
		opus := withOpus(t, primary)
		p := newHLSPlayers(t, func(url string) *mediatest.Publisher { return mediatest.PublishFFmpeg8(t, opus, "flv", url) })
		shaka := screen{&page{t, mediatest.Browser(t)}, "Shaka Player", `document.getElementById("video")`}
		shaka.do(chromedp.Navigate(mediatest.ShakaPage(t, p.playlist)))
		p.screens = append(p.screens, shaka)
		p.goThroughSwitches()
		p.goThroughRestarts()
		p.warnsOfMixedSound(false)
		for _, text := range evaluate[[]string](shaka.page, `window.errors`) {
			const partNotFound = "1001: " // BAD_HTTP_STATUS; see front.gaveNoErrors
			if !strings.HasPrefix(text, partNotFound) || !strings.Contains(text, ",404,") {
				t.Errorf("an error of Shaka Player: %s", text)
			}
		}
		p.ends()
	})
	// Shaka Player 5.2.12 keeps the codecs with which it began.
	t.Run("AAC beside Opus", func(t *testing.T) {
		aac := file(t, primary)
		p := newHLSPlayers(t, func(url string) *mediatest.Publisher { return mediatest.Publish(t, aac, url, "-stream_loop", "-1") })
		p.goThroughSwitches()
		p.warnsOfMixedSound(true)
		p.ends()
	})
}

// hlsPlayers are players of HLS that watch a pair through a front.
type hlsPlayers struct {
	*relayedPair
	front    *front
	playlist string // the address of the playlist
	publish  [2]func() *mediatest.Publisher
	encoders [2]*mediatest.Publisher
	screens  []screen
	ffmpeg   *hlsPlayer
	reader   *hlsReader
	stop     func() // ends reader
}

// newHLSPlayers starts the pair, our page and ffmpeg. publishPrimary publishes to a URL of RTMP.
func newHLSPlayers(t *testing.T, publishPrimary func(url string) *mediatest.Publisher) *hlsPlayers {
	t.Helper()
	p := &hlsPlayers{relayedPair: startRelayedPair(t, sticky)}
	byWHIP := withOpus(t, mediatest.Programme{Leg: 1, Width: 480, Height: 270, GOPPhase: 700 * ms})
	p.publish = [2]func() *mediatest.Publisher{
		func() *mediatest.Publisher { return publishPrimary(p.servers[0].publishURL("primary")) },
		func() *mediatest.Publisher {
			return mediatest.PublishFFmpeg8(t, byWHIP, "whip", p.servers[1].url("whip/backup"))
		},
	}
	p.encoders[0] = p.publish[0]()
	p.play(0, true, false)
	p.encoders[1] = p.publish[1]()
	p.play(0, true, true)
	p.front = newFront(t, p.relayedPair)
	p.playlist = p.front.URL + "/live/streams/primary.m3u8?backupStreamId=backup"
	ours := screen{&page{t, mediatest.Browser(t)}, "hls.js", "streampair.video()"}
	ours.do(chromedp.Navigate(p.front.URL + "/live/play.html?" + url.Values{
		"name": {"primary"}, "backupStreamId": {"backup"}, "playOrder": {"hls"},
	}.Encode()))
	p.screens = []screen{ours}
	p.ffmpeg = playHLS(t, p.playlist)
	p.reader, p.stop = readHLS(t, p.front.URL)
	t.Cleanup(p.stop)
	return p
}

// see waits until all players see a leg, and tells how long each had no new picture.
func (p *hlsPlayers) see(what string, leg int, since time.Time) {
	p.t.Helper()
	for _, s := range p.screens {
		s.sees(leg)
	}
	seen := p.ffmpeg.sees(p.t, leg, since)
	gaps := []string{fmt.Sprintf("ffmpeg saw leg %d after %v", leg, seen.Sub(since).Round(ms))}
	for _, s := range p.screens {
		gaps = append(gaps, fmt.Sprintf("%s had no new picture for %v", s.name, s.longest()))
	}
	p.t.Logf("%s: %s", what, strings.Join(gaps, ", "))
}

func (p *hlsPlayers) goThroughSwitches() {
	p.t.Helper()
	began := time.Now()
	for _, s := range p.screens {
		s.sees(0)
		s.record()
	}
	p.see("at first", 0, began)
	for n := range *hlsSwitches {
		active, other := n%2, 1-n%2
		time.Sleep(2 * time.Second) // players that have caught up have something to lose
		killed := time.Now()
		p.encoders[active].Kill()
		p.play(other, other == 0, other == 1)
		p.see(fmt.Sprintf("switch %d", n), other, killed)
		p.encoders[active] = p.publish[active]()
		p.play(other, true, true)
	}
}

// goThroughRestarts ends the server of the leg on air and starts it again, and then the other one.
func (p *hlsPlayers) goThroughRestarts() {
	p.t.Helper()
	for n := range 2 {
		leg := (*hlsSwitches + n) % 2
		stays := 1 - leg
		killed := time.Now()
		p.front.doors[leg].Close()
		p.kill(leg)
		p.encoders[leg].Kill()
		p.see("the "+legIDs[leg]+"'s server ended", stays, killed)
		p.start(leg)
		p.areConnected()
		p.front.doors[leg].SetTarget(p.servers[leg].Addresses().HTTP)
		p.encoders[leg] = p.publish[leg]()
		p.play(stays, true, true)
		p.see("the "+legIDs[leg]+"'s server is back", stays, time.Now())
	}
}

// warnsOfMixedSound waits until both servers warn, or do not, that the legs' sounds differ.
func (p *hlsPlayers) warnsOfMixedSound(want bool) {
	p.t.Helper()
	eventually.True(p.t, fmt.Sprintf("a warning of mixed sound: %v", want), func() bool {
		return p.both(func(_ int, pair control.Pair) bool {
			return slices.ContainsFunc(pair.Legs[1].Warnings, func(w control.Warning) bool { return w.Code == "MixedSound" }) == want
		})
	})
}

func (p *hlsPlayers) ends() {
	p.t.Helper()
	p.stop()
	p.front.over.Store(true)
	p.front.gaveNoErrors(p.t, p.reader)
	p.t.Logf("%d playlists, %d discontinuities", p.reader.reads, len(p.reader.switched))
}
