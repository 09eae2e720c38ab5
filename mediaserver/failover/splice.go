package failover

import "time"

// tick is the smallest step of the 90 kHz RTP clock of video, rounded up: two pictures
// closer than this would get the same timestamp.
const tick = 11112 * time.Nanosecond

// A timeline gives the pictures of one output their times on the media clock. They
// only move forward, whatever the legs' own times do.
type timeline struct{ last time.Duration }

// live returns the time of a picture that is sent as it arrives: its own, unless that
// lies at or before the last picture's.
func (t *timeline) live(pts time.Duration) time.Duration {
	t.last = max(pts, t.last+tick)
	return t.last
}

// forgotten is the time without a picture after which receivers are taken to have lost
// their notion of the sender's clock: libwebrtc's TimestampExtrapolator begins anew after
// 10 s, with whatever picture comes first.
const forgotten = 5 * time.Second

// edge is how long before the newest picture of a burst its others begin at most, where
// receivers begin anew.
const edge = 20 * time.Millisecond

// burst begins the times of cached pictures, the newest of which is of newest. They go on
// with live: what was before the last picture that went out follows it a tick apart, so
// that the decoder passes over it, and the rest has its own time.
func (t *timeline) burst(newest time.Duration) {
	if t.last == 0 || newest-t.last > forgotten {
		// To a receiver without a past the first of them is now, and the others would
		// be shown late by what they are spread over.
		t.last = max(t.last, newest-edge)
	}
}

// decodeTime is what a phone's decoder takes for a picture.
const decodeTime = 2 * time.Millisecond

// burstIsSooner says whether sending the cached pictures brings a current picture
// sooner than waiting for the next IDR, which is expected idrInterval after lastIDR.
func burstIsSooner(burst time.Duration, lastIDR, idrInterval, now time.Duration) bool {
	if idrInterval <= 0 {
		return true // nothing tells when the next will come
	}
	wait := lastIDR + idrInterval - now
	// An IDR that is overdue is not to be waited for.
	return wait < 0 || burst <= wait
}
