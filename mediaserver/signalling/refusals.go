package signalling

import (
	"log/slog"
	"net/http"
	"sync"
	"time"
)

const (
	// refusalBurst is how many refusals are logged one by one, and refusalInterval the time
	// after which one more is. Strangers choose how often they are refused, and must not
	// choose how much is logged.
	refusalBurst    = 20
	refusalInterval = time.Second

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
// so the server's log is where its user looks. The rate is bounded; a line says how many
// were left out before it. It is safe for concurrent use.
type RefusalLog struct {
	log *slog.Logger

	mu      sync.Mutex // guards the rest
	budget  budget
	leftOut int
}

// NewRefusalLog returns a RefusalLog that writes to log.
func NewRefusalLog(log *slog.Logger) *RefusalLog { return &RefusalLog{log: log} }

// Log logs the refusal of a request.
func (l *RefusalLog) Log(r *http.Request, refused Refusal) {
	l.mu.Lock()
	ok, leftOut := l.budget.take(time.Now()), l.leftOut
	if ok {
		l.leftOut = 0
	} else {
		l.leftOut++
	}
	l.mu.Unlock()
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

// clip returns the beginning of a text that a client may have chosen.
func clip(text string) string { return text[:min(len(text), maxLogged)] }

// A budget lets refusalBurst events pass at once, and then one each refusalInterval.
type budget struct {
	started bool
	left    float64
	last    time.Time
}

func (b *budget) take(now time.Time) bool {
	if !b.started {
		b.started, b.left = true, refusalBurst
	} else if passed := now.Sub(b.last); passed > 0 {
		b.left = min(refusalBurst, b.left+float64(passed)/float64(refusalInterval))
	}
	b.last = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
