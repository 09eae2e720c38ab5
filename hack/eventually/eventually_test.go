package eventually_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streampair/streampair/hack/eventually"
)

// failure is a test that notes how it failed.
type failure struct{ text string }

func (*failure) Helper() {}

func (f *failure) Fatalf(format string, args ...any) { f.text = fmt.Sprintf(format, args...) }

func TestWaiting(t *testing.T) {
	const late = 3 * time.Second
	for name, tt := range map[string]struct {
		after time.Duration // when the condition begins to hold
		wait  func(t eventually.TB, holds func() bool) time.Duration
		text  string
	}{
		"what holds at once takes no time": {
			0, func(t eventually.TB, holds func() bool) time.Duration { return eventually.True(t, "rain", holds) }, "",
		},
		"what holds later is waited for": {
			late, func(t eventually.TB, holds func() bool) time.Duration { return eventually.True(t, "rain", holds) }, "",
		},
		"what never holds is named": {
			time.Hour, func(t eventually.TB, holds func() bool) time.Duration { return eventually.True(t, "rain", holds) },
			"not within 1m0s: rain",
		},
		"what was seen last is said": {
			time.Hour, func(t eventually.TB, holds func() bool) time.Duration {
				return eventually.Seen(t, eventually.Patience, "rain", func() (string, bool) { return "clouds", holds() })
			},
			"not within 1m0s: rain; last seen: clouds",
		},
		"a limit of one's own": {
			late, func(t eventually.TB, holds func() bool) time.Duration {
				return eventually.Within(t, late/2, "rain", holds)
			},
			"not within 1.5s: rain",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, f := time.Now(), &failure{}
				took := tt.wait(f, func() bool { return time.Since(began) >= tt.after })
				if f.text != tt.text {
					t.Errorf("the test says %q, want %q", f.text, tt.text)
				}
				if tt.text == "" && (took < tt.after || took > tt.after+50*time.Millisecond) {
					t.Errorf("it took %v, want %v", took, tt.after)
				}
			})
		})
	}
}
