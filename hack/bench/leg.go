package main

import (
	"time"

	"github.com/streampair/streampair/mediaserver/mediatest"
)

// leg is one encoder, and a viewer of its stream alone that tells when the encoder's
// pictures are due: ffmpeg starts at a time of its own.
type leg struct {
	t         *scope
	server    *server
	id        string
	programme mediatest.Programme
	file      string
	encoder   *mediatest.Publisher
	started   time.Time
	reference *mediatest.Viewer
}

// newLeg prepares the file; number tells the legs apart in the picture.
func newLeg(t *scope, s *server, id string, number int, gop time.Duration) *leg {
	p := mediatest.Programme{Leg: number, Width: 1280, Height: 720, GOP: gop, BitrateBPS: 2_500_000, Duration: 4 * gop}
	say("preparing a programme with a GOP of %v", gop)
	file, err := p.File(t.ctx)
	t.must(err)
	return &leg{t: t, server: s, id: id, programme: p, file: file}
}

// start publishes, and waits until the leg can be switched to.
func (l *leg) start() {
	l.started = time.Now()
	l.encoder = mediatest.Publish(l.t, l.file, l.server.rtmp(l.id), "-stream_loop", "-1")
	if l.reference == nil {
		viewer, err := mediatest.WatchWHEP(l.t.ctx, l.server.http("whep/"+l.id), mediatest.WatchOptions{Decode: true, NoAudio: true})
		l.t.must(err)
		l.t.Cleanup(viewer.Close)
		l.reference = viewer
	}
	l.t.until(l.id+" is live", func() bool {
		for _, one := range l.server.pair().Legs {
			if one.StreamID == l.id {
				return one.Rank == "Full" && one.EntryPoint
			}
		}
		return false
	})
}

// age is how long before it was seen a picture of this leg was due.
func (l *leg) age(s mediatest.Sighting) time.Duration {
	return mediatest.Age(s, l.epoch(), fps, l.programme.Duration)
}

// fps is that of the programmes.
const fps = 30

// epoch is when the programme began, by the earliest of the pictures that the reference
// has seen of this publication.
func (l *leg) epoch() time.Time {
	var epoch time.Time
	loop := l.programme.Duration
	for _, s := range l.reference.Sightings() {
		if s.Leg != l.programme.Leg || s.Seen.Before(l.started) {
			continue
		}
		begin := s.Seen.Add(-time.Duration(s.Frame) * time.Second / fps)
		if epoch.IsZero() {
			epoch = begin
			continue
		}
		early := epoch.Sub(begin) % loop
		if early < -loop/2 {
			early += loop
		} else if early > loop/2 {
			early -= loop
		}
		if early > 0 {
			epoch = epoch.Add(-early)
		}
	}
	return epoch
}

// bothLegs are two encoders on the air for at least a GOP.
type bothLegs struct {
	t    *scope
	s    *server
	legs [2]*leg
	gop  time.Duration
}

func startLegs(t *scope, s *server, gop time.Duration) *bothLegs {
	b := &bothLegs{t: t, s: s, gop: gop}
	for i, id := range []string{"primary", "backup"} {
		b.legs[i] = newLeg(t, s, id, i, gop)
		b.legs[i].start()
	}
	return b
}

// stop ends both encoders and their reference viewers.
func (b *bothLegs) stop() {
	for _, l := range b.legs {
		l.encoder.Stop()
		l.reference.Close()
	}
}

// active and other are the leg on air and its partner.
func (b *bothLegs) active() (active, other *leg) {
	if b.s.pair().ActiveStreamID == "backup" {
		return b.legs[1], b.legs[0]
	}
	return b.legs[0], b.legs[1]
}
