package rtc

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// pionLoggers passes pion's warnings and errors to slog as debug messages. Most of
// them are about what a peer did, and an operator could not change it. Lower levels
// are dropped, because pion logs some of them for every packet.
type pionLoggers struct{ log *slog.Logger }

// NewLogger returns the logger of one part of pion.
func (l *pionLoggers) NewLogger(scope string) logging.LeveledLogger {
	return &pionLogger{log: l.log, scope: scope}
}

type pionLogger struct {
	log   *slog.Logger
	scope string
}

func (l *pionLogger) write(format string, args ...any) {
	if !l.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	l.log.Debug("pion", "scope", l.scope, "message", fmt.Sprintf(format, args...))
}

func (l *pionLogger) Trace(string)          {}
func (l *pionLogger) Tracef(string, ...any) {}
func (l *pionLogger) Debug(string)          {}
func (l *pionLogger) Debugf(string, ...any) {}
func (l *pionLogger) Info(string)           {}
func (l *pionLogger) Infof(string, ...any)  {}

func (l *pionLogger) Warn(msg string)                   { l.write("%s", msg) }
func (l *pionLogger) Warnf(format string, args ...any)  { l.write(format, args...) }
func (l *pionLogger) Error(msg string)                  { l.write("%s", msg) }
func (l *pionLogger) Errorf(format string, args ...any) { l.write(format, args...) }
