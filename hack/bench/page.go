package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/streampair/streampair/mediaserver/mediatest"
)

// page is the player in Chromium.
type page struct {
	t   *scope
	ctx context.Context //nolint:containedctx // chromedp's handle of the tab
	// close ends the browser.
	close func()
}

// watchPictures notes the leg and number of each picture when it reaches the screen.
const watchPictures = `(() => {
	const read = ` + mediatest.TimeCodeJS + `;
	window.sightings = [];
	document.querySelectorAll("video").forEach((video) => {
		const note = () => {
			const at = performance.timeOrigin + performance.now(), code = read(video);
			window.sightings.push([at, code ? code.leg : -1, code ? code.frame : -1]);
			video.requestVideoFrameCallback(note);
		};
		video.requestVideoFrameCallback(note);
	});
})()`

func openPage(t *scope, s *server) *page {
	p := openBrowser(t)
	p.open(s)
	return p
}

func openBrowser(t *scope) *page {
	browser := t.child()
	return &page{t: t, ctx: mediatest.Browser(browser), close: browser.CleanUp}
}

func (p *page) open(s *server) { p.openAt(s.http(playPage + "webrtc")) }

// playPage is the player with the pair. The order of play follows.
const playPage = "play.html?name=primary&backupStreamId=backup&playOrder="

// openAt opens a page with a player, and notes the pictures that the page shows from then on.
func (p *page) openAt(url string) {
	mediatest.Open(p.t, p.ctx, url)
	p.watch()
}

func (p *page) watch() { p.t.must(chromedp.Do(p.ctx, chromedp.Evaluate[chromedp.Void](watchPictures))) }

// sightings returns the pictures shown since the last call.
func (p *page) sightings() []mediatest.Sighting {
	var out []mediatest.Sighting
	for _, s := range mediatest.Eval[[][3]float64](p.t, p.ctx, "window.sightings.splice(0)") {
		seconds, fraction := math.Modf(s[0] / 1000)
		out = append(out, mediatest.Sighting{
			Seen:     time.Unix(int64(seconds), int64(fraction*1e9)),
			TimeCode: mediatest.TimeCode{Leg: int(s[1]), Frame: int(s[2])},
		})
	}
	return out
}

// statistics are those of the browser's connection.
type statistics struct {
	// ConcealedSamples is how much sound the browser had to make up since the connection began.
	ConcealedSamples float64 `json:"concealed"`
	// Connection changes when the player opens another one. VideoSSRC is the SSRC of its video.
	Connection string  `json:"connection"`
	VideoSSRC  float64 `json:"ssrc"`
	// DecodeSeconds is the time spent on decoding the Decoded pictures.
	DecodeSeconds float64  `json:"decodeSeconds"`
	Decoded       float64  `json:"decoded"`
	Sound         buffered `json:"sound"`
	Pictures      buffered `json:"pictures"`
}

// buffered describes a receiver's jitter buffer. Emitted pictures or samples
// spent Seconds in it altogether. TargetSeconds is what the receiver aimed at.
type buffered struct {
	Seconds       float64 `json:"seconds"`
	TargetSeconds float64 `json:"targetSeconds"`
	Emitted       float64 `json:"emitted"`
}

// since returns how long each picture or sample after
// b spent in the buffer, and what was aimed at.
func (a buffered) since(b buffered) string {
	n := (a.Emitted - b.Emitted) / 1000
	return fmt.Sprintf("%.0f (aim %.0f) ms", (a.Seconds-b.Seconds)/n, (a.TargetSeconds-b.TargetSeconds)/n)
}

func (s statistics) concealed() time.Duration {
	return time.Duration(s.ConcealedSamples / 48000 * float64(time.Second))
}

func (p *page) statistics() statistics {
	return mediatest.Eval[statistics](p.t, p.ctx, `(async () => {
		const pc = window.streampair.connection(), out = {concealed: 0, connection: "", ssrc: 0, decodeSeconds: 0, decoded: 0};
		pc.benchName ??= String(Math.random());
		out.connection = pc.benchName;
		const buffered = (r) => ({seconds: r.jitterBufferDelay, targetSeconds: r.jitterBufferTargetDelay, emitted: r.jitterBufferEmittedCount});
		(await pc.getStats()).forEach((r) => {
			if (r.type === "inbound-rtp") out[r.kind === "audio" ? "sound" : "pictures"] = buffered(r);
			if (r.type === "inbound-rtp" && r.kind === "audio") out.concealed = r.concealedSamples || 0;
			if (r.type === "inbound-rtp" && r.kind === "video") {
				out.ssrc = r.ssrc;
				out.decodeSeconds = r.totalDecodeTime || 0;
				out.decoded = r.framesDecoded || 0;
			}
		});
		return out;
	})()`)
}

// plays waits until the page shows pictures of a leg.
func (p *page) plays() {
	p.sightings()
	p.t.until("the page shows a picture", func() bool {
		all := p.sightings()
		return len(all) > 0 && all[len(all)-1].Leg >= 0
	})
}
