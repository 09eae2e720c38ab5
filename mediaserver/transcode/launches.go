package transcode

import "time"

const (
	// freeLaunches is how many launches in a row need not wait. While an encoder is set up, its
	// parameters change a few times, and viewers should not notice these changes.
	freeLaunches = 4
	// firstDelay is the wait before the next launch. Each further launch doubles it, up to
	// maxDelay. The count starts again when no launch has been wanted for stableAfter.
	firstDelay = 500 * time.Millisecond
	maxDelay   = 30 * time.Second
)

// launches limits how often the ffmpeg of one stream is started, whoever publishes the stream and
// whatever the reason. A start takes a tenth of a second of a processor. Without the limit, a
// publisher whose parameters change at each IDR would take that time from other streams.
type launches struct {
	inRow int
	next  time.Time // when another launch is allowed
}

// allowed reports whether a launch is allowed at now.
func (l *launches) allowed(now time.Time) bool { return !now.Before(l.next) }

// count records a launch at now.
func (l *launches) count(now time.Time) {
	if now.Sub(l.next) >= stableAfter {
		l.inRow = 0
	}
	l.inRow++
	l.next = now
	if n := l.inRow - freeLaunches; n >= 0 {
		l.next = now.Add(min(firstDelay<<min(n, 16), maxDelay))
	}
}
