package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/streampair/streampair/mediaserver/mediatest"
)

const (
	// current is how old a picture may be that counts as live.
	current = 300 * time.Millisecond
	// aftermath is how long after a fault gaps are looked for.
	aftermath = 3 * time.Second
)

const faultHeader = "figure | median | worst | median without a fault | worst without a fault"

// fault is what is done to an encoder, and undone.
type fault struct {
	inflict, mend func(*leg)
}

// faultFigures are the results of a fault inflicted many times, and of the same times
// without one.
type faultFigures struct {
	firstPicture, gap, concealed       figures
	usualAge, usualGap, usualConcealed figures
	connections, sources               map[any]bool
	skewBefore, skewAfter              figures
}

// runs inflicts the fault on whichever leg is on air, at a random phase of its GOP.
func (b *bothLegs) runs(p *page, f fault, n int) *faultFigures {
	out := &faultFigures{connections: map[any]bool{}, sources: map[any]bool{}}
	viewer, err := mediatest.WatchWHEP(b.t.ctx, b.s.http("whep/primary"+pairQuery), mediatest.WatchOptions{Decode: true})
	b.t.must(err)
	defer viewer.Close()
	p.plays()
	b.t.sleep(5 * time.Second)
	var firstFault time.Time
	for i := range n {
		phase := rand.Int64N(int64(b.gop)) //nolint:gosec // nobody gains by guessing it
		b.t.sleep(b.gop + time.Duration(phase))
		p.sightings()
		quiet, quietStats := time.Now(), p.statistics()
		b.t.sleep(aftermath)
		victim, survivor := b.active()
		usual, before := p.sightings(), p.statistics()
		out.usualGap = append(out.usualGap, mediatest.LongestGap(usual, quiet, quiet.Add(aftermath)))
		out.usualConcealed = append(out.usualConcealed, before.concealed()-quietStats.concealed())
		var ages figures
		for _, s := range usual {
			if s.Leg == victim.programme.Leg {
				ages = append(ages, victim.age(s))
			}
		}
		out.usualAge = append(out.usualAge, ages.median())

		at := time.Now()
		if firstFault.IsZero() {
			firstFault = at
		}
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
		say("run %d of %d: first picture after %v, longest gap %v", i+1, n,
			out.firstPicture[i].Round(time.Millisecond), out.gap[i].Round(time.Millisecond))
		f.mend(victim)
	}
	sound, err := viewer.Audio().Sound()
	b.t.must(err)
	for _, skew := range mediatest.Skews(viewer.Sightings(), sound.Beeps(), fps) {
		if skew.At.Before(firstFault) {
			out.skewBefore = append(out.skewBefore, skew.Late.Abs())
		} else {
			out.skewAfter = append(out.skewAfter, skew.Late.Abs())
		}
	}
	return out
}

func (f *faultFigures) table(title string) table {
	t := table{title: title, header: faultHeader}
	t.measured("fault to the first current picture of the other leg (without a fault: age of the pictures shown)", f.firstPicture, f.usualAge)
	t.measured(fmt.Sprintf("longest time without a new picture in the %v after", aftermath), f.gap, f.usualGap)
	t.measured("sound made up by the browser", f.concealed, f.usualConcealed)
	t.measured("picture and sound apart", f.skewAfter, f.skewBefore)
	t.row("connections, SSRCs used by the page", fmt.Sprintf("%d, %d", len(f.connections), len(f.sources)), "", "", "")
	return t
}

func measureKill(t *scope, o options) table {
	out := table{header: faultHeader}
	for _, gop := range []time.Duration{2 * time.Second, 10 * time.Second} {
		s := startServer(t, o.server)
		legs := startLegs(t, s, gop)
		n := o.runs
		say("kill -9 of the encoder on air, %d times, GOP %v", n, gop)
		one := legs.runs(openPage(t, s), fault{
			inflict: func(l *leg) { l.encoder.Kill() },
			mend:    func(l *leg) { l.start() },
		}, n).table(fmt.Sprintf("kill -9 of the active encoder, %d runs, GOP %v", n, gop))
		legs.stop()
		if out.title == "" {
			out.title = one.title
			out.rows = one.rows
			continue
		}
		out.rows = append(append(out.rows, "| *"+one.title+"* | | | | |"), one.rows...)
	}
	return out
}

func measureSilence(t *scope, o options) table {
	s := startServer(t, o.server)
	legs := startLegs(t, s, 2*time.Second)
	say("SIGSTOP of the encoder on air, %d times", o.runs)
	defer legs.stop()
	return legs.runs(openPage(t, s), fault{
		inflict: func(l *leg) { l.encoder.Pause() },
		mend: func(l *leg) {
			l.encoder.Kill() // thawed, it would send what it has queued; start afresh
			l.start()
		},
	}, o.runs).table(fmt.Sprintf("the active encoder stays connected and falls silent (input loss time %v), %d runs, GOP 2s", inputLoss, o.runs))
}
