// Package seeded gives tests random numbers that can be had again. Start from Rand.
//
// A test logs its seed, which go test shows when the test fails. RAPID_SEED=N in the
// environment gives that seed to all random tests: those of this package, and the property
// tests of pgregory.net/rapid, which name the variable.
package seeded

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// Variable is the environment variable that holds a seed: an unsigned number of 64 bits, 0 or
// empty for another seed each time.
const Variable = "RAPID_SEED"

// Rand returns random numbers from the test's seed. They are for one goroutine.
func Rand(tb testing.TB) *rand.Rand {
	tb.Helper()
	return New(Seed(tb))
}

// New returns the random numbers that Rand returns for a seed. They are for one goroutine.
func New(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// Seed returns the seed of the environment, or else a new one, and logs it.
func Seed(tb testing.TB) uint64 {
	tb.Helper()
	seed := uint64(0)
	if text := os.Getenv(Variable); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 0, 64); err != nil {
			tb.Fatalf("%s=%s is no seed, which is a number from 0 to 2^64-1", Variable, text)
		}
	}
	if seed == 0 {
		seed = rand.Uint64()
	}
	tb.Logf("%s=%d repeats these random numbers", Variable, seed)
	return seed
}

// Fill fills b with random bytes.
func Fill(r *rand.Rand, b []byte) {
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, r.Uint64())
		b = b[8:]
	}
	if len(b) > 0 {
		var last [8]byte
		binary.LittleEndian.PutUint64(last[:], r.Uint64())
		copy(b, last[:])
	}
}
