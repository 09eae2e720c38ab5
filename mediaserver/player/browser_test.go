package player_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/streampair/streampair/mediaserver/mediatest"
)

// limit is generous: a test machine may be busy, and no test here measures speed.
const limit = 30 * time.Second

const pair = "?name=primary&backupStreamId=backup&playOrder=webrtc"

const (
	red  = "red"
	blue = "blue"
)

// inPage holds what the tests ask the page: the colour of the picture on screen, what
// has been heard from the player, and a watch that notices a moment without a picture.
const inPage = `
window.heard = [];
for (const type of ["active", "waiting", "playing", "error"])
	document.addEventListener("streampair:" + type, e => heard.push({type, ...e.detail}));
window.colour = () => {
	const v = document.querySelector("video.shown");
	if (!v || v.readyState < 2 || !v.videoWidth || document.getElementById("player").dataset.picture !== "yes") return "none";
	const canvas = document.createElement("canvas");
	canvas.width = canvas.height = 1;
	const context = canvas.getContext("2d");
	context.drawImage(v, v.videoWidth / 2, v.videoHeight / 3, 1, 1, 0, 0, 1, 1);
	const [r, , b] = context.getImageData(0, 0, 1, 1).data;
	return r > 120 && b < 90 ? "red" : b > 120 && r < 90 ? "blue" : "other";
};
window.watchPicture = () => {
	window.colours = {};
	const look = () => { const c = colour(); colours[c] = (colours[c] || 0) + 1; };
	setInterval(look, 20);
};
window.text = id => document.getElementById(id).hidden ? "" : document.getElementById(id).textContent.trim();
"installed"`

type state struct {
	Phase             string   `json:"phase"`
	Message           string   `json:"message"`
	Picture           bool     `json:"picture"`
	Muted             bool     `json:"muted"`
	MutedByBrowser    bool     `json:"mutedByBrowser"`
	Active            string   `json:"active"`
	ActiveStreamID    string   `json:"activeStreamId"`
	Switches          int      `json:"switches"`
	ConnectionsOpened int      `json:"connectionsOpened"`
	Notices           []string `json:"notices"`
}

type stats struct {
	Connection   int     `json:"connection"`
	Session      string  `json:"session"`
	Width        int     `json:"width"`
	FPS          float64 `json:"fps"`
	BitrateBPS   float64 `json:"bitrateBPS"`
	DelayMs      float64 `json:"delayMs"`
	JitterBuffer float64 `json:"jitterBufferMs"`
	VideoCodec   string  `json:"videoCodec"`
	AudioCodec   string  `json:"audioCodec"`
	Video        *struct {
		SSRC          uint32 `json:"ssrc"`
		FramesDecoded int    `json:"framesDecoded"`
	} `json:"video"`
	Audio *struct {
		SSRC    uint32 `json:"ssrc"`
		Samples int    `json:"samples"`
	} `json:"audio"`
}

// A viewer is a tab with the player in it.
type viewer struct {
	t   *testing.T
	ctx context.Context
}

func open(t *testing.T, browser context.Context, address string) viewer {
	t.Helper()
	if _, err := os.Stat("dist/play.html"); err != nil {
		t.Fatal("the player was not built: run make build")
	}
	v := viewer{t, mediatest.Tab(t, browser)}
	mediatest.Open(t, v.ctx, address)
	mediatest.Eval[string](t, v.ctx, inPage)
	t.Cleanup(func() {
		// The page catches its own mistakes for its viewers; a test must not.
		const broke = `(window.heard ?? []).some(e => e.type === "error" && e.code === "internal")`
		if broken, err := chromedp.Run(v.ctx, chromedp.Evaluate[bool](broke)); err == nil && broken {
			t.Error("the page met an error of its own: see the console above")
		}
	})
	return v
}

func (v viewer) await(expression string) {
	v.t.Helper()
	mediatest.Await(v.t, v.ctx, limit, expression, `({state: window.streampair?.state(), heard, colour: colour(), text: document.body.innerText})`)
}

func (v viewer) awaitPlaying(colour string) {
	v.t.Helper()
	v.await(fmt.Sprintf(`streampair.state().phase === "playing" && colour() === %q`, colour))
}

func (v viewer) eval(expression string) string {
	v.t.Helper()
	return mediatest.Eval[string](v.t, v.ctx, expression)
}

func (v viewer) state() state {
	v.t.Helper()
	return decode[state](v, `JSON.stringify(streampair.state())`)
}

func (v viewer) stats() stats {
	v.t.Helper()
	return decode[stats](v, `streampair.stats().then(JSON.stringify)`)
}

func (v viewer) press(keys string) {
	v.t.Helper()
	v.do(chromedp.KeyEvent(keys))
}

func (v viewer) click(selector string) {
	v.t.Helper()
	v.do(chromedp.Click(selector, chromedp.NodeVisible))
}

func (v viewer) do(action chromedp.Action[chromedp.Void]) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, limit)
	defer cancel()
	if err := chromedp.Do(ctx, action); err != nil {
		v.t.Fatal(err)
	}
}

func decode[T any](v viewer, expression string) T {
	v.t.Helper()
	var out T
	if err := json.Unmarshal([]byte(v.eval(expression)), &out); err != nil {
		v.t.Fatal(err)
	}
	return out
}

// stays checks that an expression remains true for a while.
func (v viewer) stays(duration time.Duration, expression string) {
	v.t.Helper()
	for end := time.Now().Add(duration); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if !mediatest.Eval[bool](v.t, v.ctx, expression) {
			v.t.Fatalf("no longer true: %s: %s", expression, v.eval(`JSON.stringify(streampair.state())`))
		}
	}
}

func (v viewer) screenshot(name string) {
	v.t.Helper()
	folder := os.Getenv("PLAYER_SCREENSHOTS")
	if folder == "" {
		return
	}
	png, err := chromedp.Run(v.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		v.t.Fatal(err)
	}
	if err := os.WriteFile(folder+"/"+name+".png", png, 0o600); err != nil {
		v.t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

func TestPlayer(t *testing.T) {
	browser := mediatest.Browser(t)

	t.Run("plays with sound, and tells the page", func(t *testing.T) {
		d := newDouble(t)
		v := open(t, browser, d.url("play.html"+pair+"&token=secret&badge=1"))
		v.awaitPlaying(red)
		v.await(`streampair.stats().then && text("badge-text") === "Primary · primary"`)
		if s := v.state(); s.Muted || s.Active != "Primary" || s.ConnectionsOpened != 1 {
			t.Errorf("state %+v", s)
		}
		v.await(`(streampair.stats().then(s => window.last = s), window.last?.fps > 10 && window.last?.audio?.samples > 0 && window.last?.jitterBufferMs > 0)`)
		s := v.stats()
		t.Logf("%+v", s)
		if s.Width != 640 || s.VideoCodec != "H264" || s.AudioCodec != "opus" || s.BitrateBPS == 0 {
			t.Errorf("statistics %+v", s)
		}
		if got := get(d, func() string { return d.tokens[0] }); got != "Bearer secret" {
			t.Errorf("authorization %q", got)
		}
		v.await(`heard.some(e => e.type === "playing") || streampair.state().phase === "playing"`)
		eventually(t, "candidates are trickled", func() bool { return get(d, func() int { return d.patches }) > 0 })
		v.screenshot("playing")
		v.press("i")
		v.await(`text("stat-picture") === "640 × 360" && text("stat-fps").includes("frames/s") && text("stat-fps") !== "–" && text("stat-leg") === "Primary · primary"`)
		v.screenshot("statistics")
	})

	t.Run("a session opened before anything is live starts by itself", func(t *testing.T) {
		d := newDouble(t)
		d.setState(func(s *pairState) { s.OnAir, s.Active, s.ActiveStreamID = false, "", "primary" })
		v := open(t, browser, d.url("play.html?name=primary"))
		v.await(`text("message") === "Waiting for the stream “primary” to start…" && streampair.state().phase === "waiting"`)
		v.screenshot("waiting")
		v.stays(6*time.Second, `streampair.state().phase === "waiting"`)
		d.setState(func(s *pairState) { s.OnAir, s.Active = true, "Primary" })
		v.awaitPlaying(red)
		if got := d.offers(); got != 1 {
			t.Errorf("%d sessions were opened, want 1", got)
		}
		v.await(`heard.some(e => e.type === "playing" && e.role === "Primary") && heard.some(e => e.type === "active" && e.streamId === "primary")`)
	})

	t.Run("a switch changes nothing but the picture", func(t *testing.T) {
		d := newDouble(t)
		v := open(t, browser, d.url("play.html"+pair+"&badge"))
		v.awaitPlaying(red)
		v.eval(`(window.pc = streampair.connection(), watchPicture(), "")`)
		before := v.stats()
		d.switchTo("Backup", "backup", "PrimaryInputLost")
		v.awaitPlaying(blue)
		v.await(`text("badge-text") === "Backup · backup" && heard.some(e => e.type === "active" && e.role === "Backup" && e.reason === "PrimaryInputLost" && e.switches === 1)`)
		v.screenshot("backup")
		d.switchTo("Primary", "primary", "Selected")
		v.awaitPlaying(red)
		after := v.stats()
		if after.Video.SSRC != before.Video.SSRC || after.Session != before.Session || after.Connection != 1 {
			t.Errorf("before %+v, after %+v", before, after)
		}
		v.await(`window.pc === streampair.connection() && !colours.none`)
	})

	t.Run("both streams away: the last frame stays, the session too", func(t *testing.T) {
		d := newDouble(t)
		v := open(t, browser, d.url("play.html"+pair))
		v.awaitPlaying(red)
		v.eval(`(watchPicture(), "")`)
		d.setState(func(s *pairState) { s.OnAir = false })
		v.await(`text("message") === "Both streams are away." && streampair.state().phase === "waiting"`)
		v.screenshot("away")
		v.stays(8*time.Second, `streampair.state().phase === "waiting" && colour() === "red"`)
		d.switchTo("Backup", "backup", "PrimaryInputLost")
		v.awaitPlaying(blue)
		if got := d.offers(); got != 1 {
			t.Errorf("%d sessions were opened, want 1", got)
		}
		v.await(`!colours.none && !colours.other`)
	})

	t.Run("a stalled connection is replaced behind the last frame", func(t *testing.T) {
		d := newDouble(t)
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
		eventually(t, "the old session is deleted", func() bool { return get(d, func() int { return d.deletes }) == 1 })
		if s := v.state(); s.Muted {
			t.Errorf("the new connection is muted")
		}
	})

	t.Run("a server that is about to end is left before it does", func(t *testing.T) {
		d := newDouble(t)
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
		d.locked(func() { d.state.Draining = false }) // the one who is asked next is another
		v.await(`streampair.connection() !== window.pc && streampair.state().phase === "playing" && colour() === "red"`)
		v.await(`!colours.none && !colours.other && window.pc.connectionState === "closed" && !heard.some(e => e.type === "waiting")`)
		eventually(t, "the old session is deleted", func() bool { return get(d, func() int { return d.deletes }) == 1 })
		v.stays(3*time.Second, `streampair.state().phase === "playing"`)
		if got := d.offers(); got != 3 {
			t.Errorf("%d offers were made, want 3: the first, one that was refused, one more", got)
		}
	})

	t.Run("the TURN servers that the answer recommends are used", func(t *testing.T) {
		d := newDouble(t)
		d.links = []string{
			`<stun:127.0.0.1:9>; rel="ice-server"`,
			`<turn:127.0.0.1:9?transport=tcp>; rel="ice-server"; username="user"; credential="pass,word"; credential-type="password"`,
		}
		v := open(t, browser, d.url("play.html"+pair))
		v.awaitPlaying(red)
		v.await(`(s => s.length === 2 && s[0].urls.includes("stun:127.0.0.1:9") && s[1].username === "user" && s[1].credential === "pass,word")(streampair.connection().getConfiguration().iceServers)`)
	})

	t.Run("a server that dies and returns is found again", func(t *testing.T) {
		d := newDouble(t)
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
		d := newDouble(t)
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
		d := newDouble(t)
		d.refuse = func(w http.ResponseWriter) bool {
			w.Header().Set("Retry-After", "3")
			http.Error(w, "too many viewers", http.StatusServiceUnavailable)
			return true
		}
		v := open(t, browser, d.url("play.html"+pair))
		v.await(`text("message") === "The server cannot take more viewers at the moment." && heard.some(e => e.type === "error" && e.code === "unavailable" && e.retrying) || streampair.state().phase === "reconnecting"`)
		v.screenshot("full")
		eventually(t, "three offers", func() bool { return d.offers() >= 3 })
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
		d := newDouble(t)
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

	t.Run("sound without a picture plays, and a picture that comes later is shown", func(t *testing.T) {
		d := newDouble(t)
		d.locked(func() { d.silent = true })
		v := open(t, browser, d.url("play.html"+pair))
		v.await(`streampair.state().phase === "playing" && text("sound-only") === "Sound only"`)
		v.screenshot("sound-only")
		v.await(`streampair.video().currentTime > 0.5 && !streampair.video().paused && !streampair.video().muted`)
		d.locked(func() { d.silent = false })
		v.awaitPlaying(red)
		v.await(`text("sound-only") === ""`)
	})

	t.Run("a picture without sound plays", func(t *testing.T) {
		d := newDouble(t)
		d.locked(func() { d.mute = true })
		v := open(t, browser, d.url("play.html"+pair))
		v.awaitPlaying(red)
		v.stays(2*time.Second, `streampair.state().phase === "playing" && colour() === "red"`)
	})

	t.Run("leaving the page ends the session", func(t *testing.T) {
		d := newDouble(t)
		v := open(t, browser, d.url("play.html"+pair))
		v.awaitPlaying(red)
		mediatest.Open(t, v.ctx, "about:blank")
		eventually(t, "the session is deleted", func() bool { return get(d, func() int { return d.deletes }) == 1 })
	})

	t.Run("autoplay=false waits for the play button", func(t *testing.T) {
		d := newDouble(t)
		v := open(t, browser, d.url("play.html"+pair+"&autoplay=false"))
		v.await(`streampair.state().phase === "idle"`)
		v.screenshot("idle")
		if got := d.offers(); got != 0 {
			t.Errorf("%d sessions were opened before the click", got)
		}
		v.click("#big-play")
		v.awaitPlaying(red)
	})

	t.Run("a hidden page sees no stall", func(t *testing.T) {
		d := newDouble(t)
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

	t.Run("keys", func(t *testing.T) {
		d := newDouble(t)
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
		d := newDouble(t)
		// localhost and 127.0.0.1 are two origins.
		address := strings.Replace(d.url("play.html"+pair), "127.0.0.1", "localhost", 1)
		v := viewer{t, mediatest.Tab(t, browser)}
		mediatest.Open(t, v.ctx, "http://"+d.address+"/elsewhere.html?player="+url.QueryEscape(address))
		mediatest.Await(t, v.ctx, limit, `heard.some(m => m.type === "streampair:playing" && m.detail.streamId === "primary") && heard.some(m => m.type === "streampair:active" && m.detail.role === "Primary")`, `heard`)
		d.switchTo("Backup", "backup", "PrimaryInputLost")
		mediatest.Await(t, v.ctx, limit, `heard.some(m => m.type === "streampair:active" && m.detail.role === "Backup")`, `heard`)
		v.screenshot("embedded")
	})

	t.Run("unknown ways to play are skipped with a notice", func(t *testing.T) {
		d := newDouble(t)
		v := open(t, browser, d.url("play.html?name=primary&playOrder=hls,dash"))
		v.await(`text("notice") === "This player cannot play “hls”, “dash” yet and uses WebRTC."`)
		v.awaitPlaying(red)
		v.screenshot("notice")
	})
}

func TestAnAddressThatCannotBePlayedSaysWhy(t *testing.T) {
	browser := mediatest.Browser(t)
	d := newDouble(t)
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
	d := newDouble(t)
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
	d := newDouble(t)
	v := viewer{t, mediatest.Tab(t, browser)}
	v.do(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile, chromedp.EmulateScale(2)))
	mediatest.Open(t, v.ctx, d.url("play.html"+pair+"&badge=1&playOrder=hls"))
	mediatest.Eval[string](t, v.ctx, inPage)
	v.awaitPlaying(red)
	inside := `[...document.querySelectorAll("button, #badge, #statistics, #curtain, #notice")].filter(e => e.offsetParent !== null).every(e => {
		const r = e.getBoundingClientRect();
		return r.left >= 0 && r.right <= innerWidth && r.top >= 0 && r.bottom <= innerHeight;
	}) && document.documentElement.scrollWidth <= innerWidth`
	v.await(inside)
	v.screenshot("phone-playing")
	d.setState(func(s *pairState) {
		s.OnAir = false
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
