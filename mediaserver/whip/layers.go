package whip

import (
	"bytes"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"

	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// layerLoss is how long a layer may send nothing before the next lower layer is published. It
	// is also how long the first picture waits for offered layers that have not come.
	layerLoss = time.Second

	// layerTrial is how long a layer that had stopped must flow before it is published again.
	layerTrial = 5 * time.Second

	// maxLayers bounds the encodings of one track. sdpoffer accepts no more a=rid lines than that.
	maxLayers = 16

	// fewLayers is how many encodings of one track are accepted when the offer names
	// fewer. Encoders that name none send three at most.
	fewLayers = 4

	// maxUnfinished bounds the incomplete pictures of all layers of a track, in bytes.
	// A single layer may hold as much.
	maxUnfinished = maxAccessUnit + window*maxPacket

	// maxHeld bounds the pictures that wait for the first choice, in bytes.
	maxHeld = 16 << 20
)

// A layer is one encoding of the picture, with its own SSRC. It is one of a simulcast
// (RFC 8853), or the track's only encoding.
type layer struct {
	ssrc uint32
	// order is the layer's index in the offer. Layers that the offer does not name follow in their
	// order of arrival. Of layers of equal size the first is the better one.
	order int
	named bool // order is the index of a RID

	packets   reorder
	assembler *assembler
	keyframes keyframes
	flow      flow
	// pixels is the size of the layer's pictures; 0 before the first parameter sets.
	pixels int
	sps    []byte
	// held are the layer's pictures since its last IDR, until a layer is chosen.
	held      []heldUnit
	heldBytes int
	// restarted reports whether the next picture has another RTP clock than the last
	// published picture.
	restarted bool
	report    *senderReport // the last one while another layer is published
	dropped   int           // dropped pictures already counted in metrics
}

type heldUnit struct {
	unit    unit
	arrival time.Duration
}

func newLayer(ssrc uint32, order int, named bool) *layer {
	return &layer{ssrc: ssrc, order: order, named: named, packets: reorder{wait: videoWait}, assembler: newAssembler()}
}

// restart begins the layer anew with another SSRC.
func (l *layer) restart(ssrc uint32) {
	l.ssrc, l.packets, l.assembler, l.restarted = ssrc, reorder{wait: videoWait}, newAssembler(), true
	l.dropped, l.held, l.heldBytes = 0, nil, 0
}

// observe records a whole picture of the layer.
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

// setSPS records the layer's sequence parameter set and the size of its pictures.
func (l *layer) setSPS(sps []byte) {
	l.sps = sps
	var parsed h264.SPS
	if parsed.Unmarshal(sps) == nil {
		l.pixels = parsed.Width() * parsed.Height()
	}
}

// unfinished returns the size of the layer's incomplete pictures, in bytes.
func (l *layer) unfinished() int { return l.packets.bytes + l.assembler.unfinished() }

// dropUnfinished drops the layer's incomplete pictures.
func (l *layer) dropUnfinished() {
	l.packets.drop()
	l.assembler.dropRest()
}

// hold keeps a picture until a layer is chosen. The first picture kept is one at which
// decoding can begin. That is not always the next one: when the published layer is
// forgotten, other layers may be in the middle of a GOP.
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

// A flow records when packets of a layer came.
type flow struct {
	started     bool
	since, last time.Duration // since: start of the present run without a pause of layerLoss
	lapsed      bool          // there was a pause of layerLoss before since
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

// isTrusted reports whether a layer flows. A layer that had stopped must have flowed
// for layerTrial.
func (f *flow) isTrusted(now time.Duration) bool {
	return f.isFlowing(now) && (!f.lapsed || now-f.since >= layerTrial)
}

// chooseLayer returns the layer that should be published at now instead of the current one.
// While the current layer flows, that is the highest trusted layer above it, if any.
// Otherwise it is the highest layer that flows. chooseLayer is pure.
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

// chooseFirst returns the first layer to publish, or nil while it is too early. It returns the
// highest flowing layer that holds pictures. It waits until all offered layers hold pictures,
// until layerLoss after the first packet, or until maxHeld bytes are held. chooseFirst is pure.
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
