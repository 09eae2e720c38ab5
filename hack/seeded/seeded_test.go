package seeded

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// recorder is a test that keeps what it logs and how it fails.
type recorder struct {
	testing.TB
	logged []string
	failed string
}

func (r *recorder) Helper() {}

func (r *recorder) Logf(format string, args ...any) {
	r.logged = append(r.logged, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.failed = fmt.Sprintf(format, args...)
	panic(r)
}

func TestASeedThatIsGivenBackRepeatsTheNumbers(t *testing.T) {
	t.Setenv(Variable, "")
	first := Seed(t)
	if second := Seed(t); second == first {
		t.Errorf("two tests without a seed in the environment have the same seed, %d", first)
	}

	t.Setenv(Variable, fmt.Sprint(first))
	r := &recorder{TB: t}
	if got, want := Rand(r).Uint64(), New(first).Uint64(); got != want {
		t.Errorf("seed %d gives %d, then %d", first, want, got)
	}
	want := []string{fmt.Sprintf("RAPID_SEED=%d repeats these random numbers", first)}
	if diff := cmp.Diff(want, r.logged); diff != "" {
		t.Error(diff)
	}
}

func TestASeedThatIsNoNumberFailsTheTest(t *testing.T) {
	t.Setenv(Variable, "today")
	r := &recorder{TB: t}
	defer func() {
		if recover() != r || r.failed != "RAPID_SEED=today is no seed, which is a number from 0 to 2^64-1" {
			t.Errorf("the test failed with %q", r.failed)
		}
	}()
	Seed(r)
}

func TestFillReachesEachByte(t *testing.T) {
	for _, n := range []int{0, 1, 7, 8, 9, 64} {
		// A byte stays zero by chance once in 256 times, and so 20 times in a row never.
		reached, random := make([]byte, n), New(1)
		for range 20 {
			b := make([]byte, n)
			Fill(random, b)
			for i := range b {
				reached[i] |= b[i]
			}
		}
		if i := bytes.IndexByte(reached, 0); i >= 0 {
			t.Errorf("of %d bytes, byte %d is always zero", n, i)
		}
	}
}
