package main

import (
	"fmt"
	"time"

	"github.com/streampair/streampair/hack/e2e/measure"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

const (
	// hlsSettle is how long a player may take to come to its place behind the live edge.
	hlsSettle = 15 * time.Second
	// hlsWatch is how long the age of its pictures is then measured.
	hlsWatch = 10 * time.Second
	// hlsAftermath is how long after a kill the other leg's picture is waited for.
	hlsAftermath = 5 * time.Second
)

// samePlayer plays the playlist of MediaMTX by the hls.js that MediaMTX has, with the settings of the
// media server's own page (mediaserver/player/src/hlsconfig.ts).
const samePlayer = `(async () => {
	document.body.innerHTML = "<video muted autoplay></video>";
	const script = document.createElement("script"), video = document.querySelector("video");
	await new Promise((loaded, failed) => {
		Object.assign(script, {src: "hls.min.js", onload: loaded, onerror: failed});
		document.head.append(script);
	});
	const hls = new Hls({enableWorker: false, lowLatencyMode: true, maxLiveSyncPlaybackRate: 1.1,
		liveSyncOnStallIncrease: 0.25, liveDurationInfinity: true, backBufferLength: 10});
	hls.on(Hls.Events.MANIFEST_PARSED, () => video.play());
	hls.loadSource("index.m3u8");
	hls.attachMedia(video);
	return Hls.version;
})()`

// An hlsPlayer is a way to play HLS in a browser.
type hlsPlayer struct {
	name string
	open func(*page)
	// ages are the medians of the pictures' ages, one for each time that the page was opened. worst
	// are the highest ages, and gaps are the longest times without a new picture.
	ages, worst, gaps measure.Figures
}

// measureHLS measures how old the pictures of low-latency HLS are on screen. The server has its default settings, and MediaMTX has its own.
func measureHLS(t *scope, o options) []table {
	const gop = 2 * time.Second
	s := startServer(t, o.server)
	defer s.stop()
	players := []*hlsPlayer{{name: "Streampair, play.html, parts of 250 ms", open: func(p *page) { p.openAt(s.http(playPage + "hls")) }}}
	primary := newLeg(t, s, "primary", 0, gop)
	if o.mediaMTX != "" {
		peer := startMediaMTX(t, o.mediaMTX)
		defer peer.stop()
		primary.also = peer.rtmp
		place := peer.playlist[:len(peer.playlist)-len("index.m3u8")]
		players = append(players,
			&hlsPlayer{name: "MediaMTX, parts of 200 ms, hls.js as in play.html", open: func(p *page) {
				mediatest.Open(p.t, p.ctx, place+"hls.min.js") // a document without a player
				say("hls.js %s", mediatest.Eval[string](p.t, p.ctx, samePlayer))
				p.watch()
			}},
			&hlsPlayer{name: "MediaMTX, parts of 200 ms, its own page", open: func(p *page) { p.openAt(place) }})
	}
	primary.start()
	defer primary.encoder.Stop()
	return []table{hlsAges(t, primary, players, o.runs)}
}

// hlsAges measures the latency of the players, which take turns.
func hlsAges(t *scope, l *leg, players []*hlsPlayer, runs int) table {
	p := openBrowser(t)
	defer p.close()
	for run := range hlsOpenings(runs) {
		for _, one := range players {
			one.open(p)
			p.plays()
			t.sleep(hlsSettle)
			p.sightings()
			begun := time.Now()
			t.sleep(hlsWatch)
			seen := p.sightings()
			ages := l.ages(seen)
			one.ages, one.worst = append(one.ages, ages.Median()), append(one.worst, ages.Worst())
			one.gaps = append(one.gaps, mediatest.LongestGap(seen, begun, begun.Add(hlsWatch)))
			say("opening %d, %s: pictures %v old, %v at most, %d pictures, longest gap %v, load average %s", run+1, one.name,
				ages.Median().Round(time.Millisecond), ages.Worst().Round(time.Millisecond), len(ages), one.gaps[run].Round(time.Millisecond), loadAverage())
		}
	}
	out := table{
		title:  fmt.Sprintf("Low-latency HLS, 640x360 at 30 pictures a second, GOP 2s, %d openings of each page", hlsOpenings(runs)),
		header: "figure | median | worst",
	}
	for _, one := range players {
		out.row(one.name+": age of the pictures on screen", milliseconds(one.ages.Median()), milliseconds(one.worst.Worst()))
		out.row(append([]string{one.name + ": longest time without a new picture"}, cells(one.gaps)...)...)
	}
	return out
}

// hlsOpenings is how often each page is opened: a player keeps its place once it plays, so few are
// enough.
func hlsOpenings(runs int) int { return max(1, min(5, runs/4)) }

// measureHLSKill kills encoders. The first picture of the other leg is not as new as that of
// WebRTC, since HLS is behind by its latency.
func measureHLSKill(t *scope, o options) []table {
	s, n := startServer(t, o.server), o.runs
	defer s.stop()
	b := startLegs(t, s, 2*time.Second)
	defer b.stop()
	p := openBrowser(t)
	defer p.close()
	p.openAt(s.http(playPage + "hls"))
	p.plays()
	t.sleep(hlsSettle)
	var first, gap, age, usualGap, usualAge measure.Figures
	for i := range n {
		b.atRandom()
		victim, survivor := b.active()
		p.sightings()
		begun := time.Now()
		t.sleep(aftermath)
		usual := p.sightings()
		usualGap = append(usualGap, mediatest.LongestGap(usual, begun, begun.Add(aftermath)))
		usualAge = append(usualAge, victim.ages(usual).Median())

		at := time.Now()
		kill.inflict(victim)
		t.sleep(hlsAftermath)
		seen := p.sightings()
		shown, found := mediatest.FirstCurrent(seen, survivor.programme.Leg, at, hlsAftermath, survivor.age)
		if !found {
			t.Fatalf("run %d: no picture of %s within %v of the kill", i+1, survivor.id, hlsAftermath)
		}
		first = append(first, shown.Seen.Sub(at))
		gap = append(gap, mediatest.LongestGap(seen, at, at.Add(aftermath)))
		age = append(age, survivor.age(shown))
		say("run %d of %d: first picture of %s after %v, longest gap %v, that picture %v old, pictures usually %v old, load average %s", i+1, n, survivor.id,
			first[i].Round(time.Millisecond), gap[i].Round(time.Millisecond), age[i].Round(time.Millisecond), usualAge[i].Round(time.Millisecond), loadAverage())
		kill.mend(victim)
	}
	out := table{title: fmt.Sprintf("kill -9 of the active encoder, low-latency HLS, 640x360 at 30 pictures a second, %d runs, GOP 2s", n), header: faultHeader}
	out.measured("fault to the first picture of the other leg on screen", first, nil)
	out.measured("age of that picture (without a fault: age of the pictures shown)", age, usualAge)
	out.measured(fmt.Sprintf("longest time without a new picture in the %v after", aftermath), gap, usualGap)
	return []table{out}
}
