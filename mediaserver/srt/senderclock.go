package srt

import "time"

// clockMemory is for how long the shortest way of a packet is remembered, at least; at most for twice
// as long. The clocks of two machines drift apart by some 200 µs a second at the worst.
const clockMemory = 5 * time.Second

// A senderClock says when a packet with some timestamp would have arrived by the shortest way. It
// follows the drift of the sender's clock: of the packets of the last seconds, it takes the one that
// came earliest. (Section 4.7 takes an average instead, which the jitter of the way moves, too.)
//
// Times are those since the connection began, on this machine's clock. The zero value is ready.
type senderClock struct {
	known bool
	raw   uint32        // the newest timestamp, in µs; it wraps after 71 minutes
	ts    time.Duration // raw, without wrapping
	// earliest is the least arrival less timestamp since began, and before it that of the time before.
	earliest, before time.Duration
	began            time.Duration
}

// arrival returns when a packet with that timestamp would have arrived by the shortest way. The
// packet has arrived now.
func (c *senderClock) arrival(timestamp uint32, now time.Duration) time.Duration {
	if !c.known {
		c.known, c.raw = true, timestamp
		c.earliest, c.before, c.began = now, now, now
	}
	ts := c.ts + time.Duration(int32(timestamp-c.raw))*time.Microsecond
	if ts > c.ts {
		c.ts, c.raw = ts, timestamp
	}
	if now-c.began >= clockMemory {
		c.before, c.earliest, c.began = c.earliest, now-ts, now
	}
	c.earliest = min(c.earliest, now-ts)
	return ts + min(c.earliest, c.before)
}
