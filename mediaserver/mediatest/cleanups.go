package mediatest

import "sync"

// Cleanups are what is to be done in the end, for a TB that is no test. The zero value has
// none.
type Cleanups struct {
	mu   sync.Mutex // guards list
	list []func()
}

// Cleanup adds f, as testing.TB's does.
func (c *Cleanups) Cleanup(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, f)
}

// CleanUp does all of it, the last first, and what is added meanwhile.
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
