package mediatest

import (
	"runtime"
	"testing"
	"time"
)

// AssertCost fails the test if f allocates more than the given bytes on the heap,
// freed or not, or takes longer than the given time. Allocations of other goroutines
// count too, so the bounds should be generous.
func AssertCost(t *testing.T, bytes uint64, limit time.Duration, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	f()
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > bytes {
		t.Errorf("%d bytes were allocated, and at most %d may be", allocated, bytes)
	}
	if took > limit {
		t.Errorf("it took %v, and may take %v", took, limit)
	}
}
