package whip

import (
	"slices"
	"time"

	"github.com/pion/rtcp"

	"github.com/streampair/streampair/mediaserver/stream"
)

// A picture is the video track of a publisher: the layers that come, and which of them is
// shown.
type picture struct {
	rids   int // layers offered by name
	layers []*layer
	// current is the layer shown, nil before the first; target, if not nil, takes its place
	// with its next IDR.
	current, target *layer
	// sps and pps are the parameter sets of the offer (sprop-parameter-sets), if any.
	sps, pps []byte

	lastPacket  time.Duration // when a packet of any layer came
	lastWritten time.Duration // when a picture was published
}

// layerOf returns the layer of a packet. rid is the place of its RID in the offer; negative:
// it has none. nil: there are too many.
func (v *picture) layerOf(ssrc uint32, rid int, now time.Duration) *layer {
	i := slices.IndexFunc(v.layers, func(l *layer) bool { return l.ssrc == ssrc })
	if i >= 0 && (rid < 0 || v.layers[i].named) {
		return v.layers[i]
	}
	if rid >= 0 {
		if j := slices.IndexFunc(v.layers, func(l *layer) bool { return l.named && l.order == rid }); j >= 0 {
			l := v.layers[j] // its encoder began anew
			if i >= 0 {
				v.forget(v.layers[i])
			}
			l.restart(ssrc)
			return l
		}
		if i >= 0 {
			v.layers[i].order, v.layers[i].named = rid, true
			return v.layers[i]
		}
	}
	if len(v.layers) >= v.layerLimit() && !v.makeRoom(now) {
		return nil
	}
	order, named := rid, rid >= 0
	if !named {
		order = v.rids + len(v.layers)
	}
	l := newLayer(ssrc, order, named)
	if v.sps != nil {
		l.setSPS(v.sps)
	}
	v.layers = append(v.layers, l)
	return l
}

// layerLimit is how many layers are taken: those that the offer names, one that has not named itself
// yet, and at least fewLayers.
func (v *picture) layerLimit() int { return min(max(fewLayers, v.rids+1), maxLayers) }

// makeRoom forgets a layer that does not flow, and reports whether there was one.
func (v *picture) makeRoom(now time.Duration) bool {
	i := slices.IndexFunc(v.layers, func(l *layer) bool { return l != v.current && !l.flow.isFlowing(now) })
	if i >= 0 {
		v.forget(v.layers[i])
	}
	return i >= 0
}

func (v *picture) forget(l *layer) {
	v.layers = slices.DeleteFunc(v.layers, func(x *layer) bool { return x == l })
	if v.target == l {
		v.target = nil
	}
	if v.current == l {
		v.current = nil
	}
}

// choose decides which layer is to be shown.
func (v *picture) choose(now time.Duration) {
	if v.current == nil {
		return
	}
	target := chooseLayer(v.layers, v.current, now)
	if target == v.current {
		target = nil
	}
	if target != nil && target != v.target {
		target.keyframes.begin(now)
	}
	v.target = target
}

// isWanted reports whether packets of a layer are asked for again, and IDR pictures.
func (v *picture) isWanted(l *layer) bool { return v.current == nil || l == v.current || l == v.target }

// limitUnfinished keeps what all layers hold of pictures that are not whole within
// maxUnfinished, so that a publisher with many layers takes no more memory than one with a
// single layer. Layers that are not wanted give up first, the one that holds the most before
// the others.
func (v *picture) limitUnfinished() {
	for {
		total := 0
		var most *layer
		for _, l := range v.layers {
			held := l.unfinished()
			total += held
			switch {
			case held == 0:
			case most == nil, v.isWanted(most) && !v.isWanted(l), v.isWanted(most) == v.isWanted(l) && held > most.unfinished():
				most = l
			}
		}
		if total <= maxUnfinished {
			return
		}
		most.giveUp()
	}
}

// wantIDR asks for an IDR as soon as the rate allows.
func (v *picture) wantIDR() {
	for _, l := range v.layers {
		if v.isWanted(l) {
			l.keyframes.want()
		}
	}
}

// feedback returns the RTCP packets to send for the track.
func (v *picture) feedback(sender uint32, now time.Duration) (packets []rtcp.Packet) {
	for _, l := range v.layers {
		if !v.isWanted(l) {
			continue
		}
		if missing := l.packets.missing(nil, now, maxRequests); len(missing) > 0 {
			packets = append(packets, &rtcp.TransportLayerNack{
				SenderSSRC: sender, MediaSSRC: l.ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(missing),
			})
		}
		if l.keyframes.due(now, l.assembler.needIDR || l == v.target || v.current == nil && len(l.held) == 0) {
			packets = append(packets, &rtcp.PictureLossIndication{SenderSSRC: sender, MediaSSRC: l.ssrc})
		}
	}
	return packets
}

// packet takes one packet of the video track.
func (r *receiver) videoPacket(ssrc uint32, rid int, p *packet) error {
	v := &r.video
	if v.sps != nil && len(v.layers) == 0 {
		_ = r.publication.SetVideoParameters(v.sps, v.pps) // in-band ones will do
	}
	l := v.layerOf(ssrc, rid, p.arrival)
	if l == nil {
		return nil
	}
	l.flow.arrived(p.arrival)
	v.lastPacket = p.arrival
	l.packets.push(p)
	err := r.drainLayer(l, p.arrival)
	v.limitUnfinished()
	return err
}

// videoTick does what is due by time alone.
func (r *receiver) videoTick(now time.Duration) error {
	for _, l := range r.video.layers {
		if err := r.drainLayer(l, now); err != nil {
			return err
		}
	}
	r.video.choose(now)
	return r.showFirst(now)
}

func (r *receiver) drainLayer(l *layer, now time.Duration) error {
	for {
		p, gap := l.packets.pop(now)
		if p == nil {
			return nil
		}
		units, _ := l.assembler.push(p, gap) // what is wrong with a picture is counted below
		for _, u := range units {
			l.observe(u, now)
			if err := r.show(l, u, now); err != nil {
				return err
			}
		}
		if n := l.assembler.dropped - l.dropped; n > 0 {
			if r.video.isWanted(l) {
				r.metrics.FramesDropped.WithLabelValues("whip").Add(float64(n))
			}
			l.dropped = l.assembler.dropped
		}
	}
}

// show publishes a picture if it is of the layer that is shown.
func (r *receiver) show(l *layer, u unit, now time.Duration) error {
	v := &r.video
	switch {
	case v.current == nil:
		l.hold(u, now)
		return r.showFirst(now)
	case v.target == l && u.idr:
		v.current, v.target, l.restarted = l, nil, true
	case v.current != l:
		return nil
	}
	return r.writeVideo(l, u, now)
}

// showFirst begins with a layer, if none is shown and one can be chosen.
func (r *receiver) showFirst(now time.Duration) error {
	v := &r.video
	if v.current != nil || len(v.layers) == 0 {
		return nil
	}
	if v.current = chooseFirst(v.layers, v.rids, now); v.current == nil {
		return nil
	}
	held := v.current.held
	for _, l := range v.layers {
		l.held, l.heldBytes = nil, 0
	}
	for _, h := range held {
		if err := r.writeVideo(v.current, h.unit, h.arrival); err != nil {
			return err
		}
	}
	return nil
}

func (r *receiver) writeVideo(l *layer, u unit, now time.Duration) error {
	if l.restarted {
		r.timeline.replace(stream.Video)
	}
	pts := r.timeline.at(stream.Video, u.timestamp, now)
	if l.report != nil {
		r.timeline.sent(stream.Video, l.report.ntp, l.report.timestamp)
	}
	l.restarted, l.report = false, nil
	err := r.publication.WriteVideo(r.decoding.dts(pts, u), pts, u.nalus)
	if isFinal(err) {
		return err
	}
	if err == nil {
		r.video.lastWritten = now
	}
	return nil // a malformed picture: the publication has counted it
}
