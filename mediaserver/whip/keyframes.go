package whip

import "time"

const (
	// keyframeInterval is how often a publisher that sends no IDR by itself is asked
	// for one, so that viewers can always join, and a standby always be switched to.
	keyframeInterval = 2 * time.Second

	// keyframeGrace keeps an encoder whose own interval is keyframeInterval from
	// being asked just before it delivers.
	keyframeGrace = 250 * time.Millisecond

	// keyframeRetry is how often it is asked while nothing can be decoded: at the
	// start and after a loss, when every viewer looks at a still picture.
	keyframeRetry = 500 * time.Millisecond

	// keyframeStart is how long the first one may take to arrive before it is asked
	// for: encoders begin with one.
	keyframeStart = 200 * time.Millisecond
)

// keyframes decides when to ask for an IDR (PLI, RFC 4585 section 6.3.1). Some
// encoders, OBS with x264 among them, take no notice.
type keyframes struct {
	started            bool
	lastIDR, lastAsked time.Duration
	wanted             bool
}

// begin lets the first one be asked for at once.
func (k *keyframes) begin(now time.Duration) {
	if !k.started {
		k.started, k.lastAsked = true, now-keyframeRetry
	}
}

// want asks for an IDR as soon as the rate allows.
func (k *keyframes) want() { k.wanted = true }

// received notes an IDR.
func (k *keyframes) received(now time.Duration) {
	k.lastIDR, k.wanted = now, false
}

// due says whether to ask now. needIDR says that nothing is decodable without one.
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
