package server

import (
	"os"
	"runtime/debug"

	api "github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/mediaserver/budget"
	"github.com/streampair/streampair/mediaserver/metrics"
)

// openMemory makes the single budget of all caches and histories, and the memory of children beside it.
func (s *Server) openMemory() {
	limit := s.cfg.memoryLimit
	if limit == 0 {
		limit = debug.SetMemoryLimit(-1)
	}
	s.memory = budget.New(budget.FromMemoryLimit(limit))
	container := s.cfg.containerLimit
	if container == 0 {
		container = budget.ContainerLimit(os.DirFS("/"))
	}
	s.children = budget.NewChildren(budget.ChildrenConfig{
		Process: limit, Container: container, Budget: s.memory,
		SetGoLimit: func(bytes int64) {
			debug.SetMemoryLimit(bytes)
			s.log.Debug("Go's memory limit was set", "bytes", bytes)
		},
	})
	used := make(map[string]func() int64)
	for _, class := range budget.Classes() {
		used[class.String()] = func() int64 { return s.memory.Used(class) }
	}
	metrics.RegisterMemory(s.metrics, s.memory.Limit, used)
}

// memoryStatus returns what caches and histories hold, in bytes.
func (s *Server) memoryStatus() *api.Memory {
	return &api.Memory{
		LimitBytes:      s.memory.Limit(),
		DeclaredBytes:   s.memory.Used(budget.Declared),
		HistoriesBytes:  s.memory.Used(budget.Histories),
		UndeclaredBytes: s.memory.Used(budget.Undeclared),
	}
}
