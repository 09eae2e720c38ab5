package failover

import (
	"slices"
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// audioTick is how often the pair checks whether to fill missing audio with silence.
	audioTick = 40 * time.Millisecond
	// audioMargin is how much later than usual for its leg audio may come before silence takes its
	// place.
	audioMargin = 150 * time.Millisecond
	// codingDelay is how much later than the leg's frames an Opus packet made of them is complete:
	// the 20 ms of the packet, and the look-ahead of the encoder.
	codingDelay = 23 * time.Millisecond
	// maxLateness is the greatest lateness of a leg's sound that delay evens out. A leg whose
	// sound is later than that is late throughout, and browsers wait for its sound as long as it is
	// on air.
	maxLateness = 100 * time.Millisecond
	// freshSpread bounds the lateness of a new publication: no more than this much above the
	// lateness of its first frame.
	freshSpread = 50 * time.Millisecond
)

// A soundtrack is the sound of a pair's output: the audio of the leg on air, made into packets that
// leave evenly.
type soundtrack struct {
	audio Audio
	queue queue
	// publication and format are what audio plays. If publication is nil, the next access unit
	// begins another source.
	publication *stream.Publication
	format      *stream.Format
	lag         time.Duration // how late the active leg's audio comes
	newest      time.Duration // the time of the newest audio on air
	passthrough bool          // Opus goes out unchanged
}

// restart makes a soundtrack that has not begun. Packets that wait are dropped.
func (s *soundtrack) restart(cfg PairConfig) {
	*s = soundtrack{queue: queue{send: cfg.Output.WriteOpus}}
	s.audio = cfg.NewAudio(s.queue.add)
}

// plays reports whether u goes on with what the soundtrack plays.
func (s *soundtrack) plays(u *stream.AccessUnit) bool {
	return u.Publication == s.publication && u.Format == s.format
}

// begin prepares to switch to the source of next, or else of the newest of recent. It returns those
// of recent that prepare its decoder: cached units of another format cannot.
func (s *soundtrack) begin(recent []*stream.AccessUnit, next *stream.AccessUnit) []*stream.AccessUnit {
	s.publication, s.format, s.lag = nil, nil, 0
	if next != nil && next.Kind == stream.Audio {
		s.publication, s.format = next.Publication, next.Format
	} else if n := len(recent); n > 0 {
		s.publication, s.format = recent[n-1].Publication, recent[n-1].Format
	}
	recent = slices.DeleteFunc(recent, func(u *stream.AccessUnit) bool { return !s.plays(u) })
	for _, u := range recent {
		s.lag = max(s.lag, u.Arrival-u.PTS)
		s.newest = u.PTS
	}
	return recent
}

func (s *soundtrack) write(u *stream.AccessUnit) {
	s.lag = max(u.Arrival-u.PTS, s.lag-time.Millisecond)
	s.newest = u.PTS
	s.audio.Write(u)
}

// fill fills missing audio with silence, so that the track never stops. It starts late, because the
// audio may only be late. Silence after that comes without delay.
func (s *soundtrack) fill(now time.Duration) {
	if due := now - s.lag; due-audioMargin > s.newest {
		s.audio.Fill(due + audioTick)
	}
}

// setPassthrough lets Opus go out unchanged where no leg has another codec.
func (s *soundtrack) setPassthrough(snaps []stream.Snapshot) {
	s.passthrough = !slices.ContainsFunc(snaps, func(snap stream.Snapshot) bool {
		return snap.Audio.Format != nil && snap.Audio.Format.Codec != stream.Opus
	})
	s.audio.SetPassthrough(s.passthrough)
}

// delay returns how long after its time a packet of sound leaves, so that the packets of either leg
// leave evenly. A browser delays sound, and with it the picture, for as long as the packets'
// lateness has varied lately, switches included.
func (s *soundtrack) delay(legs []*leg) time.Duration {
	var most time.Duration
	for _, l := range legs {
		if l.lateness.value <= maxLateness {
			most = max(most, l.lateness.value)
		}
	}
	if !s.passthrough {
		most += codingDelay
	}
	return most
}

// switchAudio switches to l's audio. The audio units in l's cache with a Seq below before prepare
// the decoder. If next is an audio unit, it follows them.
func (p *Pair) switchAudio(l *leg, before uint64, next *stream.AccessUnit) {
	var recent []*stream.AccessUnit
	for _, u := range l.source.Stream().Cached() {
		if u.Kind == stream.Audio && u.Seq < before && !slices.Contains(p.delayed.units, u) {
			recent = append(recent, p.delayed.shifted(u))
		}
	}
	recent = p.sound.begin(recent, next)
	if p.sound.publication != nil {
		p.handling = p.sound.publication
	}
	p.sound.audio.Switch(recent)
}

// lateness is how late a leg's sound arrives after its time: some 98 % of the frames come sooner.
// It is a quantile by stochastic approximation: a frame that comes later raises the value 50 times
// as much as a frame that comes sooner lowers it.
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

// release sends the packets whose time plus delay has come. It returns how long the next packet has
// to wait; 0: there is none.
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
