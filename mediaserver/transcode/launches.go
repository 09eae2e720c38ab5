package transcode

import "time"

const (
	// freeLaunches in a row need not wait: an encoder that is set up changes its
	// parameters a few times, and each change goes unseen.
	freeLaunches = 4
	// firstDelay is what the next one waits. The delay doubles with each launch, up to
	// maxDelay, and is forgotten when none was wanted for stableAfter.
	firstDelay = 500 * time.Millisecond
	maxDelay   = 30 * time.Second
)

// launches limits how often the ffmpeg of one stream is started, whoever publishes it and
// whatever makes another one necessary. A start takes a tenth of a second of a core, which
// is what a publisher whose parameters change at each IDR would take of other streams.
type launches struct {
	inRow int
	next  time.Time // when another is allowed
}

// allowed reports whether another may be started at now.
func (l *launches) allowed(now time.Time) bool { return !now.Before(l.next) }

// count notes that one is started at now.
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
