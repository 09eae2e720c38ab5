package main

import (
	"time"

	"github.com/streampair/streampair/hack/e2e/measure"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// A leg is one encoder, with a viewer of its stream alone. The viewer shows when
// the encoder's pictures are due, because ffmpeg starts at a time of its own.
type leg struct {
	t         *scope
	server    *server
	id        string
	programme mediatest.Programme
	file      string
	also      string // where the encoder publishes too; empty: nowhere
	encoder   *mediatest.Publisher
	started   time.Time
	reference *mediatest.Viewer
}

// newLeg prepares the file. number identifies the leg in its pictures.
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
	if l.also != "" {
		return publishTwice(l.t, l.file, l.server.rtmp(streamID), l.also)
	}
	return publish(l.t, l.file, l.server.rtmp(streamID))
}

// publish sends a file in real time, for ever. Without -max_interleave_delta ffmpeg
// delays sound until the next picture, and browsers delay pictures until their sound.
func publish(t *scope, file, url string) *mediatest.Publisher {
	return mediatest.Start(t, "-re", "-stream_loop", "-1", "-i", file, "-c", "copy",
		"-max_interleave_delta", "1", "-f", "flv", "-flvflags", "no_duration_filesize", url)
}

// publishTwice sends a file like publish, to two servers. Both get each packet at the same time.
func publishTwice(t *scope, file, url, other string) *mediatest.Publisher {
	const to = "[f=flv:flvflags=no_duration_filesize:max_interleave_delta=1]"
	return mediatest.Start(t, "-re", "-stream_loop", "-1", "-i", file, "-map", "0", "-c", "copy", "-f", "tee", to+url+"|"+to+other)
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

// fps is the frame rate of the programmes.
const fps = 30

// age returns how long a picture of this leg was due before it was seen.
func (l *leg) age(s mediatest.Sighting) time.Duration {
	return mediatest.Age(s, l.epoch(), fps, l.programme.Duration)
}

// ages returns the ages of those pictures that are of this leg.
func (l *leg) ages(seen []mediatest.Sighting) (out measure.Figures) {
	epoch := l.epoch()
	for _, s := range seen {
		if s.Leg == l.programme.Leg {
			out = append(out, mediatest.Age(s, epoch, fps, l.programme.Duration))
		}
	}
	return out
}

// epoch returns when the programme began, judged by the earliest of the pictures
// that the reference has received of this publication. The pictures are counted
// from ffmpeg's first one. Decoding them would disturb what is measured.
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

// bothLegs are two encoders that have been on air for at least a GOP.
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

// active returns the leg on air, and the other leg.
func (b *bothLegs) active() (active, other *leg) {
	if b.s.pair().ActiveStreamID == "backup" {
		return b.legs[1], b.legs[0]
	}
	return b.legs[0], b.legs[1]
}
