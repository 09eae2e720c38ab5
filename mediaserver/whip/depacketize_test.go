package whip

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/rtp/codecs"
	"pgregory.net/rapid"
)

// A sender numbers packets like an encoder.
type sender struct {
	seq       uint16
	payloader codecs.H264Payloader
}

// picture packetises the NAL units of one picture.
func (s *sender) picture(timestamp uint32, nalus ...[]byte) (packets []*packet) {
	var annexB []byte
	for _, nalu := range nalus {
		annexB = append(append(annexB, 0, 0, 0, 1), nalu...)
	}
	payloads := s.payloader.Payload(1200, annexB)
	for i, payload := range payloads {
		packets = append(packets, &packet{seq: s.seq, timestamp: timestamp, marker: i == len(payloads)-1, payload: payload})
		s.seq++
	}
	return packets
}

// nalu returns a NAL unit of a type and size, with content that is unique to id.
func nalu(header byte, size, id int) []byte {
	b := make([]byte, size)
	b[0] = header
	for i := 1; i < size; i++ {
		b[i] = byte(id + i)
	}
	return b
}

var (
	testSPS = []byte{0x67, 0x64, 0x00, 0x1f, 1, 2, 3}
	testPPS = []byte{0x68, 0xee, 1, 2}
)

func idrPicture(id, size int) [][]byte { return [][]byte{testSPS, testPPS, nalu(0x65, size, id)} }
func slice(id, size int) []byte        { return nalu(0x41, size, id) }

func pushAll(a *assembler, packets []*packet) (units []unit, errs []error) {
	for _, p := range packets {
		u, err := a.push(p, false)
		units = append(units, u...)
		if err != nil {
			errs = append(errs, err)
		}
	}
	return units, errs
}

func TestPicturesComeOutAsTheyWere(t *testing.T) {
	s := &sender{seq: 65530}
	a := newAssembler()
	want := []unit{
		{timestamp: 4294966000, nalus: idrPicture(1, 5000), idr: true},
		{timestamp: 1704, nalus: [][]byte{slice(2, 900)}},
		{timestamp: 4704, nalus: [][]byte{nalu(0x06, 20, 9), slice(3, 3000), slice(4, 700)}},
	}
	var packets []*packet
	for _, u := range want {
		packets = append(packets, s.picture(u.timestamp, u.nalus...)...)
	}
	got, errs := pushAll(a, packets)
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(unit{})); diff != "" || len(errs) > 0 {
		t.Error(errs, diff)
	}
}

// An encoder with intra refresh or open GOPs sends an IDR at its start and never
// again. It ignores requests for one.
func TestWithoutIDRsPicturesGoOnAtARecoveryPoint(t *testing.T) {
	const second = 90000
	recovery := [][]byte{{0x06, 0x06, 0x01, 0xc4, 0x80}, slice(7, 500)} // SEI: recovery point
	for _, test := range []struct {
		name string
		idr  int // when an IDR comes, in seconds; -1: never
		gap  int // the second after which packets are lost
		want int // the first second after that with pictures
	}{
		{"none has ever come: at the recovery point", -1, -1, 2},
		{"the last one was long ago: at the recovery point", 0, 20, 22},
		{"the last one was not long ago: not before it was", 0, 3, 12},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, a := &sender{}, newAssembler()
			first := -1
			for at := range 40 {
				var packets []*packet
				switch {
				case at == test.idr:
					packets = s.picture(uint32(at)*second, idrPicture(1, 100)...)
				case at%2 == 0:
					packets = s.picture(uint32(at)*second, recovery...)
				default:
					packets = s.picture(uint32(at)*second, slice(at, 100))
				}
				for i, p := range packets {
					units, _ := a.push(p, at == test.gap+1 && i == 0)
					if len(units) > 0 && at > test.gap && first < 0 && (test.gap >= 0 || at >= 1) {
						first = at
					}
				}
			}
			if first != test.want {
				t.Errorf("pictures come from second %d on, want %d", first, test.want)
			}
		})
	}
}

func TestAssembler(t *testing.T) {
	raw := func(seq uint16, ts uint32, marker bool, payload ...byte) *packet {
		return &packet{seq: seq, timestamp: ts, marker: marker, payload: payload}
	}
	idr := []byte{0x65, 1, 2}
	p := []byte{0x41, 1, 2}
	tests := map[string]struct {
		packets []*packet
		want    []unit
		errs    []error
	}{
		"nothing before the first IDR": {
			packets: []*packet{raw(1, 0, true, p...), raw(2, 3000, true, idr...), raw(3, 6000, true, p...)},
			want:    []unit{{3000, [][]byte{idr}, true}, {6000, [][]byte{p}, false}},
		},
		"without marker bits a picture ends with its timestamp": {
			packets: []*packet{raw(1, 0, false, idr...), raw(2, 3000, false, p...), raw(3, 6000, false, p...)},
			want:    []unit{{0, [][]byte{idr}, true}, {3000, [][]byte{p}, false}},
		},
		"a marker on every slice is found out": {
			packets: []*packet{
				raw(1, 0, true, idr...), raw(2, 0, true, idr...), raw(3, 3000, true, idr...), raw(4, 3000, true, idr...), raw(5, 6000, true, p...),
			},
			want: []unit{{0, [][]byte{idr}, true}, {3000, [][]byte{idr, idr}, true}},
			errs: []error{errLateSlice},
		},
		"parameter sets with a marker wait for their picture": {
			packets: []*packet{raw(1, 0, true, testSPS...), raw(2, 0, true, testPPS...), raw(3, 10, true, idr...)},
			want:    []unit{{10, [][]byte{testSPS, testPPS, idr}, true}},
		},
		"padding is nothing": {
			packets: []*packet{raw(1, 0, true, idr...), raw(2, 0, false), raw(3, 0, true), raw(4, 3000, true, p...)},
			want:    []unit{{0, [][]byte{idr}, true}, {3000, [][]byte{p}, false}},
		},
		"a middle fragment without a start": {
			packets: []*packet{raw(1, 0, true, idr...), raw(2, 10, true, 0x7c, 0x05, 1), raw(3, 20, true, p...), raw(4, 30, true, idr...)},
			want:    []unit{{0, [][]byte{idr}, true}, {30, [][]byte{idr}, true}},
			errs:    []error{errFragment},
		},
		"a fragment without an end": {
			packets: []*packet{raw(1, 0, true, idr...), raw(2, 10, true, 0x7c, 0x81, 1), raw(3, 20, true, p...), raw(4, 30, true, idr...)},
			want:    []unit{{0, [][]byte{idr}, true}, {30, [][]byte{idr}, true}},
		},
		"an aggregate that lies about its sizes": {
			packets: []*packet{raw(1, 0, true, idr...), raw(2, 10, true, 0x78, 0, 200, 0x41), raw(3, 20, true, idr...)},
			want:    []unit{{0, [][]byte{idr}, true}, {20, [][]byte{idr}, true}},
			errs:    []error{errShortPayload},
		},
		"types of packetization-mode 2": {
			packets: []*packet{raw(1, 0, true, idr...), raw(2, 10, true, 0x79, 0, 0, 0, 1, 0x41), raw(3, 20, true, idr...)},
			want:    []unit{{0, [][]byte{idr}, true}, {20, [][]byte{idr}, true}},
			errs:    []error{errNALUType},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, errs := pushAll(newAssembler(), test.packets)
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(unit{})); diff != "" {
				t.Error(diff)
			}
			if !cmp.Equal(test.errs, errs, cmp.Comparer(func(a, b error) bool { return errors.Is(a, b) })) {
				t.Errorf("errors %v, want %v", errs, test.errs)
			}
		})
	}
}

// Whatever is lost, a picture comes out unchanged or not at all. None comes out whose
// predecessor is missing.
func TestNoDamagedPictureComesOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &sender{seq: rapid.Uint16().Draw(t, "seq")}
		timestamp := rapid.Uint32().Draw(t, "timestamp")
		sent := map[uint32]unit{}
		before := map[uint32]uint32{}
		var packets []*packet
		for i := range rapid.IntRange(1, 40).Draw(t, "pictures") {
			previous := timestamp
			timestamp += 3000
			before[timestamp] = previous
			u := unit{timestamp: timestamp, nalus: [][]byte{slice(i, rapid.IntRange(2, 4000).Draw(t, "size"))}}
			if rapid.IntRange(0, 9).Draw(t, "idr") == 0 {
				u.nalus, u.idr = idrPicture(i, rapid.IntRange(2, 6000).Draw(t, "size")), true
			}
			sent[timestamp] = u
			packets = append(packets, s.picture(timestamp, u.nalus...)...)
		}
		a := newAssembler()
		gap, got := false, map[uint32]bool{}
		for _, p := range packets {
			if rapid.IntRange(0, 19).Draw(t, "lost") == 0 {
				gap = true
				continue
			}
			units, _ := a.push(p, gap)
			gap = false
			for _, u := range units {
				if want := sent[u.timestamp]; u.idr != want.idr || !sameNALUs(want.nalus, u.nalus) {
					t.Fatalf("picture %d is not what was sent", u.timestamp)
				}
				if !u.idr && !got[before[u.timestamp]] {
					t.Fatalf("picture %d without the one before it", u.timestamp)
				}
				got[u.timestamp] = true
			}
		}
	})
}

// No packet of a sender may make the assembler fail or hold much.
func FuzzAssembler(f *testing.F) {
	f.Add([]byte{0x65, 1, 2}, []byte{0x78, 0, 2, 0x67, 1}, []byte{0x7c, 0x85, 1}, true)
	f.Add([]byte{0x7c, 0x45, 1}, []byte{0x78}, []byte{}, false)
	f.Add([]byte{0x78, 0, 0, 0, 1, 0x41}, []byte{0x1c, 0x81, 0}, []byte{0xff}, true)
	f.Fuzz(func(t *testing.T, x, y, z []byte, marker bool) {
		a := newAssembler()
		for i := range 300 {
			for j, payload := range [][]byte{x, y, z} {
				for _, u := range must(a.push(&packet{timestamp: uint32(i / 50), marker: marker && j == 2, payload: payload}, i%97 == 96)) {
					if len(u.nalus) == 0 || len(u.nalus) > maxNALUs {
						t.Fatalf("unit of %d NAL units", len(u.nalus))
					}
				}
			}
		}
	})
}

func must(units []unit, _ error) []unit { return units }
