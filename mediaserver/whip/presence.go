package whip

import (
	"slices"
	"time"
)

// tracks are what a publisher offers to send.
type tracks struct {
	video, audio bool
	// rids are the names of the picture's simulcast layers, in the order of the offer, and
	// ridExtension the RTP header extension that has them; 0: packets do not name theirs.
	rids         []string
	ridExtension uint8
	// videoSSRCs and audioSSRCs are those that the offer names, if any.
	videoSSRCs, audioSSRCs []uint32
	// sps and pps are sprop-parameter-sets, if the offer has them.
	sps, pps []byte
}

// A presence is what a publisher offered, and since when it is connected.
type presence struct {
	offered     tracks
	isConnected bool
	connected   time.Duration
	// heard is when the last packet or report of any track came, and resumed when one came
	// after a pause; 0: none did.
	heard, resumed time.Duration
}

// connect says that the publisher is connected at now, if it was not before.
func (p *presence) connect(now time.Duration) {
	if !p.isConnected {
		p.isConnected, p.connected = true, now
	}
}

// hear notes that a packet or a report of any track came.
func (p *presence) hear(now time.Duration) {
	if now-p.heard >= resumeGrace {
		p.resumed = now
	}
	p.heard = now
}

// isSound reports whether sender reports of an SSRC from which no packet came are of the
// sound. alone says that the sound is the only track without packets.
func (p *presence) isSound(ssrc uint32, alone bool) bool {
	if !p.offered.audio || slices.Contains(p.offered.videoSSRCs, ssrc) {
		return false
	}
	return slices.Contains(p.offered.audioSSRCs, ssrc) || alone || !p.offered.video
}
