package rtc

import (
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// mediaStreamID is the msid that both of a viewer's tracks share, so that browsers play
// them in step. It is also their RTCP CNAME (RFC 8834 section 4.9).
const mediaStreamID = "streampair"

// squeezeStep is the time between the pictures that a joining viewer gets at once, in
// RTP ticks. It is 1 ms: so short that these pictures are over in a moment, and long
// enough for a receiver that shows each of them.
const squeezeStep = videoClockRate / 1000

// squeezeSpan is the longest time that those pictures may span, in RTP ticks.
const squeezeSpan = videoClockRate / 2

// maxSegments bounds how far back a viewer's NACKs are understood. A segment begins
// when the viewer joins, and after each gap.
const maxSegments = 32

// A segment is a run of packets that went to a viewer in the history's order without a gap. It
// maps the viewer's sequence numbers to packets of the history, and gives the timestamp with which
// each packet was sent. So a NACK is answered with the very same packet, or with its copy in the
// stream of retransmissions. A different packet under the same number would also break AES-GCM,
// because the number is part of the nonce.
type segment struct {
	sequence uint64 // the viewer's extended sequence number of the first packet
	index    uint64 // that packet's index in the history
	// If lead is not 0, the pictures up to frame lead were sent with squeezed timestamps.
	// Those timestamps are step ticks apart and end at leadTimestamp.
	lead          uint64
	leadTimestamp int64
	step          int64
}

// timestamp returns the timestamp with which p goes to the viewer. It increases with p.frame.
func (s *segment) timestamp(p *packet) int64 {
	switch {
	case s.lead == 0:
		return p.timestamp
	case p.frame <= s.lead:
		return s.leadTimestamp - int64(s.lead-p.frame)*s.step
	}
	// The squeezed pictures may have timestamps later than their own.
	return max(p.timestamp, s.leadTimestamp+int64(p.frame-s.lead))
}

// squeeze gives the pictures from first to edge timestamps that end at edge's timestamp.
// They are one step apart, no further apart than before, and all later than after. squeeze
// reports false when there are more pictures than ticks in between.
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

// A viewerTrack is one track of one viewer: its position in the history, its own
// sequence numbers, and the SSRC and payload type that were negotiated. Viewer.mu guards all state.
//
// Sequence numbers are the viewer's own. Packets that are skipped until an IDR take no number, so
// the receiver does not ask for them. Packets that are sent twice (the pictures since the last
// IDR, after a PLI) take new numbers, so SRTP's replay check accepts them.
type viewerTrack struct {
	viewer     *Viewer
	kind       webrtc.RTPCodecType
	history    *history
	needsEntry bool // video: after a gap, go on only at an IDR
	rtpWriter

	cursor   uint64 // index of the next packet to send
	sequence uint64 // extended sequence number of the next packet
	first    uint64 // extended sequence number of the first packet
	segments []segment
	// waiting reports whether the track goes on at the first entry point at or after resume.
	// joining reports whether an earlier entry point will do too, with its pictures squeezed.
	waiting, joining bool
	resume           uint64
	entriesOnly      bool   // leave out all pictures but IDRs
	replay           bool   // resend the pictures from the last entry point on
	burstEnd         uint64 // packets before this index are counted as a burst
	lastTimestamp    int64  // of the last packet sent
	inPicture        bool   // the picture of the last packet sent is not complete
	blocked          bool   // the connection had no room, and the track has not been at the end since

	stats   TrackStats
	replays replayLimit
	resends resends
}

// clockRate returns the rate of the track's RTP timestamps, in ticks per second.
func (t *viewerTrack) clockRate() int64 {
	if t.kind == webrtc.RTPCodecTypeVideo {
		return videoClockRate
	}
	return audioClockRate
}

// A sendResult is what became of a packet.
type sendResult int

const (
	sent sendResult = iota
	// bufferFull means that the peer's ICE-TCP connection takes no more.
	bufferFull
	writeFailed
)

// An rtpWriter addresses packets to one viewer.
type rtpWriter struct {
	base uint32 // random offset of timestamps
	rtpStream
	rtx    rtxStream
	header rtp.Header // reused for every packet; it never has extensions
}

// write gives p to a peer under the given sequence number and timestamp. It allocates nothing.
func (w *rtpWriter) write(to peer, p *packet, sequence uint64, timestamp int64) sendResult {
	return w.writeOn(w.rtpStream, to, p, uint16(sequence), timestamp)
}

// writeOn gives p to a peer as a packet of that stream.
func (w *rtpWriter) writeOn(s rtpStream, to peer, p *packet, sequence uint16, timestamp int64) sendResult {
	h := &w.header
	h.Version, h.PayloadType, h.SSRC = 2, s.payloadType, s.ssrc
	h.Marker, h.SequenceNumber, h.Timestamp = p.marker, sequence, w.base+uint32(timestamp)
	n, err := to.WriteRTP(&w.header, p.payload)
	switch {
	case err != nil:
		return writeFailed
	case n == 0:
		return bufferFull
	}
	return sent
}

// send sends the packet at the cursor and moves on. A packet that could not be sent uses up its
// sequence number too, because it may have been encrypted under that number.
func (t *viewerTrack) send(p *packet) sendResult {
	s := &t.segments[len(t.segments)-1]
	timestamp := s.timestamp(p)
	result := t.write(t.viewer.peer, p, t.sequence, timestamp)
	t.sequence++
	t.cursor++
	t.lastTimestamp, t.inPicture = timestamp, !p.marker
	if result != sent {
		t.stats.Dropped++
		if t.needsEntry { // the pictures after it can't be decoded
			t.waiting, t.resume = true, t.cursor
		}
		return result
	}
	t.stats.Packets++
	t.stats.Bytes += uint64(len(p.payload))
	if t.entriesOnly && p.marker {
		t.waiting, t.resume = true, t.cursor
	}
	return sent
}

// lose notes that packets that send had taken could not be sent.
func (t *viewerTrack) lose(packets int) {
	t.stats.Packets -= min(t.stats.Packets, uint64(packets))
	t.stats.Dropped += uint64(packets)
	if packets > 0 && t.needsEntry { // the pictures after them can't be decoded
		t.waiting, t.resume = true, t.cursor
	}
}

// begin starts a segment at a position of the history.
func (t *viewerTrack) begin(at position, s segment) {
	if at.index > t.cursor && !t.joining {
		t.stats.Skipped += at.index - t.cursor
	}
	s.sequence, s.index = t.sequence, at.index
	if len(t.segments) == maxSegments {
		t.segments = append(t.segments[:0], t.segments[1:]...)
	}
	t.segments = append(t.segments, s)
	t.cursor = at.index
	t.waiting, t.joining, t.replay, t.inPicture = false, false, false, false
}

// rejoin makes the track go on where the track of a joining viewer begins.
func (t *viewerTrack) rejoin() {
	t.waiting, t.joining, t.replay, t.resume = true, true, false, 0
}

// locate moves the track, if necessary, to the packet at which it goes on. It reports whether
// there is a packet to send. For a joining viewer the first pictures end at the timestamp live,
// even if the newest picture is older. A receiver takes the time of the first pictures for the
// present. If they were older, the receiver would hold back all later pictures by the difference.
func (t *viewerTrack) locate(live int64) bool {
	head := t.history.head()
	switch {
	case t.waiting && !t.needsEntry: // audio: go on with the next packet
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
			after := edge.timestamp - squeezeSpan - 1 // that is no limit
			if t.stats.Packets > 0 {                  // the viewer rejoins
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

// skip moves past packets that are of no use to the viewer.
func (t *viewerTrack) skip(to uint64) {
	if !t.joining && to > t.cursor {
		t.stats.Skipped += to - t.cursor
	}
	t.cursor = to
}

// again goes back to the last entry point and gives its pictures timestamps between
// the last one sent and the newest. It is for a viewer whose decoder has lost its
// references, when the source can't be asked for an IDR.
func (t *viewerTrack) again(head position) {
	entry, ok := t.history.lastEntry()
	if !ok || entry.index >= t.cursor { // nothing to go back to, or an IDR comes anyway
		t.replay = false
		return
	}
	var s segment
	if !s.squeeze(entry, head, t.lastTimestamp) {
		return // more pictures than ticks: try again later
	}
	t.begin(entry, s)
	t.burstEnd = head.index
}

// catchUp skips to the last entry point if it is more than that many packets ahead.
// Pacing may have kept the viewer back, for example after two splices in a row. The
// pictures before the entry point are no longer needed then.
func (t *viewerTrack) catchUp(packets uint64) {
	if entry, ok := t.history.lastEntry(); ok && t.needsEntry && entry.index > t.cursor+packets {
		t.goOnAt(entry)
	}
}

// leaveOut skips what is no longer worth sending after the viewer's connection had no room:
// pictures before a later entry point, and late sound. It never cuts a picture. p is the
// packet at the cursor. leaveOut reports whether the cursor has moved.
func (t *viewerTrack) leaveOut(p *packet) bool {
	if !t.needsEntry {
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

// goOnAt goes on at a later entry point. Its timestamps stay above those of squeezed
// pictures, which may be later than the entry point's own.
func (t *viewerTrack) goOnAt(entry position) {
	t.begin(entry, segment{lead: entry.frame - 1, leadTimestamp: t.lastTimestamp})
}

// find returns the packet that was sent under a sequence number, with its extended
// sequence number and its timestamp.
func (t *viewerTrack) find(number uint16) (p packet, sequence uint64, timestamp int64, ok bool) {
	back := uint16(t.sequence) - number // 0 is the number of the packet to send next
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
