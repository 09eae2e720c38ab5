package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSequence(t *testing.T) {
	type counts struct{ Missing, Reordered int64 }
	for name, test := range map[string]struct {
		numbers []uint16
		want    counts
	}{
		"in order":              {[]uint16{7, 8, 9}, counts{}},
		"the number wraps":      {[]uint16{65534, 65535, 0, 1}, counts{}},
		"two are lost":          {[]uint16{1, 4}, counts{Missing: 2}},
		"one comes late":        {[]uint16{1, 3, 2, 4}, counts{Reordered: 1}},
		"late across the wrap":  {[]uint16{65535, 1, 0, 2}, counts{Reordered: 1}},
		"lost at the very wrap": {[]uint16{65534, 0}, counts{Missing: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			var s sequence
			for _, n := range test.numbers {
				s.add(n)
			}
			if diff := cmp.Diff(test.want, counts{s.missing, s.reordered}); diff != "" {
				t.Error(diff)
			}
		})
	}
}
