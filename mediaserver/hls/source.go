package hls

import (
	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/stream"
)

// A source says which stream a programme plays.
type source struct {
	// streams are the streams as their encoders send them, the primary's first.
	streams []*stream.Stream
	// pair decides between two streams; nil: there is one.
	pair *failover.Pair
}

// active returns the stream on air, and a channel that is closed when that may have changed. The
// stream is nil before a leg has been put on air.
func (s source) active() (*stream.Stream, <-chan struct{}) {
	if s.pair == nil {
		return s.streams[0], nil
	}
	status, changed := s.pair.Watch()
	switch status.Active {
	case failover.Primary:
		return s.streams[0], changed
	case failover.Backup:
		return s.streams[1], changed
	}
	return nil, changed
}

// done returns a channel that is closed when the pair has ended; nil: a single stream never ends.
func (s source) done() <-chan struct{} {
	if s.pair == nil {
		return nil
	}
	return s.pair.Done()
}

// isPublished reports whether anybody publishes.
func (s source) isPublished() bool {
	for _, one := range s.streams {
		if one.Snapshot().Publication != nil {
			return true
		}
	}
	return false
}
