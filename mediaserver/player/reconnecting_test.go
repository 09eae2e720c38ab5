package player_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

func TestReconnecting(t *testing.T) {
	t.Parallel() // it waits most of the time
	browser := mediatest.Browser(t)

	t.Run("a stalled connection is replaced behind the last frame", func(t *testing.T) {
		d := newFakeServer(t)
		v := open(t, browser, d.url("play.html"+pair))
		v.awaitPlaying(red)
		v.eval(`(watchPicture(), window.pc = streampair.connection(), "")`)
		d.locked(func() {
			for _, s := range d.sessions {
				s.frozen = true
			}
		})
		v.await(`streampair.state().phase === "reconnecting"`)
		v.screenshot("reconnecting")
		v.await(`streampair.connection() !== window.pc && streampair.state().phase === "playing" && colour() === "red"`)
		v.await(`!colours.none && !colours.other && window.pc.connectionState === "closed"`)
		if got := d.offers(); got != 2 {
			t.Errorf("%d sessions were opened, want 2", got)
		}
		eventually.True(t, "the old session is deleted", func() bool { return get(d, func() int { return d.deletes }) == 1 })
		if s := v.state(); s.Muted {
			t.Errorf("the new connection is muted")
		}
	})

	t.Run("a session that the page itself has ended is no failure", func(t *testing.T) {
		d := newFakeServer(t)
		v := open(t, browser, d.url("play.html"+pair))
		v.awaitPlaying(red)
		v.eval(`(dispatchEvent(new PageTransitionEvent("pagehide", {persisted: true})), "")`)
		v.await(`streampair.state().phase === "idle" && streampair.state().picture`)
		v.eval(`(dispatchEvent(new PageTransitionEvent("pageshow", {persisted: true})), "")`)
		v.await(`streampair.state().connectionsOpened === 2 && streampair.state().phase === "playing" && colour() === "red" && !heard.some(e => e.type === "error")`)
	})

	t.Run("a server that is about to end is left before it does", func(t *testing.T) {
		d := newFakeServer(t)
		v := open(t, browser, d.url("play.html"+pair))
		v.awaitPlaying(red)
		v.eval(`(watchPicture(), window.pc = streampair.connection(), heard.length = 0, "")`)
		refused := 0
		d.locked(func() {
			d.refuse = func(w http.ResponseWriter) bool {
				if refused++; refused > 1 {
					return false
				}
				w.Header().Set("Retry-After", "1")
				http.Error(w, "the server is shutting down; reconnect", http.StatusServiceUnavailable)
				return true
			}
		})
		d.setState(func(s *pairState) { s.Draining = true })
		d.locked(func() { d.state.Draining = false }) // the next request reaches another server
		v.await(`streampair.connection() !== window.pc && streampair.state().phase === "playing" && colour() === "red"`)
		v.await(`!colours.none && !colours.other && window.pc.connectionState === "closed" && !heard.some(e => e.type === "waiting")`)
		eventually.True(t, "the old session is deleted", func() bool { return get(d, func() int { return d.deletes }) == 1 })
		v.stays(3*time.Second, `streampair.state().phase === "playing"`)
		if got := d.offers(); got != 3 {
			t.Errorf("%d offers were made, want 3: the first, one that was refused, one more", got)
		}
	})

	t.Run("a server that dies and returns is found again", func(t *testing.T) {
		d := newFakeServer(t)
		v := open(t, browser, d.url("play.html"+pair))
		v.awaitPlaying(red)
		v.eval(`(watchPicture(), "")`)
		d.crash()
		v.await(`streampair.state().phase === "reconnecting" && text("message") === "Connection lost, reconnecting…"`)
		v.stays(4*time.Second, `streampair.state().phase === "reconnecting" && colour() === "red"`)
		before := d.offers()
		d.restart()
		v.awaitPlaying(red)
		v.await(`!colours.none && !colours.other`)
		t.Logf("%d attempts reached the server", d.offers()-before)
	})

	t.Run("events lost do not stop the picture", func(t *testing.T) {
		d := newFakeServer(t)
		v := open(t, browser, d.url("play.html"+pair))
		v.awaitPlaying(red)
		d.locked(func() { d.noFeed = true })
		v.await(`!streampair.state().eventsConnected`)
		v.stays(5*time.Second, `streampair.state().phase === "playing"`)
		if got := d.offers(); got != 1 {
			t.Errorf("%d sessions were opened, want 1", got)
		}
		d.locked(func() { d.noFeed = false })
		v.await(`streampair.state().eventsConnected`)
	})

	t.Run("a full server is asked again when it says so", func(t *testing.T) {
		d := newFakeServer(t)
		d.refuse = func(w http.ResponseWriter) bool {
			w.Header().Set("Retry-After", "3")
			http.Error(w, "too many viewers", http.StatusServiceUnavailable)
			return true
		}
		v := open(t, browser, d.url("play.html"+pair))
		v.await(`text("message") === "The server cannot take more viewers at the moment." && heard.some(e => e.type === "error" && e.code === "unavailable" && e.retrying) || streampair.state().phase === "reconnecting"`)
		v.screenshot("full")
		eventually.True(t, "three offers", func() bool { return d.offers() >= 3 })
		posts := get(d, func() []time.Time { return d.posts })
		for i := 1; i < len(posts); i++ {
			if gap := posts[i].Sub(posts[i-1]); gap < 2900*time.Millisecond {
				t.Errorf("asked again after %s, though told to wait 3 s", gap)
			}
		}
		d.locked(func() { d.refuse = nil })
		v.awaitPlaying(red)
	})

	t.Run("a wrong token is said and not hammered", func(t *testing.T) {
		d := newFakeServer(t)
		d.refuse = func(w http.ResponseWriter) bool {
			http.Error(w, "unauthorized", http.StatusUnauthorized)
			return true
		}
		v := open(t, browser, d.url("play.html"+pair+"&token=wrong"))
		v.await(`text("message").startsWith("This stream needs a valid token.") && text("retry") === "Try again"`)
		v.screenshot("unauthorized")
		time.Sleep(5 * time.Second)
		if got := d.offers(); got != 1 {
			t.Errorf("%d offers within 5 s, want 1", got)
		}
		d.locked(func() { d.refuse = nil })
		v.click("#retry")
		v.awaitPlaying(red)
	})

	t.Run("a hidden page sees no stall", func(t *testing.T) {
		d := newFakeServer(t)
		v := open(t, browser, d.url("play.html"+pair))
		v.awaitPlaying(red)
		v.eval(`(Object.defineProperty(document, "hidden", {configurable: true, get: () => true}), document.dispatchEvent(new Event("visibilitychange")), "")`)
		d.locked(func() {
			for _, s := range d.sessions {
				s.frozen = true
			}
		})
		v.stays(6*time.Second, `streampair.state().phase === "playing" && streampair.state().connectionsOpened === 1`)
		v.eval(`(delete document.hidden, document.dispatchEvent(new Event("visibilitychange")), "")`)
		v.await(`streampair.state().connectionsOpened === 2`)
		v.awaitPlaying(red)
	})
}
