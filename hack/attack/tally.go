package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// A tally counts results, each described by a few words. It is safe for concurrent use.
type tally struct {
	mu     sync.Mutex // guards counts
	counts map[string]int
}

func (t *tally) add(outcome string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = map[string]int{}
	}
	t.counts[outcome]++
}

// String returns the most frequent results, at most four.
func (t *tally) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	outcomes := slices.SortedFunc(maps.Keys(t.counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(t.counts[b], t.counts[a]), strings.Compare(a, b))
	})
	var out []string
	for _, one := range outcomes[:min(4, len(outcomes))] {
		out = append(out, fmt.Sprintf("%d× %s", t.counts[one], one))
	}
	return strings.Join(out, ", ")
}
