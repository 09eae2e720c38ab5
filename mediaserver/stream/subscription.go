package stream

import "sync/atomic"

// A Subscription receives the access units of a Stream. A subscriber that does not keep up loses
// access units. It loses video up to the next IDR. It never holds up the publisher or other
// subscribers.
type Subscription struct {
	// C delivers access units in the order of their Seq.
	C <-chan *AccessUnit
	// Changed receives a value when a publication began or ended, or when the stream's formats or
	// warnings changed. The subscriber should then look at Snapshot.
	Changed <-chan struct{}

	stream   *Stream
	c        chan *AccessUnit
	changed  chan struct{}
	dropped  atomic.Uint64
	awaitIDR bool // guarded by Stream.mu
}

// Subscribe returns a Subscription that holds up to depth undelivered access units.
// Close must be called.
func (s *Stream) Subscribe(depth int) *Subscription {
	sub := &Subscription{stream: s, c: make(chan *AccessUnit, depth), changed: make(chan struct{}, 1)}
	sub.C, sub.Changed = sub.c, sub.changed
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subscriptions[sub] = struct{}{}
	return sub
}

// Close ends the subscription. C is not closed; the access units in it are discarded.
func (sub *Subscription) Close() {
	sub.stream.mu.Lock()
	defer sub.stream.mu.Unlock()
	delete(sub.stream.subscriptions, sub)
	sub.stream.lastUse = sub.stream.now()
}

// Dropped returns the number of access units that this subscriber lost.
func (sub *Subscription) Dropped() uint64 { return sub.dropped.Load() }

// deliver hands over u or drops it. Stream.mu must be held.
func (sub *Subscription) deliver(u *AccessUnit) {
	if u.Kind == Video && sub.awaitIDR && !u.isEntry() {
		sub.drop()
		return
	}
	select {
	case sub.c <- u:
		if u.Kind == Video {
			sub.awaitIDR = false
		}
	default:
		sub.awaitIDR = sub.awaitIDR || u.Kind == Video
		sub.drop()
	}
}

func (sub *Subscription) drop() {
	sub.dropped.Add(1)
	sub.stream.metrics.FramesDropped.WithLabelValues("subscription").Inc()
}

func (sub *Subscription) notify() {
	select {
	case sub.changed <- struct{}{}:
	default:
	}
}
