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
	p := mediatest.Programme{Leg: number, Width: 640, Height: 360, GOP: gop, BitrateBPS: 1_200_000, Duration: 4 * gop}
	return &leg{t: t, server: s, id: id, programme: p, file: prepare(t, p)}
}

func prepare(t *scope, p mediatest.Programme) string {
	say("preparing %dx%d with a GOP of %v", p.Width, p.Height, p.GOP)
	file, err := p.File(t.ctx)
	t.must(err)
	return file
}

// publish starts an ffmpeg that sends the leg's file as a stream.
func (l *leg) publish(streamID string) *mediatest.Publisher {
	return publish(l.t, l.file, l.server.rtmp(streamID))
}

// publish sends a file in real time, for ever. Without -max_interleave_delta ffmpeg holds
// sound back for the next picture, and browsers hold pictures back for their sound.
func publish(t *scope, file, url string) *mediatest.Publisher {
	return mediatest.Start(t, "-re", "-stream_loop", "-1", "-i", file, "-c", "copy",
		"-max_interleave_delta", "1", "-f", "flv", "-flvflags", "no_duration_filesize", url)
}

// start publishes, and waits until the leg can be switched to.
func (l *leg) start() {
	if l.reference == nil {
		viewer, err := mediatest.WatchWHEP(l.t.ctx, l.server.http("whep/"+l.id), mediatest.WatchOptions{NoAudio: true})
		l.t.must(err)
		l.t.Cleanup(viewer.Close)
		l.reference = viewer
	}
	l.started = time.Now()
	l.encoder = l.publish(l.id)
	l.t.until(l.id+" is live", func() bool {
		for _, one := range l.server.pair().Legs {
			if one.StreamID == l.id {
				return one.Rank == "Full" && one.EntryPoint
			}
		}
		return false
	})
}

// fps is that of the programmes.
const fps = 30

// age is how long before it was seen a picture of this leg was due.
func (l *leg) age(s mediatest.Sighting) time.Duration {
	return mediatest.Age(s, l.epoch(), fps, l.programme.Duration)
}

// epoch is when the programme began, by the picture that came earliest of those that the
// reference has received of this publication. They are counted, because decoding them
// would disturb what is measured; ffmpeg begins with the first.
func (l *leg) epoch() time.Time {
	var epoch time.Time
	n := 0
	for _, p := range l.reference.Video().Pictures {
		if p.Begin.Before(l.started) {
			continue
		}
		if begin := p.Begin.Add(-time.Duration(n) * time.Second / fps); n == 0 || begin.Before(epoch) {
			epoch = begin
		}
		n++
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
