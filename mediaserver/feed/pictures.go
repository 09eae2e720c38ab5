package feed

import (
	"errors"
	"slices"
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

// This file joins the pictures of publishers that send each NAL unit in a separate
// message, as some hardware encoders and restreamers do.

// Bounds for pictures that come in several messages.
const (
	maxPictureNALUs = 1024
	// maxPrecedingBytes and maxPrecedingNALUs bound the messages that precede a picture.
	maxPrecedingBytes = 64 << 10
	maxPrecedingNALUs = 64
	// assumedInterval is the frame interval before it is known from two pictures.
	assumedInterval = 40 * time.Millisecond
)

var (
	errLaterSlice   = errors.New("a picture's later slices without its first")
	errTooManyNALUs = errors.New("too many NAL units in a picture")
)

// pictures writes a publication's pictures. At first each message is written as a picture at
// once. When a message begins with a later slice of a picture, pictures come in several
// messages. From then on each picture is held until the next one begins.
type pictures struct {
	publication *stream.Publication
	maxBytes    int              // bound of a picture that comes in several messages
	leftOut     func(length int) // called for a picture that is longer

	// preceding are the NAL units of the messages since the last picture. It is used while
	// split is false.
	preceding naluList
	split     bool // pictures come in several messages
	// last is the last written picture. It is used while split is false. It has NAL
	// units only if it is an IDR.
	last heldPicture

	held     heldPicture
	interval time.Duration // time between the last two pictures

	sound time.Duration // time of the last sound, on the publisher's clock
	heard bool          // sound has come
}

// A heldPicture is a picture that the next message may continue.
type heldPicture struct {
	dts, pts time.Duration // times of its first message
	at       time.Duration // when its first message came, on the media clock
	sound    time.Duration // pictures.sound when its first message came; dts if no sound had come
	nalus    naluList
	slices   bool // the NAL units have a slice
}

// A naluList holds NAL units up to a bound.
type naluList struct {
	nalus        [][]byte // nil once there were too many
	count, bytes int      // of all NAL units that were added
}

func newNALUList(nalus [][]byte) naluList {
	l := naluList{nalus: slices.Clip(nalus)} // other holders of nalus must not see what is added
	l.measure(nalus)
	return l
}

func (l *naluList) measure(added [][]byte) {
	l.count += len(added)
	for _, nalu := range added {
		l.bytes += len(nalu)
	}
}

// held returns the size of the NAL units that are kept, in bytes.
func (l *naluList) held() int {
	if l.nalus == nil {
		return 0
	}
	return l.bytes
}

// add adds NAL units. If the bounds are exceeded, the list keeps none.
func (l *naluList) add(nalus [][]byte, maxCount, maxBytes int) {
	l.measure(nalus)
	if l.count > maxCount || l.bytes > maxBytes {
		l.nalus = nil
		return
	}
	l.nalus = append(l.nalus, nalus...)
}

// bytes returns the size of the NAL units that are held, in bytes.
func (p *pictures) bytes() int { return p.preceding.held() + p.last.nalus.held() + p.held.nalus.held() }

// write takes the NAL units of one message.
func (p *pictures) write(dts, pts time.Duration, nalus [][]byte) error {
	if nalus = slices.DeleteFunc(nalus, isPadding); len(nalus) == 0 {
		return nil
	}
	c := contentsOf(nalus)
	if !p.split && c.isLater() && p.last.slices {
		p.beginHolding()
	}
	if p.split {
		return p.hold(dts, pts, nalus, c)
	}
	return p.pass(dts, pts, nalus, c)
}

// pass writes a message as a picture. NAL units that came before it in separate messages are
// written with it, because an SEI or an SPS may make it a recovery point.
func (p *pictures) pass(dts, pts time.Duration, nalus [][]byte, c contents) error {
	if !c.slices {
		err := p.publication.WriteVideo(dts, pts, nalus) // its parameter sets take effect at once
		if err == nil {
			p.preceding.add(nalus, maxPrecedingNALUs, maxPrecedingBytes)
		}
		return err
	}
	if len(p.preceding.nalus) > 0 {
		nalus = append(p.preceding.nalus, nalus...)
	}
	p.preceding = naluList{}
	p.last = p.begin(dts, pts)
	if p.last.slices = true; hasIDR(nalus) {
		p.last.nalus = newNALUList(nalus)
	}
	return p.publication.WriteVideo(dts, pts, nalus)
}

// beginHolding starts to hold pictures, beginning with the last written one. That
// picture's first slices were written as if they were the whole picture. An IDR can be
// written again as a whole. Otherwise the rest of the GOP is dropped.
func (p *pictures) beginHolding() {
	p.split = true
	if hasIDR(p.last.nalus.nalus) {
		p.held = p.last
	} else {
		p.publication.BreakGOP()
	}
	p.last, p.preceding = heldPicture{}, naluList{}
}

// hold adds a message to the held picture. If another picture begins with the message,
// hold writes the held picture first.
func (p *pictures) hold(dts, pts time.Duration, nalus [][]byte, c contents) error {
	var err error
	if p.held.slices && c.begins() {
		p.interval = dts - p.held.dts
		err = p.flush()
	}
	if c.isLater() && !p.held.slices {
		// The first slices are lost, or were written as if they were the whole picture.
		p.held = heldPicture{}
		p.publication.BreakGOP()
		return p.publication.Reject(errLaterSlice)
	}
	if p.held.nalus.count == 0 {
		p.held = p.begin(dts, pts)
	}
	p.held.nalus.add(nalus, maxPictureNALUs, p.maxBytes)
	p.held.slices = p.held.slices || c.slices
	return err
}

// begin returns a picture whose first message has just come.
func (p *pictures) begin(dts, pts time.Duration) heldPicture {
	h := heldPicture{dts: dts, pts: pts, at: p.publication.Stream().Now(), sound: dts}
	if p.heard {
		h.sound = p.sound
	}
	return h
}

// flush writes the held picture, if there is one.
func (p *pictures) flush() error {
	if !p.held.slices {
		return nil // what is held only precedes a picture
	}
	held := p.held
	p.held = heldPicture{}
	switch {
	case held.nalus.bytes > p.maxBytes:
		p.leftOut(held.nalus.bytes)
		return nil
	case held.nalus.count > maxPictureNALUs:
		p.publication.BreakGOP()
		return p.publication.Reject(errTooManyNALUs)
	}
	return p.publication.WriteVideo(held.dts, held.pts, held.nalus.nalus)
}

// soundAt takes the time of a sound. It writes a picture that has been held for a
// frame interval, because that picture may be the last before a pause. The sound must
// also have advanced by the interval. If the network stalls in the middle of a
// picture, both wait, and the rest of the picture is still to come.
func (p *pictures) soundAt(pts time.Duration) error {
	p.sound, p.heard = pts, true
	interval := p.interval
	if interval <= 0 {
		interval = assumedInterval
	}
	if pts-p.held.sound < interval || p.publication.Stream().Now()-p.held.at < interval {
		return nil
	}
	return p.flush()
}
