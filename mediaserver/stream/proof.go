package stream

import (
	"context"
	"log/slog"
)

// maxDeferredLog bounds the log lines that are kept about a publisher that has yet to prove itself.
const maxDeferredLog = 16

// A line is one line of the log.
type line struct {
	level   slog.Level
	message string
	attrs   []any
}

// log logs a line about the publication. If the publisher has yet to prove that it can send, the
// line is kept until it has: see PublishRequest.Unproven. stream.mu must be held.
func (p *Publication) log(level slog.Level, message string, attrs ...any) {
	switch {
	case !p.req.Unproven:
		p.stream.log.Log(context.Background(), level, message, attrs...)
	case len(p.deferredLog) < maxDeferredLog:
		p.deferredLog = append(p.deferredLog, line{level, message, attrs})
	}
}

// Proven notes that the publisher has proved that it can send. The lines kept about the publisher
// are logged. Proven may be called again, and from any goroutine.
func (p *Publication) Proven() {
	p.stream.mu.Lock()
	defer p.stream.mu.Unlock()
	p.req.Unproven = false
	for _, l := range p.deferredLog {
		p.log(l.level, l.message, l.attrs...)
	}
	p.deferredLog = nil
}
