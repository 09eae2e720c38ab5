package budget

import "sync"

// GoLimit returns Go's memory limit while child processes may have so many bytes beside it. process is
// Go's limit without children, and container the limit for all processes together; [Unlimited]: there
// is none. A tenth is left for what neither Go nor children count, such as the buffers of sockets.
// enough is false if the caches of a pair would not fit any more.
func GoLimit(process, container, children int64) (limit int64, enough bool) {
	if children == 0 || container == Unlimited {
		return process, true
	}
	limit = min(process, (container-children)/10*9)
	return limit, limit == process || limit >= 2*Floor
}

// ChildrenConfig configures Children.
type ChildrenConfig struct {
	// Process is Go's memory limit without children, in bytes. Required; Unlimited: there is none.
	Process int64
	// Container is the memory limit for all processes, in bytes, as ContainerLimit returns it.
	// Required; Unlimited: there is none.
	Container int64
	// Budget is made smaller while Go has less memory. Required.
	Budget *Budget
	// SetGoLimit sets Go's memory limit, in bytes. Required.
	SetGoLimit func(bytes int64)
}

// Children is the memory that child processes may have. What they may have is taken from Go, and so
// from the budget of the caches, for as long as they run. Children is safe for concurrent use.
type Children struct {
	cfg   ChildrenConfig
	whole int64 // the budget without children, in bytes

	mu   sync.Mutex // guards held
	held int64      // bytes
}

// NewChildren returns Children without a child.
func NewChildren(cfg ChildrenConfig) *Children {
	return &Children{cfg: cfg, whole: cfg.Budget.Limit()}
}

// Take takes the memory for a child that is to start, in bytes. It reports whether there is enough.
func (c *Children) Take(bytes int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	limit, enough := GoLimit(c.cfg.Process, c.cfg.Container, c.held+bytes)
	if enough {
		c.set(c.held+bytes, limit)
	}
	return enough
}

// Return returns the memory of a child that has ended.
func (c *Children) Return(bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	limit, _ := GoLimit(c.cfg.Process, c.cfg.Container, c.held-bytes)
	c.set(c.held-bytes, limit)
}

// Held returns how much memory the children may have, in bytes.
func (c *Children) Held() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held
}

// set is called with c.mu held.
func (c *Children) set(held, limit int64) {
	c.held = held
	if c.cfg.Container == Unlimited {
		return
	}
	c.cfg.Budget.limit.Store(min(c.whole, FromMemoryLimit(limit)))
	c.cfg.SetGoLimit(limit)
}
