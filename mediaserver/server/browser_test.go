package server

import (
	"context"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/streampair/streampair/mediaserver/internal/mediatest"
)

const (
	blue  = "0x0000ff" // the primary's picture in these tests
	green = "0x00ff00" // the backup's
)

// page is the player in a browser.
type page struct {
	t   *testing.T
	ctx context.Context
}

// watcher notes each new picture: when it was shown and what colour its middle had.
const watcher = `(() => {
	const canvas = document.createElement("canvas");
	canvas.width = canvas.height = 8;
	const draw = canvas.getContext("2d", {willReadFrequently: true});
	window.pictures = [];
	const watch = (video) => {
		const note = (now, meta) => {
			draw.drawImage(video, 0, 0, 8, 8);
			const p = draw.getImageData(4, 4, 1, 1).data;
			const name = p[2] > 150 && p[1] < 100 ? "primary" : p[1] > 150 && p[2] < 100 ? "backup" : "other";
			window.pictures.push({at: Date.now(), name, rtp: meta.rtpTimestamp || 0});
			video.requestVideoFrameCallback(note);
		};
		video.requestVideoFrameCallback(note);
	};
	document.querySelectorAll("video").forEach(watch);
})()`

// open loads the player and watches its pictures.
func (s *testServer) open(query ...string) *page {
	s.t.Helper()
	p := &page{s.t, mediatest.Browser(s.t)}
	p.do(chromedp.Navigate(s.url("play.html", query...)), chromedp.Evaluate[chromedp.Void](watcher))
	return p
}

func (p *page) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.t.Fatal(err)
	}
}

// evaluate runs a script in the page and returns its result.
func evaluate[T any](p *page, script string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](script))
	if err != nil {
		p.t.Fatal(err)
	}
	return v
}

// A picture is one that the page showed.
type picture struct {
	At   int64  `json:"at"` // milliseconds since 1970
	Name string `json:"name"`
}

// shows waits until the page shows pictures of that stream, new since the call.
func (p *page) shows(name string) {
	p.t.Helper()
	from := time.Now().UnixMilli()
	eventually(p.t, "the page shows "+name, func() bool {
		last := evaluate[picture](p, `window.pictures.at(-1) || {at: 0, name: ""}`)
		return last.Name == name && last.At >= from
	})
}

func TestABrowserKeepsWatchingWhenAnEncoderStops(t *testing.T) {
	primary := mediatest.File(t, mediatest.Spec{Color: blue})
	backup := mediatest.File(t, mediatest.Spec{Color: green})
	s := startServer(t, sticky)
	encoderA := mediatest.Publish(t, primary, s.publishURL("primary"), "-stream_loop", "-1")
	encoderB := mediatest.Publish(t, backup, s.publishURL("backup"), "-stream_loop", "-1")
	s.onAir("primary", true, true)

	p := s.open("name", "primary", "backupStreamId", "backup", "playOrder", "webrtc")
	p.shows("primary")
	encoderA.Stop()
	p.shows("backup")
	mediatest.Publish(t, primary, s.publishURL("primary"), "-stream_loop", "-1")
	s.onAir("backup", true, true) // sticky
	encoderB.Kill()
	p.shows("primary")
}
