// Package eventually waits in tests for what takes a moment. It is the only place where a
// test polls, so that all tests have the same patience and fail with the same words.
//
// It imports nothing of this module, so that the tests of the operator and of the media
// server can both use it. Start from True.
package eventually

import (
	"fmt"
	"time"
)

// Patience is how long a test waits for what should take a moment. It is generous, because
// machines that run tests are small and busy. It is no measure of speed: a test that
// measures has a limit of its own.
const Patience = time.Minute

// TB is what this package needs of *testing.T, *testing.B and *rapid.T.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
}

// The pause between two looks grows with the time that has passed. So a short wait is measured
// well, and a long one costs little.
const (
	firstPause   = time.Millisecond
	longestPause = 50 * time.Millisecond
	// A pause is this part of the time that has passed.
	pausePart = 20
)

// True waits until the condition holds, and returns how long that took. If the condition
// does not hold within Patience, the test fails and says what was waited for.
func True(t TB, what string, condition func() bool) time.Duration {
	t.Helper()
	return Within(t, Patience, what, condition)
}

// Within is True with a limit of its own, for what takes much longer than a moment.
func Within(t TB, limit time.Duration, what string, condition func() bool) time.Duration {
	t.Helper()
	return Seen(t, limit, what, func() (nothing, bool) { return nothing{}, condition() })
}

// nothing is what a condition saw that cannot say what it saw.
type nothing struct{}

// Seen is Within for a condition that can say what it saw. A test that fails prints what was
// seen last.
func Seen[T any](t TB, limit time.Duration, what string, look func() (saw T, done bool)) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		saw, done := look()
		passed := time.Since(began)
		switch {
		case done:
			return passed
		case passed > limit:
			if _, silent := any(saw).(nothing); !silent {
				what = fmt.Sprintf("%s; last seen: %v", what, saw)
			}
			t.Fatalf("not within %v: %s", limit, what)
			return passed // a TB that is a fake may go on after Fatalf
		}
		time.Sleep(min(max(passed/pausePart, firstPause), longestPause))
	}
}
