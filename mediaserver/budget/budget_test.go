package budget

import (
	"math"
	"sync"
	"testing"

	"github.com/streampair/streampair/hack/seeded"
)

const mib = 1 << 20

func TestTheLimitFollowsTheMemoryLimit(t *testing.T) {
	for _, tt := range []struct {
		name   string
		memory int64
		want   int64
	}{
		{"a pod of 512 MiB", 460 * mib, 230 * mib},
		{"a pod of 256 MiB", 230 * mib, 115 * mib},
		{"a small pod: the legs of one pair fit", 60 * mib, Floor},
		{"no memory limit", math.MaxInt64, Default},
	} {
		if got := FromMemoryLimit(tt.memory); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestWhoGivesWay(t *testing.T) {
	type holding struct {
		class Class
		mib   int
		short bool
	}
	for _, tt := range []struct {
		name     string
		limit    int
		holdings []holding
	}{
		{"all fits: nobody", 100, []holding{{Declared, 50, false}, {Histories, 20, false}, {Undeclared, 30, false}}},
		{"a declared leg needs memory: the undeclared stream", 100, []holding{{Declared, 60, false}, {Histories, 20, false}, {Undeclared, 30, true}}},
		{"a declared leg and a history need memory: undeclared first", 100, []holding{{Declared, 60, false}, {Histories, 40, false}, {Undeclared, 1, true}}},
		{"the declared legs need all: histories too", 100, []holding{{Declared, 50, false}, {Declared, 50, false}, {Histories, 10, true}, {Undeclared, 10, true}}},
		{"undeclared streams never make others short", 100, []holding{{Declared, 20, false}, {Histories, 10, false}, {Undeclared, 500, true}}},
		{"the fat undeclared stream, not the lean ones", 100, []holding{{Declared, 60, false}, {Undeclared, 2, false}, {Undeclared, 2, false}, {Undeclared, 40, true}}},
		{"too many declared legs: the fattest", 100, []holding{{Declared, 70, true}, {Declared, 20, false}, {Declared, 20, false}}},
		{"an account without memory is never short", 100, []holding{{Declared, 200, true}, {Undeclared, 0, false}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := New(int64(tt.limit) * mib)
			accounts := make([]*Account, len(tt.holdings))
			for i, h := range tt.holdings {
				accounts[i] = b.Open(h.class, func() {})
				accounts[i].Set(h.mib * mib)
			}
			for i, h := range tt.holdings {
				if got := accounts[i].Short(); got != h.short {
					t.Errorf("%s with %d MiB: short %t, want %t", h.class, h.mib, got, h.short)
				}
			}
			for _, a := range accounts {
				a.Close()
			}
			for _, c := range Classes() {
				if b.Used(c) != 0 || b.open[c].Load() != 0 {
					t.Errorf("after all are closed %s holds %d bytes in %d accounts", c, b.Used(c), b.open[c].Load())
				}
			}
		})
	}
}

// Whatever the accounts do, Used is the sum of what they hold. If the accounts that are short give
// way, the sum falls below the limit.
func TestTheCountersAgreeWithTheAccounts(t *testing.T) {
	r := seeded.Rand(t)
	b := New(20 * mib)
	type cache struct {
		*Account
		mu sync.Mutex
	}
	caches := make([]*cache, 30)
	for i := range caches {
		c := &cache{}
		c.Account = b.Open(Class(r.IntN(int(classes))), func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.Short() {
				c.Set(0)
			}
		})
		caches[i] = c
	}
	for range 5000 {
		c := caches[r.IntN(len(caches))]
		switch r.IntN(10) {
		case 0:
			c.Move(Class(r.IntN(int(classes))))
		case 1:
			c.Set(0)
		default:
			c.Set(r.IntN(3 * mib))
		}
		var want, accounts [classes]int64
		for _, c := range caches {
			want[c.class] += c.reserved
			if c.reserved > 0 {
				accounts[c.class]++
			}
			if c.reserved < c.held || c.reserved > c.held+3*chunk {
				t.Fatalf("%d bytes are reserved for %d", c.reserved, c.held)
			}
		}
		for _, class := range Classes() {
			if b.Used(class) != want[class] || b.open[class].Load() != accounts[class] {
				t.Fatalf("%s: %d bytes, %d accounts; want %d, %d", class, b.Used(class), b.open[class].Load(), want[class], accounts[class])
			}
		}
		if r.IntN(50) == 0 {
			b.Shed()
			if total := b.Used(Declared) + b.Used(Histories) + b.Used(Undeclared); total > b.Limit() {
				t.Fatalf("%d bytes are left after everybody has given way", total)
			}
		}
	}
}

func TestAccountsOfManyGoroutines(t *testing.T) {
	b := New(mib)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			a := b.Open(Undeclared, func() {})
			defer a.Close()
			for i := range 2000 {
				a.Set(i * 1000 % (2 * mib))
				a.Short()
			}
		})
	}
	wg.Go(func() {
		for range 100 {
			b.Shed()
		}
	})
	wg.Wait()
	if b.Used(Undeclared) != 0 {
		t.Errorf("%d bytes are left", b.Used(Undeclared))
	}
}

func BenchmarkSet(b *testing.B) {
	account := New(100*mib).Open(Undeclared, func() {})
	defer account.Close()
	for i := range b.N {
		account.Set(i * 10_000 % (16 * mib))
		account.Short()
	}
}
