package recovery

import (
	"fmt"
	"sync"
)

// A Mutex is a sync.Mutex for state that several sessions share. Its Unlock must be deferred
// wherever the code in between may panic. A panic that unwinds through Unlock is passed on with a
// mark. The mark tells Recovery.Do that more than one session may be broken. The lock is released,
// so that the server can still make its planned switch.
type Mutex struct{ mu sync.Mutex }

// Lock locks m.
func (m *Mutex) Lock() { m.mu.Lock() }

// Unlock unlocks m.
func (m *Mutex) Unlock() {
	value := recover() // nil unless Unlock was deferred and its caller panics
	m.mu.Unlock()
	if value != nil {
		panic(mark(value))
	}
}

// An RWMutex is a sync.RWMutex for state that several sessions share: see Mutex.
type RWMutex struct{ mu sync.RWMutex }

// Lock locks m for writing.
func (m *RWMutex) Lock() { m.mu.Lock() }

// Unlock unlocks m for writing.
func (m *RWMutex) Unlock() {
	value := recover()
	m.mu.Unlock()
	if value != nil {
		panic(mark(value))
	}
}

// RLock locks m for reading.
func (m *RWMutex) RLock() { m.mu.RLock() }

// RUnlock undoes one RLock. A panic while reading is marked too: state that cannot be read is
// damaged.
func (m *RWMutex) RUnlock() {
	value := recover()
	m.mu.RUnlock()
	if value != nil {
		panic(mark(value))
	}
}

// sharedPanic is the value of a panic that unwound through a Mutex.
type sharedPanic struct{ value any }

// Error returns the text that the runtime prints if nobody recovers the panic.
func (p *sharedPanic) Error() string {
	return fmt.Sprintf("%v (while shared state was locked)", p.value)
}

func mark(value any) *sharedPanic {
	if shared, ok := value.(*sharedPanic); ok {
		return shared
	}
	return &sharedPanic{value}
}
