package failover

import (
	"log/slog"
	"sync"
	"time"
)

const (
	// heldUpGather is how long a line waits for other pairs. The cause that holds one pair up most
	// often holds all pairs up.
	heldUpGather = time.Second
	// heldUpInterval is the least time between two lines.
	heldUpInterval = time.Minute
)

// heldUpMessage says what to do when pairs are held up.
const heldUpMessage = "the machine is short of CPU: pairs of this server did not run for a while, and playing may have stalled. " +
	"Give the server more CPU, or move other work away. The silence of a leg meanwhile is not counted as a loss"

// A HeldUpLog logs that pairs of a process were held up. A machine that is short of CPU holds all
// pairs up, again and again. So there is one line a minute for all pairs. A HeldUpLog is safe for
// concurrent use.
type HeldUpLog struct {
	log *slog.Logger

	mu      sync.Mutex          // guards the rest
	pairs   map[string]struct{} // names of the pairs that were held up since the last line
	longest time.Duration       // the longest pause of those pairs
	due     *time.Timer         // writes the next line; nil: no line is due
	last    time.Time           // when the last line was written
	closed  bool
}

// NewHeldUpLog returns a HeldUpLog that writes to log.
func NewHeldUpLog(log *slog.Logger) *HeldUpLog {
	return &HeldUpLog{log: log, pairs: make(map[string]struct{})}
}

// note notes a pause of a pair. A nil HeldUpLog ignores it.
func (l *HeldUpLog) note(pair string, pause time.Duration) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pairs[pair] = struct{}{}
	l.longest = max(l.longest, pause)
	if l.due != nil || l.closed {
		return
	}
	l.due = time.AfterFunc(max(heldUpGather, time.Until(l.last.Add(heldUpInterval))), l.write)
}

// write writes a line about all pauses since the last line.
func (l *HeldUpLog) write() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.log.Warn(heldUpMessage, "pairs", len(l.pairs), "longest", l.longest.Round(time.Millisecond))
	clear(l.pairs)
	l.longest, l.due, l.last = 0, nil, time.Now()
}

// Close ends the log: nothing is written once Close has returned.
func (l *HeldUpLog) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.due != nil {
		l.due.Stop()
	}
}
