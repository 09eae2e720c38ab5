// Package budget bounds the memory that the caches and histories of one media server hold
// together. It does not allocate or free: each cache charges its own [Account] for what the
// cache holds, and gives memory back when the account is short.
//
// Memory is spent by class. A class is short only for the sake of its own members and of
// the classes before it. So a flood of undeclared streams never takes a declared leg's way
// back on air. Within a class that is short, the accounts above an even share give way, so
// one fat stream does not take the entry points of the others.
//
// Charging is one comparison per access unit. Only when an account passes a chunk of 64 KiB
// does it write to the counters that all accounts share.
//
// Start at [New].
package budget

import (
	"math"
	"sync"
	"sync/atomic"
)

// A Class says for what memory is spent.
type Class int32

// The classes, in the order in which memory is spent.
const (
	// Declared is for the GOP caches of streams that a StreamPair declares.
	Declared Class = iota
	// Histories is for the packets of outputs that play declared streams only.
	Histories
	// Undeclared is for all that undeclared streams and their outputs hold.
	Undeclared

	classes
)

// Classes are all classes, in the order in which memory is spent.
func Classes() []Class { return []Class{Declared, Histories, Undeclared} }

// String is the class as metrics and /v1/status have it.
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
	// Unlimited is a limit that no account meets.
	Unlimited = math.MaxInt64

	// Floor is the least that FromMemoryLimit gives, in bytes: the GOP caches of both legs of
	// one pair, before and after the removal of B-frames.
	Floor = 64 << 20
	// Default is what FromMemoryLimit gives where there is no memory limit, in bytes.
	Default = 512 << 20

	// chunk is what an account takes from its class at a time, in bytes.
	chunk = 64 << 10
)

// FromMemoryLimit returns the limit for a process whose Go memory limit is that many bytes,
// as runtime/debug.SetMemoryLimit(-1) has it: one half, and at least Floor. The other half
// is for viewers, publishers' connections and the garbage collector. Without a memory limit,
// which is math.MaxInt64, the limit is Default.
func FromMemoryLimit(bytes int64) int64 {
	if bytes == math.MaxInt64 {
		return Default
	}
	return max(bytes/2, Floor)
}

// A Budget is the memory of one server. It is safe for concurrent use.
type Budget struct {
	limit int64
	used  [classes]atomic.Int64 // bytes, in whole chunks
	open  [classes]atomic.Int64 // accounts that hold memory

	mu       sync.Mutex // guards accounts
	accounts map[*Account]struct{}
}

// New returns a Budget of limit bytes.
func New(limit int64) *Budget {
	return &Budget{limit: limit, accounts: make(map[*Account]struct{})}
}

// Limit is the most that all accounts should hold, in bytes. Accounts may hold more for a
// moment: they charge what they hold first, and give back then.
func (b *Budget) Limit() int64 { return b.limit }

// Used is what the accounts of a class hold, in bytes, rounded up to chunks.
func (b *Budget) Used(c Class) int64 { return b.used[c].Load() }

// Open returns an account without memory. Shed is called by [Budget.Shed], on its
// goroutine: whoever owns the account then gives back memory if the account is short. The
// account must be closed.
func (b *Budget) Open(c Class, shed func()) *Account {
	a := &Account{budget: b, class: c, shed: shed}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.accounts[a] = struct{}{}
	return a
}

// Shed has every owner look at its account. It is to be called now and then: an owner who
// adds nothing, such as the cache of a publisher that fell silent, would not notice that
// others need its memory.
func (b *Budget) Shed() {
	total := int64(0)
	for c := range b.used {
		total += b.used[c].Load()
	}
	if total <= b.limit {
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

// An Account is what one cache holds. Its methods are for one goroutine at a time: the
// cache's own lock guards it.
type Account struct {
	budget *Budget
	class  Class
	shed   func()

	held     int64 // bytes
	reserved int64 // bytes of the class, whole chunks, at least held
	closed   bool
}

// Set says how many bytes the cache holds now. It may be called after Close, and does
// nothing then.
func (a *Account) Set(bytes int) {
	if a.closed {
		return
	}
	a.held = int64(bytes)
	// One chunk more is kept than is needed, so that a cache that swings around the edge of a
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

// Move puts the account into another class.
func (a *Account) Move(c Class) {
	if a.class == c {
		return
	}
	held := a.reserved
	a.reserve(0)
	a.class = c
	a.reserve(held)
}

// Short reports whether the account must give memory back: its class and those before it
// hold more than the limit, and the account more than an even share of what they leave.
func (a *Account) Short() bool {
	b := a.budget
	room := b.limit
	for c := range a.class {
		room -= b.used[c].Load()
	}
	if b.used[a.class].Load() <= room {
		return false
	}
	return a.reserved > max(room, 0)/max(b.open[a.class].Load(), 1)
}

// Close gives all memory back.
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
