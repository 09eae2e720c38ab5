// Package measure turns what viewers saw into the figures of the end-to-end tests: the
// times without a new picture, medians and worst values, and a table of them. It is
// pure, except that it writes the table's file. Package audience does the watching.
//
// Pictures is where to start.
package measure

import (
	"slices"
	"time"
)

// Pictures are the times at which a viewer got new pictures, the earliest first.
type Pictures []time.Time

// within returns the pictures from begin to end.
func (p Pictures) within(begin, end time.Time) Pictures {
	first, _ := slices.BinarySearchFunc(p, begin, time.Time.Compare)
	last, found := slices.BinarySearchFunc(p, end, time.Time.Compare)
	if found {
		last++
	}
	return p[first:max(first, last)]
}

// A Gap is a time without a new picture.
type Gap struct {
	Begin  time.Time
	Length time.Duration
}

// LongestGap returns the longest time without a new picture from begin to end. Pictures
// before begin and after end do not count: begin and end themselves bound gaps.
func (p Pictures) LongestGap(begin, end time.Time) Gap {
	longest := Gap{Begin: begin}
	for gap := range p.gaps(begin, end) {
		if gap.Length > longest.Length {
			longest = gap
		}
	}
	return longest
}

// Frozen returns the sum of all gaps longer than tolerated from begin to end.
func (p Pictures) Frozen(begin, end time.Time, tolerated time.Duration) time.Duration {
	sum := time.Duration(0)
	for gap := range p.gaps(begin, end) {
		if gap.Length > tolerated {
			sum += gap.Length
		}
	}
	return sum
}

func (p Pictures) gaps(begin, end time.Time) func(yield func(Gap) bool) {
	return func(yield func(Gap) bool) {
		last := begin
		for _, at := range p.within(begin, end) {
			if !yield(Gap{last, at.Sub(last)}) {
				return
			}
			last = at
		}
		yield(Gap{last, end.Sub(last)})
	}
}
