package audience

import (
	"context"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"slices"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/streampair/streampair/hack/e2e/measure"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// A Page is the player in Chromium, in a browser of its own.
type Page struct {
	t       mediatest.TB
	browser context.Context  //nolint:containedctx // chromedp's handle of the browser
	site    *httptest.Server // has pages with elements

	ctx      context.Context //nolint:containedctx // chromedp's handle of the player's tab
	closeTab func()

	pictures measure.Pictures
	legs     []int // of the pictures, by their time codes; -1: unreadable
}

// watchPictures notes when the pictures of the visible element are
// presented, and the leg of each picture. The player fills one
// element while another is visible, and may create more elements.
const watchPictures = `(() => {
	const read = ` + mediatest.TimeCodeJS + `;
	window.sightings = [];
	const followed = new WeakSet();
	const roots = [document, ...[...document.querySelectorAll("stream-pair")].map((element) => element.shadowRoot)];
	const follow = () => roots.flatMap((root) => [...root.querySelectorAll("video")]).forEach((video) => {
		if (followed.has(video)) return;
		followed.add(video);
		const note = () => {
			const at = performance.timeOrigin + performance.now();
			if (video === window.streampair?.video()) {
				const code = read(video);
				window.sightings.push([at, code ? code.leg : -1]);
			}
			video.requestVideoFrameCallback(note);
		};
		video.requestVideoFrameCallback(note);
	});
	follow();
	roots.forEach((root) => new MutationObserver(follow).observe(root, {childList: true, subtree: true}));
})()`

// OpenBrowser starts a browser, which ends with t.
func OpenBrowser(t mediatest.TB, options ...chromedp.ExecAllocatorOption) *Page {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = elementPage.Execute(w, r.URL.Query())
	}))
	t.Cleanup(site.Close)
	browser := mediatest.Browser(t, options...)
	return &Page{t: t, browser: browser, site: site, ctx: browser, closeTab: func() {}}
}

// elementPage is a page of another site, which has the element where play.html has the player.
var elementPage = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en">
<title>A page with an element</title>
<script src="{{.Get "script"}}"></script>
<stream-pair name="{{.Get "name"}}" backup="{{.Get "backupStreamId"}}" play-order="{{.Get "playOrder"}}" autoplay></stream-pair>
<script>
	const element = document.querySelector("stream-pair");
	window.streampair = {video: () => element.video, state: () => element.state, stats: () => element.stats()};
</script>
`))

// OpenElement is Open, but the player is a <stream-pair> element in a page of another site. The
// element comes from the server of the URL.
func (p *Page) OpenElement(playURL string) error {
	u, err := url.Parse(playURL)
	if err != nil {
		return fmt.Errorf("the playback URL: %w", err)
	}
	query := u.Query()
	query.Set("script", u.ResolveReference(&url.URL{Path: "player.js"}).String())
	return p.Open(p.site.URL + "/?" + query.Encode())
}

// Open loads the player as a viewer who was never there, and forgets all pictures seen before. The
// browser's connections to servers that have gone since would otherwise delay the page.
func (p *Page) Open(playURL string) error {
	p.closeTab()
	p.pictures, p.legs = nil, nil
	p.ctx, p.closeTab = mediatest.Profile(p.t, p.browser)
	if err := chromedp.Do(p.ctx, chromedp.Navigate(playURL)); err != nil {
		return fmt.Errorf("open %s: %w", playURL, err)
	}
	if err := chromedp.Do(p.ctx, chromedp.Evaluate[chromedp.Void](watchPictures)); err != nil {
		return fmt.Errorf("watch the pictures of %s: %w", playURL, err)
	}
	return nil
}

// Close closes the player.
func (p *Page) Close() {
	p.closeTab()
	p.ctx, p.closeTab = p.browser, func() {}
}

// Pictures returns the pictures that were on screen so far.
func (p *Page) Pictures() measure.Pictures {
	p.look()
	return slices.Clone(p.pictures)
}

// Leg returns the leg of the last picture on screen, 0 or 1 as in the
// programmes. -1: there was no picture, or its leg is unreadable.
func (p *Page) Leg() int {
	p.look()
	if len(p.legs) == 0 {
		return -1
	}
	return p.legs[len(p.legs)-1]
}

func (p *Page) look() {
	for _, s := range mediatest.Eval[[][2]float64](p.t, p.ctx, "(window.sightings ?? []).splice(0)") {
		seconds, fraction := math.Modf(s[0] / 1000)
		p.pictures = append(p.pictures, time.Unix(int64(seconds), int64(fraction*1e9)))
		p.legs = append(p.legs, int(s[1]))
	}
}

// PlayerState is what the page reports of itself.
type PlayerState struct {
	Phase   string `json:"phase"`
	Message string `json:"message"`
	Active  string `json:"active"`
	// ConnectionsOpened counts the sessions since
	// the page was loaded, including abandoned ones.
	ConnectionsOpened int `json:"connectionsOpened"`
	// Connection is the number of the visible connection. Session is its URL.
	Connection int    `json:"connection"`
	Session    string `json:"session"`
}

// State requests the state from the page.
func (p *Page) State() PlayerState {
	return mediatest.Eval[PlayerState](p.t, p.ctx, `(async () => {
		const hooks = window.streampair;
		if (!hooks) return {phase: "loading"};
		const {phase, message, active, connectionsOpened} = hooks.state(), {connection, session} = await hooks.stats();
		return {phase, message, active, connectionsOpened, connection, session};
	})()`)
}

// Opened returns how many sessions the page has opened, including abandoned ones.
func (p *Page) Opened() int { return p.State().ConnectionsOpened }

// ServedBy returns the first letter of a session's id, which
// is its pod's role: p or b, or s for a server with both legs.
func ServedBy(session string) string {
	u, err := url.Parse(session)
	if err != nil {
		return ""
	}
	id := path.Base(u.Path)
	if id == "" || id == "/" || id == "." {
		return ""
	}
	return id[:1]
}
