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

// burst returns the times of n cached pictures, the newest of which would be shown at
// newest: spread over the time that really passed since the last picture, so that the
// decoder catches up and lands on the live edge. They are never less than a tick apart.
func (t *timeline) burst(n int, newest time.Duration) []time.Duration {
	from := t.last
	if from == 0 || newest-from > forgotten {
		// To a receiver without a past the first of them is now, and the others would
		// be shown late by what they are spread over.
		from = max(from, newest-time.Duration(n)*time.Millisecond)
	}
	span := max(newest-from, time.Duration(n)*tick)
	times := make([]time.Duration, n)
	for i := range times {
		times[i] = from + span*time.Duration(i+1)/time.Duration(n)
	}
	t.last = from + span
	return times
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
