package whip

import "time"

const (
	// keyframeInterval is how often a publisher that sends no IDRs by itself is asked for one.
	// Viewers can then always join soon, and a switch to a standby is always possible.
	keyframeInterval = 2 * time.Second

	// keyframeGrace is a margin for an encoder that itself sends an IDR every keyframeInterval.
	// Without it the encoder would be asked just before it sends one.
	keyframeGrace = 250 * time.Millisecond

	// keyframeRetry is how often a publisher is asked while nothing can be decoded. That is at
	// the start and after a loss, when every viewer sees a still picture.
	keyframeRetry = 500 * time.Millisecond

	// keyframeStart is how long the first IDR may take before it is asked for.
	// Encoders begin with an IDR.
	keyframeStart = 200 * time.Millisecond
)

// keyframes decides when to ask for an IDR (PLI, RFC 4585 section 6.3.1). Some
// encoders, such as OBS with x264, ignore the request.
type keyframes struct {
	started            bool
	lastIDR, lastAsked time.Duration
	wanted             bool
}

// begin allows the first request at once.
func (k *keyframes) begin(now time.Duration) {
	if !k.started {
		k.started, k.lastAsked = true, now-keyframeRetry
	}
}

// want asks for an IDR as soon as the rate allows.
func (k *keyframes) want() { k.wanted = true }

// received records that an IDR has come.
func (k *keyframes) received(now time.Duration) {
	k.lastIDR, k.wanted = now, false
}

// due reports whether to ask now. needIDR reports whether nothing can be decoded without an IDR.
func (k *keyframes) due(now time.Duration, needIDR bool) bool {
	if !k.started {
		k.started = true
		k.lastAsked = now - keyframeRetry + keyframeStart
	}
	since := now - k.lastAsked
	switch {
	case needIDR && since >= keyframeRetry:
	case k.wanted && since >= keyframeInterval:
	case now-k.lastIDR >= keyframeInterval+keyframeGrace && since >= keyframeInterval:
	default:
		return false
	}
	k.lastAsked, k.wanted = now, false
	return true
}
