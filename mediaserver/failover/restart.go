package failover

import (
	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/stream"
)

// This file has what happens after a panic of the pair's goroutine. The publications that fed the
// pair are expelled. The pair plays on with the same output, so that its viewers stay.

// mayRestart reports whether the pair may play on after err. It may not after a panic for which
// the whole server is given up: the state of its output may be damaged.
func (p *Pair) mayRestart(err error) bool {
	return recovery.Is(err) && p.cfg.Recovery.Reason() == nil
}

// restart expels the publications that fed the pair, and resets the pair's state to before the
// first picture. The state of the decision stays: the leg of an expelled publication is lost, and
// the pair switches to the other leg as after any loss.
func (p *Pair) restart() {
	for _, culprit := range p.suspects() {
		culprit.Expel()
	}
	p.log.Error("the pair restarts after a panic")
	p.target, p.giveUp = "", 0
	p.entered, p.handling = nil, nil
	p.sound.restart(p.cfg)
	p.delayed, p.hasViewers = delayBuffer{}, false
	p.stall = stallGuard{lost: p.stall.lost}
	for _, l := range p.legs {
		l.lateness = lateness{}
	}
}

// suspects returns the publications that may have made the pair panic: the publication whose media
// was being handled. If none was, suspects returns the publications on air: their earlier media may
// be at fault.
func (p *Pair) suspects() []*stream.Publication {
	if p.handling != nil {
		return []*stream.Publication{p.handling}
	}
	var onAir []*stream.Publication
	for _, candidate := range []*stream.Publication{p.entered, p.sound.publication} {
		if candidate != nil {
			onAir = append(onAir, candidate)
		}
	}
	return onAir
}
