package mediatest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func packetsOf(sequences ...uint16) []Packet {
	var out []Packet
	for _, s := range sequences {
		out = append(out, Packet{Sequence: s})
	}
	return out
}

func TestReordererAndGaps(t *testing.T) {
	run := func(from, to uint16) (out []uint16) {
		for n := from; n != to; n++ {
			out = append(out, n)
		}
		return out
	}
	tests := []struct {
		name     string
		in, want []uint16
		missing  int
	}{
		{"in order, over the wrap", []uint16{65534, 65535, 0, 1}, []uint16{65534, 65535, 0, 1}, 0},
		{"mixed up", []uint16{7, 9, 8, 10}, []uint16{7, 8, 9, 10}, 0},
		{"twice", []uint16{7, 8, 8, 7, 9}, []uint16{7, 8, 9}, 0},
		{"sent again, over the wrap", []uint16{65535, 1, 2, 0}, []uint16{65535, 0, 1, 2}, 0},
		{"lost: waits", []uint16{7, 9, 10}, []uint16{7}, 1},
		{"lost: gives up", append([]uint16{7}, run(10, 10+reorderWindow+1)...), append([]uint16{7}, run(10, 10+reorderWindow+1)...), 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var o reorderer
			var got []uint16
			for _, p := range packetsOf(tt.in...) {
				for _, next := range o.add(p) {
					got = append(got, next.Sequence)
				}
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
			if got := (&Recording{Packets: packetsOf(tt.in...)}).SequenceGaps(); got != tt.missing {
				t.Errorf("%d missing, want %d", got, tt.missing)
			}
		})
	}
}

func TestAssembler(t *testing.T) {
	// The packets are SPS and PPS in a STAP-A, an IDR in two FU-A, and an inter
	// picture in one packet.
	stap := []byte{0x78, 0, 2, 0x67, 1, 0, 2, 0x68, 1}
	fu1, fu2 := []byte{0x7c, 0x85, 1}, []byte{0x7c, 0x45, 2}
	inter := []byte{0x41, 3}
	packet := func(sequence uint16, timestamp uint32, marker bool, payload []byte) Packet {
		return Packet{Arrival: at(int(sequence)), Sequence: sequence, Timestamp: timestamp, Marker: marker, Payload: payload}
	}
	idr := []Packet{packet(1, 0, false, stap), packet(2, 0, false, fu1), packet(3, 0, true, fu2)}
	type picture struct {
		IDR, Parameters bool
		Begin, Arrival  time.Time
		AnnexB          []byte
	}
	wantIDR := picture{true, true, at(1), at(3), []byte{0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x68, 1, 0, 0, 0, 1, 0x65, 1, 2}}
	wantInter := picture{false, false, at(4), at(4), []byte{0, 0, 0, 1, 0x41, 3}}
	tests := []struct {
		name    string
		packets []Packet
		want    []picture
		broken  int
	}{
		{"whole pictures", append(idr[:3:3], packet(4, 9000, true, inter)), []picture{wantIDR, wantInter}, 0},
		{"a part is lost", []Packet{idr[0], idr[2], packet(4, 9000, true, inter)}, []picture{wantInter}, 1},
		{"the end is lost", []Packet{idr[0], idr[1], packet(4, 9000, true, inter), packet(5, 9900, true, inter)},
			[]picture{{false, false, at(5), at(5), wantInter.AnnexB}}, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var a assembler
			var got []picture
			for _, p := range tt.packets {
				if pic, ok := a.add(p); ok {
					got = append(got, picture{pic.IDR, pic.Parameters, pic.Begin, pic.Arrival, pic.AnnexB})
				}
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
			if a.broken != tt.broken {
				t.Errorf("%d broken, want %d", a.broken, tt.broken)
			}
		})
	}
}
