package failover

import "time"

// tick is the smallest step of the 90 kHz RTP clock of video, rounded up. Two pictures closer than
// a tick would get the same timestamp.
const tick = 11112 * time.Nanosecond

// A timeline gives the pictures of one output their times on the media clock. The times only move
// forward, whatever the legs' own times do.
type timeline struct{ last time.Duration }

// live returns the time of a picture that is sent as it arrives: the picture's own PTS. A PTS at or
// before the last picture's time becomes one tick later than that time.
func (t *timeline) live(pts time.Duration) time.Duration {
	t.last = max(pts, t.last+tick)
	return t.last
}

const (
	// longestHole is the longest time without a picture after which cached pictures get times that
	// follow the last picture. Receivers derive the sender's clock from times and arrivals.
	// libwebrtc's TimestampExtrapolator takes a burst of such pictures for late by the length of the
	// hole. It then shows the pictures that follow half a second late, for many seconds.
	longestHole = 500 * time.Millisecond
	// holeEdge is how long before the newest picture the times of a burst begin at the earliest,
	// after a hole longer than longestHole. Players hold pictures for 100 to 200 ms. So they show the
	// last pictures of the burst at once.
	holeEdge = 250 * time.Millisecond
	// forgotten is the time without a picture after which receivers may have lost the sender's clock.
	// TimestampExtrapolator begins anew after 10 s, with whatever picture comes first.
	forgotten = 5 * time.Second
	// newEdge takes the place of holeEdge for receivers that begin anew. They would show the pictures
	// that follow late by newEdge.
	newEdge = 20 * time.Millisecond
)

// burst prepares the times of cached pictures. The newest of them has the time newest. The caller
// then calls live for each picture. Pictures older than the last picture that went out follow that
// picture a tick apart, so that the decoder passes over them. The others have their own times.
func (t *timeline) burst(newest time.Duration) {
	switch hole := newest - t.last; {
	case t.last == 0 || hole > forgotten:
		t.last = max(t.last, newest-newEdge)
	case hole > longestHole:
		t.last = newest - holeEdge
	}
}

// decodeTime is how long a phone's decoder takes for one picture.
const decodeTime = 2 * time.Millisecond

// burstIsSooner reports whether sending the cached pictures brings a current picture sooner than
// waiting for the next IDR. That IDR is expected idrInterval after lastIDR.
func burstIsSooner(burst time.Duration, lastIDR, idrInterval, now time.Duration) bool {
	if idrInterval <= 0 {
		return true // there is no telling when the next IDR will come
	}
	wait := lastIDR + idrInterval - now
	// An overdue IDR is not worth waiting for.
	return wait < 0 || burst <= wait
}
