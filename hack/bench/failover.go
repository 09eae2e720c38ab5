package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/streampair/streampair/hack/e2e/measure"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

const (
	// current bounds the age of a picture that counts as live.
	current = 300 * time.Millisecond
	// aftermath is how long after a fault gaps between pictures are looked for.
	aftermath = 3 * time.Second
)

const faultHeader = "figure | median | worst | median without a fault | worst without a fault"

// A fault can be inflicted on an encoder and mended.
type fault struct {
	inflict, mend func(*leg)
}

// faultFigures are the figures of a fault that was inflicted many times.
// The usual figures are those of equally long times without a fault.
type faultFigures struct {
	firstPicture, gap, concealed       measure.Figures
	usualAge, usualGap, usualConcealed measure.Figures
	connections, sources               map[any]bool
}

// runs inflicts the fault n times on the leg that is on air, at random phases of its GOP.
func (b *bothLegs) runs(p *page, f fault, n int) *faultFigures {
	out := &faultFigures{connections: map[any]bool{}, sources: map[any]bool{}}
	p.plays()
	for i := range n {
		b.atRandom()
		p.sightings()
		quiet, quietStats := time.Now(), p.statistics()
		b.t.sleep(aftermath)
		victim, survivor := b.active()
		usual, before := p.sightings(), p.statistics()
		out.usualGap = append(out.usualGap, mediatest.LongestGap(usual, quiet, quiet.Add(aftermath)))
		out.usualConcealed = append(out.usualConcealed, before.concealed()-quietStats.concealed())
		out.usualAge = append(out.usualAge, victim.ages(usual).Median())

		at := time.Now()
		f.inflict(victim)
		b.t.sleep(aftermath + inputLoss)
		seen, after := p.sightings(), p.statistics()
		first, found := mediatest.FirstCurrent(seen, survivor.programme.Leg, at, current, survivor.age)
		if !found {
			b.t.Fatalf("run %d: no current picture of %s within %v of the fault", i+1, survivor.id, aftermath+inputLoss)
		}
		out.firstPicture = append(out.firstPicture, first.Seen.Sub(at))
		out.gap = append(out.gap, mediatest.LongestGap(seen, at, at.Add(aftermath)))
		out.concealed = append(out.concealed, after.concealed()-before.concealed())
		out.connections[after.Connection], out.sources[after.VideoSSRC] = true, true
		say("run %d of %d: first current picture after %v, longest gap %v, pictures usually %v old, decoding took %.1f ms each; buffered before: sound %s, pictures %s; after: sound %s, pictures %s", i+1, n,
			out.firstPicture[i].Round(time.Millisecond), out.gap[i].Round(time.Millisecond), out.usualAge[i].Round(time.Millisecond),
			1000*(after.DecodeSeconds-before.DecodeSeconds)/(after.Decoded-before.Decoded),
			before.Sound.since(quietStats.Sound), before.Pictures.since(quietStats.Pictures), after.Sound.since(before.Sound), after.Pictures.since(before.Pictures))
		f.mend(victim)
	}
	return out
}

// atRandom waits for a GOP and a random part of another GOP.
func (b *bothLegs) atRandom() {
	phase := rand.Int64N(int64(b.gop)) //nolint:gosec // nobody gains by guessing it
	b.t.sleep(b.gop + time.Duration(phase))
}

// skew inflicts the fault n times. It measures how far picture and sound are apart at a viewer,
// before the first fault and after it. It decodes pictures, so it is separate from runs.
func (b *bothLegs) skew(f fault, n int) (with, without measure.Figures) {
	viewer, err := mediatest.WatchWHEP(b.t.ctx, b.s.http("whep/primary"+pairQuery), mediatest.WatchOptions{Decode: true})
	b.t.must(err)
	defer viewer.Close()
	b.t.sleep(10 * time.Second)
	first := time.Now()
	for range n {
		victim, _ := b.active()
		f.inflict(victim)
		b.t.sleep(aftermath)
		f.mend(victim)
		b.atRandom()
	}
	sound, err := viewer.Audio().Sound()
	b.t.must(err)
	seen := viewer.Sightings()
	for _, skew := range mediatest.Skews(seen, sound.Beeps(), fps) {
		if ofTwoLegs(seen, skew.At) {
			continue
		}
		if skew.At.Before(first) {
			without = append(without, skew.Late.Abs())
		} else {
			with = append(with, skew.Late.Abs())
		}
	}
	return with, without
}

// ofTwoLegs reports whether pictures of both legs are shown around a
// beep. The encoders are not in step, so the beep could be of either leg.
func ofTwoLegs(seen []mediatest.Sighting, beep time.Time) bool {
	legs := map[int]bool{}
	for _, s := range seen {
		if s.Presented.Sub(beep).Abs() < 200*time.Millisecond {
			legs[s.Leg] = true
		}
	}
	return len(legs) > 1
}

func (f *faultFigures) table(title string) table {
	t := table{title: title, header: faultHeader}
	t.measured("fault to the first current picture of the other leg on screen (without a fault: age of the pictures shown)", f.firstPicture, f.usualAge)
	t.measured(fmt.Sprintf("longest time without a new picture in the %v after", aftermath), f.gap, f.usualGap)
	t.measured("sound made up by the browser", f.concealed, f.usualConcealed)
	t.row("connections and SSRCs the page used in all", fmt.Sprintf("%d, %d", len(f.connections), len(f.sources)), "", "", "")
	return t
}

// kill makes an encoder crash. freeze makes an encoder stay connected and send nothing.
var (
	kill = fault{
		inflict: func(l *leg) { l.encoder.Kill() },
		mend:    func(l *leg) { l.start() },
	}
	freeze = fault{
		inflict: func(l *leg) { l.encoder.Pause() },
		mend: func(l *leg) {
			l.encoder.Kill() // a thawed encoder would send its backlog, so start another one
			l.start()
		},
	}
)

// measureKill kills encoders with the usual GOP, and measures lip sync across switches.
// measureLongGOP does so with the GOP of encoders that are not set up for live.
func measureKill(t *scope, o options) []table    { return killAt(t, o, 2*time.Second, 10) }
func measureLongGOP(t *scope, o options) []table { return killAt(t, o, 10*time.Second, 0) }

func killAt(t *scope, o options, gop time.Duration, skewRuns int) []table {
	s := startServer(t, o.server)
	defer s.stop()
	legs := startLegs(t, s, gop)
	defer legs.stop()
	say("kill -9 of the encoder on air, %d times, GOP %v", o.runs, gop)
	p := openPage(t, s)
	out := legs.runs(p, kill, o.runs).table(fmt.Sprintf("kill -9 of the active encoder, 640x360 at 30 pictures a second, %d runs, GOP %v", o.runs, gop))
	p.close()
	if skewRuns > 0 {
		say("picture and sound, %d switches", skewRuns)
		with, without := legs.skew(kill, skewRuns)
		out.measured(fmt.Sprintf("picture and sound apart, by timestamps and sender reports, over %d switches", skewRuns), with, without)
	}
	return []table{out}
}

func measureSilence(t *scope, o options) []table {
	s := startServer(t, o.server)
	defer s.stop()
	legs := startLegs(t, s, 2*time.Second)
	defer legs.stop()
	say("SIGSTOP of the encoder on air, %d times", o.runs)
	title := fmt.Sprintf("the active encoder stays connected and falls silent (input loss time %v), %d runs, GOP 2s", inputLoss, o.runs)
	p := openPage(t, s)
	defer p.close()
	return []table{legs.runs(p, freeze, o.runs).table(title)}
}
