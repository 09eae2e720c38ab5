package whip

import (
	"bytes"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"

	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// layerLoss is how long a layer may send nothing before the next lower one is shown, and
	// how long the first picture waits for layers that were offered and have not come.
	layerLoss = time.Second

	// layerTrial is how long a layer that had stopped must flow before it is shown again.
	layerTrial = 5 * time.Second

	// maxLayers bounds the encodings of one track. sdpoffer takes no more a=rid lines.
	maxLayers = 16

	// fewLayers is how many encodings of one track are taken where the offer names fewer:
	// encoders that name none send three at most.
	fewLayers = 4

	// maxUnfinished bounds what all layers of a track hold of pictures that are not whole,
	// in bytes: as much as one layer may.
	maxUnfinished = maxAccessUnit + window*maxPacket

	// maxHeld bounds the pictures that wait for the first choice, in bytes.
	maxHeld = 16 << 20
)

// A layer is one encoding of the picture, with an SSRC of its own: one of a simulcast (RFC
// 8853), or the track's only one.
type layer struct {
	ssrc uint32
	// order is its place in the offer, or behind those of the offer the order of arrival. Of
	// layers of the same size the first is the better one.
	order int
	named bool // order is that of a RID

	packets   reorder
	assembler *assembler
	keyframes keyframes
	flow      flow
	// pixels is the size of its pictures, 0 before the first parameter sets.
	pixels int
	sps    []byte
	// held are its pictures since the last IDR, while no layer has been chosen.
	held      []heldUnit
	heldBytes int
	// restarted says that the next picture is on another RTP clock than the last one.
	restarted bool
	report    *senderReport // the last one while another layer is shown
	dropped   int           // pictures counted in metrics
}

type heldUnit struct {
	unit    unit
	arrival time.Duration
}

func newLayer(ssrc uint32, order int, named bool) *layer {
	return &layer{ssrc: ssrc, order: order, named: named, packets: reorder{wait: videoWait}, assembler: newAssembler()}
}

// restart makes l the layer of another SSRC.
func (l *layer) restart(ssrc uint32) {
	l.ssrc, l.packets, l.assembler, l.restarted = ssrc, reorder{wait: videoWait}, newAssembler(), true
	l.dropped, l.held, l.heldBytes = 0, nil, 0
}

// observe notes what a whole picture says of the layer.
func (l *layer) observe(u unit, now time.Duration) {
	if u.idr {
		l.keyframes.received(now)
	}
	for _, nalu := range u.nalus {
		if nalu[0]&0x1f == naluTypeSPS && !bytes.Equal(nalu, l.sps) {
			l.setSPS(nalu)
		}
	}
}

// setSPS notes the parameter set of the layer's pictures, and their size.
func (l *layer) setSPS(sps []byte) {
	l.sps = sps
	var parsed h264.SPS
	if parsed.Unmarshal(sps) == nil {
		l.pixels = parsed.Width() * parsed.Height()
	}
}

// unfinished is what the layer holds of pictures that are not whole, in bytes.
func (l *layer) unfinished() int { return l.packets.bytes + l.assembler.unfinished() }

// giveUp drops what unfinished counts.
func (l *layer) giveUp() {
	l.packets.drop()
	l.assembler.giveUp()
}

// hold keeps a picture until a layer is chosen. It begins with one at which decoding can
// begin: a layer may be in the middle of a GOP when the one that was shown is forgotten.
func (l *layer) hold(u unit, arrival time.Duration) {
	switch {
	case u.idr:
		l.held, l.heldBytes = l.held[:0], 0
	case len(l.held) == 0 && !stream.IsRecoveryPoint(u.nalus):
		return
	}
	l.held = append(l.held, heldUnit{u, arrival})
	for _, nalu := range u.nalus {
		l.heldBytes += len(nalu)
	}
}

func (l *layer) isHigher(than *layer) bool {
	if l.pixels != than.pixels {
		return l.pixels > than.pixels
	}
	return l.order < than.order
}

// A flow is when packets of a layer came.
type flow struct {
	started     bool
	since, last time.Duration // without a pause as long as layerLoss
	lapsed      bool          // there was such a pause before
}

func (f *flow) arrived(now time.Duration) {
	switch {
	case !f.started:
		f.started, f.since = true, now
	case now-f.last >= layerLoss:
		f.lapsed, f.since = true, now
	}
	f.last = now
}

func (f *flow) isFlowing(now time.Duration) bool { return f.started && now-f.last < layerLoss }

// isTrusted reports whether a layer flows, and has done so long enough if it had stopped.
func (f *flow) isTrusted(now time.Duration) bool {
	return f.isFlowing(now) && (!f.lapsed || now-f.since >= layerTrial)
}

// chooseLayer returns the layer that should be shown at now, instead of the current one.
// While the current one flows, that is the highest above it that can be relied on; otherwise
// the highest that flows. It is pure.
func chooseLayer(layers []*layer, current *layer, now time.Duration) *layer {
	var best *layer
	if current.flow.isFlowing(now) {
		best = highest(layers, func(l *layer) bool { return l.isHigher(current) && l.flow.isTrusted(now) })
	} else {
		best = highest(layers, func(l *layer) bool { return l.flow.isFlowing(now) })
	}
	if best == nil {
		return current
	}
	return best
}

// chooseFirst returns the first layer to show; nil: it is too early. That is the highest
// of those from which a whole IDR has come, once one has come from each of the offered layers,
// or layerLoss after the first packet. It is pure.
func chooseFirst(layers []*layer, offered int, now time.Duration) *layer {
	ready, held := 0, 0
	first := now
	for _, l := range layers {
		if len(l.held) > 0 {
			ready++
		}
		held += l.heldBytes
		first = min(first, l.flow.since)
	}
	if ready < max(1, offered) && now-first < layerLoss && held < maxHeld {
		return nil
	}
	return highest(layers, func(l *layer) bool { return len(l.held) > 0 && l.flow.isFlowing(now) })
}

func highest(layers []*layer, where func(*layer) bool) (best *layer) {
	for _, l := range layers {
		if where(l) && (best == nil || l.isHigher(best)) {
			best = l
		}
	}
	return best
}
