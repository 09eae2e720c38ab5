package whip

import (
	"slices"
	"time"

	"github.com/pion/rtcp"

	"github.com/streampair/streampair/mediaserver/stream"
)

// A videoTrack is the video track of a publisher: its layers, and the choice of the layer
// that is published.
type videoTrack struct {
	rids   int // number of layers that the offer names
	layers []*layer
	// current is the published layer, or nil before the first. target, if not nil,
	// replaces it at target's next IDR.
	current, target *layer
	// sps and pps are the parameter sets of the offer (sprop-parameter-sets), if any.
	sps, pps []byte

	lastPacket  time.Duration // when a packet of any layer last came
	lastWritten time.Duration // when a picture was last published
}

// layerOf returns the layer of a packet, or nil if there are too many layers. rid is the index of
// the packet's RID in the offer; it is negative for a packet without a RID.
func (v *videoTrack) layerOf(ssrc uint32, rid int, now time.Duration) *layer {
	i := slices.IndexFunc(v.layers, func(l *layer) bool { return l.ssrc == ssrc })
	if i >= 0 && (rid < 0 || v.layers[i].named) {
		return v.layers[i]
	}
	if rid >= 0 {
		if j := slices.IndexFunc(v.layers, func(l *layer) bool { return l.named && l.order == rid }); j >= 0 {
			l := v.layers[j] // the layer's encoder has started again
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

// layerLimit returns how many layers are accepted: those that the offer names and one
// whose name is not known yet, but at least fewLayers.
func (v *videoTrack) layerLimit() int { return min(max(fewLayers, v.rids+1), maxLayers) }

// makeRoom forgets a layer that does not flow. It reports whether there was one.
func (v *videoTrack) makeRoom(now time.Duration) bool {
	i := slices.IndexFunc(v.layers, func(l *layer) bool { return l != v.current && !l.flow.isFlowing(now) })
	if i >= 0 {
		v.forget(v.layers[i])
	}
	return i >= 0
}

func (v *videoTrack) forget(l *layer) {
	v.layers = slices.DeleteFunc(v.layers, func(x *layer) bool { return x == l })
	if v.target == l {
		v.target = nil
	}
	if v.current == l {
		v.current = nil
	}
}

// choose sets the layer that is to be published next.
func (v *videoTrack) choose(now time.Duration) {
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

// isWanted reports whether lost packets and IDRs of a layer are asked for.
func (v *videoTrack) isWanted(l *layer) bool {
	return v.current == nil || l == v.current || l == v.target
}

// limitUnfinished keeps the incomplete pictures of all layers within maxUnfinished bytes. So a
// publisher with many layers takes no more memory than one with a single layer. Layers that are
// not wanted lose theirs first. Among equals the layer that holds the most goes first.
func (v *videoTrack) limitUnfinished() {
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
		most.dropUnfinished()
	}
}

// wantIDR asks for an IDR of each wanted layer as soon as the rate allows.
func (v *videoTrack) wantIDR() {
	for _, l := range v.layers {
		if v.isWanted(l) {
			l.keyframes.want()
		}
	}
}

// feedback returns the RTCP packets to send for the video track.
func (v *videoTrack) feedback(sender uint32, now time.Duration) (packets []rtcp.Packet) {
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

// videoPacket takes one packet of the video track.
func (r *receiver) videoPacket(ssrc uint32, rid int, p *packet) error {
	v := &r.video
	if v.sps != nil && len(v.layers) == 0 {
		_ = r.publication.SetVideoParameters(v.sps, v.pps) // in-band parameter sets will do if these are unusable
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

// videoTick does the work that is due by time alone.
func (r *receiver) videoTick(now time.Duration) error {
	for _, l := range r.video.layers {
		if err := r.drainLayer(l, now); err != nil {
			return err
		}
	}
	r.video.choose(now)
	return r.publishFirst(now)
}

func (r *receiver) drainLayer(l *layer, now time.Duration) error {
	for {
		p, gap := l.packets.pop(now)
		if p == nil {
			return nil
		}
		units, _ := l.assembler.push(p, gap) // a dropped picture is counted below
		for _, u := range units {
			l.observe(u, now)
			if err := r.publish(l, u, now); err != nil {
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

// publish publishes a picture if its layer is the published one.
func (r *receiver) publish(l *layer, u unit, now time.Duration) error {
	v := &r.video
	switch {
	case v.current == nil:
		l.hold(u, now)
		return r.publishFirst(now)
	case v.target == l && u.idr:
		v.current, v.target, l.restarted = l, nil, true
	case v.current != l:
		return nil
	}
	return r.writeVideo(l, u, now)
}

// publishFirst starts to publish a layer, if none is published and one can be chosen.
func (r *receiver) publishFirst(now time.Duration) error {
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
	return nil // the publication has counted the malformed picture
}
