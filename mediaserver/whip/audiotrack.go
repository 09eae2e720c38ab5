package whip

import (
	"slices"
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// audioTakeover is how long the sound must have been silent before packets of another SSRC
	// are accepted as the sound. Its encoder has started again then.
	audioTakeover = time.Second

	// muteAfter is how long sender reports may come without packets before the sound counts as
	// muted. It is shorter than the time after which the track would be lost.
	muteAfter = time.Second

	// reportInterval is the longest time between two sender reports of a track. libwebrtc
	// draws each interval of a sound track at random, from 2.5 to 7.5 s.
	reportInterval = 7500 * time.Millisecond

	// reportSpread is the greatest ratio of the longest to the shortest interval. Senders draw
	// their intervals from half to three halves of a mean (RFC 3550 section 6.2).
	reportSpread = 3

	// frozenClockLag is how far the timestamps of sound may be behind the time that has passed after a
	// mute. Some senders count only what they send; their clock stood still during the mute.
	frozenClockLag = muteAfter / 2

	// silenceLag is how far silence stays behind the present, so that it does not
	// overlap with sound that goes on.
	silenceLag = 60 * time.Millisecond

	opusFrame = 20 * time.Millisecond
)

// silentOpus is a stereo frame of 20 ms without sound, RFC 6716 sections 3.1 and 4.3
// (CELT's silence flag).
var silentOpus = [3]byte{0xfc, 0xff, 0xfe}

var opusFormat = stream.Format{Codec: stream.Opus, SampleRate: 48000, Channels: 2}

// An audioTrack is the audio track of a publisher.
//
// With some encoders a presenter who mutes stops sending packets but goes on sending
// reports (RFC 3550 section 6.4.1). The track is not lost then. Silence is published
// instead, which every server and player can handle.
type audioTrack struct {
	started   bool // a packet has come
	announced bool
	ssrc      uint32
	packets   reorder
	last      time.Duration // arrival of the last packet

	reported   bool
	lastReport time.Duration
	interval   time.Duration // longest interval between two reports; 0 before the second

	silentTo time.Duration // time of the last frame of silence
}

// report records a sender report.
func (s *audioTrack) report(now time.Duration) {
	if s.reported && now > s.lastReport {
		s.interval = min(max(s.interval, now-s.lastReport), reportInterval)
	}
	s.reported, s.lastReport = true, now
}

// isMuted reports whether the publisher has its sound off at now. It has if it sends
// reports about the track, but no packets. isMuted is pure.
func (s *audioTrack) isMuted(now time.Duration) bool {
	if !s.reported || s.started && now-s.last < muteAfter {
		return false
	}
	wait := 2 * reportInterval // one report may be lost
	if s.interval > 0 {
		wait = min(wait, reportSpread*s.interval)
	}
	return now-s.lastReport <= wait+time.Second
}

// audioPacket takes one packet of the audio track.
func (r *receiver) audioPacket(ssrc uint32, p *packet) error {
	s := &r.audio
	if s.started && s.ssrc != ssrc {
		if p.arrival-s.last < audioTakeover {
			return nil
		}
		s.packets = reorder{wait: audioWait}
		r.timeline.replace(stream.Audio)
	}
	s.started, s.ssrc, s.last = true, ssrc, p.arrival
	if err := r.announceSound(); err != nil {
		return err
	}
	s.packets.push(p)
	return r.drainAudio(p.arrival)
}

func (r *receiver) announceSound() error {
	if r.audio.announced {
		return nil
	}
	r.audio.announced = true
	return r.publication.SetAudioFormat(opusFormat)
}

func (r *receiver) drainAudio(now time.Duration) error {
	for {
		p, _ := r.audio.packets.pop(now)
		if p == nil {
			return nil
		}
		if len(p.payload) == 0 {
			continue
		}
		if r.audio.silentTo != 0 && r.timeline.lag(stream.Audio, p.timestamp, now) > frozenClockLag {
			r.timeline.replace(stream.Audio)
		}
		pts := r.timeline.at(stream.Audio, p.timestamp, now)
		if r.audio.silentTo != 0 && pts <= r.audio.silentTo {
			continue // silence has been published for that time
		}
		r.audio.silentTo = 0
		if err := r.publication.WriteAudio(pts, p.payload); isFinal(err) {
			return err
		}
	}
}

// playsSilence reports whether silence is published at now. When the publisher also
// offered a picture, something must have come since the sound stopped. Otherwise
// silence would hide that the network is cut.
func (r *receiver) playsSilence(now time.Duration) bool {
	heard := r.arrivals.lastReceived
	hears := heard-r.audio.last >= muteAfter/2 && now-heard < resumeGrace
	return r.audio.isMuted(now) && (hears || !r.arrivals.offered.video)
}

// audioTick does the work that is due by time alone.
func (r *receiver) audioTick(now time.Duration) error {
	if err := r.drainAudio(now); err != nil || !r.playsSilence(now) {
		return err
	}
	if err := r.announceSound(); err != nil {
		return err
	}
	until := r.timeline.expected(stream.Audio, now) - silenceLag
	s := &r.audio
	if s.silentTo == 0 || until-s.silentTo > time.Second {
		s.silentTo = until - opusFrame
	}
	for s.silentTo+opusFrame <= until {
		s.silentTo += opusFrame
		if err := r.publication.WriteAudio(s.silentTo, slices.Clone(silentOpus[:])); isFinal(err) {
			return err
		}
	}
	return nil
}
