package relay

import (
	"io"

	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/stream"
)

// A sender writes what an encoder publishes of one stream as FLV, for a peer. It is for one
// goroutine. An error of its methods is one of the writer's.
type sender struct {
	stream *stream.Stream
	muxer
	leaving bool             // the peer has been told of this publication
	faults  [2]*stream.Fault // last sent, by stream.Kind
	// faultsWith is muxer.audio as it was when faults were sent.
	faultsWith *stream.Format
}

func newSender(w io.Writer, s *stream.Stream) (*sender, error) {
	f, err := flv.NewWriter(w, true, true)
	if err != nil {
		return nil, err
	}
	return &sender{stream: s, muxer: muxer{flv: f}}, nil
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
		s.turnTo(snap.Publication.ID)
		s.leaving, s.faults = false, [2]*stream.Fault{}
		if err := s.flv.WriteTag(beganTag(snap.Publication.Began)); err != nil {
			return err
		}
		if err := s.note(notePublished); err != nil {
			return err
		}
		if err := s.announce(snap); err != nil {
			return err
		}
		if err := s.replay(); err != nil {
			return err
		}
		return s.tellFaults(snap)
	}
	return s.announce(snap)
}

// announce sends what is known of the publication: that this server is about to end, what it
// has announced, for a track that is yet to come is not one that is missing, and the faults
// of its tracks. What changes later goes with the access units that it is for.
func (s *sender) announce(snap *stream.Snapshot) error {
	if snap.Leaving && !s.leaving {
		s.leaving = true
		if err := s.note(noteLeaving); err != nil {
			return err
		}
	}
	if f := snap.Video.Format; f != nil && s.sps == nil {
		if err := s.videoConfig(s.stream.Now(), f); err != nil {
			return err
		}
	}
	if f := snap.Audio.Format; f != nil && s.audio == nil {
		if err := s.audioConfig(s.stream.Now(), f); err != nil {
			return err
		}
	}
	return s.tellFaults(snap)
}

// tellFaults sends the faults that the peer does not know. With a configuration of the sound
// the peer forgets the fault of the sound, as with an encoder that is set anew.
func (s *sender) tellFaults(snap *stream.Snapshot) error {
	configured := s.audio != s.faultsWith
	s.faultsWith = s.audio
	for k, fault := range [2]*stream.Fault{stream.Video: snap.Video.Fault, stream.Audio: snap.Audio.Fault} {
		forgotten := configured && fault != nil && stream.Kind(k) == stream.Audio
		if fault == s.faults[k] && !forgotten {
			continue
		}
		s.faults[k] = fault
		if err := s.flv.WriteTag(faultTag(stream.Kind(k), fault)); err != nil {
			return err
		}
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
	if err := s.write(u); err != nil || s.audio == s.faultsWith {
		return err
	}
	return s.follow()
}

// beat says that the server is there.
func (s *sender) beat() error { return s.note(noteAlive) }

func (s *sender) note(n note) error {
	return s.flv.WriteTag(n.tag(uint32(s.stream.Now().Milliseconds())))
}
