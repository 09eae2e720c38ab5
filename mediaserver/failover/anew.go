package failover

import (
	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/stream"
)

// This file has what happens after a panic of the pair's goroutine: what fed the pair is
// expelled, and the pair plays on with the same output, so that its viewers stay.

// mayBeginAnew reports whether the pair may play on after err. After a panic that gave the
// whole server up it may not: the state of its output may be damaged.
func (p *Pair) mayBeginAnew(err error) bool {
	return recovery.Is(err) && p.cfg.Recovery.Reason() == nil
}

// beginAnew expels what fed the pair, and puts its own state back to where it was before
// the first picture. The state of the decision stays: the leg of what is expelled is lost,
// and the pair switches to the other leg as after any loss.
func (p *Pair) beginAnew() {
	for _, culprit := range p.fedBy() {
		culprit.Expel()
	}
	p.log.Error("the pair begins anew after a panic")
	p.target, p.giveUp = "", 0
	p.shown, p.audioPub, p.audioFmt, p.handling = nil, nil, nil, nil
	p.audioLag, p.heard = 0, 0
	p.sound.packets, p.held = nil, holdback{}
	p.audio = p.cfg.NewAudio(p.sound.add)
	p.listened = false
	p.heldSince, p.graceEnd = 0, 0
	for _, l := range p.legs {
		l.lateness = lateness{}
	}
}

// fedBy returns the publications whose media made the pair panic: the one that was being
// handled, or else those on air, since what they sent before may be at fault.
func (p *Pair) fedBy() []*stream.Publication {
	if p.handling != nil {
		return []*stream.Publication{p.handling}
	}
	var onAir []*stream.Publication
	for _, candidate := range []*stream.Publication{p.shown, p.audioPub} {
		if candidate != nil {
			onAir = append(onAir, candidate)
		}
	}
	return onAir
}
