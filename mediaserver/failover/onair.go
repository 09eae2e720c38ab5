package failover

import (
	"math"
	"slices"
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

// take handles one access unit of l. It says whether the decision should be looked at.
func (p *Pair) take(l *leg, u *stream.AccessUnit) bool {
	if u.Seq <= l.sent {
		return false // came out of the cache already
	}
	p.handling = u.Publication
	l.observeGaps(u)
	if u.Kind == stream.Audio {
		l.lateness.observe(u)
	}
	switched := false
	if l.role == p.target && (u.IDR || u.Kind == stream.Audio && !p.sendsVideo(l)) {
		// Judged again, because the leg may have been lost behind this access unit.
		if d, _, _ := p.decide(p.snapshots(), p.now()); d.Active == l.role && d.Urgency != "" {
			p.carryOut(d, l, u)
			switched = true
		}
	}
	if l.role == p.state.Active {
		p.pass(l, u)
	}
	// While both legs are intact only silence changes anything, and for that there is
	// the timer.
	return switched || slices.Contains(p.intact[:len(p.legs)], false)
}

// sendsVideo says whether pictures are to be expected of l.
func (p *Pair) sendsVideo(l *leg) bool {
	now := p.judgedAt(p.now())
	return l.seen(l.source.Stream().Snapshot(), now).videoLive(p.policyInForce(), now)
}

// emit sends one access unit of the active leg.
func (p *Pair) emit(l *leg, u *stream.AccessUnit) {
	if u.Kind == stream.Video {
		p.emitPicture(l, u)
		return
	}
	if p.timeline.last == 0 {
		p.lastSent = p.now() // without pictures, sound is what is missed
	}
	if !p.listened {
		return
	}
	if u.Publication != p.audioPub || u.Format != p.audioFmt {
		p.switchAudio(l, u.Seq, u)
	}
	p.audioLag = max(u.Arrival-u.PTS, p.audioLag-time.Millisecond)
	p.heard = u.PTS
	p.audio.Write(u)
}

func (p *Pair) emitPicture(l *leg, u *stream.AccessUnit) {
	if !u.IDR && u.Publication != p.shown {
		// Viewers were put on the leg for its sound, and now its picture goes on. What
		// leads up to it is in the cache, or else they wait for an IDR.
		p.burst(l, u.Seq, true)
		return
	}
	p.shown = u.Publication
	p.cfg.Output.WriteVideo(p.timeline.live(u.PTS), u, false)
	p.lastSent = p.now()
}

// switchAudio begins with l's audio: what its cache holds ahead of Seq before. If next
// is an audio unit, it is what follows.
func (p *Pair) switchAudio(l *leg, before uint64, next *stream.AccessUnit) {
	var prime []*stream.AccessUnit
	for _, u := range l.source.Stream().Cached() {
		if u.Kind == stream.Audio && u.Seq < before && !slices.Contains(p.held.units, u) {
			prime = append(prime, p.held.shifted(u))
		}
	}
	p.audioPub, p.audioFmt, p.audioLag = nil, nil, 0
	if next != nil && next.Kind == stream.Audio {
		p.audioPub, p.audioFmt = next.Publication, next.Format
	} else if n := len(prime); n > 0 {
		p.audioPub, p.audioFmt = prime[n-1].Publication, prime[n-1].Format
	}
	// What the cache holds of another format cannot warm up this one's decoder.
	prime = slices.DeleteFunc(prime, func(u *stream.AccessUnit) bool {
		return u.Publication != p.audioPub || u.Format != p.audioFmt
	})
	if p.audioPub != nil {
		p.handling = p.audioPub
	}
	for _, u := range prime {
		p.audioLag = max(p.audioLag, u.Arrival-u.PTS)
		p.heard = u.PTS
	}
	p.audio.Switch(prime)
}

// fillAudio puts silence where audio is missing, so that the track never dies. The first
// of it comes late, because the audio might; what follows does not.
func (p *Pair) fillAudio() {
	if !p.listened || p.state.Active == "" {
		return
	}
	if due := p.now() - p.audioLag; due-audioMargin > p.heard {
		p.audio.Fill(due + audioTick)
	}
}

// burstTime estimates how long it takes until the pictures of a leg's cache are on screen.
func (p *Pair) burstTime(s stream.Snapshot) time.Duration {
	return time.Duration(s.GOPFrames)*decodeTime + p.cfg.Output.BurstDuration(s.GOPBytes)
}

// carryOut puts l on air: from next on, or if next is nil from what its cache holds.
func (p *Pair) carryOut(d Decision, l *leg, next *stream.AccessUnit) {
	from, now := p.state.Active, p.now()
	p.target, p.giveUp, p.held = "", 0, holdback{}
	p.state = p.state.Switched(d, now)
	if from == "" {
		p.state = p.state.adopted(p.Policy(), p.accord().Peer)
	}

	lastSent, burst := p.lastSent, 0
	p.shown = nil
	if next != nil {
		l.sent = next.Seq - 1
	} else {
		burst = p.burst(l, math.MaxUint64, p.sendsVideo(l))
	}
	if p.listened {
		p.switchAudio(l, l.sent+1, next)
	} else {
		p.audioPub = nil
	}
	p.recordSwitch(d, from, l, burst, now, lastSent)
}

// burst takes what l's cache holds up to Seq last. With show it sends the pictures since
// the last IDR; it returns how many.
func (p *Pair) burst(l *leg, last uint64, show bool) int {
	var pictures []*stream.AccessUnit
	for _, u := range l.source.Stream().Cached() {
		if u.Seq > last {
			break
		}
		l.sent = max(l.sent, u.Seq)
		if u.Kind == stream.Video && show {
			pictures = append(pictures, u)
		}
	}
	if len(pictures) == 0 {
		return 0
	}
	newest := pictures[len(pictures)-1]
	p.handling = newest.Publication
	p.timeline.burst(p.held.shifted(newest).PTS)
	for _, u := range pictures {
		p.cfg.Output.WriteVideo(p.timeline.live(p.held.shifted(u).PTS), u, true)
	}
	p.shown, p.lastSent = newest.Publication, p.now()
	return len(pictures)
}

func (p *Pair) recordSwitch(d Decision, from Role, l *leg, burst int, now, lastSent time.Duration) {
	took := now - lastSent
	if lastSent == 0 {
		took = 0
	}
	p.log.Info("leg on air", "leg", d.Active, "from", from, "stream", l.id, "reason", d.Reason,
		"urgency", d.Urgency, "cachedPictures", burst, "sinceLastPicture", took.Round(time.Millisecond))
	if from == d.Active || from == "" {
		return
	}
	p.lastSwitch = Switch{From: from, To: d.Active, Reason: d.Reason, At: now}
	p.cfg.Metrics.Switches.WithLabelValues(p.cfg.Name, string(d.Reason)).Inc()
	p.cfg.Metrics.SwitchSeconds.WithLabelValues(string(d.Urgency)).Observe(took.Seconds())
}
