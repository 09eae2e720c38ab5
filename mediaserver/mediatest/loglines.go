package mediatest

import (
	"bytes"
	"strings"
	"sync"
)

// LogLines is a log that several goroutines may write. The zero value is ready for use.
type LogLines struct {
	mu    sync.Mutex
	lines bytes.Buffer
}

// Write adds to the log.
func (l *LogLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.Write(b)
}

// String returns all lines.
func (l *LogLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.String()
}

// Take returns the lines since the last call of Take.
func (l *LogLines) Take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.lines.Reset()
	return l.lines.String()
}

// With returns the lines that contain all of the texts.
func (l *LogLines) With(texts ...string) (lines []string) {
next:
	for line := range strings.Lines(l.String()) {
		for _, text := range texts {
			if !strings.Contains(line, text) {
				continue next
			}
		}
		lines = append(lines, line)
	}
	return lines
}
