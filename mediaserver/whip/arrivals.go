package whip

import (
	"slices"
	"time"
)

// tracks are what a publisher offers to send.
type tracks struct {
	video, audio bool
	// rids are the names of the picture's simulcast layers, in the order of the offer. ridExtension
	// is the RTP header extension that carries them; 0 means that packets carry no names.
	rids         []string
	ridExtension uint8
	// videoSSRCs and audioSSRCs are the SSRCs that the offer names, if any.
	videoSSRCs, audioSSRCs []uint32
	// sps and pps are the offer's sprop-parameter-sets, if any.
	sps, pps []byte
}

// arrivals are what a publisher has offered, and when media last came.
type arrivals struct {
	offered     tracks
	isConnected bool
	connected   time.Duration
	// lastReceived is when the last packet or report of any track came. resumed is when one
	// came after a pause of resumeGrace. Each is 0 before that.
	lastReceived, resumed time.Duration
}

// connect records that the publisher is connected at now, once.
func (a *arrivals) connect(now time.Duration) {
	if !a.isConnected {
		a.isConnected, a.connected = true, now
	}
}

// received records that a packet or report of any track has come.
func (a *arrivals) received(now time.Duration) {
	if now-a.lastReceived >= resumeGrace {
		a.resumed = now
	}
	a.lastReceived = now
}

// isSound reports whether sender reports about an SSRC without packets belong to the sound.
// alone reports whether the sound is the only track without packets.
func (a *arrivals) isSound(ssrc uint32, alone bool) bool {
	if !a.offered.audio || slices.Contains(a.offered.videoSSRCs, ssrc) {
		return false
	}
	return slices.Contains(a.offered.audioSSRCs, ssrc) || alone || !a.offered.video
}
