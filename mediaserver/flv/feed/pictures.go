package feed

import (
	"errors"
	"slices"
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

// This file puts pictures together of publishers that send each NAL unit in a message of its
// own, as some hardware encoders and restreamers do.

// Bounds of what comes in several messages.
const (
	maxPictureNALUs = 1024
	// maxAheadBytes and maxAheadNALUs bound what precedes a picture in messages of its own.
	maxAheadBytes = 64 << 10
	maxAheadNALUs = 64
	// assumedInterval is the frame interval until two pictures have told it.
	assumedInterval = 40 * time.Millisecond
)

var (
	errLaterSlice   = errors.New("a picture's later slices without its first")
	errTooManyNALUs = errors.New("too many NAL units in a picture")
)

// pictures writes a publication's pictures. Messages pass as they come, each as a picture,
// until one begins with a later slice of a picture. From then on each picture is held until
// the next begins.
type pictures struct {
	publication *stream.Publication
	maxBytes    int              // of a picture that comes in several messages
	leftOut     func(length int) // tells of a picture that is longer

	// ahead are the NAL units of the messages since the last picture, while split is false.
	ahead naluList
	split bool // pictures come in several messages
	// last is the picture written last while split is false.
	last heldPicture

	held     heldPicture
	interval time.Duration // between the last two pictures

	sound time.Duration // of the last sound, on the publisher's clock
	heard bool          // there was sound
}

// A heldPicture is a picture that may go on with the next message.
type heldPicture struct {
	dts, pts time.Duration // of its first message
	at       time.Duration // when that came, on the media clock
	sound    time.Duration // pictures.sound at that time; without sound, dts
	nalus    naluList
	slices   bool // there is one among the NAL units
}

// A naluList holds NAL units up to a bound.
type naluList struct {
	nalus        [][]byte // none once there were too many
	count, bytes int      // of all that were added
}

func newNALUList(nalus [][]byte) naluList {
	l := naluList{nalus: slices.Clip(nalus)} // whoever has nalus too sees nothing of what is added
	l.measure(nalus)
	return l
}

func (l *naluList) measure(added [][]byte) {
	l.count += len(added)
	for _, nalu := range added {
		l.bytes += len(nalu)
	}
}

// add adds NAL units, unless there are more than the bounds allow.
func (l *naluList) add(nalus [][]byte, maxCount, maxBytes int) {
	l.measure(nalus)
	if l.count > maxCount || l.bytes > maxBytes {
		l.nalus = nil
		return
	}
	l.nalus = append(l.nalus, nalus...)
}

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

// pass writes a message as a picture. What came ahead of the picture in messages of its own
// goes with it: an SEI or an SPS may make a recovery point of the picture.
func (p *pictures) pass(dts, pts time.Duration, nalus [][]byte, c contents) error {
	if !c.slices {
		err := p.publication.WriteVideo(dts, pts, nalus) // its parameter sets count at once
		if err == nil {
			p.ahead.add(nalus, maxAheadNALUs, maxAheadBytes)
		}
		return err
	}
	if len(p.ahead.nalus) > 0 {
		nalus = append(p.ahead.nalus, nalus...)
	}
	p.ahead = naluList{}
	p.last = p.begin(dts, pts)
	p.last.nalus, p.last.slices = newNALUList(nalus), true
	return p.publication.WriteVideo(dts, pts, nalus)
}

// beginHolding begins to hold pictures, with the one written last. Its first slices have gone
// out as if they were all of it. An IDR can go out once more, as a whole. Pictures that refer
// to another one are spoilt.
func (p *pictures) beginHolding() {
	p.split = true
	if hasIDR(p.last.nalus.nalus) {
		p.held = p.last
	} else {
		p.publication.BreakGOP()
	}
	p.last, p.ahead = heldPicture{}, naluList{}
}

// hold adds a message to the picture that is held, and writes that picture first if another
// one begins with the message.
func (p *pictures) hold(dts, pts time.Duration, nalus [][]byte, c contents) error {
	var err error
	if p.held.slices && c.begins() {
		p.interval = dts - p.held.dts
		err = p.flush()
	}
	if c.isLater() && !p.held.slices {
		// The first slices are lost, or were written as if they were all of the picture.
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

// begin returns a picture whose first message comes now.
func (p *pictures) begin(dts, pts time.Duration) heldPicture {
	h := heldPicture{dts: dts, pts: pts, at: p.publication.Stream().Now(), sound: dts}
	if p.heard {
		h.sound = p.sound
	}
	return h
}

// flush writes the picture that is held, if there is one.
func (p *pictures) flush() error {
	if !p.held.slices {
		return nil // what is held precedes a picture
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

// soundAt takes the time of a sound, and writes a picture that has been held for a frame
// interval: the picture may be the last before a pause. The sound must have gone on by the
// interval too. A network that stalls in the middle of a picture holds up both, and the
// picture's other slices are about to come.
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
