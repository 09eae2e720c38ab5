package whip

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const ms = time.Millisecond

// drain pops all packets that are due. It writes a gap as -1 before the packet.
func drain(r *reorder, now time.Duration) (got []int) {
	for {
		p, gap := r.pop(now)
		if p == nil {
			return got
		}
		if gap {
			got = append(got, -1)
		}
		got = append(got, int(p.seq))
	}
}

func TestReorder(t *testing.T) {
	type arrival struct {
		at  time.Duration
		seq uint16
	}
	tests := map[string]struct {
		arrivals []arrival
		until    time.Duration
		want     []int
	}{
		"in order":                       {[]arrival{{1 * ms, 5}, {2 * ms, 6}, {3 * ms, 7}}, 3 * ms, []int{5, 6, 7}},
		"swapped":                        {[]arrival{{1 * ms, 5}, {2 * ms, 7}, {3 * ms, 6}}, 3 * ms, []int{5, 6, 7}},
		"duplicate":                      {[]arrival{{1 * ms, 5}, {2 * ms, 5}, {3 * ms, 6}, {4 * ms, 6}}, 4 * ms, []int{5, 6}},
		"hole is waited for":             {[]arrival{{1 * ms, 5}, {2 * ms, 7}}, 101 * ms, []int{5}},
		"hole is given up":               {[]arrival{{1 * ms, 5}, {2 * ms, 7}}, 102 * ms, []int{5, -1, 7}},
		"two holes, each its own wait":   {[]arrival{{1 * ms, 5}, {2 * ms, 7}, {50 * ms, 9}}, 110 * ms, []int{5, -1, 7}},
		"both given up":                  {[]arrival{{1 * ms, 5}, {2 * ms, 7}, {50 * ms, 9}}, 150 * ms, []int{5, -1, 7, -1, 9}},
		"too late":                       {[]arrival{{1 * ms, 5}, {2 * ms, 7}, {200 * ms, 8}, {201 * ms, 6}}, 201 * ms, []int{5, -1, 7, 8}},
		"filled by retransmission":       {[]arrival{{1 * ms, 5}, {2 * ms, 8}, {60 * ms, 6}, {70 * ms, 7}}, 70 * ms, []int{5, 6, 7, 8}},
		"sequence wraps":                 {[]arrival{{1 * ms, 65534}, {2 * ms, 0}, {3 * ms, 65535}, {4 * ms, 1}}, 4 * ms, []int{65534, 65535, 0, 1}},
		"hole over the wrap":             {[]arrival{{1 * ms, 65534}, {2 * ms, 1}}, 102 * ms, []int{65534, -1, 1}},
		"sender jumps ahead":             {[]arrival{{1 * ms, 5}, {2 * ms, 6}, {3 * ms, 20000}, {4 * ms, 20001}}, 4 * ms, []int{5, 6, -1, 20000, 20001}},
		"sender jumps back":              {[]arrival{{1 * ms, 20000}, {3 * ms, 5}, {4 * ms, 6}}, 4 * ms, []int{20000, -1, 5, 6}},
		"sender jumps ahead over a hole": {[]arrival{{1 * ms, 5}, {2 * ms, 7}, {3 * ms, 30000}}, 3 * ms, []int{5, -1, 30000}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := reorder{wait: 100 * ms}
			var got []int
			for _, a := range test.arrivals {
				got = append(got, drain(&r, a.at)...)
				r.push(&packet{seq: a.seq, arrival: a.at})
			}
			got = append(got, drain(&r, test.until)...)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMissingPacketsAreAskedForUntilTheyCome(t *testing.T) {
	r := reorder{wait: 250 * ms}
	r.push(&packet{seq: 65534, arrival: 1 * ms})
	r.push(&packet{seq: 2, arrival: 2 * ms})
	drain(&r, 2*ms)
	steps := []struct {
		at     time.Duration
		arrive []uint16
		want   []uint16
	}{
		{5 * ms, nil, nil}, // it may only be reordered
		{12 * ms, nil, []uint16{65535, 0, 1}},
		{40 * ms, nil, nil}, // the retransmission may be on its way
		{72 * ms, []uint16{0}, []uint16{65535, 1}},
		{132 * ms, []uint16{65535, 1}, nil},
	}
	for _, step := range steps {
		for _, seq := range step.arrive {
			r.push(&packet{seq: seq, arrival: step.at})
		}
		got := r.missing(nil, step.at, 100)
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("at %v: %s", step.at, diff)
		}
	}
	if got := drain(&r, 140*ms); !cmp.Equal(got, []int{65535, 0, 1, 2}) {
		t.Errorf("got %v", got)
	}
}

func TestRequestsAreLimited(t *testing.T) {
	r := reorder{wait: 250 * ms}
	r.push(&packet{seq: 0, arrival: 1 * ms})
	r.push(&packet{seq: 1000, arrival: 2 * ms})
	if got := r.missing(nil, 50*ms, 10); len(got) != 10 {
		t.Errorf("asked for %d packets", len(got))
	}
}

func TestSenderThatBeganAnewALittleBackIsFollowed(t *testing.T) {
	r := reorder{wait: 100 * ms}
	r.push(&packet{seq: 1000, arrival: ms})
	drain(&r, ms)
	var got []int
	for i := range 2 * lateRun {
		now := time.Duration(i+2) * ms
		r.push(&packet{seq: 1000, arrival: now}) // duplicates do not count for lateRun
		r.push(&packet{seq: 1000, arrival: now})
		got = append(got, drain(&r, now)...)
	}
	if len(got) > 0 {
		t.Fatalf("duplicates came out: %v", got)
	}
	for i := range 2 * lateRun {
		now := time.Second + time.Duration(i)*ms
		r.push(&packet{seq: uint16(500 + i), arrival: now})
		got = append(got, drain(&r, now)...)
	}
	if len(got) != lateRun+1 || got[0] != -1 || got[1] != 500+lateRun {
		t.Errorf("got %v", got)
	}
}

// Whatever comes, packets come out in sequence, each once. None is held for longer than wait.
func TestReorderProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := reorder{wait: 100 * ms}
		start := rapid.Uint16().Draw(t, "start")
		now := time.Duration(0)
		last, first := int64(0), true
		base := int64(start)
		for range rapid.IntRange(1, 300).Draw(t, "packets") {
			now += time.Duration(rapid.IntRange(0, 30).Draw(t, "step")) * ms
			base += int64(rapid.IntRange(-5, 20).Draw(t, "seq")) // seldom in sequence: no restart
			r.push(&packet{seq: uint16(base), arrival: now})
			for {
				p, gap := r.pop(now)
				if p == nil {
					break
				}
				seq := base + int64(int16(p.seq-uint16(base)))
				switch {
				case first:
				case seq <= last:
					t.Fatalf("%d after %d", seq, last)
				case !gap && seq != last+1:
					t.Fatalf("%d after %d without a gap", seq, last)
				}
				if now-p.arrival > 100*ms+30*ms {
					t.Fatalf("held for %v", now-p.arrival)
				}
				first, last = false, seq
			}
		}
	})
}
