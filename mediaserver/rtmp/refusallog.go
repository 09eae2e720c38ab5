package rtmp

import (
	"context"
	"log/slog"
	"time"

	"github.com/streampair/streampair/mediaserver/recovery"
)

// refusalLogInterval is the least time between two lines. It keeps strangers from filling the
// log. Each line has the number of lines left out before it, if any.
const refusalLogInterval = 100 * time.Millisecond

// A refusalLog logs refusals at a bounded rate.
type refusalLog struct {
	logger *slog.Logger

	mu      recovery.Mutex // guards all below
	last    time.Time
	leftOut int
}

func (l *refusalLog) log(level slog.Level, message string, attrs ...any) {
	l.mu.Lock()
	if time.Since(l.last) < refusalLogInterval {
		l.leftOut++
		l.mu.Unlock()
		return
	}
	if l.leftOut > 0 {
		attrs = append(attrs, "leftOut", l.leftOut)
	}
	l.last, l.leftOut = time.Now(), 0
	l.mu.Unlock()
	l.logger.Log(context.Background(), level, message, attrs...)
}
