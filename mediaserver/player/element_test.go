package player_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// elementTools is the script of a page with custom elements: their events, the colour of their
// picture, and what the page's policy was violated by.
const elementTools = `
window.heard = [];
window.violations = [];
document.addEventListener("securitypolicyviolation", e => violations.push(e.violatedDirective + " " + e.blockedURI));
window.listen = element => {
	for (const type of ["ready", "playing", "waiting", "stalled", "switched", "error", "tokenexpiring", "pausechange", "volumechange"])
		element.addEventListener(type, e => heard.push({type, of: element.id, ...e.detail}));
};
document.querySelectorAll("stream-pair").forEach(listen);
window.part = (id, element = document.querySelector("stream-pair")) => element.shadowRoot.getElementById(id);
window.text = (id, element) => part(id, element).hidden ? "" : part(id, element).textContent.trim();
window.colour = (element = document.querySelector("stream-pair")) => {
	const v = element.video;
	if (!v || v.readyState < 2 || !v.videoWidth || !element.state.picture) return "none";
	const canvas = document.createElement("canvas");
	canvas.width = canvas.height = 1;
	const context = canvas.getContext("2d");
	context.drawImage(v, v.videoWidth / 2, v.videoHeight / 3, 1, 1, 0, 0, 1, 1);
	const [r, , b] = context.getImageData(0, 0, 1, 1).data;
	return r > 120 && b < 90 ? "red" : b > 120 && r < 90 ? "blue" : "other";
};
window.plays = (want, element = document.querySelector("stream-pair")) => element?.state?.phase === "playing" && colour(element) === want;
window.focused = () => document.activeElement?.shadowRoot?.activeElement?.id ?? document.activeElement?.id ?? "";
`

// A site is a page of another origin than the server's.
type site struct {
	viewer
	url string
}

// newSite opens a page with that body, under that policy if it is not empty. SERVER in both stands
// for the server's origin.
func newSite(t *testing.T, browser context.Context, server, policy, body string) site {
	t.Helper()
	if _, err := os.Stat("dist/play.html"); err != nil {
		t.Fatal("the player was not built: run make build")
	}
	fill := func(text string) string { return strings.ReplaceAll(text, "SERVER", server) }
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) {
		if policy != "" {
			w.Header().Set("Content-Security-Policy", fill(policy))
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprintf(w, "<!doctype html>\n<html lang=\"en\"><title>Site</title>\n<main><h1>Site</h1>\n%s\n</main>\n<script src=\"/tools.js\"></script></html>\n", fill(body))
	})
	mux.HandleFunc("GET /token", renewedToken)
	mux.HandleFunc("GET /tools.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		_, _ = w.Write([]byte(elementTools))
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	page := site{viewer{t, mediatest.Tab(t, browser)}, s.URL}
	mediatest.Open(t, page.ctx, s.URL)
	return page
}

func (s site) await(expression string) {
	s.t.Helper()
	mediatest.Await(s.t, s.ctx, limit, expression,
		`({state: document.querySelector("stream-pair")?.state, heard: window.heard, violations: window.violations, said: document.querySelector("stream-pair")?.shadowRoot?.textContent, focused: focused()})`)
}

func (s site) run(script string) {
	s.t.Helper()
	s.eval("(() => {" + script + "; return \"\"; })()")
}

const (
	loading = `<script src="SERVER/live/player.js"></script>`
	element = `<stream-pair id="one" name="primary" backup="backup" play-order="webrtc" autoplay controls></stream-pair>`
)

func origin(d *fakeServer) string { return "http://" + d.address }

// ended counts the sessions that viewers have ended.
func (d *fakeServer) ended() int { return get(d, func() int { return d.deletes }) }

func TestElement(t *testing.T) {
	browser := mediatest.Browser(t)

	t.Run("in a page of another origin", func(t *testing.T) {
		d := newFakeServer(t)
		s := newSite(t, browser, origin(d), "", loading+element)
		s.await(`plays("red")`)
		s.await(`heard.some(e => e.type === "playing" && e.streamId === "primary" && e.width === 640) && !heard.some(e => e.type === "switched")`)
		s.screenshot("element")
		d.switchTo("Backup", "backup", "PrimaryInputLost")
		s.await(`plays("blue") && heard.some(e => e.type === "switched" && e.role === "Backup" && e.reason === "PrimaryInputLost" && e.switches === 1)`)
		s.await(`text("announcer") === "Playing live: Backup · backup"`)
		d.setState(func(p *pairState) { p.setOnAir(false) })
		s.await(`heard.some(e => e.type === "stalled" && e.message === "Both streams are away.") && text("message") === "Both streams are away."`)
		d.switchTo("Primary", "primary", "Selected")
		s.await(`plays("red") && heard.filter(e => e.type === "playing").length === 2`)
		if got := d.offers(); got != 1 {
			t.Errorf("%d sessions were opened, want 1", got)
		}
	})

	t.Run("methods, properties and their events", func(t *testing.T) {
		d := newFakeServer(t)
		s := newSite(t, browser, origin(d), "", loading+strings.Replace(element, "autoplay", "", 1))
		s.await(`customElements.get("stream-pair") && one.state?.phase === "idle" && one.paused`)
		if got := d.offers(); got != 0 {
			t.Errorf("%d sessions were opened before play()", got)
		}
		s.run(`one.play()`)
		s.await(`plays("red") && !one.paused && heard.filter(e => e.type === "ready").length === 1`)
		s.run(`one.pause()`)
		s.await(`one.paused && one.video.paused && heard.filter(e => e.type === "pausechange").length === 2`)
		s.run(`one.play()`)
		s.await(`!one.paused && !one.video.paused`)
		s.run(`heard.length = 0; try { one.volume = 2; } catch (e) { if (e instanceof RangeError) one.volume = 0.25; } one.muted = true`)
		s.await(`one.muted && one.volume === 0.25 && one.video.muted && one.video.volume === 0.25 && heard.filter(e => e.type === "volumechange").length === 2 && one.video.volume === 0.25`)
		s.run(`one.muted = false; one.badge = one.statistics = true; one.controls = false`)
		s.await(`!one.video.muted && text("badge") === "Primary · primary" && part("bar").hidden && one.hasAttribute("badge") && !one.hasAttribute("controls")`)
		s.await(`text("stat-picture") === "640 × 360"`)
		s.await(`(one.stats().then(s => window.last = s), window.last?.videoCodec === "H264")`)
		s.run(`one.addEventListener("error", e => { if (e.bubbles) heard.push({type: "bubbling"}); }); one.name = "a/b"`)
		s.await(`text("message").startsWith("“a/b” cannot be a stream's name.") && heard.some(e => e.type === "error" && e.code === "bad-address" && !e.retrying) && one.state === null`)
		eventually.True(t, "the session has ended", func() bool { return d.ended() == 1 })
		s.run(`one.setAttribute("name", "primary"); one.play()`)
		s.await(`plays("red") && one.video.volume === 0.25 && !heard.some(e => e.type === "bubbling")`)
		s.run(`one.name = "backup"; one.removeAttribute("backup")`)
		s.await(`plays("red") && one.state.name === "backup" && one.state.backupStreamId === ""`)
		eventually.True(t, "each session but the last has ended", func() bool { return d.ended() == 2 && d.viewers() == 1 })
	})

	t.Run("paused stays paused in another player, and each change is told", func(t *testing.T) {
		d := newFakeServer(t)
		s := newSite(t, browser, origin(d), "", loading+strings.Replace(element, "autoplay", "", 1))
		const told = `heard.filter(e => e.type === "pausechange").length`
		s.await(`one.state?.phase === "idle"`)
		s.run(`one.play()`)
		s.await(`plays("red") && !one.paused && ` + told + ` === 1`)
		s.run(`one.name = "backup"; one.removeAttribute("backup")`)
		s.await(`plays("red") && one.state.name === "backup" && !one.paused && ` + told + ` === 1`)
		s.run(`one.pause()`)
		s.await(`one.paused && ` + told + ` === 2`)
		s.run(`one.autoplay = true; one.name = "primary"; one.backup = "backup"`)
		s.await(`plays("red") && one.state.name === "primary"`)
		s.stays(time.Second, `one.paused && one.video.paused && `+told+` === 2`)
		s.run(`one.name = ""`)
		s.await(`one.state === null`)
		s.run(`one.name = "primary"`)
		s.await(`plays("red") && one.paused && one.video.paused && ` + told + ` === 2`)
		s.run(`one.play()`)
		s.await(`!one.paused && !one.video.paused && ` + told + ` === 3`)
		s.run(`one.name = ""`)
		s.await(`one.state === null && one.paused && ` + told + ` === 4`)
		s.run(`one.name = "primary"`)
		s.await(`plays("red") && !one.paused && ` + told + ` === 5`)
		s.run(`window.gone = one; one.remove()`)
		s.await(`gone.paused && ` + told + ` === 6`)
	})

	t.Run("a token that is replaced is told to the session, and counts from the next connection on", func(t *testing.T) {
		d := newFakeServer(t)
		s := newSite(t, browser, origin(d), "", loading+strings.Replace(element, "autoplay", `autoplay token="first"`, 1))
		s.await(`plays("red") && one.token === "first"`)
		s.run(`one.token = "second"; window.before = one.video`)
		eventually.True(t, "the session has another token", func() bool {
			return slices.Equal(get(d, func() []string { return slices.Clone(d.renewed) }), []string{"s1 second"})
		})
		if got := d.offers(); got != 1 {
			t.Errorf("%d sessions, want the first alone", got)
		}
		d.locked(func() {
			for _, session := range d.sessions {
				session.frozen = true
			}
		})
		s.await(`one.video !== window.before && plays("red") && one.getAttribute("token") === "first"`)
		if got, want := get(d, func() []string { return slices.Clone(d.tokens) }), []string{"Bearer first", "Bearer second"}; !slices.Equal(got, want) {
			t.Errorf("tokens %q, want %q", got, want)
		}
	})

	t.Run("a JSON Web Token that ends soon is told, once", func(t *testing.T) {
		d := newFakeServer(t)
		s := newSite(t, browser, origin(d), "", loading+element)
		s.await(`plays("red")`)
		token := func(left time.Duration) string {
			claims, err := json.Marshal(map[string]any{"exp": time.Now().Add(left).Unix()})
			if err != nil {
				t.Fatal(err)
			}
			return "e30." + base64.RawURLEncoding.EncodeToString(claims) + ".c2lnbmVk"
		}
		s.run(fmt.Sprintf(`one.token = %q`, token(time.Hour)))
		time.Sleep(2500 * time.Millisecond)
		s.run(fmt.Sprintf(`if (heard.some(e => e.type === "tokenexpiring")) throw new Error("told too soon"); one.token = %q`, token(50*time.Second)))
		s.await(`heard.some(e => e.type === "tokenexpiring" && e.secondsLeft > 20 && e.secondsLeft <= 50 && new Date(e.expires) > new Date())`)
		time.Sleep(2500 * time.Millisecond)
		s.await(`heard.filter(e => e.type === "tokenexpiring").length === 1`)
	})

	t.Run("removed, moved and put back", func(t *testing.T) {
		d := newFakeServer(t)
		s := newSite(t, browser, origin(d), "", loading+element+`<section id="other"></section>`)
		s.await(`plays("red")`)
		s.run(`other.append(one)`)
		s.await(`plays("red") && !one.video.paused`)
		if got := d.offers(); got != 1 {
			t.Errorf("%d sessions, want 1: a move is no reason for another", got)
		}
		s.run(`window.gone = one; window.video = one.video; one.remove()`)
		eventually.True(t, "the session has ended", func() bool { return d.ended() == 1 && d.viewers() == 0 })
		eventually.True(t, "nobody follows the events", func() bool { return get(d, func() int { return len(d.feeds) }) == 0 })
		s.await(`gone.state === null && gone.video === null && video.srcObject === null && gone.shadowRoot.childElementCount === 0`)
		time.Sleep(2 * time.Second)
		if got := d.offers(); got != 1 {
			t.Errorf("%d sessions, want 1: an element that was removed opens none", got)
		}
		s.run(`document.body.append(gone)`)
		s.await(`plays("red")`)
	})

	t.Run("twice in one page", func(t *testing.T) {
		d := newFakeServer(t)
		s := newSite(t, browser, origin(d), "", loading+element+strings.Replace(element, "one", "two", 1))
		s.await(`plays("red", one) && plays("red", two)`)
		s.screenshot("element-twice")
		s.run(`part("mute", one).focus()`)
		s.press("m")
		s.await(`one.muted && !two.muted && one.video.muted && !two.video.muted`)
		s.run(`one.remove()`)
		eventually.True(t, "one session has ended", func() bool { return d.ended() == 1 && d.viewers() == 1 })
		d.switchTo("Backup", "backup", "PrimaryInputLost")
		s.await(`plays("blue", two)`)
	})

	t.Run("under a strict policy with trusted types", func(t *testing.T) {
		d := newFakeServer(t)
		const policy = "default-src 'none'; script-src 'self' SERVER; connect-src SERVER; base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
		s := newSite(t, browser, origin(d), policy, loading+strings.Replace(element, "autoplay", "autoplay badge statistics", 1))
		s.await(`plays("red") && violations.length === 0`)
		s.await(`getComputedStyle(part("bar")).display === "flex" && getComputedStyle(part("player")).position === "absolute"`)
		d.setState(func(p *pairState) {
			p.Legs[0].SampleAspect = 1.5
			p.Warnings = []warning{{"Primary", "BFrames", `<img src=x onerror="window.hacked = 1"><b>bold</b>`}}
		})
		s.await(`text("warnings").includes("<b>bold</b>") && one.shadowRoot.querySelector("img, b") === null && one.video.classList.contains("stretched")`)
		s.screenshot("element-policy")
		d.switchTo("Backup", "backup", "<i>reason</i>")
		s.await(`plays("blue") && text("stat-switches").includes("<i>reason</i>") && window.hacked === undefined && violations.length === 0`)
	})

	t.Run("an older server, whose events tell less, and no player.js of its own", func(t *testing.T) {
		d, old := newFakeServer(t), newFakeServer(t)
		old.locked(func() { old.namesByID, old.bare = true, true })
		s := newSite(t, browser, origin(d), "", loading+strings.Replace(element, "autoplay", `autoplay badge server="`+old.url("")+`"`, 1))
		s.await(`plays("red") && one.state.active === "Primary" && text("badge") === "primary"`)
		old.switchTo("Backup", "backup", "PrimaryInputLost")
		s.await(`plays("blue") && text("badge") === "backup" && !heard.some(e => e.type === "error")`)
		if first, second := d.offers(), old.offers(); first != 0 || second != 1 {
			t.Errorf("%d and %d sessions were opened, want none and one", first, second)
		}
	})

	t.Run("the server that it came from is killed: the other of the pair plays", func(t *testing.T) {
		primary, backup := newFakePair(t)
		policy := "default-src 'none'; script-src 'self' SERVER; connect-src SERVER " + origin(backup)
		s := newSite(t, browser, origin(primary), policy, loading+element)
		s.await(`plays("red") && one.state.servedBy === "Primary"`)
		primary.kill()
		s.await(`plays("red") && one.state.servedBy === "Backup" && heard.some(e => e.type === "error" && e.code === "server-lost" && e.retrying) && violations.length === 0`)
		if first, second := primary.offers(), backup.offers(); first != 1 || second != 1 {
			t.Errorf("%d and %d sessions were opened, want one each", first, second)
		}
	})

	t.Run("picture in picture stays with the picture through a new connection", func(t *testing.T) {
		d := newFakeServer(t)
		s := newSite(t, browser, origin(d), "", loading+element)
		s.await(`plays("red")`)
		if !mediatest.Eval[bool](t, s.ctx, `document.pictureInPictureEnabled`) {
			t.Skip("this Chromium has no picture in picture")
		}
		s.do(chromedp.Click(chromedp.JSPath(`document.querySelector("stream-pair").shadowRoot.getElementById("picture-in-picture")`)))
		s.await(`one.shadowRoot.pictureInPictureElement === one.video && document.pictureInPictureElement === one`)
		s.run(`window.before = one.video`)
		d.locked(func() {
			for _, session := range d.sessions {
				session.frozen = true
			}
		})
		s.await(`one.video !== before && plays("red") && one.shadowRoot.pictureInPictureElement === one.video`)
		s.do(chromedp.Click(chromedp.JSPath(`document.querySelector("stream-pair").shadowRoot.getElementById("picture-in-picture")`)))
		s.await(`document.pictureInPictureElement === null`)
	})

	t.Run("a small element has room for its controls", func(t *testing.T) {
		d := newFakeServer(t)
		s := newSite(t, browser, origin(d), "", loading+strings.Replace(element, `play-order="webrtc" autoplay`, `autoplay badge`, 1))
		s.await(`plays("red")`)
		const inside = `[...one.shadowRoot.querySelectorAll("button, #badge, #live")].filter(e => e.offsetParent !== null).every(e => {
			const r = e.getBoundingClientRect(), room = one.getBoundingClientRect();
			return r.left >= room.left && r.right <= room.right && r.top >= room.top && r.bottom <= room.bottom;
		})`
		for _, width := range []int{960, 521, 360, 320, 240} {
			s.run(fmt.Sprintf(`one.style.width = "%dpx"`, width))
			s.await(fmt.Sprintf(`one.clientWidth === %d && part("player").dataset.narrow === "%s" && %s`, width, map[bool]string{true: "yes", false: "no"}[width <= 520], inside))
		}
		s.screenshot("element-small")
	})

	t.Run("as a module, and with the integrity of its immutable name", func(t *testing.T) {
		d := newFakeServer(t)
		s := newSite(t, browser, origin(d), "", `<script type="module">import "SERVER/live/player.js";</script>`+element)
		s.await(`plays("red")`)
		r, err := http.Head(d.url("player.js"))
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		digest, _ := strings.CutPrefix(r.Header.Get("Repr-Digest"), "sha-256=:")
		script := fmt.Sprintf(`<script src="SERVER/live/%s" integrity="sha256-%s" crossorigin></script>`, r.Header.Get("Content-Location"), strings.TrimSuffix(digest, ":"))
		s = newSite(t, browser, origin(d), "", script+element)
		s.await(`plays("red")`)
	})

	t.Run("an element that cannot play says why", func(t *testing.T) {
		d := newFakeServer(t)
		s := newSite(t, browser, origin(d), "", `<stream-pair id="one" autoplay></stream-pair>`+loading)
		s.await(`text("message") === "The element names no stream: <stream-pair name=…>."`)
		s.run(`one.name = "primary"; one.server = "http://["`)
		s.await(`text("message").startsWith("The element's server is no address of https or http:")`)
		for _, server := range []string{"live.example.com:5443/live/", "ftp://live.example.com/live/"} {
			s.run(fmt.Sprintf(`heard.length = 0; one.server = %q`, server))
			s.await(`text("message").startsWith("The element's server is no address of https or http:") && heard.some(e => e.code === "bad-address" && !e.retrying)`)
		}
		s.run(fmt.Sprintf(`one.server = %q; one.backup = "primary"`, d.url("")))
		s.await(`text("message") === "name and backup are both “primary”. A backup must be another stream; leave backup out to play one stream."`)
		s.run(`one.removeAttribute("backup")`)
		s.await(`plays("red")`)
	})
}

func TestAnElementThatMayNotMakeSoundStartsMutedWithOneTapToUnmute(t *testing.T) {
	browser := mediatest.Browser(t, chromedp.Flag("autoplay-policy", "document-user-activation-required"))
	d := newFakeServer(t)
	s := newSite(t, browser, origin(d), "", loading+strings.Replace(element, "controls", "", 1))
	s.await(`plays("red") && one.muted && one.state.mutedByBrowser && text("unmute") === "Tap to unmute" && part("bar").hidden`)
	s.do(chromedp.Click(chromedp.JSPath(`document.querySelector("stream-pair").shadowRoot.getElementById("unmute")`)))
	s.await(`plays("red") && !one.muted && !one.video.muted && !one.video.paused && part("unmute").hidden`)
}

func TestElementInReact(t *testing.T) {
	browser := mediatest.Browser(t)
	page, err := os.ReadFile("testdata/react.jsx")
	if err != nil {
		t.Fatal(err)
	}
	script := bundled(t, "react.jsx", string(page))
	d := newFakeServer(t)
	s := newSite(t, browser, origin(d), "", loading+`<div id="root"></div>`)
	s.eval(script + "\n;\"react\"")
	s.await(`plays("red") && text("badge") === "Primary · primary"`)
	d.switchTo("Backup", "backup", "PrimaryInputLost")
	s.await(`plays("blue") && document.getElementById("leg").textContent === "Backup"`)
	s.run(`document.getElementById("renew").click()`)
	s.await(`document.querySelector("stream-pair").token === "second"`)
	s.run(`document.getElementById("toggle").click()`)
	s.await(`document.querySelector("stream-pair") === null`)
	eventually.True(t, "the session has ended", func() bool { return d.viewers() == 0 })
	s.run(`document.getElementById("toggle").click()`)
	s.await(`plays("blue")`)
	tokens := get(d, func() []string { return slices.Clone(d.tokens) })
	if first, last := tokens[0], tokens[len(tokens)-1]; first != "Bearer first" || last != "Bearer second" {
		t.Errorf("tokens %q", tokens)
	}
}
