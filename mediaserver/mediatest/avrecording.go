package mediatest

import (
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
)

// A Packet is a received RTP packet.
type Packet struct {
	Arrival     time.Time
	SSRC        uint32
	Sequence    uint16
	Timestamp   uint32
	Marker      bool
	PayloadType uint8
	Payload     []byte
}

// A Report is a received RTCP sender report.
type Report struct {
	Arrival time.Time
	SSRC    uint32
	// NTP is the sender's wall clock at the RTP timestamp RTP.
	NTP time.Time
	RTP uint32
	// Packets and Octets are the sender's counts so far.
	Packets, Octets uint32
}

// A Picture is a reassembled H.264 access unit.
type Picture struct {
	// Begin and Arrival are when the picture's first and last packet arrived.
	Begin, Arrival time.Time
	Timestamp      uint32
	// AnnexB is the access unit with start codes. IDR reports whether it has an IDR
	// slice, and Parameters whether it has an SPS and a PPS.
	AnnexB          []byte
	IDR, Parameters bool
}

// A Recording is what a viewer received of one track.
type Recording struct {
	// Count and Bytes count RTP packets and their payloads. Last is when the last packet came.
	Count, Bytes int
	Last         time.Time
	// SSRCs are in the order in which they appeared.
	SSRCs    []uint32
	Packets  []Packet
	Pictures []Picture // video
	Reports  []Report
	// Broken counts pictures with lost packets.
	Broken int

	clockRate int
}

// Presentation returns the sender's wall clock at an RTP timestamp, by the sender reports.
func (r *Recording) Presentation(timestamp uint32) (time.Time, bool) {
	return presentation(r.Reports, timestamp, r.clockRate)
}

// presentation uses the report with the nearest timestamp.
func presentation(reports []Report, timestamp uint32, clockRate int) (time.Time, bool) {
	best, distance := -1, int64(0)
	for i, sr := range reports {
		d := int64(int32(timestamp - sr.RTP))
		if d < 0 {
			d = -d
		}
		if best < 0 || d <= distance {
			best, distance = i, d
		}
	}
	if best < 0 {
		return time.Time{}, false
	}
	sr := reports[best]
	return sr.NTP.Add(time.Duration(int32(timestamp-sr.RTP)) * time.Second / time.Duration(clockRate)), true
}

// SequenceGaps returns how many sequence numbers are missing from the packets, in
// whatever order they are.
func (r *Recording) SequenceGaps() int {
	if len(r.Packets) == 0 {
		return 0
	}
	first := r.Packets[0].Sequence
	seen := make(map[int64]bool, len(r.Packets))
	last := int64(0)
	highest := int64(0)
	for _, p := range r.Packets {
		// The number is the one nearest to the packet before.
		last += int64(int16(p.Sequence - first - uint16(last)))
		seen[last] = true
		highest = max(highest, last)
	}
	missing := 0
	for n := int64(0); n <= highest; n++ {
		if !seen[n] {
			missing++
		}
	}
	return missing
}

// A recording is a Recording that still grows.
type recording struct {
	video, timesOnly bool

	mu       sync.Mutex // guards all below
	changed  chan struct{}
	r        Recording
	reorder  reorderer
	assemble assembler
}

func newRecording(video bool, options WatchOptions) *recording {
	rate := 48000
	if video {
		rate = 90000
	}
	return &recording{video: video, timesOnly: options.TimesOnly, changed: make(chan struct{}), r: Recording{clockRate: rate}}
}

func (r *recording) count(packet []byte, now time.Time) {
	if len(packet) < 12 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.note(binary.BigEndian.Uint32(packet[8:]), len(packet)-12, now)
}

func (r *recording) note(ssrc uint32, size int, now time.Time) {
	r.r.Count++
	r.r.Bytes += size
	r.r.Last = now
	if n := len(r.r.SSRCs); n == 0 || r.r.SSRCs[n-1] != ssrc {
		r.r.SSRCs = append(r.r.SSRCs, ssrc)
	}
}

func (r *recording) receive(p *rtp.Packet, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.note(p.SSRC, len(p.Payload), now)
	packet := Packet{now, p.SSRC, p.SequenceNumber, p.Timestamp, p.Marker, p.PayloadType, p.Payload}
	if !r.timesOnly {
		r.r.Packets = append(r.r.Packets, packet)
	}
	if !r.video {
		return
	}
	added := false
	for _, next := range r.reorder.add(packet) {
		if picture, ok := r.assemble.add(next); ok {
			if r.timesOnly {
				picture.AnnexB = nil
			}
			r.r.Pictures = append(r.r.Pictures, picture)
			added = true
		}
	}
	r.r.Broken = r.assemble.broken
	if added {
		close(r.changed)
		r.changed = make(chan struct{})
	}
}

func (r *recording) report(sr *rtcp.SenderReport, now time.Time) {
	// NTP counts from 1900 in units of 2^-32 s, RFC 5905 section 6.
	const epoch = 2208988800
	seconds, fraction := int64(sr.NTPTime>>32)-epoch, int64(sr.NTPTime&0xffffffff)
	report := Report{now, sr.SSRC, time.Unix(seconds, fraction*1e9>>32), sr.RTPTime, sr.PacketCount, sr.OctetCount}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.r.Reports = append(r.r.Reports, report)
}

func (r *recording) presentation(timestamp uint32) (time.Time, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return presentation(r.r.Reports, timestamp, r.r.clockRate)
}

func (r *recording) ssrcList() []uint32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.r.SSRCs)
}

// picturesFrom returns the pictures from the nth on. The channel is closed when there are more.
func (r *recording) picturesFrom(n int) ([]Picture, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.r.Pictures[n:]), r.changed
}

func (r *recording) snapshot() *Recording {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.r
	out.SSRCs, out.Packets = slices.Clone(r.r.SSRCs), slices.Clone(r.r.Packets)
	out.Pictures, out.Reports = slices.Clone(r.r.Pictures), slices.Clone(r.r.Reports)
	return &out
}

// reorderWindow is how many later packets are held while one is missing.
const reorderWindow = 128

// A reorderer puts packets into the order of their sequence numbers. Retransmission or
// the network may have changed that order.
type reorderer struct {
	started bool
	next    uint16
	held    map[uint16]Packet
}

// add takes p, and returns the packets that are now in order.
func (o *reorderer) add(p Packet) []Packet {
	if !o.started {
		o.started, o.next, o.held = true, p.Sequence, map[uint16]Packet{}
	}
	if int16(p.Sequence-o.next) < 0 {
		return nil // too late, or a duplicate
	}
	o.held[p.Sequence] = p
	if _, ok := o.held[o.next]; !ok && len(o.held) > reorderWindow {
		for int16(p.Sequence-o.next) > 0 {
			if _, ok := o.held[o.next]; ok {
				break
			}
			o.next++ // the missing packet is given up
		}
	}
	var out []Packet
	for {
		next, ok := o.held[o.next]
		if !ok {
			return out
		}
		delete(o.held, o.next)
		out = append(out, next)
		o.next++
	}
}

// An assembler makes access units from packets that are in order.
type assembler struct {
	h264    codecs.H264Packet
	started bool
	last    uint16
	lost    bool // a packet of the current picture
	current Picture
	broken  int
}

// add returns the picture that p completes.
func (a *assembler) add(p Packet) (Picture, bool) {
	if a.started && p.Sequence != a.last+1 {
		a.lost = true
	}
	a.started, a.last = true, p.Sequence
	if len(a.current.AnnexB) > 0 && p.Timestamp != a.current.Timestamp {
		// The packet with the marker of the picture before was lost.
		a.broken++
		a.current = Picture{}
	}
	if a.current.Begin.IsZero() {
		a.current.Begin, a.current.Timestamp = p.Arrival, p.Timestamp
	}
	// A picture arrives with its last packet, in whatever order the packets came.
	if p.Arrival.After(a.current.Arrival) {
		a.current.Arrival = p.Arrival
	}
	part, err := a.h264.Unmarshal(p.Payload)
	if err != nil {
		a.lost = true
	}
	a.current.AnnexB = append(a.current.AnnexB, part...)
	if !p.Marker {
		return Picture{}, false
	}
	picture, lost := a.current, a.lost
	a.current, a.lost = Picture{}, false
	if lost || len(picture.AnnexB) == 0 {
		a.broken++
		return Picture{}, false
	}
	picture.classify()
	return picture, true
}

// classify sets IDR and Parameters by the types of the NAL units.
func (p *Picture) classify() {
	sps, pps := false, false
	for i := 0; i+3 < len(p.AnnexB); i++ {
		if p.AnnexB[i] != 0 || p.AnnexB[i+1] != 0 || p.AnnexB[i+2] != 1 {
			continue
		}
		switch p.AnnexB[i+3] & 0x1f {
		case 5:
			p.IDR = true
		case 7:
			sps = true
		case 8:
			pps = true
		}
	}
	p.Parameters = sps && pps
}
