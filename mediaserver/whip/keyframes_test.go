package whip

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWhenKeyFramesAreAskedFor(t *testing.T) {
	const second = time.Second
	tests := map[string]struct {
		idr     []time.Duration // when an IDR comes
		wanted  []time.Duration // when an IDR is asked for
		broken  [2]time.Duration
		asked   []time.Duration
		through time.Duration
	}{
		"own interval of 2 s: never": {
			idr: []time.Duration{0, 2 * second, 4 * second, 6 * second}, through: 8 * second,
		},
		"own interval of 10 s: every 2 s": {
			idr: []time.Duration{0}, through: 7 * second,
			asked: []time.Duration{2250 * ms, 4250 * ms, 6250 * ms},
		},
		"the first does not come": {
			broken: [2]time.Duration{0, 1500 * ms}, through: 1500 * ms,
			asked: []time.Duration{200 * ms, 700 * ms, 1200 * ms},
		},
		"a loss": {
			idr: []time.Duration{0, second, 2 * second}, broken: [2]time.Duration{1200 * ms, 2 * second}, through: 3 * second,
			asked: []time.Duration{1200 * ms, 1700 * ms},
		},
		"somebody asks": {
			idr: []time.Duration{0, second, 2 * second}, wanted: []time.Duration{500 * ms, 2500 * ms}, through: 3 * second,
			asked: []time.Duration{2500 * ms},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var k keyframes
			var asked []time.Duration
			has := func(times []time.Duration, at time.Duration) bool {
				for _, x := range times {
					if x == at {
						return true
					}
				}
				return false
			}
			for at := time.Duration(0); at <= test.through; at += 50 * ms {
				now := at + 10*time.Second // the media clock does not begin at 0
				if has(test.idr, at) {
					k.received(now)
				}
				if has(test.wanted, at) {
					k.want()
				}
				broken := at >= test.broken[0] && at < test.broken[1]
				if k.due(now, broken) {
					asked = append(asked, at)
				}
			}
			if diff := cmp.Diff(test.asked, asked); diff != "" {
				t.Error(diff)
			}
		})
	}
}
