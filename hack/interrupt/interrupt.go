// Package interrupt tells programs that make runs when to end.
//
// Ctrl-C on a terminal reaches make and all it runs. A signal that is sent to make's process
// alone does not: GNU make takes SIGINT, and then waits for its recipe, which knows of nothing.
// This package looks whether that has happened.
package interrupt

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// interval is how often make is looked at.
const interval = 200 * time.Millisecond

// Context returns a context that ends with one of the signals. If make runs the program, the
// context also ends with SIGINT to make, and when make is gone. The function stops all that
// the context needs.
func Context(signals ...os.Signal) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	parent := os.Getppid()
	if !waitsForSIGINT(parent) {
		return ctx, stop
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for os.Getppid() == parent && waitsForSIGINT(parent) {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
		cancel()
	}()
	return ctx, func() { cancel(); stop() }
}

// waitsForSIGINT reports whether the process is a make that has not been interrupted: when
// make takes SIGINT, it puts the signal's default action back.
func waitsForSIGINT(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // proc_pid_status(5)
	if err != nil {
		return false // this is no Linux
	}
	fields := make(map[string]string)
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.TrimSpace(value)
	}
	caught, err := strconv.ParseUint(fields["SigCgt"], 16, 64)
	isMake := fields["Name"] == "make" || fields["Name"] == "gmake"
	return err == nil && isMake && caught>>(syscall.SIGINT-1)&1 == 1
}
