package controllers

import (
	"reflect"

	"github.com/streampair/streampair/api/control"
)

// sameForPair says whether two statuses of a media pod give the same status of the
// StreamPair. Figures that move all the time do not matter: viewers, bit rates, frame
// rates, silence, links to peers; nor do other pairs, which viewers make by asking for them. Whatever else
// the command port reports matters, so that a new field is not overlooked.
func sameForPair(pair string, a, b *control.Status) bool {
	if a == nil || b == nil {
		return a == b
	}
	return reflect.DeepEqual(lasting(pair, *a), lasting(pair, *b))
}

// lasting returns s without what sameForPair leaves out. What s points to stays as it is.
func lasting(pair string, s control.Status) control.Status {
	streams := s.Streams
	pairs := s.Pairs
	s.Viewers, s.Streams, s.Pairs = 0, nil, nil
	if s.PeerRelay != nil {
		relay := *s.PeerRelay
		relay.Links = nil // which Pair.Peer tells as far as it matters
		s.PeerRelay = &relay
	}
	for _, one := range pairs {
		if one.Name != pair || !one.Declared {
			continue
		}
		one.Viewers = 0
		s.Pairs = append(s.Pairs, one)
		for _, stream := range streams {
			if stream.App == one.App && (stream.StreamID == one.PrimaryID || stream.StreamID == one.BackupID) {
				stream.BitrateBPS, stream.Video, stream.Audio = 0, nil, nil
				s.Streams = append(s.Streams, stream)
			}
		}
	}
	return s
}
