package rtc

import (
	"errors"
	"strings"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// mediaStreamID is the msid that ties a viewer's two tracks together, so that
// browsers play them in step, and their RTCP CNAME (RFC 8834 section 4.9).
const mediaStreamID = "streampair"

// squeezeStep is how far apart, in RTP ticks, the pictures are put that a joining
// viewer gets at once: 1 ms, fast enough that they are over in a moment and slow
// enough for a receiver that shows each.
const squeezeStep = videoClockRate / 1000

// squeezeSpan is the most time that those pictures span, in ticks.
const squeezeSpan = videoClockRate / 2

// maxSegments bounds how far back a viewer's NACKs are understood: a segment begins
// when the viewer joins, and after each gap.
const maxSegments = 32

// errNotNegotiated says that a viewer's answer has no format for a track.
var errNotNegotiated = errors.New("the viewer did not accept the track's format")

// A segment is a run of packets that went to a viewer in the history's order
// without a gap. It says which packet of the history a sequence number of the
// viewer's was, and with which timestamp it was sent, so that a NACK is answered
// with the very same packet: another one under the same number would also break
// AES-GCM, whose nonce the number is.
type segment struct {
	sequence uint64 // the viewer's extended sequence number of the first packet
	index    uint64 // of that packet in the history
	// Pictures up to frame lead, if that is not 0, were sent with timestamps squeezed
	// together: they are step ticks apart and end at leadTimestamp.
	lead          uint64
	leadTimestamp int64
	step          int64
}

// timestamp is the one with which p goes to the viewer; it grows with p's frame.
func (s *segment) timestamp(p *packet) int64 {
	switch {
	case s.lead == 0:
		return p.timestamp
	case p.frame <= s.lead:
		return s.leadTimestamp - int64(s.lead-p.frame)*s.step
	}
	// The squeezed pictures may have been given a time later than their own.
	return max(p.timestamp, s.leadTimestamp+int64(p.frame-s.lead))
}

// squeeze makes the pictures from first to edge end at edge's timestamp, one step
// apart, not further than they were, and all later than after. It reports false when
// there are more pictures than ticks between.
func (s *segment) squeeze(first, edge position, after int64) bool {
	step := int64(squeezeStep)
	if n := int64(edge.frame - first.frame); n > 0 {
		step = min(step, squeezeSpan/n, (edge.timestamp-first.timestamp)/n, (edge.timestamp-after-1)/n)
	}
	if step < 1 {
		return false
	}
	s.lead, s.leadTimestamp, s.step = edge.frame, edge.timestamp, step
	return true
}

// A viewerTrack is one track of one viewer: its place in the history, its own
// sequence numbers, and the addressing that negotiation gave it. It implements
// webrtc.TrackLocal. All state is guarded by Viewer.mu.
//
// Sequence numbers are the viewer's own: what is skipped for it (until an IDR) takes
// none, so its receiver does not ask for packets that it is not meant to get, and
// what is sent to it twice (the pictures since the last IDR, after a PLI) is new to
// its SRTP replay check.
type viewerTrack struct {
	viewer  *Viewer
	kind    webrtc.RTPCodecType
	history *history
	base    uint32 // random offset of timestamps
	entries bool   // video: after a gap, go on at an IDR only

	writer      webrtc.TrackLocalWriter // nil until bound
	ssrc        uint32
	payloadType uint8
	header      rtp.Header // reused for every packet; nobody adds extensions

	cursor   uint64 // index of the next packet to send
	sequence uint64 // extended sequence number of the next packet
	first    uint64 // of the first packet
	segments []segment
	// waiting says that the track goes on at the first entry point at or after
	// resume; joining that earlier ones are welcome too, squeezed.
	waiting, joining bool
	resume           uint64
	replay           bool   // send again from the last entry point
	burstEnd         uint64 // packets before this index are counted as a burst
	lastTimestamp    int64  // of the last packet sent
	inPicture        bool   // the last packet sent did not end its picture
	held             bool   // the connection had no room since the track was at the end

	packets, octets           uint64 // for sender reports, RFC 3550 section 6.4.1
	dropped, resent, nacked   uint64
	skipped                   uint64
	fractionLost              uint8
	jitter                    uint32
	nextReplay, replayHoldoff time.Duration
}

// ID implements webrtc.TrackLocal.
func (t *viewerTrack) ID() string { return t.kind.String() }

// RID implements webrtc.TrackLocal.
func (t *viewerTrack) RID() string { return "" }

// StreamID implements webrtc.TrackLocal.
func (t *viewerTrack) StreamID() string { return mediaStreamID }

// Kind implements webrtc.TrackLocal.
func (t *viewerTrack) Kind() webrtc.RTPCodecType { return t.kind }

// Bind implements webrtc.TrackLocal: it is told what was negotiated.
func (t *viewerTrack) Bind(ctx webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	want := webrtc.MimeTypeH264
	if t.kind == webrtc.RTPCodecTypeAudio {
		want = webrtc.MimeTypeOpus
	}
	for _, codec := range ctx.CodecParameters() {
		if !strings.EqualFold(codec.MimeType, want) {
			continue
		}
		t.viewer.mu.Lock()
		defer t.viewer.mu.Unlock()
		t.writer = ctx.WriteStream()
		t.ssrc, t.payloadType = uint32(ctx.SSRC()), uint8(codec.PayloadType)
		t.viewer.fanout.signal() // pion binds after it has said that it is connected
		return codec, nil
	}
	return webrtc.RTPCodecParameters{}, errNotNegotiated
}

// Unbind implements webrtc.TrackLocal.
func (t *viewerTrack) Unbind(webrtc.TrackLocalContext) error {
	t.viewer.mu.Lock()
	defer t.viewer.mu.Unlock()
	t.writer = nil
	return nil
}

// A sendResult is what became of a packet.
type sendResult int

const (
	sent sendResult = iota
	// bufferFull: pion wrote nothing and reports no error; the peer's ICE-TCP
	// connection does not take more.
	bufferFull
	writeFailed
	// notReady: the same before anything was sent, when it means that pion has not
	// quite finished connecting: it binds a track before it connects its writer. The
	// packet is tried again, or the viewer would lose the picture it joins with.
	notReady
)

// write sends p under the given sequence number. Nothing is allocated here.
func (t *viewerTrack) write(p *packet, sequence uint64, timestamp int64) sendResult {
	h := &t.header
	h.Version, h.PayloadType, h.SSRC = 2, t.payloadType, t.ssrc
	h.Marker, h.SequenceNumber, h.Timestamp = p.marker, uint16(sequence), t.base+uint32(timestamp)
	n, err := t.writer.WriteRTP(&t.header, p.payload)
	switch {
	case err != nil:
		return writeFailed
	case n == 0:
		return bufferFull
	}
	return sent
}

// send sends the packet at the cursor and moves on. A packet that could not be sent
// has used its sequence number up: whether it was encrypted under it is unknown.
func (t *viewerTrack) send(p *packet) sendResult {
	s := &t.segments[len(t.segments)-1]
	timestamp := s.timestamp(p)
	result := t.write(p, t.sequence, timestamp)
	if result == bufferFull && t.packets == 0 {
		return notReady
	}
	t.sequence++
	t.cursor++
	t.lastTimestamp, t.inPicture = timestamp, !p.marker
	if result != sent {
		t.dropped++
		if t.entries { // what follows can't be decoded without it
			t.waiting, t.resume = true, t.cursor
		}
		return result
	}
	t.packets++
	t.octets += uint64(len(p.payload))
	return sent
}

// begin starts a segment at a position.
func (t *viewerTrack) begin(at position, s segment) {
	if at.index > t.cursor && !t.joining {
		t.skipped += at.index - t.cursor
	}
	s.sequence, s.index = t.sequence, at.index
	if len(t.segments) == maxSegments {
		t.segments = append(t.segments[:0], t.segments[1:]...)
	}
	t.segments = append(t.segments, s)
	t.cursor = at.index
	t.waiting, t.joining, t.replay, t.inPicture = false, false, false, false
}

// rejoin makes the track go on where that of a viewer who joins begins.
func (t *viewerTrack) rejoin() {
	t.waiting, t.joining, t.replay, t.resume = true, true, false, 0
}

// locate moves the track to where it may go on sending, if it has to be moved. It
// reports false when there is nothing to send yet. For one who joins, the live edge
// is at the timestamp live, even if the newest picture is older: a receiver takes the
// first pictures' time for the present, and if it was not, it would hold back all
// that follow by as much.
func (t *viewerTrack) locate(live int64) bool {
	head := t.history.head()
	switch {
	case t.waiting && !t.entries: // audio: what comes from now on
		t.begin(position{index: head.index}, segment{})
	case t.waiting:
		entry, ok := t.history.lastEntry()
		if !ok || (!t.joining && entry.index < t.resume) {
			t.skip(head.index)
			return false
		}
		var s segment
		if t.joining && entry.frame <= head.frame {
			edge := head
			edge.timestamp = max(edge.timestamp, live)
			after := edge.timestamp - squeezeSpan - 1 // that is, anywhere
			if t.packets > 0 {                        // it joins again
				after = max(after, t.lastTimestamp)
			}
			if !s.squeeze(entry, edge, after) {
				t.skip(head.index)
				return false
			}
			t.burstEnd = head.index
		}
		t.begin(entry, s)
	case t.replay && t.cursor < head.index:
		t.again(head)
	}
	return t.cursor < head.index
}

// skip passes over packets that are of no use to the viewer.
func (t *viewerTrack) skip(to uint64) {
	if !t.joining && to > t.cursor {
		t.skipped += to - t.cursor
	}
	t.cursor = to
}

// again goes back to the last entry point, between the picture sent last and the
// newest one, for a viewer whose decoder has lost its references while the source
// can't be asked for an IDR.
func (t *viewerTrack) again(head position) {
	entry, ok := t.history.lastEntry()
	if !ok || entry.index >= t.cursor { // nothing to go back to, or an IDR comes anyway
		t.replay = false
		return
	}
	var s segment
	if !s.squeeze(entry, head, t.lastTimestamp) {
		return // more pictures than ticks: try when time has passed
	}
	t.begin(entry, s)
	t.burstEnd = head.index
}

// catchUp leaves out what a later entry point has made worthless while the viewer was
// paced, after two splices in a row for example, if that is more than so many packets.
func (t *viewerTrack) catchUp(packets uint64) {
	if entry, ok := t.history.lastEntry(); ok && t.entries && entry.index > t.cursor+packets {
		t.goOnAt(entry)
	}
}

// leaveOut skips what is not worth sending any more after the viewer's connection had no
// room: pictures that a later entry point has made worthless, and sound that is late. It never
// cuts a picture. p is the packet at the cursor. leaveOut reports whether the cursor has moved.
func (t *viewerTrack) leaveOut(p *packet) bool {
	if !t.entries {
		head := t.history.head()
		late := head.timestamp-p.timestamp > ticks(lateSound, audioClockRate)
		if late {
			t.begin(position{index: head.index}, segment{})
		}
		return late
	}
	entry, ok := t.history.lastEntry()
	late := ok && !t.inPicture && entry.index > t.cursor && entry.timestamp-p.timestamp > ticks(catchUpAfter, videoClockRate)
	if late {
		t.goOnAt(entry)
	}
	return late
}

// goOnAt goes on at a later entry point. Pictures that were squeezed may have been given a
// time later than the entry point's.
func (t *viewerTrack) goOnAt(entry position) {
	t.begin(entry, segment{lead: entry.frame - 1, leadTimestamp: t.lastTimestamp})
}

// find returns the packet that was sent under a sequence number, and its extended
// number and timestamp.
func (t *viewerTrack) find(number uint16) (p packet, sequence uint64, timestamp int64, ok bool) {
	back := uint16(t.sequence) - number // 0 would be the one not sent yet
	if back == 0 || uint64(back) > t.sequence-t.first {
		return p, 0, 0, false
	}
	sequence = t.sequence - uint64(back)
	for i := len(t.segments) - 1; i >= 0; i-- {
		s := &t.segments[i]
		if sequence < s.sequence {
			continue
		}
		var one [1]packet
		if n, held := t.history.read(s.index+sequence-s.sequence, one[:]); n == 0 || !held {
			return p, 0, 0, false
		}
		return one[0], sequence, s.timestamp(&one[0]), true
	}
	return p, 0, 0, false
}
