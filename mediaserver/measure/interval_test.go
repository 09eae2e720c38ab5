package measure_test

import (
	"fmt"
	"slices"
	"time"
)

// An interval is a part of a programme in which something was so.
type interval struct{ from, to time.Duration }

func (i interval) String() string { return fmt.Sprintf("%.2f-%.2f", i.from.Seconds(), i.to.Seconds()) }

func (i interval) length() time.Duration { return i.to - i.from }

// atLeast returns the intervals which are no shorter than a limit.
func atLeast(limit time.Duration, all []interval) []interval {
	return slices.DeleteFunc(slices.Clone(all), func(i interval) bool { return i.length() < limit })
}

// begunBy reports whether one of the intervals overlaps the one wanted, and has begun no later than
// late after it.
func begunBy(late time.Duration, want interval, all []interval) bool {
	return slices.ContainsFunc(all, func(i interval) bool {
		return i.from <= want.from+late && i.from < want.to && i.to > want.from
	})
}

// beyond returns what parts of intervals lie in none of the others, each of which is longer by an edge
// on either side.
func beyond(edge time.Duration, intervals, others []interval) (out []interval) {
	others = slices.SortedFunc(slices.Values(others), func(a, b interval) int { return int(a.from - b.from) })
	for _, i := range intervals {
		from := i.from
		for _, o := range others {
			if o.from-edge > from {
				out = append(out, interval{from, min(i.to, o.from-edge)})
			}
			if from = max(from, o.to+edge); from >= i.to {
				break
			}
		}
		if from < i.to {
			out = append(out, interval{from, i.to})
		}
	}
	return atLeast(1, out)
}
