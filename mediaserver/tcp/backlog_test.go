package tcp

import (
	"testing"
	"time"
)

const ms = time.Millisecond

func TestTheOldestUnsentByteIsKnown(t *testing.T) {
	for _, tt := range []struct {
		name    string
		marks   []mark
		sent    int64
		due     time.Duration
		waiting bool
	}{
		{"nothing was written", nil, 0, 0, false},
		{"everything was sent", []mark{{100, 0}, {200, 500 * ms}}, 200, 0, false},
		{"nothing was sent", []mark{{100, 0}, {200, 500 * ms}}, 0, 0, true},
		{"the first part was sent", []mark{{100, 0}, {200, 500 * ms}}, 100, 500 * ms, true},
		{"all but one byte was sent", []mark{{100, 0}, {200, 500 * ms}, {300, 1000 * ms}}, 199, 500 * ms, true},
		{"parts that are close together count as the later", []mark{{100, 0}, {200, 500 * ms}, {300, 600 * ms}, {400, 740 * ms}}, 100, 500 * ms, true},
		{"a mark without new bytes changes nothing", []mark{{100, 0}, {100, 9000 * ms}}, 0, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s marks
			for _, m := range tt.marks {
				s.add(m)
			}
			if due, waiting := s.oldest(tt.sent); due != tt.due || waiting != tt.waiting {
				t.Errorf("due at %v, waiting %v; want %v, %v", due, waiting, tt.due, tt.waiting)
			}
		})
	}
}

// A reader that has taken nothing for an hour costs no more than one that has just
// stopped. No byte ever looks older than it is.
func TestABacklogIsBoundedAndNeverOverstatesAnAge(t *testing.T) {
	var s marks
	for i := range 3600 * 50 {
		s.add(mark{int64(i+1) * 100, time.Duration(i) * 20 * ms})
	}
	if len(s) > maxMarks || cap(s) > 2*maxMarks {
		t.Errorf("%d marks, room for %d", len(s), cap(s))
	}
	for _, sent := range []int64{0, 100, 3590 * 50 * 100, 3599*50*100 + 70} {
		due, waiting := s.oldest(sent)
		if truth := time.Duration(sent/100) * 20 * ms; !waiting || due < truth {
			t.Errorf("%d bytes sent: due at %v, waiting %v, and the next byte was due at %v", sent, due, waiting, truth)
		}
	}
}
