package server

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// blockable makes a page's WebRTC connections as a firewall leaves them, until the page is told
// otherwise: offers are answered, and no candidate leads anywhere.
const blockable = `{
	const Real = RTCPeerConnection;
	window.RTCPeerConnection = class extends Real {
		constructor(configuration) {
			super(window.webrtcAllowed ? configuration : {...configuration, iceTransportPolicy: "relay"});
		}
	};
}`

// onScreen is the time code of the picture on screen and the protocol that brought it, or null.
const onScreen = `(() => {
	const video = streampair.video();
	const shown = video && video.classList.contains("shown") && streampair.state().picture && (` + mediatest.TimeCodeJS + `)(video);
	return shown ? {leg: shown.leg, frame: shown.frame, protocol: streampair.state().protocol} : null;
})()`

// sees waits until the page shows moving pictures of a leg by a protocol.
func (p *page) sees(leg int, protocol string) {
	p.t.Helper()
	type shown struct {
		Leg, Frame int
		Protocol   string
	}
	frames := make(map[int]bool)
	var last *shown
	defer func() { p.t.Logf("on screen: %+v", last) }()
	eventually.True(p.t, fmt.Sprintf("the page shows leg %d by %s", leg, protocol), func() bool {
		last = evaluate[*shown](p, onScreen)
		if last != nil && last.Leg == leg && last.Protocol == protocol {
			frames[last.Frame] = true
		}
		return len(frames) > 5
	})
}

func TestThePagePlaysByHLSWhileWebRTCIsBlocked(t *testing.T) {
	s := startServer(t, sticky)
	p := &page{t, mediatest.Browser(t)}
	publish := func(leg int) *mediatest.Publisher {
		programme := mediatest.Programme{Leg: leg}
		if leg == 1 {
			programme.Width, programme.Height = 480, 270
		}
		return mediatest.Publish(t, file(t, programme), s.publishURL(legIDs[leg]), "-stream_loop", "-1")
	}
	primary := publish(0)
	s.onAir(legIDs[0], true, false)
	publish(1)
	s.onAir(legIDs[0], true, true)

	p.do(chromedp.Navigate(s.url("play.html", "name", "primary", "backupStreamId", "backup", "statistics", "1", "autoplay", "false")),
		chromedp.Evaluate[chromedp.Void](blockable), chromedp.Evaluate[chromedp.Void](`streampair.play()`))
	p.sees(0, "hls")
	eventually.True(t, "the statistics tell HLS", func() bool {
		return evaluate[bool](p, `(streampair.stats().then(s => window.last = s), window.last?.protocol === "hls" && last.fps > 10 && last.bitrateBPS > 0 && last.delayMs > 0 && last.rebufferings >= 0)`)
	})
	t.Log(evaluate[string](p, `JSON.stringify(last)`))

	const paused = 8 * time.Second
	p.do(chromedp.Evaluate[chromedp.Void](`streampair.togglePause()`))
	time.Sleep(paused)
	p.do(chromedp.Evaluate[chromedp.Void](`streampair.togglePause()`))
	p.sees(0, "hls")
	eventually.True(t, "playback goes on near the live edge", func() bool {
		return evaluate[float64](p, `(streampair.stats().then(s => window.last = s), window.last.delayMs)`) < float64(paused.Milliseconds()/2)
	})
	if muted := evaluate[bool](p, `(streampair.toggleMute(), streampair.video().muted && streampair.state().muted)`); !muted {
		t.Error("the element of HLS is not muted")
	}

	primary.Kill()
	p.sees(1, "hls")

	p.do(chromedp.Evaluate[chromedp.Void](`window.webrtcAllowed = true`))
	p.sees(1, "webrtc")
	if muted := evaluate[bool](p, `streampair.video().muted`); !muted {
		t.Error("the element of WebRTC is not muted")
	}
	eventually.True(t, "the page has ended HLS", func() bool {
		return evaluate[bool](p, `!document.getElementById("hls").hasAttribute("src") && streampair.state().phase === "playing"`)
	})
}

func TestThePageWaitsForHLSWithoutAStorm(t *testing.T) {
	s := startServer(t, sticky)
	p := s.open("name", "primary", "backupStreamId", "backup", "playOrder", "hls")
	calm := func() {
		t.Helper()
		const asked = `performance.getEntriesByType("resource").filter(r => r.name.includes(".m3u8")).length`
		before := evaluate[int](p, asked)
		time.Sleep(10 * time.Second)
		if n := evaluate[int](p, asked) - before; n > 10 {
			t.Errorf("%d playlists were asked for in 10 s", n)
		}
	}
	p.says("Waiting for the stream")
	calm()
	programme := file(t, mediatest.Programme{Leg: 1})
	backup := mediatest.Publish(t, programme, s.publishURL("backup"), "-stream_loop", "-1")
	p.sees(1, "hls")
	backup.Kill()
	p.says("Both streams are away.")
	calm()
	mediatest.Publish(t, programme, s.publishURL("backup"), "-stream_loop", "-1")
	p.sees(1, "hls")
	if n := p.connections(); n != 0 {
		t.Errorf("the page opened %d WebRTC sessions", n)
	}
}

func TestThePageAsksForTheStreamAloneByHLSAndForATapForItsSound(t *testing.T) {
	s := startServer(t, sticky)
	for leg, id := range legIDs {
		mediatest.Publish(t, file(t, mediatest.Programme{Leg: leg}), s.publishURL(id), "-stream_loop", "-1")
	}
	eventually.True(t, "both legs are live", func() bool {
		legs := s.pair("sunday").Legs
		return len(legs) == 2 && legs[0].Live && legs[1].Live
	})
	if err := s.Select("sunday", "Primary"); err != nil {
		t.Fatal(err)
	}
	s.onAir(legIDs[0], true, true)
	p := &page{t, mediatest.Browser(t, chromedp.Flag("autoplay-policy", "document-user-activation-required"))}
	p.do(chromedp.Navigate(s.url("play.html", "name", "backup", "playOrder", "hls")))
	p.sees(1, "hls") // the pair plays the other leg
	eventually.True(t, "the page asks for a tap", func() bool {
		return evaluate[bool](p, `streampair.state().mutedByBrowser && streampair.video().muted`)
	})
	p.do(chromedp.Click("#unmute", chromedp.NodeVisible))
	eventually.True(t, "the page has sound", func() bool {
		return evaluate[bool](p, `!streampair.state().muted && !streampair.video().muted && !streampair.video().paused`)
	})
}

func TestThePagePlaysByHLSWhileWebRTCHasKeyPicturesOnly(t *testing.T) {
	var mu sync.Mutex
	isReduced, changed := false, make(chan struct{})
	s := startServer(t, sticky, func(c *Config) {
		c.reduced = func(string) (bool, <-chan struct{}) {
			mu.Lock()
			defer mu.Unlock()
			return isReduced, changed
		}
	})
	reduce := func(to bool) {
		mu.Lock()
		defer mu.Unlock()
		isReduced = to
		close(changed)
		changed = make(chan struct{})
	}
	s.replay("primary", mediatest.Programme{}, mediatest.ReplayOptions{})
	s.onAir("primary", true, false)
	p := s.open("name", "primary", "backupStreamId", "backup")
	p.sees(0, "webrtc")
	reduce(true)
	p.sees(0, "hls")
	reduce(false)
	p.sees(0, "webrtc")
}
