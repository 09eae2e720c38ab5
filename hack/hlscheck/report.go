package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/streampair/streampair/hack/hlscheck/rules"
)

// mostPrinted bounds the breaches that are printed. All are counted.
const mostPrinted = 1000

// A report prints breaches as they are found, and counts them by rule.
type report struct {
	out io.Writer

	mu      sync.Mutex // guards what follows, and out
	counts  map[string]int
	printed int
	must    int
	advice  int
}

// add prints breaches. The name is that of a media playlist, or empty.
func (r *report) add(name string, breaches ...rules.Breach) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = make(map[string]int)
	}
	for _, b := range breaches {
		r.counts[b.Rule]++
		if b.Advice {
			r.advice++
		} else {
			r.must++
		}
		if r.printed++; r.printed > mostPrinted {
			continue
		}
		if name != "" {
			fmt.Fprintf(r.out, "%s: ", name)
		}
		fmt.Fprintln(r.out, b)
	}
}

func (r *report) print(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.out, format, args...)
}

func (r *report) summary() {
	r.mu.Lock()
	defer r.mu.Unlock()
	var by []string
	for _, rule := range slices.Sorted(maps.Keys(r.counts)) {
		by = append(by, fmt.Sprintf("%s %d", rule, r.counts[rule]))
	}
	fmt.Fprintf(r.out, "breaches: %d, advice: %d %s\n", r.must, r.advice, strings.Join(by, ", "))
}

// failed reports whether a rule was broken; strict counts advice too.
func (r *report) failed(strict bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.must > 0 || strict && r.advice > 0
}
