package rtc

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/rtp/codecs"
	"pgregory.net/rapid"

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
		{"slices that do not fit together stay apart", stream.AccessUnit{NALUs: [][]byte{nalu(0x41, 9), nalu(0x41, 500)}}, [][]byte{nalu(0x41, 9), nalu(0x41, 500)}, 7},
		{
			"an IDR is preceded by its parameter sets in one packet",
			stream.AccessUnit{IDR: true, Format: format, NALUs: [][]byte{nalu(0x65, 60)}},
			[][]byte{sps, pps, nalu(0x65, 60)}, 2,
		},
		{
			"a small IDR shares the packet of its parameter sets and SEI",
			stream.AccessUnit{IDR: true, Format: format, NALUs: [][]byte{nalu(0x06, 10), nalu(0x65, limit-1-4*2-30-6-10)}},
			[][]byte{sps, pps, nalu(0x06, 10), nalu(0x65, limit-1-4*2-30-6-10)}, 1,
		},
		{
			"one byte more does not fit",
			stream.AccessUnit{IDR: true, Format: format, NALUs: [][]byte{nalu(0x06, 10), nalu(0x65, limit-4*2-30-6-10)}},
			[][]byte{sps, pps, nalu(0x06, 10), nalu(0x65, limit-4*2-30-6-10)}, 2,
		},
		{"SEI shares the packet of a small slice", stream.AccessUnit{NALUs: [][]byte{nalu(0x06, 20), nalu(0x41, 50)}}, [][]byte{nalu(0x06, 20), nalu(0x41, 50)}, 1},
		{"SEI does not share a fragment's packet", stream.AccessUnit{NALUs: [][]byte{nalu(0x06, 20), nalu(0x41, 150)}}, [][]byte{nalu(0x06, 20), nalu(0x41, 150)}, 3},
		{
			"small slices after a large one share a packet",
			stream.AccessUnit{NALUs: [][]byte{nalu(0x41, 150), nalu(0x41, 40), nalu(0x41, 40), nalu(0x41, 40)}},
			[][]byte{nalu(0x41, 150), nalu(0x41, 40), nalu(0x41, 40), nalu(0x41, 40)}, 4,
		},
		{
			"parameter sets too large for one packet, the second shares that of the picture",
			stream.AccessUnit{IDR: true, Format: &stream.Format{SPS: nalu(0x67, 90), PPS: nalu(0x68, 20)}, NALUs: [][]byte{nalu(0x65, 5)}},
			[][]byte{nalu(0x67, 90), nalu(0x68, 20), nalu(0x65, 5)}, 2,
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

// alone returns how many packets the NAL units need if only SPS and PPS share one.
func alone(u *stream.AccessUnit, limit int) (n int) {
	nalus := u.NALUs
	if u.IDR && u.Format != nil {
		if len(u.Format.SPS)+len(u.Format.PPS)+5 <= limit {
			n++
		} else {
			nalus = append([][]byte{u.Format.SPS, u.Format.PPS}, nalus...)
		}
	}
	for _, nalu := range nalus {
		n += fragments(len(nalu), limit)
	}
	return n
}

// fragments returns the least number of packets for a NAL unit of that many bytes.
func fragments(size, limit int) int {
	if size <= limit {
		return 1
	}
	return (size - 1 + limit - 3) / (limit - 2)
}

func TestEachAccessUnitComesBackFromNoMorePacketsThanBefore(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		limit := rapid.IntRange(20, 1500).Draw(r, "limit")
		size := rapid.OneOf(rapid.IntRange(1, 2*limit/3), rapid.IntRange(1, 4*limit), rapid.IntRange(limit-8, limit+8))
		u := &stream.AccessUnit{IDR: rapid.Bool().Draw(r, "IDR"), Format: &stream.Format{
			SPS: nalu(0x67, size.Draw(r, "SPS")), PPS: nalu(0x68, size.Draw(r, "PPS")),
		}}
		var want [][]byte
		if u.IDR {
			want = append(want, u.Format.SPS, u.Format.PPS)
		}
		for range rapid.IntRange(1, 30).Draw(r, "NAL units") {
			u.NALUs = append(u.NALUs, nalu(rapid.SampledFrom([]byte{0x06, 0x01, 0x41, 0x65}).Draw(r, "header"), size.Draw(r, "size")))
		}
		want = append(want, u.NALUs...)

		payloads := appendH264Payloads(nil, u, limit)
		if most := alone(u, limit); len(payloads) > most {
			r.Fatalf("%d packets, before %d", len(payloads), most)
		}
		var got [][]byte
		first := 0 // of the fragments that are being read
		for i, p := range payloads {
			if len(p) > limit {
				r.Fatalf("payload of %d bytes, limit %d", len(p), limit)
			}
			switch p[0] & naluTypeMask {
			case naluTypeSTAPA:
				n := 0
				for rest := p[1:]; len(rest) > 0; n++ {
					size := int(binary.BigEndian.Uint16(rest))
					got, rest = append(got, rest[2:2+size]), rest[2+size:]
					if got[len(got)-1][0]&naluRefMask > p[0]&naluRefMask {
						r.Fatal("a NAL unit is more important than its packet")
					}
				}
				if n < 2 || n > maxAggregated {
					r.Fatalf("a STAP-A of %d NAL units", n)
				}
			case naluTypeFUA:
				if p[1]&fuaStart != 0 {
					first = i
					got = append(got, []byte{p[0]&naluRefMask | p[1]&naluTypeMask})
				}
				got[len(got)-1] = append(got[len(got)-1], p[2:]...)
				if last := p[1]&fuaEnd != 0; !last && len(p) != len(payloads[first]) || last && i-first+1 != fragments(len(got[len(got)-1]), limit) {
					r.Fatalf("fragment %d of %d bytes, the first of %d", i-first, len(p), len(payloads[first]))
				}
			default:
				got = append(got, p)
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			r.Fatal(d)
		}
	})
}

// BenchmarkH264Payloads makes the payloads of one picture.
func BenchmarkH264Payloads(b *testing.B) {
	sei, format := nalu(0x06, 40), &stream.Format{Codec: stream.H264, SPS: nalu(0x67, 30), PPS: nalu(0x68, 6)}
	for _, test := range []struct {
		name string
		unit stream.AccessUnit
	}{
		{"an IDR of 40 kB with SEI", stream.AccessUnit{IDR: true, Format: format, NALUs: [][]byte{sei, nalu(0x65, 40_000)}}},
		{"a picture of 10 kB", stream.AccessUnit{NALUs: [][]byte{nalu(0x41, 10_000)}}},
		{"a picture of 10 kB with SEI", stream.AccessUnit{NALUs: [][]byte{sei, nalu(0x41, 10_000)}}},
		{"a small picture", stream.AccessUnit{NALUs: [][]byte{nalu(0x41, 900)}}},
		{"a small picture with SEI", stream.AccessUnit{NALUs: [][]byte{sei, nalu(0x41, 900)}}},
		{"eight slices of 250 bytes", stream.AccessUnit{NALUs: [][]byte{
			nalu(0x41, 250), nalu(0x41, 250), nalu(0x41, 250), nalu(0x41, 250),
			nalu(0x41, 250), nalu(0x41, 250), nalu(0x41, 250), nalu(0x41, 250),
		}}},
	} {
		b.Run(test.name, func(b *testing.B) {
			var payloads [][]byte
			b.ReportAllocs()
			for b.Loop() {
				payloads = appendH264Payloads(payloads[:0], &test.unit, defaultPacketSize-rtpHeaderSize)
			}
			b.ReportMetric(float64(len(payloads)), "packets")
		})
	}
}
