package relay

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/flv/feed"
	"github.com/streampair/streampair/mediaserver/stream"
)

// A sender writes what an encoder publishes of one stream as FLV. It is for one
// goroutine. An error of its methods is one of the writer's.
type sender struct {
	stream *stream.Stream
	flv    *flv.Writer

	publication uint64 // being sent; 0: none
	seq         uint64 // of the last access unit that was sent
	timeline    timeline
	sps, pps    []byte         // last sent; nil: none of this publication
	audio       *stream.Format // last sent; nil: none of this publication
}

func newSender(w io.Writer, s *stream.Stream) (*sender, error) {
	f, err := flv.NewWriter(w, true, true)
	if err != nil {
		return nil, err
	}
	return &sender{stream: s, flv: f}, nil
}

// begin tells the reader what there is.
func (s *sender) begin() error {
	if err := s.follow(); err != nil || s.publication != 0 {
		return err
	}
	return s.note(noteUnpublished)
}

// published is the encoder's publication, nil if there is none: what is relayed here is
// not relayed on.
func (s *sender) published() *stream.Snapshot {
	snap := s.stream.Snapshot()
	if snap.Publication == nil || snap.Publication.Relayed {
		return nil
	}
	return &snap
}

// follow goes on with the publication that there is now. Whatever was received of the
// one before must have been sent.
func (s *sender) follow() error {
	snap := s.published()
	switch {
	case snap == nil && s.publication == 0:
		return nil
	case snap == nil:
		s.publication = 0
		return s.note(noteUnpublished)
	case snap.Publication.ID != s.publication:
		s.publication, s.timeline, s.sps, s.pps, s.audio = snap.Publication.ID, timeline{}, nil, nil, nil
		if err := s.note(notePublished); err != nil {
			return err
		}
		if err := s.announce(snap); err != nil {
			return err
		}
		return s.replay()
	}
	return s.announce(snap)
}

// announce sends what the publication has announced: a track that is yet to come is not
// one that is missing. What changes later goes with the access units that it is for.
func (s *sender) announce(snap *stream.Snapshot) error {
	if f := snap.Video.Format; f != nil && s.sps == nil {
		if err := s.videoConfig(s.stream.Now(), f); err != nil {
			return err
		}
	}
	if f := snap.Audio.Format; f != nil && s.audio == nil {
		return s.audioConfig(s.stream.Now(), f)
	}
	return nil
}

// replay sends what the cache holds of the publication.
func (s *sender) replay() error {
	for _, u := range s.stream.Cached() {
		if u.Publication.ID() != s.publication {
			continue // it has been taken over meanwhile
		}
		if err := s.write(u); err != nil {
			return err
		}
	}
	return nil
}

// send sends an access unit as it comes.
func (s *sender) send(u *stream.AccessUnit) error {
	if u.Publication.Relayed() {
		if s.publication == 0 {
			return nil
		}
		return s.follow()
	}
	if id := u.Publication.ID(); id < s.publication {
		return nil // what was left of one that has been taken over
	} else if id > s.publication {
		if err := s.follow(); err != nil {
			return err
		}
		if id != s.publication {
			return nil // it has ended already
		}
	}
	return s.write(u)
}

func (s *sender) write(u *stream.AccessUnit) error {
	if u.Seq <= s.seq {
		return nil // came out of the cache already
	}
	s.seq = u.Seq
	dts, pts := s.timeline.place(u)
	if u.Kind == stream.Video {
		if err := s.videoConfig(dts, u.Format); err != nil {
			return err
		}
		return s.flv.WriteVideo(dts, pts, u.IDR, u.NALUs)
	}
	if err := s.audioConfig(pts, u.Format); err != nil {
		return err
	}
	return s.flv.WriteAudio(pts, audioCodec(u.Format), u.Frame)
}

func (s *sender) videoConfig(at time.Duration, f *stream.Format) error {
	if bytes.Equal(f.SPS, s.sps) && bytes.Equal(f.PPS, s.pps) {
		return nil
	}
	s.sps, s.pps = f.SPS, f.PPS
	if err := s.flv.WriteVideoConfig(at, f.SPS, f.PPS); err != nil {
		return fmt.Errorf("write parameter sets: %w", err)
	}
	return nil
}

func (s *sender) audioConfig(at time.Duration, f *stream.Format) error {
	if f == s.audio {
		return nil
	}
	s.audio = f
	config := f.Config
	if f.Codec == stream.Opus {
		config = feed.OpusHead(f.Channels)
	}
	return s.flv.WriteAudioConfig(at, audioCodec(f), config)
}

func audioCodec(f *stream.Format) flv.AudioCodec {
	if f.Codec == stream.Opus {
		return flv.Opus
	}
	return flv.AAC
}

func (s *sender) note(n note) error {
	return s.flv.WriteTag(n.tag(uint32(s.stream.Now().Milliseconds())))
}
