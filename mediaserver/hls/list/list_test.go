package list

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/streampair/streampair/mediaserver/hls/cut"
)

// Whatever order parts of publications and runs come in, no number and no time goes back.
func TestNumbersAndTimesNeverGoBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const first = 1_800_000_000
		l := New(Config{First: first, FirstDiscontinuity: first, Target: 2 * time.Second})
		var run *cut.Run
		name, at := cut.Name{Boot: "b"}, time.Duration(0)
		var last *Segment
		discontinuities, removedDiscontinuities := int64(0), int64(0)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0: // another publication
				name = cut.Name{Boot: "b", Publication: name.Publication + 1}
				run, at = nil, at+time.Duration(rapid.IntRange(-3000, 3000).Draw(t, "ms"))*time.Millisecond
			case 1:
				l.End()
				name.Segment, name.Part = name.Segment+1, 0
			case 2:
				for _, s := range l.Trim(time.Duration(rapid.IntRange(0, 10).Draw(t, "window"))*time.Second, 1) {
					if s.Discontinuity {
						removedDiscontinuities++
					}
				}
			}
			if run == nil {
				run = &cut.Run{Epoch: time.Unix(first, 0)}
				if last != nil {
					discontinuities++
				}
			}
			p := cut.Part{Name: name, Run: run, Start: at, Duration: 200 * time.Millisecond, Data: []byte{1}}
			p.Last = rapid.Bool().Draw(t, "last")
			l.Add(p)
			l.Show(l.Head())
			at += p.Duration
			if name.Part++; p.Last {
				name.Segment, name.Part = name.Segment+1, 0
			}
			segments := l.Segments()
			newest := segments[len(segments)-1]
			if last != nil && newest != last {
				if newest.Sequence != last.Sequence+1 || newest.DiscontinuitySequence < last.DiscontinuitySequence {
					t.Fatalf("%+v after %+v", newest, last)
				}
				end := last.Time.Add(last.Duration)
				if newest.Time.Before(end) || newest.Run == last.Run && !newest.Time.Equal(end) {
					t.Fatalf("%v after a segment that ends at %v", newest.Time, end)
				}
				if !last.Complete {
					t.Fatal("a segment that is not the newest is incomplete")
				}
				if newest.Discontinuity != (newest.Run != last.Run) {
					t.Fatal("a discontinuity is where the run changes")
				}
			}
			last = newest
			isCopied(t, l)
			if newest.DiscontinuitySequence != first+discontinuities {
				t.Fatalf("discontinuity sequence %d, want %d", newest.DiscontinuitySequence-first, discontinuities)
			}
			before := segments[0].DiscontinuitySequence
			if segments[0].Discontinuity {
				before--
			}
			if before != first+removedDiscontinuities {
				t.Fatalf("the oldest segment has %d, but %d tags were removed", before-first, removedDiscontinuities)
			}
			for i, s := range segments {
				if s.Sequence != segments[0].Sequence+int64(i) {
					t.Fatal("media sequence numbers have a hole")
				}
			}
		}
	})
}

// isCopied checks that a copy of a List is the same.
func isCopied(t *rapid.T, l *List) {
	c := New(l.Config())
	for _, s := range l.All() {
		for _, p := range s.Parts {
			c.Add(p)
		}
		if s.Complete {
			c.End()
		}
	}
	if !reflect.DeepEqual(c.All(), l.All()) || c.Next() != l.Next() || c.DiscontinuitySequence() != l.DiscontinuitySequence() || c.Head() != l.Head() {
		t.Fatalf("the copy differs: %+v instead of %+v", c, l)
	}
}

func TestPlayersSeeWhatIsShown(t *testing.T) {
	l, run := New(Config{First: 100}), new(cut.Run)
	for segment := range uint64(3) {
		for part := range 2 {
			l.Add(cut.Part{Name: cut.Name{Segment: segment, Part: part}, Run: run, Data: []byte{1}, Duration: time.Second, Last: part == 1})
		}
	}
	if len(l.Segments()) != 0 || l.Has(100, 0) {
		t.Error("shown before Show")
	}
	l.Show(Position{Sequence: 101, Parts: 1})
	if s := l.Segments(); len(s) != 2 || !s[0].Complete || s[1].Complete || len(s[1].Parts) != 1 || s[1].Duration != time.Second || s[1].Bytes != 1 {
		t.Errorf("shown: %+v", s)
	}
	if p, ok := l.Hidden(); !ok || p.Name != (cut.Name{Segment: 1, Part: 1}) {
		t.Errorf("hidden: %+v", p)
	}
	if !l.Has(101, 0) || l.Has(101, 1) || l.Has(101, -1) {
		t.Error("players may ask for what is not shown")
	}
	if l.Show(Position{Sequence: 100}); l.Shown().Sequence != 101 {
		t.Error("what was shown is hidden again")
	}
	l.Show(l.Head())
	if _, ok := l.Hidden(); ok || len(l.Segments()) != 3 || !l.Segments()[2].Complete {
		t.Errorf("shown: %+v", l.Segments())
	}
}

// Players of another list find what they have seen, or something newer.
func TestPlayersOfAnotherListGoOn(t *testing.T) {
	epoch := time.Unix(1_800_000_000, 0)
	listOf := func(publication uint64, seconds ...int) *List {
		l := New(Config{First: 100, Target: 2 * time.Second})
		run := &cut.Run{Epoch: epoch}
		at := time.Duration(0)
		for n, d := range seconds {
			duration := time.Duration(d) * time.Second
			l.Add(cut.Part{Name: cut.Name{Publication: publication, Segment: uint64(n)}, Run: run, Start: at, Duration: duration, Last: true})
			at += duration
		}
		l.Show(l.Head())
		return l
	}
	for _, test := range []struct {
		name       string
		seen, next *List
		first      int64 // media sequence number of the first segment that is shown; 0: none
	}{
		{"nothing seen", listOf(1), listOf(1, 2, 2, 2), 100},
		{"the same list", listOf(1, 2, 2), listOf(1, 2, 2, 2), 100},
		{"another list", listOf(1, 2, 2), listOf(2, 2, 2, 2), 102},
		{"another list that is behind", listOf(1, 2, 2, 2, 2), listOf(2, 2, 2), 0},
		{"another list with shorter segments", listOf(1, 4, 4, 4), listOf(2, 2, 2, 2, 2, 2, 2), 105},
		{"another list with nothing newer", listOf(1, 4, 4), listOf(2, 1, 1, 1, 1), 0},
	} {
		test.next.ShowAfter(test.seen.Segments())
		first := int64(0)
		if shown := test.next.Segments(); len(shown) > 0 {
			first = shown[0].Sequence
		}
		if first != test.first {
			t.Errorf("%s: shown from %d, want %d", test.name, first, test.first)
		}
	}
	l := listOf(2, 1, 1)
	l.ShowAfter(listOf(1, 4, 4).Segments())
	l.Add(cut.Part{Name: cut.Name{Publication: 3}, Run: &cut.Run{}, Duration: time.Second, Last: true})
	if l.Show(l.Head()); len(l.Segments()) != 1 || l.Segments()[0].Sequence != 102 {
		t.Errorf("what comes later is hidden: %+v", l.Segments())
	}
}

func TestTheWindowStays(t *testing.T) {
	l := New(Config{First: 100, Target: 2 * time.Second})
	for n := range 10 {
		l.Add(cut.Part{Name: cut.Name{Segment: uint64(n)}, Run: new(cut.Run), Start: time.Duration(n) * 2 * time.Second, Duration: 2 * time.Second, Last: true})
	}
	l.Show(l.Head())
	if removed := l.Trim(12*time.Second, 2); len(removed) != 4 || len(l.Segments()) != 6 {
		t.Errorf("%d removed, %d stay", len(removed), len(l.Segments()))
	}
	if l.Trim(0, 2); len(l.Segments()) != 2 || l.Segments()[0].Sequence != 108 {
		t.Errorf("%d stay", len(l.Segments()))
	}
}

func TestWhatTheListHas(t *testing.T) {
	l := New(Config{First: 100})
	if l.Has(100, 0) {
		t.Error("an empty list has a part")
	}
	run := new(cut.Run)
	l.Add(cut.Part{Name: cut.Name{Segment: 7}, Run: run, Last: true})
	l.Add(cut.Part{Name: cut.Name{Segment: 8}, Run: run})
	l.Show(l.Head())
	for _, test := range []struct {
		sequence int64
		part     int
		want     bool
	}{{99, 5, true}, {100, -1, true}, {100, 3, true}, {101, 0, true}, {101, 1, false}, {101, -1, false}, {102, 0, false}} {
		if got := l.Has(test.sequence, test.part); got != test.want {
			t.Errorf("has %d part %d: %v", test.sequence, test.part, got)
		}
	}
}

func TestNumbersGrowWithTimeAndStaySmallForHLSJS(t *testing.T) {
	media, discontinuity := Numbers(time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC))
	if media != 1796083200 || discontinuity != 48096 {
		t.Errorf("%d, %d", media, discontinuity)
	}
	if _, inTenYears := Numbers(time.Date(2036, 12, 1, 0, 0, 0, 0, time.UTC)); inTenYears > 600_000 {
		t.Errorf("%d in ten years", inTenYears)
	}
	if _, wrong := Numbers(time.Unix(0, 0)); wrong != 0 {
		t.Errorf("%d with a clock that is not set", wrong)
	}
}
