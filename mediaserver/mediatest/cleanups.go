package mediatest

import "sync"

// Cleanups are the cleanup functions of a TB that is no test. The zero value has none.
type Cleanups struct {
	mu   sync.Mutex // guards list
	list []func()
}

// Cleanup adds f, like testing.TB's Cleanup.
func (c *Cleanups) Cleanup(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, f)
}

// CleanUp calls all functions, the last first, including those that are added meanwhile.
func (c *Cleanups) CleanUp() {
	for f := c.last(); f != nil; f = c.last() {
		f()
	}
}

func (c *Cleanups) last() func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.list)
	if n == 0 {
		return nil
	}
	f := c.list[n-1]
	c.list = c.list[:n-1]
	return f
}
