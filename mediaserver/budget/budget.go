// Package budget bounds the memory that the caches and histories of one media server hold together.
// It does not allocate or free. Each cache charges the memory it holds to its own [Account], and
// frees memory when the account is short.
//
// Memory is spent by class. A class is short only because of its own members and the classes before
// it. So a flood of undeclared streams never keeps a declared leg off air. Within a class that is
// short, the accounts above an even share give way. So one large stream does not take the entry
// points of the others.
//
// Charging costs one comparison per access unit. An account writes to the counters that all
// accounts share only when it passes a chunk of 64 KiB.
//
// What child processes need is taken from the same memory: see [Children].
//
// Start at [New].
package budget

import (
	"math"
	"sync"
	"sync/atomic"
)

// A Class is a purpose for which memory is spent.
type Class int32

// The classes, in the order in which memory is spent.
const (
	// Declared is for the GOP caches of streams that a StreamPair declares.
	Declared Class = iota
	// Histories is for the packets of outputs that play declared streams only.
	Histories
	// Undeclared is for everything that undeclared streams and their outputs hold.
	Undeclared

	classes
)

// Classes returns all classes, in the order in which memory is spent.
func Classes() []Class { return []Class{Declared, Histories, Undeclared} }

// String returns the name of the class in metrics and /v1/status.
func (c Class) String() string {
	switch c {
	case Declared:
		return "declared"
	case Histories:
		return "histories"
	case Undeclared:
		return "undeclared"
	case classes:
	}
	return "unknown"
}

const (
	// Unlimited is a limit that no account reaches.
	Unlimited = math.MaxInt64

	// Floor is the least limit that FromMemoryLimit returns, in bytes. It is enough for the GOP
	// caches of both legs of one pair, before and after the removal of B-frames.
	Floor = 64 << 20
	// Default is the limit that FromMemoryLimit returns if there is no memory limit, in bytes.
	Default = 512 << 20

	// chunk is how much an account takes from its class at a time, in bytes.
	chunk = 64 << 10
)

// FromMemoryLimit returns the limit of a Budget for a process with a Go memory limit of so many
// bytes, as runtime/debug.SetMemoryLimit(-1) returns it. The limit is one half of that, and at
// least Floor. The other half is for viewers, publishers' connections and the garbage collector. If
// there is no memory limit (math.MaxInt64), the limit is Default.
func FromMemoryLimit(bytes int64) int64 {
	if bytes == math.MaxInt64 {
		return Default
	}
	return max(bytes/2, Floor)
}

// A Budget is the memory of one server. It is safe for concurrent use.
type Budget struct {
	limit atomic.Int64          // bytes
	used  [classes]atomic.Int64 // bytes, in whole chunks
	open  [classes]atomic.Int64 // accounts that hold memory

	mu       sync.Mutex // guards accounts
	accounts map[*Account]struct{}
}

// New returns a Budget of limit bytes.
func New(limit int64) *Budget {
	b := &Budget{accounts: make(map[*Account]struct{})}
	b.limit.Store(limit)
	return b
}

// Limit returns the most that all accounts should hold, in bytes. Accounts may hold more for a
// moment: they first charge what they hold, and then free memory.
func (b *Budget) Limit() int64 { return b.limit.Load() }

// Used returns how much the accounts of a class hold, in bytes, rounded up to chunks.
func (b *Budget) Used(c Class) int64 { return b.used[c].Load() }

// Open returns an account without memory. [Budget.Shed] calls shed, on its own goroutine. The owner
// of the account then frees memory if the account is short. The account must be closed.
func (b *Budget) Open(c Class, shed func()) *Account {
	a := &Account{budget: b, class: c, shed: shed}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.accounts[a] = struct{}{}
	return a
}

// Shed makes every owner look at its account. It should be called now and then: an owner that adds
// nothing, such as the cache of a publisher that fell silent, would not notice that others need its
// memory.
func (b *Budget) Shed() {
	total := int64(0)
	for c := range b.used {
		total += b.used[c].Load()
	}
	if total <= b.limit.Load() {
		return
	}
	b.mu.Lock()
	accounts := make([]*Account, 0, len(b.accounts))
	for a := range b.accounts {
		accounts = append(accounts, a)
	}
	b.mu.Unlock()
	for _, a := range accounts {
		a.shed()
	}
}

// An Account is the memory of one cache. Its methods are for one goroutine at a time, under the
// cache's own lock.
type Account struct {
	budget *Budget
	class  Class
	shed   func()

	held     int64 // bytes
	reserved int64 // bytes charged to the class, in whole chunks, at least held
	closed   bool
}

// Set sets how many bytes the cache holds. After Close, Set does nothing.
func (a *Account) Set(bytes int) {
	if a.closed {
		return
	}
	a.held = int64(bytes)
	// One more chunk is kept than is needed. So a cache whose size swings around the edge of a
	// chunk does not write to the shared counters each time.
	if a.held > a.reserved || a.held+2*chunk <= a.reserved || a.held == 0 {
		a.reserve((a.held + chunk - 1) / chunk * chunk)
	}
}

func (a *Account) reserve(bytes int64) {
	b := a.budget
	switch {
	case a.reserved == 0 && bytes > 0:
		b.open[a.class].Add(1)
	case a.reserved > 0 && bytes == 0:
		b.open[a.class].Add(-1)
	}
	if bytes != a.reserved {
		b.used[a.class].Add(bytes - a.reserved)
		a.reserved = bytes
	}
}

// Move moves the account to another class.
func (a *Account) Move(c Class) {
	if a.class == c {
		return
	}
	held := a.reserved
	a.reserve(0)
	a.class = c
	a.reserve(held)
}

// Short reports whether the account must free memory: its class and the classes before it hold more
// than the limit, and the account holds more than an even share of what the classes before it
// leave.
func (a *Account) Short() bool {
	b := a.budget
	room := b.limit.Load()
	for c := range a.class {
		room -= b.used[c].Load()
	}
	if b.used[a.class].Load() <= room {
		return false
	}
	return a.reserved > max(room, 0)/max(b.open[a.class].Load(), 1)
}

// Close returns all memory of the account.
func (a *Account) Close() {
	if a.closed {
		return
	}
	a.Set(0)
	a.closed = true
	a.budget.mu.Lock()
	defer a.budget.mu.Unlock()
	delete(a.budget.accounts, a)
}
