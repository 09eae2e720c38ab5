package failover

import (
	"math"
	"slices"
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

// take handles one access unit of l. It reports whether the decision must be evaluated again.
func (p *Pair) take(l *leg, u *stream.AccessUnit) bool {
	if u.Seq <= l.sent {
		return false // the burst from the cache included this access unit
	}
	p.handling = u.Publication
	l.observeGaps(u)
	if u.Kind == stream.Audio {
		l.lateness.observe(u)
	}
	switched := false
	if l.role == p.target && (u.IDR || u.Kind == stream.Audio && !p.sendsVideo(l)) {
		// Judge again: the leg may have been lost since the switch was planned.
		if d, _, _ := p.decide(p.snapshots(), p.now()); d.Active == l.role && d.Urgency != "" {
			p.carryOut(d, l, u)
			switched = true
		}
	}
	if l.role == p.state.Active {
		p.pass(l, u)
	}
	// While both legs are intact, only silence can change the decision. The recheck timer notices
	// silence.
	return switched || slices.Contains(p.intact[:len(p.legs)], false)
}

// sendsVideo reports whether l's video is live, so that pictures are to be expected.
func (p *Pair) sendsVideo(l *leg) bool {
	now := p.stall.judgedAt(p.now())
	return l.seen(l.source.Stream().Snapshot(), now).videoLive(p.policyInForce(), now)
}

// emit sends one access unit of the active leg.
func (p *Pair) emit(l *leg, u *stream.AccessUnit) {
	if u.Kind == stream.Video {
		p.emitPicture(l, u)
		return
	}
	if p.timeline.last == 0 {
		p.lastSent = p.now() // without pictures, sound is what viewers miss
	}
	if !p.hasViewers {
		return
	}
	if !p.sound.plays(u) {
		p.switchAudio(l, u.Seq, u)
	}
	p.sound.write(u)
}

func (p *Pair) emitPicture(l *leg, u *stream.AccessUnit) {
	if !u.IDR && u.Publication != p.entered {
		// Viewers were put on the leg for its sound, and now its picture resumes. The cache has the
		// pictures that this one depends on. If the cache has none, viewers wait for an IDR.
		p.burst(l, u.Seq, true)
		return
	}
	p.entered = u.Publication
	p.cfg.Output.WriteVideo(p.timeline.live(u.PTS), u, false)
	p.lastSent = p.now()
}

// burstTime estimates how long it takes until the pictures in a leg's cache are on screen.
func (p *Pair) burstTime(s stream.Snapshot) time.Duration {
	return time.Duration(s.GOPFrames)*decodeTime + p.cfg.Output.BurstDuration(s.GOPBytes)
}

// burstIsSooner reports whether the pictures in a leg's cache are on screen sooner than its next IDR.
// The IDRs of some encoders are irregular, as at changes of scene. Their next IDR is not waited for.
func (p *Pair) burstIsSooner(s stream.Snapshot, now time.Duration) bool {
	return !s.RegularIDRs || burstIsSooner(p.burstTime(s), s.LastIDR, s.IDRInterval, now)
}

// carryOut puts l on air. It begins with next, or with the contents of l's cache if next is nil.
func (p *Pair) carryOut(d Decision, l *leg, next *stream.AccessUnit) {
	from, now := p.state.Active, p.now()
	p.target, p.giveUp, p.delayed = "", 0, delayBuffer{}
	p.state = p.state.Switched(d, now)
	if from == "" {
		p.state = p.state.startedWithPeer(p.Policy(), p.peerView().Peer)
	}

	lastSent, burst := p.lastSent, 0
	p.entered = nil
	if next != nil {
		l.sent = next.Seq - 1
	} else {
		burst = p.burst(l, math.MaxUint64, p.sendsVideo(l))
	}
	if p.hasViewers {
		p.switchAudio(l, l.sent+1, next)
	} else {
		p.sound.publication = nil
	}
	p.recordSwitch(d, from, l, burst, now, lastSent)
}

// burst takes l's cached access units up to Seq last. With show it sends the pictures since the
// last IDR. It returns the number of pictures sent.
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
	p.timeline.burst(p.delayed.shifted(newest).PTS)
	for _, u := range pictures {
		p.cfg.Output.WriteVideo(p.timeline.live(p.delayed.shifted(u).PTS), u, true)
	}
	p.entered, p.lastSent = newest.Publication, p.now()
	return len(pictures)
}

func (p *Pair) recordSwitch(d Decision, from Role, l *leg, burst int, now, lastSent time.Duration) {
	took := now - lastSent
	if lastSent == 0 {
		took = 0
	}
	p.log.Info("leg put on air", "leg", d.Active, "from", from, "stream", l.id, "reason", d.Reason,
		"urgency", d.Urgency, "cachedPictures", burst, "sinceLastPicture", took.Round(time.Millisecond))
	if !p.isLeaving() {
		p.history = p.history.withSwitch(d, from, took, now)
	}
	if from == d.Active || from == "" {
		return
	}
	p.lastSwitch = Switch{From: from, To: d.Active, Reason: d.Reason, At: now}
	p.cfg.Metrics.Switches.WithLabelValues(p.cfg.Name, string(d.Reason)).Inc()
	p.cfg.Metrics.SwitchSeconds.WithLabelValues(string(d.Urgency)).Observe(took.Seconds())
}
