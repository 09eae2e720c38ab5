package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"time"

	"github.com/streampair/streampair/hack/e2e/measure"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// A joiner is a server that viewers join, and how long that took them.
type joiner struct {
	fanoutServer
	posted, checked measure.Figures
}

// measureJoin measures how long a pion client takes from its offer, and from the answer, until it has
// the first whole key frame; and the same of MediaMTX. The servers take turns.
func measureJoin(t *scope, o options) []table {
	video, _ := fanoutFiles(t, o)
	serverCores, loadCores := o.splitCores(runtime.NumCPU())
	var servers []*joiner
	for _, start := range fanoutServers(o) {
		j := &joiner{}
		onCores(t, serverCores, func() { j.fanoutServer = start(t) })
		defer j.stop()
		onCores(t, loadCores, func() { gather(t, "-publish", j.publish, "-video", video) })
		t.until("the stream can be played", func() bool {
			viewer, err := mediatest.WatchWHEP(t.ctx, j.play, mediatest.WatchOptions{})
			if err == nil {
				viewer.Close()
			}
			return err == nil
		})
		servers = append(servers, j)
	}
	say("%d joins of each server", o.runs)
	for range o.runs {
		for _, j := range servers {
			t.sleep(rand.N(fanoutGOP)) //nolint:gosec // nobody gains by guessing it
			j.join(t)
		}
	}
	out := table{
		title:  fmt.Sprintf("Joining by WebRTC with pion, 1080p30 at %d kbit/s, GOP %v, %d joins", o.kbps, fanoutGOP, o.runs),
		header: "figure | median | worst",
	}
	for _, j := range servers {
		out.row(append([]string{j.name + ": POST of the offer to the first whole key frame"}, cells(j.posted)...)...)
		out.row(append([]string{j.name + ": answer, with which ICE starts, to the first whole key frame"}, cells(j.checked)...)...)
	}
	return []table{out}
}

// join is one viewer, until it has a key frame.
func (j *joiner) join(t *scope) {
	var posted, answered time.Time
	client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodPost {
			posted = time.Now()
		}
		return http.DefaultTransport.RoundTrip(r)
	})}
	viewer, err := mediatest.WatchWHEP(t.ctx, j.play, mediatest.WatchOptions{Client: client, Answer: func(sdp string) string {
		answered = time.Now()
		return sdp
	}})
	t.must(err)
	defer viewer.Close()
	t.until("a key frame", func() bool {
		for _, p := range viewer.Video().Pictures {
			if p.IDR {
				j.posted, j.checked = append(j.posted, p.Arrival.Sub(posted)), append(j.checked, p.Arrival.Sub(answered))
				return true
			}
		}
		return false
	})
}

// A roundTrip is an http.RoundTripper.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
