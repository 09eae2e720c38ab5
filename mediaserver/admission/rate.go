package admission

import (
	"hash/maphash"
	"net/netip"
	"time"

	"golang.org/x/time/rate"
)

// networkLimits is how many limits a RateLimiter has. Networks with the same hash share a limit, so
// that strangers do not choose how much memory is taken.
const networkLimits = 256

// A RateLimiter bounds how often clients may do something: those of one network, and all together. It
// is safe for concurrent use.
type RateLimiter struct {
	seed     maphash.Seed
	all      *rate.Limiter
	networks [networkLimits]*rate.Limiter
}

// NewRateLimiter returns a RateLimiter. The clients of a network may do something so often a second,
// and in a burst; all clients together may do it more often.
func NewRateLimiter(network rate.Limit, networkBurst int, all rate.Limit, allBurst int) *RateLimiter {
	l := &RateLimiter{seed: maphash.MakeSeed(), all: rate.NewLimiter(all, allBurst)}
	for i := range l.networks {
		l.networks[i] = rate.NewLimiter(network, networkBurst)
	}
	return l
}

// Allow reports whether a client of that network may do it now. If so, that counts.
func (l *RateLimiter) Allow(from netip.Prefix, now time.Time) bool {
	return l.networks[maphash.Comparable(l.seed, from)%networkLimits].AllowN(now, 1) && l.all.AllowN(now, 1)
}
