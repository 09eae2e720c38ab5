package rtc

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/rtp/codecs"

	"github.com/streampair/streampair/mediaserver/stream"
)

// nalu returns a NAL unit with that header and size. Neighbouring bytes in it always differ.
func nalu(header byte, size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	b[0] = header
	return b
}

func TestH264PayloadsFitAndComeBackWhole(t *testing.T) {
	sps, pps := nalu(0x67, 30), nalu(0x68, 6)
	format := &stream.Format{Codec: stream.H264, SPS: sps, PPS: pps}
	const limit = 100
	for _, test := range []struct {
		name string
		unit stream.AccessUnit
		want [][]byte // NAL units the receiver must get
		n    int      // payloads
	}{
		{"a small picture is one packet", stream.AccessUnit{NALUs: [][]byte{nalu(0x41, 50)}}, [][]byte{nalu(0x41, 50)}, 1},
		{"a picture that just fits is not cut", stream.AccessUnit{NALUs: [][]byte{nalu(0x41, limit)}}, [][]byte{nalu(0x41, limit)}, 1},
		{"one byte more is two fragments", stream.AccessUnit{NALUs: [][]byte{nalu(0x41, limit+1)}}, [][]byte{nalu(0x41, limit+1)}, 2},
		{"full fragments", stream.AccessUnit{NALUs: [][]byte{nalu(0x61, 1+3*(limit-2))}}, [][]byte{nalu(0x61, 1+3*(limit-2))}, 3},
		{"slices stay apart", stream.AccessUnit{NALUs: [][]byte{nalu(0x41, 9), nalu(0x41, 500)}}, [][]byte{nalu(0x41, 9), nalu(0x41, 500)}, 7},
		{
			"an IDR is preceded by its parameter sets in one packet",
			stream.AccessUnit{IDR: true, Format: format, NALUs: [][]byte{nalu(0x65, 50)}},
			[][]byte{sps, pps, nalu(0x65, 50)}, 2,
		},
		{
			"parameter sets too large for one packet",
			stream.AccessUnit{IDR: true, Format: &stream.Format{SPS: nalu(0x67, 90), PPS: nalu(0x68, 20)}, NALUs: [][]byte{nalu(0x65, 5)}},
			[][]byte{nalu(0x67, 90), nalu(0x68, 20), nalu(0x65, 5)}, 3,
		},
		{"another picture is not", stream.AccessUnit{Format: format, NALUs: [][]byte{nalu(0x41, 5)}}, [][]byte{nalu(0x41, 5)}, 1},
		{"an empty NAL unit is left out", stream.AccessUnit{NALUs: [][]byte{{}, nalu(0x41, 5)}}, [][]byte{nalu(0x41, 5)}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			payloads := appendH264Payloads(nil, &test.unit, limit)
			if len(payloads) != test.n {
				t.Errorf("%d payloads, want %d", len(payloads), test.n)
			}
			var want, got []byte
			for _, n := range test.want {
				want = append(append(want, 0, 0, 0, 1), n...)
			}
			var depacketizer codecs.H264Packet
			for _, p := range payloads {
				if len(p) > limit {
					t.Errorf("payload of %d bytes, limit %d", len(p), limit)
				}
				b, err := depacketizer.Unmarshal(p)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, b...)
			}
			if !bytes.Equal(got, want) {
				t.Error(cmp.Diff(want, got))
			}
		})
	}
}
