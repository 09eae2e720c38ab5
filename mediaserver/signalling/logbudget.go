package signalling

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

const (
	// lineBurst is how many lines may be logged at once. After that, one line per lineInterval may
	// be logged. Strangers choose how often they ask, and must not choose how much is logged.
	lineBurst    = 20
	lineInterval = time.Second

	// networkBurst and networkInterval are the same for the lines about one network. A
	// stranger that asks all the time must not hide lines about an encoder.
	networkBurst    = 5
	networkInterval = 10 * time.Second

	// networkBudgets is the number of such budgets. Networks with the same hash share a
	// budget, so strangers can't choose how much memory is taken.
	networkBudgets = 256
)

// A LogBudget bounds how many lines clients cause in the log, for each network and for
// all together. It is safe for concurrent use.
type LogBudget struct {
	seed maphash.Seed

	mu       sync.Mutex // guards the rest
	all      budget
	networks [networkBudgets]budget // index: a hash of the network
	leftOut  int
}

// NewLogBudget returns a full LogBudget.
func NewLogBudget() *LogBudget { return &LogBudget{seed: maphash.MakeSeed()} }

// Take reports whether a line about a client of that network may be written at now.
// leftOut is how many lines were left out since the last written one.
func (l *LogBudget) Take(from netip.Prefix, now time.Time) (leftOut int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	own := &l.networks[l.budgetOf(from)]
	if !own.allows(now, networkBurst, networkInterval) || !l.all.allows(now, lineBurst, lineInterval) {
		l.leftOut++
		return 0, false
	}
	own.used++
	l.all.used++
	leftOut, l.leftOut = l.leftOut, 0
	return leftOut, true
}

// budgetOf returns the index of a network's budget.
func (l *LogBudget) budgetOf(from netip.Prefix) int {
	return int(maphash.Comparable(l.seed, from) % networkBudgets)
}

// A budget lets a burst of events pass at once, then one per interval. The zero value
// is a full budget.
type budget struct {
	used float64 // events of the burst that are used up
	last time.Time
}

// allows reports whether one more event may pass at now. If it passes, the caller adds it to used.
func (b *budget) allows(now time.Time, burst float64, interval time.Duration) bool {
	if passed := now.Sub(b.last); passed > 0 {
		b.used = max(0, b.used-float64(passed)/float64(interval))
	}
	b.last = now
	return b.used+1 <= burst
}
