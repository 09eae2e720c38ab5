package player_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/streampair/streampair/mediaserver/mediatest"
)

// limit is how long a test waits. It is long because a test machine may be busy, and
// no test here measures speed.
const limit = 30 * time.Second

const pair = "?name=primary&backupStreamId=backup&playOrder=webrtc"

const (
	red  = "red"
	blue = "blue"
)

// inPage is what the tests need in the page: the colour of the picture on screen, the events from
// the player, a watch for moments without a picture, and a watch for the times of pictures.
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
window.watchFrames = () => {
	window.frames = [performance.now()];
	document.querySelectorAll("video").forEach(v => {
		const note = () => { if (v.classList.contains("shown")) window.frames.push(performance.now()); v.requestVideoFrameCallback(note); };
		v.requestVideoFrameCallback(note);
	});
};
window.longestGap = () => frames.reduce((worst, at, i) => Math.max(worst, i ? at - frames[i - 1] : 0), 0);
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
	ServedBy          string   `json:"servedBy"`
	Reduced           bool     `json:"reduced"`
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

// A viewer is a browser tab with the player.
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
		// The page hides its own errors from viewers. A test must not.
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
	mediatest.Screenshot(v.t, v.ctx, name)
}
