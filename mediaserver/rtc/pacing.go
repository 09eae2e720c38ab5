package rtc

import (
	"sync"
	"time"
)

const (
	// DefaultEgressBPS is the total rate of an Egress made without one.
	DefaultEgressBPS = 1_000_000_000
	// DefaultViewerBPS is the rate at which one viewer is sent what is not live.
	DefaultViewerBPS = 100_000_000

	// viewerBurst bytes may go to a viewer at once: an ordinary IDR, so that the
	// first picture is not paced, yet no more than a home router's queue takes.
	viewerBurst = 64 << 10
	// nackBPS and nackBurst bound what one viewer can make the server send again.
	nackBPS   = 10_000_000
	nackBurst = 256 << 10
	// pacingInterval is how often a paced viewer is served.
	pacingInterval = 2 * time.Millisecond
	// catchUpAfter is the backlog, in time at the viewer's rate, that is left out if an
	// IDR has come after it; one that is sooner sent is.
	catchUpAfter = 100 * time.Millisecond
	// lateSound is how old sound may be that is still sent to a viewer whose connection had no
	// room: a receiver would hold the picture back for it.
	lateSound = 500 * time.Millisecond
	// egressBurst is the time whose worth of bytes may leave at once in bursts.
	egressBurst = 10 * time.Millisecond
	// burstShare is the part of the egress rate that bursts get even when live
	// media alone fill it: a viewer who joins a full server still gets a picture.
	burstShare = 8
)

// A bucket is a token bucket in bytes. It may be overdrawn by the last packet.
type bucket struct {
	bytesPerSecond, capacity, level float64
	filled                          time.Duration
}

func newBucket(bitsPerSecond int64, capacity float64, now time.Duration) bucket {
	return bucket{bytesPerSecond: float64(bitsPerSecond) / 8, capacity: capacity, level: capacity, filled: now}
}

func (b *bucket) fill(now time.Duration) {
	if now <= b.filled {
		return
	}
	b.level = min(b.capacity, b.level+b.bytesPerSecond*(now-b.filled).Seconds())
	b.filled = now
}

// An Egress is the rate at which a server may send bursts (joins, splices) to all
// viewers of all outputs. Live media are never delayed; they use it up.
type Egress struct {
	mu     sync.Mutex // guards bucket
	bucket bucket
	bps    int64
}

// NewEgress returns an Egress of that many bits per second, 0 for
// DefaultEgressBPS.
func NewEgress(bitsPerSecond int64) *Egress {
	if bitsPerSecond <= 0 {
		bitsPerSecond = DefaultEgressBPS
	}
	return &Egress{
		bps:    bitsPerSecond,
		bucket: newBucket(bitsPerSecond, float64(bitsPerSecond)/8*egressBurst.Seconds(), 0),
	}
}

// live takes note of n bytes sent whatever the level.
func (e *Egress) live(n int, now time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.bucket.fill(now)
	e.bucket.level = max(0, e.bucket.level-float64(n)*(burstShare-1)/burstShare)
}

// take asks to send n bytes of a burst now.
func (e *Egress) take(n int, now time.Duration) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.bucket.fill(now)
	if e.bucket.level <= 0 {
		return false
	}
	e.bucket.level -= float64(n)
	return true
}
