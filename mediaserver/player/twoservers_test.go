package player_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// onPair opens the player at the primary's own address and waits until it plays from there.
func onPair(t *testing.T, v viewer) {
	t.Helper()
	v.awaitPlaying(red)
	v.await(`streampair.state().servedBy === "Primary"`)
	v.eval(`(watchPicture(), watchFrames(), window.pc = streampair.connection(), heard.length = 0, "")`)
}

// awaitMoved waits until the picture comes from the backup's server. The picture must not go
// meanwhile. awaitMoved returns the longest time without a new picture.
func (v viewer) awaitMoved() time.Duration {
	v.t.Helper()
	v.await(`streampair.connection() !== window.pc && streampair.state().phase === "playing" && streampair.state().servedBy === "Backup" && colour() === "red"`)
	v.await(`!colours.none && !colours.other && window.pc.connectionState === "closed" && !streampair.state().pending && performance.now() - frames.at(-1) < 200`)
	gap := time.Duration(mediatest.Eval[float64](v.t, v.ctx, `longestGap()`) * float64(time.Millisecond))
	v.t.Logf("longest time without a new picture: %s; %d connections in all", gap.Round(time.Millisecond), v.state().ConnectionsOpened)
	return gap
}

func (d *fakeServer) viewers() int { return get(d, func() int { return len(d.sessions) }) }

func TestTwoServers(t *testing.T) {
	browser := mediatest.Browser(t)

	t.Run("a server that is killed is left for the other within a second", func(t *testing.T) {
		primary, backup := newFakePair(t)
		v := open(t, browser, primary.url("play.html"+pair))
		onPair(t, v)
		primary.kill()
		if gap := v.awaitMoved(); gap > 5*time.Second {
			t.Errorf("no new picture for %s", gap)
		}
		if got := backup.offers(); got != 1 {
			t.Errorf("%d sessions were opened at the other server, want 1", got)
		}
		if v.state().Muted {
			t.Error("the new connection is muted")
		}
	})

	t.Run("a server that hangs is left for the other within three seconds", func(t *testing.T) {
		primary, backup := newFakePair(t)
		v := open(t, browser, primary.url("play.html"+pair))
		onPair(t, v)
		primary.hang()
		if gap := v.awaitMoved(); gap > 10*time.Second {
			t.Errorf("no new picture for %s", gap)
		}
		primary.wake()
		v.stays(2*time.Second, `streampair.state().phase === "playing" && streampair.state().servedBy === "Backup"`)
		if got := backup.viewers(); got != 1 {
			t.Errorf("%d sessions at the other server, want 1", got)
		}
	})

	t.Run("a server that closes the connection is left for the other at once", func(t *testing.T) {
		primary, _ := newFakePair(t)
		v := open(t, browser, primary.url("play.html"+pair))
		onPair(t, v)
		primary.crash()
		if gap := v.awaitMoved(); gap > 5*time.Second {
			t.Errorf("no new picture for %s", gap)
		}
	})

	t.Run("a server that is about to end is left for the other without a gap", func(t *testing.T) {
		primary, backup := newFakePair(t)
		v := open(t, browser, primary.url("play.html"+pair))
		onPair(t, v)
		primary.locked(func() {
			primary.refuse = func(w http.ResponseWriter) bool {
				w.Header().Set("Retry-After", "1")
				http.Error(w, "the server is shutting down; reconnect", http.StatusServiceUnavailable)
				return true
			}
		})
		primary.setState(func(s *pairState) { s.Draining = true })
		if gap := v.awaitMoved(); gap > 2500*time.Millisecond {
			t.Errorf("no new picture for %s", gap)
		}
		v.await(`!heard.some(e => e.type === "waiting")`)
		eventually.True(t, "the old session is deleted", func() bool { return primary.viewers() == 0 })
		if first, second := primary.offers(), backup.offers(); first != 1 || second != 1 {
			t.Errorf("%d and %d sessions were opened, want one each", first, second)
		}
	})

	t.Run("a page that comes to a server about to end is sent to the other", func(t *testing.T) {
		primary, backup := newFakePair(t)
		primary.refuse = func(w http.ResponseWriter) bool {
			w.Header().Set("Retry-After", "60")
			w.Header().Set("Link", "<http://"+backup.address+`>; rel="alternate"`)
			http.Error(w, "the server is shutting down; reconnect", http.StatusServiceUnavailable)
			return true
		}
		v := open(t, browser, primary.url("play.html"+pair))
		v.awaitPlaying(red)
		v.await(`streampair.state().servedBy === "Backup"`)
	})

	t.Run("a session that is gone while nothing is on air is opened anew, once", func(t *testing.T) {
		primary, backup := newFakePair(t)
		v := open(t, browser, primary.url("play.html"+pair))
		onPair(t, v)
		for _, d := range []*fakeServer{primary, backup} {
			d.setState(func(s *pairState) { s.setOnAir(false) })
		}
		v.await(`text("message") === "Both streams are away."`)
		primary.locked(primary.forget)
		eventually.True(t, "a session at one of the servers", func() bool { return primary.viewers()+backup.viewers() > 0 })
		v.await(`streampair.state().phase === "waiting" && text("message") === "Both streams are away."`)
		eventually.True(t, "no more than one", func() bool { return primary.viewers()+backup.viewers() == 1 })
		opened := v.state().ConnectionsOpened
		v.stays(4*time.Second, `streampair.state().phase === "waiting" && colour() === "red"`)
		if now := v.state().ConnectionsOpened; now != opened {
			t.Errorf("%d more connections were opened while nothing is on air", now-opened)
		}
		for _, d := range []*fakeServer{primary, backup} {
			d.switchTo("Backup", "backup", "PrimaryInputLost")
		}
		v.awaitPlaying(blue)
	})

	t.Run("a short gap of the network, a page that was stuck or frozen: no new connection", func(t *testing.T) {
		primary, backup := newFakePair(t)
		v := open(t, browser, primary.url("play.html"+pair))
		onPair(t, v)
		primary.hang()
		time.Sleep(400 * time.Millisecond)
		primary.wake()
		v.stays(2*time.Second, `streampair.state().phase === "playing"`)
		v.eval(`(() => { for (const end = performance.now() + 3000; performance.now() < end;); return ""; })()`)
		v.stays(2*time.Second, `streampair.state().phase === "playing"`)
		if first, second := primary.offers(), backup.offers(); first != 1 || second != 0 {
			t.Errorf("%d and %d sessions were opened, want 1 and none", first, second)
		}
	})

	t.Run("two servers that are both gone are not stormed", func(t *testing.T) {
		primary, backup := newFakePair(t)
		v := open(t, browser, primary.url("play.html"+pair))
		onPair(t, v)
		backup.kill()
		primary.kill()
		v.await(`streampair.state().phase === "reconnecting"`)
		time.Sleep(10 * time.Second)
		opened := v.state().ConnectionsOpened
		t.Logf("%d attempts in 10 s", opened-1)
		// Each of the two servers is tried three times at once, then after growing
		// waits of 0.5 s and more.
		if opened > 1+2*(3+8) {
			t.Errorf("%d connections were tried within 10 s", opened-1)
		}
		v.stays(time.Second, `colour() === "red"`)
		backup.restart()
		v.awaitMoved()
	})
}
