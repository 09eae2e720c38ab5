package player_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/streampair/streampair/mediaserver/mediatest"
)

func TestPage(t *testing.T) {
	browser := mediatest.Browser(t)

	t.Run("autoplay=false waits for the play button", func(t *testing.T) {
		d := newFakeServer(t)
		v := open(t, browser, d.url("play.html"+pair+"&autoplay=false"))
		v.await(`streampair.state().phase === "idle"`)
		v.screenshot("idle")
		if got := d.offers(); got != 0 {
			t.Errorf("%d sessions were opened before the click", got)
		}
		v.click("#big-play")
		v.awaitPlaying(red)
	})

	t.Run("keys", func(t *testing.T) {
		d := newFakeServer(t)
		v := open(t, browser, d.url("play.html"+pair))
		v.awaitPlaying(red)
		v.press("m")
		v.await(`streampair.state().muted && streampair.video().muted`)
		v.press("m")
		v.await(`!streampair.video().muted`)
		v.press("k")
		v.await(`streampair.state().paused && streampair.video().paused`)
		v.press(" ")
		v.await(`!streampair.state().paused && !streampair.video().paused`)
		v.press("b")
		v.await(`text("badge-text") !== "" && !document.getElementById("badge").hidden`)
		v.press("i")
		v.await(`!document.getElementById("statistics").hidden`)
		v.press("f")
		v.await(`document.fullscreenElement !== null`)
		v.press("f")
		v.await(`document.fullscreenElement === null`)
	})

	t.Run("a player in somebody else's page tells it", func(t *testing.T) {
		d := newFakeServer(t)
		// localhost and 127.0.0.1 are different origins.
		address := strings.Replace(d.url("play.html"+pair), "127.0.0.1", "localhost", 1)
		v := viewer{t, mediatest.Tab(t, browser)}
		mediatest.Open(t, v.ctx, "http://"+d.address+"/elsewhere.html?player="+url.QueryEscape(address))
		mediatest.Await(t, v.ctx, limit, `heard.some(m => m.type === "streampair:playing" && m.detail.streamId === "primary") && heard.some(m => m.type === "streampair:active" && m.detail.role === "Primary")`, `heard`)
		d.switchTo("Backup", "backup", "PrimaryInputLost")
		mediatest.Await(t, v.ctx, limit, `heard.some(m => m.type === "streampair:active" && m.detail.role === "Backup")`, `heard`)
		v.screenshot("embedded")
	})

	t.Run("unknown ways to play are skipped with a notice", func(t *testing.T) {
		d := newFakeServer(t)
		v := open(t, browser, d.url("play.html?name=primary&playOrder=flv,dash"))
		v.await(`text("notice") === "This player cannot play “flv”, “dash” and uses WebRTC and HLS."`)
		v.awaitPlaying(red)
		v.screenshot("notice")
	})

	t.Run("a viewer who gets key pictures only is told", func(t *testing.T) {
		d := newFakeServer(t)
		v := open(t, browser, d.url("play.html"+pair))
		v.awaitPlaying(red)
		d.setState(func(s *pairState) { s.Reduced = true })
		v.await(`streampair.state().reduced && text("notice").startsWith("Too much is lost") && !document.getElementById("notice").hidden`)
		v.press("i")
		v.await(`document.getElementById("warnings").textContent.includes("Too much is lost")`)
		v.screenshot("reduced")
		d.setState(func(s *pairState) { s.Reduced = false })
		v.await(`!streampair.state().reduced && document.getElementById("notice").hidden && !document.getElementById("warnings").textContent.includes("Too much is lost")`)
	})

	t.Run("WebRTC plays at once where the server refuses HLS", func(t *testing.T) {
		d := newFakeServer(t)
		v := open(t, browser, d.url("play.html?name=primary&backupStreamId=backup&playOrder=hls,webrtc"))
		v.awaitPlaying(red)
		v.await(`heard[0].code === "refused" && streampair.state().protocol === "webrtc"`)
	})
}

func TestAnAddressThatCannotBePlayedSaysWhy(t *testing.T) {
	browser := mediatest.Browser(t)
	d := newFakeServer(t)
	for query, words := range map[string]string{
		"":                                   "The address names no stream.",
		"?name=":                             "The address names no stream.",
		"?name=%3Cscript%3E":                 "cannot be a stream's name",
		"?name=a&backupStreamId=a":           "A backup must be another stream",
		"?name=%FF%FE&token=%00":             "cannot be a stream's name",
		"?name=" + strings.Repeat("x", 3000): "cannot be a stream's name",
	} {
		v := open(t, browser, d.url("play.html"+query))
		v.await(fmt.Sprintf(`text("message").includes(%q)`, words))
		if query == "" {
			v.screenshot("no-name")
		}
	}
	if got := d.offers(); got != 0 {
		t.Errorf("%d sessions were opened", got)
	}
}

func TestABrowserThatInsistsStartsMutedWithOneTapToUnmute(t *testing.T) {
	browser := mediatest.Browser(t, chromedp.Flag("autoplay-policy", "document-user-activation-required"))
	d := newFakeServer(t)
	v := open(t, browser, d.url("play.html"+pair))
	v.awaitPlaying(red)
	v.await(`streampair.state().mutedByBrowser && streampair.video().muted && !document.getElementById("unmute").hidden`)
	v.screenshot("unmute")
	v.click("#unmute")
	v.await(`!streampair.state().muted && !streampair.video().muted && !streampair.video().paused && document.getElementById("unmute").hidden`)
	v.stays(time.Second, `!streampair.video().paused && colour() === "red"`)
}

func TestThePlayerFitsAPhone(t *testing.T) {
	browser := mediatest.Browser(t)
	d := newFakeServer(t)
	v := viewer{t, mediatest.Tab(t, browser)}
	v.do(chromedp.EmulateViewport(360, 740, chromedp.EmulateMobile, chromedp.EmulateScale(2)))
	mediatest.Open(t, v.ctx, d.url("play.html?name=primary&backupStreamId=backup&badge=1"))
	mediatest.Eval[string](t, v.ctx, inPage)
	v.awaitPlaying(red)
	inside := `[...document.querySelectorAll("button, #badge, #statistics, #curtain, #notice")].filter(e => e.offsetParent !== null).every(e => {
		const r = e.getBoundingClientRect();
		return r.left >= 0 && r.right <= innerWidth && r.top >= 0 && r.bottom <= innerHeight;
	}) && document.documentElement.scrollWidth <= innerWidth`
	v.await(inside)
	v.screenshot("phone-playing")
	d.setState(func(s *pairState) {
		s.setOnAir(false)
		s.Warnings = []warning{{"Primary", "BFrames", "The encoder sends B-frames, which WebRTC cannot carry. Turn them off: x264 bframes=0, in OBS “x264 options: bframes=0”."}}
	})
	v.await(`text("message") === "Both streams are away."`)
	v.await(inside)
	v.screenshot("phone-away")
	v.do(chromedp.Steps(chromedp.Click("#toggle-statistics", chromedp.NodeVisible)))
	v.await(`!document.getElementById("statistics").hidden && document.getElementById("warnings").textContent.includes("B-frames")`)
	v.await(inside)
	v.screenshot("phone-statistics")
}
