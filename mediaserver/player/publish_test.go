package player_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/pion/webrtc/v4"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

const publisherState = `({state: window.streampair?.state(), text: document.body.innerText})`

func openPublisher(t *testing.T, browser context.Context, d *fakeServer, query string) viewer {
	t.Helper()
	v := open(t, browser, d.url("publish.html"+query))
	mediatest.Await(t, v.ctx, limit, `text("message") === "Ready. Nothing is sent yet."`, publisherState)
	return v
}

func (d *fakeServer) packets(mime string) int { return get(d, func() int { return d.received[mime] }) }

func TestPublisher(t *testing.T) {
	browser := mediatest.Browser(t, chromedp.Flag("host-resolver-rules", "MAP example.test 127.0.0.1"))
	await := func(v viewer, expression string) {
		v.t.Helper()
		mediatest.Await(v.t, v.ctx, limit, expression, publisherState)
	}

	t.Run("the camera and the microphone are sent as H.264 and Opus", func(t *testing.T) {
		d := newFakeServer(t)
		v := openPublisher(t, browser, d, "?name=primary&token=secret")
		v.screenshot("publish-ready")
		v.click("#start")
		await(v, `streampair.state().phase === "live" && text("message") === "Publishing as “primary”."`)
		eventually.True(t, "pictures and sound arrive", func() bool {
			return d.packets(webrtc.MimeTypeH264) > 30 && d.packets(webrtc.MimeTypeOpus) > 30
		})
		await(v, `text("figures").includes("frames/s") && document.getElementById("watch-link").href.endsWith("/live/play.html?name=primary")`)
		v.screenshot("publish-live")
		if got := get(d, func() string { return d.tokens[0] }); got != "Bearer secret" {
			t.Errorf("authorization %q", got)
		}
		v.click("#stop")
		eventually.True(t, "the session is deleted", func() bool { return get(d, func() int { return d.deletes }) == 1 })
		await(v, `streampair.state().phase === "off" && text("message") === "Ready. Nothing is sent yet."`)
	})

	t.Run("a wrong token and a name in use are said in words", func(t *testing.T) {
		d := newFakeServer(t)
		d.refuse = func(w http.ResponseWriter) bool {
			http.Error(w, "unauthorized", http.StatusUnauthorized)
			return true
		}
		v := openPublisher(t, browser, d, "?name=primary")
		v.click("#start")
		await(v, `text("message").startsWith("Publishing needs a valid token.")`)
		v.screenshot("publish-unauthorized")
		v.click("#stop")
		d.locked(func() {
			d.refuse = func(w http.ResponseWriter) bool {
				http.Error(w, "stream in use", http.StatusConflict)
				return true
			}
		})
		v.click("#start")
		await(v, `text("message").includes("Somebody else is publishing “primary” now. The server says: stream in use Trying again by itself")`)
		d.locked(func() { d.refuse = nil })
		await(v, `streampair.state().phase === "live"`)
	})

	t.Run("a server that dies and returns is found again", func(t *testing.T) {
		d := newFakeServer(t)
		v := openPublisher(t, browser, d, "?name=primary")
		v.click("#start")
		await(v, `streampair.state().phase === "live"`)
		d.crash()
		await(v, `streampair.state().phase === "waiting"`)
		d.restart()
		await(v, `streampair.state().phase === "live"`)
	})

	t.Run("sources change while publishing", func(t *testing.T) {
		d := newFakeServer(t)
		v := openPublisher(t, browser, d, "?name=primary")
		v.click("#start")
		await(v, `streampair.state().phase === "live"`)
		choose := func(id, option string) {
			v.eval(`(() => { const list = document.getElementById("` + id + `"); list.value = ` + option + `; list.dispatchEvent(new Event("change")); return ""; })()`)
		}
		// Another device of the same kind is used in the same session.
		choose("microphone", `list.options[list.options.length - 2].value`)
		v.stays(2*time.Second, `streampair.state().phase === "live"`)
		if got := d.offers(); got != 1 {
			t.Errorf("%d sessions, want 1", got)
		}
		// Without a picture there is one track less, which needs a new session.
		choose("camera", `"none"`)
		eventually.True(t, "a second session", func() bool { return d.offers() == 2 })
		await(v, `streampair.state().phase === "live" && !document.getElementById("empty").hidden`)
		choose("microphone", `"none"`)
		await(v, `text("message").startsWith("Choose a picture or a sound") && streampair.state().phase === "off"`)
	})

	t.Run("a name that cannot be one is said before anything is sent", func(t *testing.T) {
		d := newFakeServer(t)
		v := openPublisher(t, browser, d, "?name=a/b")
		v.click("#start")
		await(v, `text("message").includes("cannot be a stream's name")`)
		if got := d.offers(); got != 0 {
			t.Errorf("%d sessions, want 0", got)
		}
	})

	t.Run("a page that is not secure says what to do", func(t *testing.T) {
		d := newFakeServer(t)
		v := viewer{t, mediatest.Tab(t, browser)}
		// Browsers offer cameras only for localhost and https. A plain name is neither.
		address := strings.Replace(d.url("publish.html?name=primary"), "127.0.0.1", "example.test", 1)
		mediatest.Open(t, v.ctx, address)
		v.eval(inPage)
		await(v, `text("message").includes("Open this page over https://, or on localhost.")`)
	})

	t.Run("it fits a phone", func(t *testing.T) {
		d := newFakeServer(t)
		v := viewer{t, mediatest.Tab(t, browser)}
		v.do(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile, chromedp.EmulateScale(2)))
		mediatest.Open(t, v.ctx, d.url("publish.html?name=primary"))
		v.eval(inPage)
		await(v, `text("message") === "Ready. Nothing is sent yet." && document.documentElement.scrollWidth <= innerWidth`)
		v.screenshot("publish-phone")
	})
}
