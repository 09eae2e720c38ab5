package pods

import (
	"reflect"

	"github.com/streampair/streampair/api/control"
)

// sameForPair reports whether two statuses of a media pod give the same status of
// the StreamPair. Figures that change all the time do not count: viewers, memory, bit rates,
// frame rates, silence, links to peers. Nor do other pairs, which viewers create by
// asking for them. All other fields count, so that a new field is not overlooked.
func sameForPair(pair string, a, b *control.Status) bool {
	if a == nil || b == nil {
		return a == b
	}
	return reflect.DeepEqual(lasting(pair, *a), lasting(pair, *b))
}

// lasting returns s without the fields that sameForPair
// ignores. It does not change what s points to.
func lasting(pair string, s control.Status) control.Status {
	streams := s.Streams
	pairs := s.Pairs
	s.Viewers, s.Memory, s.Streams, s.Pairs = 0, nil, nil, nil
	if s.PeerRelay != nil {
		relay := *s.PeerRelay
		relay.Links = nil // Pair.Peer has all that matters of them
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
