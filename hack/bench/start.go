package main

import (
	"fmt"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/streampair/streampair/hack/e2e/measure"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// measureStart measures the waiting times at the start.
func measureStart(t *scope, o options) []table {
	s := startServer(t, o.server)
	defer s.stop()
	out := table{title: fmt.Sprintf("Starting, %d runs, GOP 2s", o.runs), header: "figure | median | worst"}
	add := func(what string, f measure.Figures) { out.row(append([]string{what}, cells(f)...)...) }

	primary := newLeg(t, s, "primary", 0, 2*time.Second)
	p := openPage(t, s)
	defer p.close()
	var publish measure.Figures
	say("publish to playable, %d times", o.runs)
	for range o.runs {
		p.sightings()
		begun := time.Now()
		encoder := primary.publish("primary")
		publish = append(publish, p.firstPicture().Sub(begun))
		encoder.Kill()
		t.until("off air", func() bool { return !s.pair().OnAir })
	}
	add("ffmpeg started to its first picture in a waiting page", publish)

	encoder := primary.publish("primary")
	defer encoder.Kill()
	t.until("on air", func() bool { return s.pair().OnAir })
	var join, pageJoin measure.Figures
	say("join to first picture, %d times", o.runs)
	for range o.runs {
		t.sleep(700 * time.Millisecond)
		begun := time.Now()
		viewer, err := mediatest.WatchWHEP(t.ctx, s.http("whep/primary"+pairQuery), mediatest.WatchOptions{})
		t.must(err)
		t.until("a picture", func() bool { return len(viewer.Video().Pictures) > 0 })
		join = append(join, viewer.Video().Pictures[0].Arrival.Sub(begun))
		viewer.Close()

		t.must(chromedp.Do(p.ctx, chromedp.Navigate("about:blank")))
		begun = time.Now()
		p.open(s)
		pageJoin = append(pageJoin, p.firstPicture().Sub(begun))
	}
	add("WHEP request to the first whole picture received (pion)", join)
	add("page opened to its first picture on screen (Chromium)", pageJoin)
	return []table{out}
}

// firstPicture waits for the first picture on the page, and returns when it was shown.
func (p *page) firstPicture() (at time.Time) {
	p.t.until("the page shows a picture", func() bool {
		for _, s := range p.sightings() {
			if s.Leg >= 0 {
				at = s.Seen
				return true
			}
		}
		return false
	})
	return at
}
