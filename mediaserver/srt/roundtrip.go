package srt

import "time"

// A roundTrip estimates the round trip to the caller, from acknowledgements and the answers to them
// (section 4.10). It remembers as many acknowledgements as may be on their way. The zero value is
// ready after init.
type roundTrip struct {
	mean, deviation time.Duration
	sent            [64]struct {
		number uint32
		at     time.Duration
	}
	number   uint32 // of the last acknowledgement
	measured bool   // an answer has come
}

func newRoundTrip() roundTrip {
	return roundTrip{mean: 100 * time.Millisecond, deviation: 50 * time.Millisecond} // section 4.10
}

// acknowledge returns the number of an acknowledgement that is sent now.
func (r *roundTrip) acknowledge(now time.Duration) uint32 {
	r.number++
	place := &r.sent[r.number%uint32(len(r.sent))]
	place.number, place.at = r.number, now
	return r.number
}

// answered takes the answer to an acknowledgement.
func (r *roundTrip) answered(number uint32, now time.Duration) {
	place := &r.sent[number%uint32(len(r.sent))]
	if number == 0 || place.number != number {
		return
	}
	place.number = 0
	sample := now - place.at
	if !r.measured { // libsrt does the same, as TCP does (RFC 6298 section 2.2)
		r.mean, r.deviation, r.measured = sample, sample/2, true
		return
	}
	r.deviation = (3*r.deviation + (r.mean - sample).Abs()) / 4
	r.mean = (7*r.mean + sample) / 8
}

const (
	// leastAskAgain is the shortest wait for a packet that the sender was asked for (section 4.8.2).
	leastAskAgain = 20 * time.Millisecond
	// leastAsked is how often a packet is asked for, if the latency leaves the time.
	leastAsked = 4
)

// askAgain returns how long to wait for a packet that the sender was asked for (section 4.8.2). A few
// late answers, as of a machine that is short of CPU, must not use the latency up.
func (r *roundTrip) askAgain(latency time.Duration) time.Duration {
	return max(min((r.mean+4*r.deviation)/2, (latency-r.mean)/leastAsked), leastAskAgain)
}
