package signalling

import (
	"hash/maphash"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/streampair/streampair/mediaserver/admission"
)

const (
	// refusalBurst is how many refusals are logged one by one, and refusalInterval the time
	// after which one more is. Strangers choose how often they are refused, and must not
	// choose how much is logged.
	refusalBurst    = 20
	refusalInterval = time.Second

	// networkBurst and networkInterval are the same for the refusals of one address: a
	// stranger who is refused all the time must not hide those of an encoder.
	networkBurst    = 5
	networkInterval = 10 * time.Second

	// networkBudgets is how many such budgets there are. Addresses with the same hash share
	// one, so that strangers cannot choose how much memory they take.
	networkBudgets = 256

	// maxLogged bounds what a line has of a client's text, in bytes.
	maxLogged = 300
)

// A Refusal is a request that was not done.
type Refusal struct {
	// Protocol is "whip" or "whep"; Stream is "app/id".
	Protocol, Stream string
	// Status is the HTTP status, Reason the word for it in metrics, and Message what the
	// client was told.
	Status          int
	Reason, Message string
}

// A RefusalLog logs refusals at INFO: an encoder or a player seldom shows what it was told,
// so the server's log is where its user looks. The rate is bounded, for each address and for
// all together; a line says how many were left out before it. It is safe for concurrent use.
type RefusalLog struct {
	log  *slog.Logger
	seed maphash.Seed

	mu       sync.Mutex // guards the rest
	all      budget
	networks [networkBudgets]budget // by a hash of the network
	leftOut  int
}

// NewRefusalLog returns a RefusalLog that writes to log.
func NewRefusalLog(log *slog.Logger) *RefusalLog {
	return &RefusalLog{log: log, seed: maphash.MakeSeed()}
}

// Log logs the refusal of a request.
func (l *RefusalLog) Log(r *http.Request, refused Refusal) {
	leftOut, ok := l.take(admission.NetworkOf(admission.AddressOf(r.RemoteAddr)), time.Now())
	if !ok {
		return
	}
	log := l.log
	if leftOut > 0 {
		log = log.With("leftOut", leftOut)
	}
	log.Info("request refused", "protocol", refused.Protocol, "stream", clip(refused.Stream), "method", r.Method, "status", refused.Status,
		"reason", refused.Reason, "message", clip(refused.Message), "remote", r.RemoteAddr, "userAgent", clip(r.UserAgent()))
}

// take reports whether a refusal is logged, and how many were left out before it.
func (l *RefusalLog) take(from netip.Prefix, now time.Time) (leftOut int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	own := &l.networks[l.budgetOf(from)]
	if !own.allows(now, networkBurst, networkInterval) || !l.all.allows(now, refusalBurst, refusalInterval) {
		l.leftOut++
		return 0, false
	}
	own.used++
	l.all.used++
	leftOut, l.leftOut = l.leftOut, 0
	return leftOut, true
}

// budgetOf is the index of a network's budget.
func (l *RefusalLog) budgetOf(from netip.Prefix) int {
	return int(maphash.Comparable(l.seed, from) % networkBudgets)
}

// clip returns the beginning of a text that a client may have chosen.
func clip(text string) string { return text[:min(len(text), maxLogged)] }

// A budget lets a burst of events pass at once, and then one each interval. The zero value is
// full.
type budget struct {
	used float64 // of the burst
	last time.Time
}

// allows reports whether another event may pass at now, which the caller adds to used.
func (b *budget) allows(now time.Time, burst float64, interval time.Duration) bool {
	if passed := now.Sub(b.last); passed > 0 {
		b.used = max(0, b.used-float64(passed)/float64(interval))
	}
	b.last = now
	return b.used+1 <= burst
}
