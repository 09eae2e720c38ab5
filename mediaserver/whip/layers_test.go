package whip

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A layerScript gives the times at which packets of a layer come, one each 20 ms.
type layerScript struct {
	pixels int
	flows  [][2]time.Duration
}

func TestWhichLayerIsShown(t *testing.T) {
	const s = time.Second
	always := [][2]time.Duration{{0, 60 * s}}
	for _, test := range []struct {
		name   string
		layers []layerScript
		first  int // the layer published at the start
		want   string
	}{
		{"one layer", []layerScript{{100, always}}, 0, ""},
		{"the highest flows: never another", []layerScript{{100, always}, {400, always}, {25, always}}, 1, ""},
		{"higher layers come later: up at once, for they never failed", []layerScript{{100, always}, {400, [][2]time.Duration{{3 * s, 60 * s}}}}, 0, "3.00s 1"},
		{"the highest stops: the next one after 1 s", []layerScript{{400, [][2]time.Duration{{0, 10 * s}}}, {100, always}, {25, always}}, 0, "11.00s 1"},
		{
			"it comes back: shown after 5 s of flow",
			[]layerScript{{400, [][2]time.Duration{{0, 10 * s}, {20 * s, 60 * s}}}, {100, always}}, 0, "11.00s 1, 25.00s 0",
		},
		{
			"it comes back for less: not shown",
			[]layerScript{{400, [][2]time.Duration{{0, 10 * s}, {20 * s, 24 * s}, {30 * s, 34 * s}}}, {100, always}}, 0, "11.00s 1",
		},
		{"a pause below 1 s is none", []layerScript{{400, [][2]time.Duration{{0, 10 * s}, {10900 * ms, 60 * s}}}, {100, always}}, 0, ""},
		{
			"two stop: the lowest, and back by steps as each has flowed for 5 s",
			[]layerScript{{400, [][2]time.Duration{{0, 10 * s}, {25 * s, 60 * s}}}, {100, [][2]time.Duration{{0, 10 * s}, {20 * s, 60 * s}}}, {25, always}},
			0, "11.00s 2, 25.00s 1, 30.00s 0",
		},
		{
			"the lower stops while the higher is on trial: better the higher than none",
			[]layerScript{{400, [][2]time.Duration{{0, 10 * s}, {20 * s, 60 * s}}}, {100, [][2]time.Duration{{0, 21 * s}}}}, 0, "11.00s 1, 22.00s 0",
		},
		{
			"the highest stops while the next one is on trial: better that one than the lowest",
			[]layerScript{{400, [][2]time.Duration{{0, 10 * s}}}, {100, [][2]time.Duration{{0, 6 * s}, {8 * s, 60 * s}}}, {25, always}}, 0, "11.00s 1",
		},
		{"all stop: it stays", []layerScript{{400, [][2]time.Duration{{0, 10 * s}}}, {100, [][2]time.Duration{{0, 10 * s}}}}, 0, ""},
		{"equal sizes: the first of the offer", []layerScript{{100, always}, {100, always}}, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var layers []*layer
			for i, script := range test.layers {
				l := newLayer(uint32(i), i, true)
				l.pixels = script.pixels
				layers = append(layers, l)
			}
			current := layers[test.first]
			var got []string
			for now := time.Duration(0); now < 60*s; now += 20 * ms {
				for i, script := range test.layers {
					for _, flow := range script.flows {
						if now >= flow[0] && now < flow[1] {
							layers[i].flow.arrived(now)
						}
					}
				}
				if next := chooseLayer(layers, current, now); next != current {
					current = next
					// The switch is rounded to the second in which it is due: the last
					// packet came 20 ms before.
					got = append(got, fmt.Sprintf("%.2fs %d", (now+20*ms).Truncate(s).Seconds(), current.order))
				}
			}
			if got := strings.Join(got, ", "); got != test.want {
				t.Errorf("shown: %s; want %s", got, test.want)
			}
		})
	}
}

func TestWhichLayerIsShownFirst(t *testing.T) {
	type state struct {
		pixels int
		since  time.Duration // time of its first packet
		whole  bool          // an IDR has come
	}
	for _, test := range []struct {
		name    string
		offered int
		layers  []state
		now     time.Duration
		want    int // -1: none yet
	}{
		{"no simulcast: the one there is, at its first IDR", 0, []state{{100, 0, true}}, 20 * ms, 0},
		{"no simulcast: not before its first IDR", 0, []state{{0, 0, false}}, 20 * ms, -1},
		{"the lowest comes first: wait for the others", 3, []state{{25, 0, true}, {100, 10 * ms, false}}, 20 * ms, -1},
		{"all have come: the highest", 3, []state{{25, 0, true}, {100, 10 * ms, true}, {400, 15 * ms, true}}, 20 * ms, 2},
		{"after 1 s: the highest of those that have come", 3, []state{{25, 0, true}, {100, 900 * ms, true}, {400, 950 * ms, false}}, 1000 * ms, 1},
		{"after 1 s nothing is whole: wait", 3, []state{{0, 0, false}}, 1000 * ms, -1},
	} {
		t.Run(test.name, func(t *testing.T) {
			var layers []*layer
			for i, s := range test.layers {
				l := newLayer(uint32(i), i, true)
				l.pixels = s.pixels
				l.flow.arrived(s.since)
				for at := s.since; at <= test.now; at += 10 * ms {
					l.flow.arrived(at)
				}
				if s.whole {
					l.hold(unit{idr: true, nalus: [][]byte{{0x65}}}, s.since)
				}
				layers = append(layers, l)
			}
			got := -1
			if l := chooseFirst(layers, test.offered, test.now); l != nil {
				got = l.order
			}
			if got != test.want {
				t.Errorf("layer %d, want %d", got, test.want)
			}
		})
	}
}

func TestPicturesAreHeldFromOneAtWhichDecodingCanBegin(t *testing.T) {
	inter := unit{nalus: [][]byte{{0x41, 0x9a}}}
	idr := unit{idr: true, nalus: [][]byte{{0x65, 0x88}}}
	recovery := unit{nalus: [][]byte{{0x06, 0x06, 0x01, 0xc4, 0x80}, {0x41, 0x9a}}} // SEI type 6, recovery_frame_cnt 0
	for _, test := range []struct {
		name  string
		units []unit
		want  int
	}{
		{"the middle of a GOP", []unit{inter, inter}, 0},
		{"the middle of a GOP, and the next one", []unit{inter, idr, inter}, 2},
		{"a recovery point", []unit{inter, recovery, inter}, 2},
		{"two GOPs: the second", []unit{idr, inter, idr}, 1},
	} {
		l := newLayer(1, 0, true)
		for _, u := range test.units {
			l.hold(u, 0)
		}
		if len(l.held) != test.want {
			t.Errorf("%s: %d pictures are held, want %d", test.name, len(l.held), test.want)
		}
	}
}

func TestPacketsFindTheirLayer(t *testing.T) {
	v := &videoTrack{rids: 2}
	hi := v.layerOf(1, noRID, 0) // its first packets have no RID
	if again := v.layerOf(1, 0, 0); again != hi || !hi.named || hi.order != 0 {
		t.Errorf("%+v has learnt its RID, and is not %+v", again, hi)
	}
	lo := v.layerOf(2, 1, 0)
	if lo == hi || v.layerOf(2, noRID, 0) != lo || v.layerOf(1, noRID, 0) != hi {
		t.Error("packets that name no layer are of that of their SSRC")
	}
	if restarted := v.layerOf(3, 1, 0); restarted != lo || lo.ssrc != 3 || !lo.restarted {
		t.Error("another SSRC of the same RID is the layer begun anew")
	}
	now := time.Minute
	for i := range uint32(100) {
		if l := v.layerOf(100+i, noRID, now); l != nil {
			l.flow.arrived(now)
		}
	}
	if len(v.layers) != fewLayers {
		t.Errorf("%d layers, want no more than %d", len(v.layers), fewLayers)
	}
	if v.layerOf(1000, noRID, now+2*layerLoss) == nil {
		t.Error("a layer that stopped long ago keeps a new one out")
	}
}
