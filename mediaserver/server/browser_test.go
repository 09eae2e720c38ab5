package server

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
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

// watcher notes each new picture: when it was shown, and the colour of its middle.
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

// A picture is a picture that the page showed.
type picture struct {
	At   int64  `json:"at"` // milliseconds since 1970
	Name string `json:"name"`
}

// shows waits until the page shows pictures of that stream that are newer than the call.
func (p *page) shows(name string) {
	p.t.Helper()
	from := time.Now().UnixMilli()
	eventually.True(p.t, "the page shows "+name, func() bool {
		last := evaluate[picture](p, `window.pictures.at(-1) || {at: 0, name: ""}`)
		return last.Name == name && last.At >= from
	})
}

// encoders publish a blue and a green programme until the test ends.
type encoders struct {
	t           *testing.T
	s           *testServer
	blue, green string
}

func newEncoders(t *testing.T, s *testServer) encoders {
	t.Helper()
	return encoders{t, s, mediatest.File(t, mediatest.Spec{Color: blue}), mediatest.File(t, mediatest.Spec{Color: green})}
}

func (e encoders) primary() *mediatest.Publisher {
	e.t.Helper()
	return mediatest.Publish(e.t, e.blue, e.s.publishURL("primary"), "-stream_loop", "-1")
}

func (e encoders) backup() *mediatest.Publisher {
	e.t.Helper()
	return mediatest.Publish(e.t, e.green, e.s.publishURL("backup"), "-stream_loop", "-1")
}

// says waits until the page shows a waiting message that contains the words.
func (p *page) says(words string) {
	p.t.Helper()
	eventually.True(p.t, "the page says what it waits for", func() bool {
		said := evaluate[string](p, `document.querySelector("#message")?.innerText || ""`)
		return said != "" && strings.Contains(said, words)
	})
}

func TestABrowserKeepsWatchingWhenAnEncoderStops(t *testing.T) {
	s := startServer(t, sticky)
	e := newEncoders(t, s)
	primary, backup := e.primary(), e.backup()
	s.onAir("primary", true, true)

	p := s.open("name", "primary", "backupStreamId", "backup", "playOrder", "webrtc")
	p.shows("primary")
	primary.Stop()
	p.shows("backup")
	e.primary()
	s.onAir("backup", true, true) // sticky
	backup.Kill()
	p.shows("primary")
}

func TestABrowserSeesTheBackupWhenTheEncoderFallsSilent(t *testing.T) {
	s := startServer(t, sticky)
	e := newEncoders(t, s)
	primary, _ := e.primary(), e.backup()
	s.onAir("primary", true, true)

	p := s.open("name", "primary", "backupStreamId", "backup")
	p.shows("primary")
	primary.Pause()
	paused := time.Now()
	p.shows("backup")
	t.Logf("connected but silent: backup seen after %v (input loss time 1 s)", time.Since(paused).Round(time.Millisecond))
	eventually.True(t, "the status says why", func() bool { return s.pair("sunday").Reason == "PrimaryInputLost" })
	primary.Resume() // its backlog disturbs nobody
	s.onAir("backup", true, true)
	p.shows("backup")
}

func TestWithoutABackupThePageWaitsAndResumes(t *testing.T) {
	s := startServer(t, sticky)
	e := newEncoders(t, s)
	primary, _ := e.primary(), e.backup()
	s.onAir("primary", true, true)

	p := s.open("name", "primary")
	p.shows("primary")
	primary.Kill()
	s.onAir("backup", false, true) // the pair has switched, but this page must not
	p.says("primary")
	time.Sleep(3 * time.Second)
	e.primary()
	p.shows("primary")
	for _, picture := range evaluate[[]picture](p, `window.pictures`) {
		if picture.Name == "backup" {
			t.Fatal("the page showed the backup it was not asked to")
		}
	}
}

// The test is parallel, because the page does nothing for a minute. Other browser
// tests draw pictures, and would take the processor from tests that measure.
func TestThePageWaitsThroughAMinuteWithoutEitherStream(t *testing.T) {
	t.Parallel()
	s := startServer(t, sticky)
	e := newEncoders(t, s)
	primary, backup := e.primary(), e.backup()
	s.onAir("primary", true, true)

	p := s.open("name", "primary", "backupStreamId", "backup")
	p.shows("primary")
	primary.Kill()
	p.shows("backup")
	backup.Kill()
	eventually.True(t, "off air", func() bool { return !s.pair("sunday").OnAir })
	p.says("") // in some words
	const requests = `performance.getEntriesByType("resource").length`
	before := evaluate[int](p, requests)
	time.Sleep(time.Minute)
	if after := evaluate[int](p, requests); after-before > 5 {
		t.Errorf("%d requests in a minute of waiting", after-before)
	}
	started := time.Now()
	e.backup()
	s.onAir("backup", false, true)
	onAir := time.Now()
	p.shows("backup")
	t.Logf("after a minute without either: on air %v after the encoder's start, seen %v later",
		onAir.Sub(started).Round(time.Millisecond), time.Since(onAir).Round(time.Millisecond))
	if reloads := evaluate[string](p, `performance.getEntriesByType("navigation").at(-1).type`); reloads != "navigate" {
		t.Errorf("the page was loaded again: %s", reloads)
	}
}

func TestABrowserPublishesThePrimaryByWHIP(t *testing.T) {
	s := startServer(t, sticky)
	backup := newEncoders(t, s).backup()
	s.onAir("backup", false, true)
	// The backup came first, so the primary replaces it only within 10 s.
	publisher := &page{t, mediatest.Browser(t)}
	publish := func() {
		publisher.do(chromedp.Navigate(s.url("publish.html", "name", "primary")),
			chromedp.Click("#start:enabled", chromedp.NodeVisible))
	}
	publish()
	eventually.True(t, "the browser publishes", func() bool {
		p := s.pair("sunday")
		return len(p.Legs) == 2 && p.Legs[0].Live && p.Legs[0].EntryPoint
	})
	if err := s.Select("sunday", "Primary"); err != nil {
		t.Fatal(err)
	}
	s.onAir("primary", true, true)
	if err := s.Select("sunday", "Auto"); err != nil {
		t.Fatal(err)
	}
	viewer := s.open("name", "primary", "backupStreamId", "backup")
	viewer.shows("other") // Chromium's fake camera is neither blue nor green
	publisher.do(chromedp.Click("#stop", chromedp.NodeVisible))
	viewer.shows("backup")
	publish()
	s.onAir("backup", true, true)
	backup.Kill()
	viewer.shows("other")
	if viewer.connections() != 1 {
		t.Errorf("the page used %d connections, want 1", viewer.connections())
	}
}

// connections returns how many WHEP sessions the page has opened.
func (p *page) connections() int {
	p.t.Helper()
	return evaluate[int](p, `performance.getEntriesByType("resource").filter(r => r.name.includes("/whep/") && r.initiatorType === "fetch" && !/whep\/[^/?]+\/./.test(r.name)).length`)
}
