package relay

import (
	"io"

	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/stream"
)

// A sender writes one stream of an encoder as FLV, for a peer. It is for one goroutine. Its methods
// return only errors of the writer.
type sender struct {
	stream *stream.Stream
	muxer
	leaving bool             // whether the peer has been told that this publication is leaving
	faults  [2]*stream.Fault // last sent, by stream.Kind
	// faultsWith is the value of muxer.audio when faults were last sent.
	faultsWith *stream.Format
}

func newSender(w io.Writer, s *stream.Stream) (*sender, error) {
	f, err := flv.NewWriter(w, true, true)
	if err != nil {
		return nil, err
	}
	return &sender{stream: s, muxer: muxer{flv: f}}, nil
}

// begin sends the current publication to the reader, or that there is none.
func (s *sender) begin() error {
	if err := s.update(); err != nil || s.publication != 0 {
		return err
	}
	return s.note(noteUnpublished)
}

// published returns the encoder's publication; nil: there is none. A relayed publication is not
// relayed on.
func (s *sender) published() *stream.Snapshot {
	snap := s.stream.Snapshot()
	if snap.Publication == nil || snap.Publication.Relayed {
		return nil
	}
	return &snap
}

// update sends what has changed about the current publication, or begins with a new one. All access
// units that were received from the previous publication must have been sent.
func (s *sender) update() error {
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

// announce sends what is known about the publication: that this server is about to end, the formats
// of its tracks, and their faults. A track whose format is sent is expected by the peer, and so not
// missing. Later changes are sent with the access units that they are for.
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

// tellFaults sends the faults that the peer does not know. When the peer gets an audio
// configuration, it forgets the fault of the sound, as it does for an encoder that is set up anew.
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

// replay sends the cached access units of the publication.
func (s *sender) replay() error {
	for _, u := range s.stream.Cached() {
		if u.Publication.ID() != s.publication {
			continue // the publication has been taken over meanwhile
		}
		if err := s.write(u); err != nil {
			return err
		}
	}
	return nil
}

// send sends an access unit that has just come.
func (s *sender) send(u *stream.AccessUnit) error {
	if u.Publication.Relayed() {
		if s.publication == 0 {
			return nil
		}
		return s.update()
	}
	if id := u.Publication.ID(); id < s.publication {
		return nil // a late access unit of a publication that was taken over
	} else if id > s.publication {
		if err := s.update(); err != nil {
			return err
		}
		if id != s.publication {
			return nil // the publication has ended already
		}
	}
	if err := s.write(u); err != nil || s.audio == s.faultsWith {
		return err
	}
	return s.update()
}

// beat sends the heartbeat.
func (s *sender) beat() error { return s.note(noteAlive) }

func (s *sender) note(n note) error {
	return s.flv.WriteTag(n.tag(uint32(s.stream.Now().Milliseconds())))
}
