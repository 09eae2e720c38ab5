package whep

import (
	"context"
	"crypto/rand"
	"slices"
	"sync"
)

// maxEventStreams bounds the event streams of one session. A viewer needs one.
const maxEventStreams = 2

// eventStreams are the event streams of one session. It is safe for concurrent use. The zero value
// has none.
type eventStreams struct {
	mu  sync.Mutex     // guards all
	all []*eventStream // the oldest first
}

// create returns the name of a new event stream. The oldest one ends if there are too many.
func (s *eventStreams) create(wanted []string) (name string) {
	e := &eventStream{name: rand.Text(), wanted: wanted, answering: make(chan struct{}, 1)}
	s.mu.Lock()
	s.all = append(s.all, e)
	var oldest *eventStream
	if len(s.all) > maxEventStreams {
		oldest = s.all[0]
	}
	s.mu.Unlock()
	if oldest != nil {
		s.delete(oldest)
	}
	return e.name
}

// find returns the event stream of that name; nil: there is none.
func (s *eventStreams) find(name string) *eventStream {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.all {
		if e.name == name {
			return e
		}
	}
	return nil
}

// delete ends an event stream.
func (s *eventStreams) delete(e *eventStream) {
	s.mu.Lock()
	s.all = slices.DeleteFunc(s.all, func(one *eventStream) bool { return one == e })
	s.mu.Unlock()
	e.delete()
}

// An eventStream is what one viewer wants to be told. It is safe for concurrent use.
type eventStream struct {
	name   string
	wanted []string

	// answering has one value while a GET is answered. It guards wasActive.
	answering chan struct{}
	wasActive bool // at some time since the stream was created, as its viewer knows

	mu      sync.Mutex // guards the rest
	end     func()     // ends the GET that is being answered; nil: there is none
	deleted bool
}

// takeOver ends the GET that is being answered, and waits for its end. end ends the caller's own
// GET, whose context is ctx. It is called at once if the stream has been deleted. ok is false if ctx
// has ended. Otherwise release must be called when the caller has answered.
func (e *eventStream) takeOver(ctx context.Context, end func()) (release func(), ok bool) {
	e.mu.Lock()
	if e.end != nil {
		e.end()
	}
	e.end = end
	if e.deleted {
		end()
	}
	e.mu.Unlock()
	select {
	case <-ctx.Done():
		return nil, false
	case e.answering <- struct{}{}:
		return func() { <-e.answering }, true
	}
}

// delete ends the GET that is being answered, and all later ones.
func (e *eventStream) delete() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.deleted = true
	if e.end != nil {
		e.end()
	}
}
