package player_test

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"github.com/streampair/streampair/mediaserver/mediatest"
)

func TestElementByKeyboard(t *testing.T) {
	browser := mediatest.Browser(t)
	d := newFakeServer(t)
	s := newSite(t, browser, origin(d), "", loading+element+`<a href="#" id="after">After</a>`)
	s.await(`plays("red")`)
	var reached []string
	for range 20 {
		s.press("\t")
		at := s.eval(`focused()`)
		if at == "after" {
			break
		}
		if name := s.eval(`(e => e.getAttribute("aria-label") || e.textContent.trim())(document.activeElement.shadowRoot.activeElement)`); name == "" {
			t.Errorf("#%s has no name", at)
		}
		reached = append(reached, at)
	}
	if want := []string{"pause", "mute", "volume", "captions", "toggle-badge", "toggle-statistics", "picture-in-picture", "fullscreen"}; !slices.Equal(visible(s, want), reached) {
		t.Errorf("the keyboard reaches %q, want %q", reached, visible(s, want))
	}
	press := func(id, key, until string) {
		t.Helper()
		s.run(fmt.Sprintf(`part(%q).focus()`, id))
		s.press(key)
		s.await(until)
	}
	press("mute", " ", `one.muted && part("mute").getAttribute("aria-label") === "Unmute"`)
	press("mute", "\r", `!one.muted`)
	press("pause", "\r", `one.paused && text("announcer") === "Paused"`)
	press("pause", "k", `!one.paused`)
	press("volume", kb.ArrowLeft, `one.volume < 1 && one.video.volume < 1`)
	press("mute", kb.ArrowUp, `one.volume === 1`)
	press("toggle-badge", "\r", `text("badge") === "Primary · primary" && part("toggle-badge").getAttribute("aria-pressed") === "true"`)
	press("toggle-statistics", "\r", `!part("statistics").hidden && part("toggle-statistics").getAttribute("aria-expanded") === "true"`)
	press("close-statistics", "\r", `part("statistics").hidden && focused() === "toggle-statistics"`)
	press("fullscreen", "\r", `one.matches(":fullscreen") && part("fullscreen").getAttribute("aria-label") === "Leave full screen"`)
	press("fullscreen", "f", `!one.matches(":fullscreen")`)
	// The element as a whole takes the focus too, and its properties follow the keys.
	s.run(`document.getElementById("after").focus(); one.badge = one.statistics = true; one.focus()`)
	s.press("b")
	s.press("i")
	s.await(`document.activeElement === one && !one.badge && !one.statistics && part("badge").hidden && part("statistics").hidden`)
	s.run(`one.badge = one.statistics = true`)
	s.await(`!part("badge").hidden && !part("statistics").hidden`)
	s.press(kb.Escape)
	s.await(`!one.statistics && one.badge`)
	s.press(" ")
	s.await(`one.paused`)
	s.press("k")
	s.await(`!one.paused`)
	// Keys elsewhere in the page are the page's.
	s.run(`document.getElementById("after").focus()`)
	s.press("m")
	s.press("k")
	s.stays(time.Second, `!one.muted && !one.paused`)
}

// visible leaves out what the browser cannot do.
func visible(s site, ids []string) (shown []string) {
	for _, id := range ids {
		if mediatest.Eval[bool](s.t, s.ctx, fmt.Sprintf(`!part(%q).hidden`, id)) {
			shown = append(shown, id)
		}
	}
	return shown
}

// TestAccessibility has axe-core look at the player in all its states.
func TestAccessibility(t *testing.T) {
	browser := mediatest.Browser(t)
	axe, err := os.ReadFile("node_modules/axe-core/axe.min.js")
	if err != nil {
		t.Fatal("this test needs axe-core: run make build")
	}
	check := func(t *testing.T, v viewer, what string) {
		t.Helper()
		v.eval(string(axe) + "\n;\"axe\"")
		type violation struct {
			ID, Impact, Help string
			Nodes            []struct{ HTML, FailureSummary string }
		}
		result := decode[struct {
			Violations []violation
			Passes     int
		}](v, `axe.run(document, {resultTypes: ["violations"]}).then(r => JSON.stringify({violations: r.violations, passes: r.passes.length}))`)
		if result.Passes < 10 {
			t.Errorf("%s: only %d rules were checked", what, result.Passes)
		}
		for _, found := range result.Violations {
			t.Errorf("%s: %s (%s): %s: %+v", what, found.ID, found.Impact, found.Help, found.Nodes)
		}
	}

	t.Run("the element", func(t *testing.T) {
		d := newFakeServer(t)
		s := newSite(t, browser, origin(d), "", loading+element+strings.NewReplacer("one", "two", "autoplay", "").Replace(element))
		s.await(`plays("red")`)
		check(t, s.viewer, "playing and idle")
		s.run(`one.badge = one.statistics = true`)
		d.setState(func(p *pairState) {
			p.Reduced = true
			p.Warnings = []warning{{"Primary", "BFrames", "The encoder sends B-frames."}}
		})
		s.await(`text("warnings").includes("B-frames")`)
		check(t, s.viewer, "with statistics, badge and notice")
		d.setState(func(p *pairState) { p.setOnAir(false) })
		s.await(`text("message") === "Both streams are away."`)
		check(t, s.viewer, "waiting")
		d.locked(func() {
			d.refuse = func(w http.ResponseWriter) bool {
				http.Error(w, "unauthorized", http.StatusUnauthorized)
				return true
			}
		})
		s.run(`two.play()`)
		s.await(`two.state.phase === "error" && !part("retry", two).hidden`)
		check(t, s.viewer, "refused")
	})

	t.Run("the publisher's page", func(t *testing.T) {
		v := openPublisher(t, browser, newFakeServer(t), "?name=primary")
		check(t, v, "ready")
		v.click("#start")
		mediatest.Await(t, v.ctx, limit, `streampair.state().phase === "live"`, publisherState)
		check(t, v, "live")
	})

	t.Run("the page", func(t *testing.T) {
		d := newFakeServer(t)
		v := open(t, browser, d.url("play.html"+pair+"&badge=1&statistics=1"))
		v.awaitPlaying(red)
		check(t, v, "playing")
		v = open(t, browser, d.url("play.html"))
		v.await(`text("message").startsWith("The address names no stream.")`)
		check(t, v, "without a name")
	})
}
