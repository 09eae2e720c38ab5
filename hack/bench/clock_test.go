package main

import (
	"bytes"
	"testing"

	"github.com/pion/rtp/codecs"
	"pgregory.net/rapid"
)

func TestTheClockIsFoundHoweverItIsPacketized(t *testing.T) {
	const ns = 1_796_000_000_123_456_789
	want := stampedPicture{ns, true}
	sei := appendClock(nil, ns)
	slice := append([]byte{0x65, 0x88}, bytes.Repeat([]byte{7}, 3000)...)
	annexB := func(nalus ...[]byte) (out []byte) {
		for _, n := range nalus {
			out = append(append(out, 0, 0, 0, 1), n...)
		}
		return out
	}
	stap := []byte{0x78, 0, 2, 0x67, 1, 0, byte(len(sei))}
	whole := (&codecs.H264Payloader{}).Payload(1188, annexB(sei, slice))
	for name, payloads := range map[string][][]byte{
		"a NAL unit of its own":          whole,
		"in a STAP-A":                    append([][]byte{append(stap, sei...)}, whole[1:]...),
		"in fragments":                   (&codecs.H264Payloader{}).Payload(16, annexB(sei, slice[:100])),
		"after parameter sets":           (&codecs.H264Payloader{}).Payload(1188, annexB([]byte{0x67, 1, 2}, []byte{0x68, 3}, sei, slice)),
		"after an SEI of another origin": append([][]byte{{6, 5, 1, 9, 0x80}}, whole...),
	} {
		t.Run(name, func(t *testing.T) {
			var f clockFinder
			for i, p := range payloads {
				last := i == len(payloads)-1
				got, ok := f.add(90, last, p)
				if ok != last || last && got != want {
					t.Fatalf("payload %d of %d: %+v, %v", i+1, len(payloads), got, ok)
				}
			}
			if got, ok := f.add(3090, true, slice[:50]); ok {
				t.Errorf("the next picture has no clock, but %+v was found", got)
			}
		})
	}
}

func TestAClockNeedsNoEmulationPrevention(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ns := rapid.Int64Min(0).Draw(t, "ns")
		nalu := appendClock(nil, ns)
		if bytes.Contains(nalu, []byte{0, 0}) {
			t.Errorf("two zero bytes in % x", nalu)
		}
		if got, ok := clockOf(nalu); !ok || got != ns {
			t.Errorf("%d became %d, %v", ns, got, ok)
		}
	})
}
