package failover

import (
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// coding is by how much an Opus packet made of a leg's frames is complete later than
	// the frames: its 20 ms, and what the encoder looks ahead.
	coding = 23 * time.Millisecond
	// mostLate is the lateness of a leg's sound that is evened out. Who sends it later
	// than that has all of it late, and the browser waits for it as long as it is on.
	mostLate = 100 * time.Millisecond
	// freshSpread is how much later than its first frame a publication's frames are
	// taken to come.
	freshSpread = 50 * time.Millisecond
)

// lateness is how late a leg's sound arrives behind its time: some 98 % of the frames
// come sooner. It is a quantile by stochastic approximation: each frame that comes later
// raises it 50 times as much as one that comes sooner lowers it.
type lateness struct {
	value       time.Duration
	publication *stream.Publication
}

func (l *lateness) observe(u *stream.AccessUnit) {
	const raise, lower = time.Millisecond, 20 * time.Microsecond
	late := u.Arrival - u.PTS
	switch {
	case l.publication == nil:
		l.value = late
	case l.publication != u.Publication:
		l.value = min(l.value, late+freshSpread)
	}
	l.publication = u.Publication
	l.value += min(max(late-l.value, -lower), raise)
}

// steadyDelay is how long after its time a packet of sound leaves, so that the packets
// of either leg leave evenly: a browser lets sound, and with it the picture, wait as
// long as the packets' lateness has varied lately, switches included.
func (p *Pair) steadyDelay() time.Duration {
	var most time.Duration
	for _, l := range p.legs {
		if l.lateness.value <= mostLate {
			most = max(most, l.lateness.value)
		}
	}
	if !p.passthrough {
		most += coding
	}
	return most
}

// A queue holds packets of sound until they are due.
type queue struct {
	send    func(at, duration time.Duration, opus []byte)
	packets []opusPacket
}

type opusPacket struct {
	at, duration time.Duration
	opus         []byte
}

func (q *queue) add(at, duration time.Duration, opus []byte) {
	q.packets = append(q.packets, opusPacket{at, duration, opus})
}

// release sends what is due delay after its time, and returns how long the next packet
// has to wait, 0 if there is none.
func (q *queue) release(now, delay time.Duration) time.Duration {
	for i, packet := range q.packets {
		if wait := packet.at + delay - now; wait > 0 {
			q.packets = append(q.packets[:0], q.packets[i:]...)
			return wait
		}
		q.send(packet.at, packet.duration, packet.opus)
	}
	q.packets = q.packets[:0]
	return 0
}
