package stream

import (
	"encoding/binary"
	"testing"
	"time"
)

// FuzzWriteVideo feeds a publication access units of NAL units with 2-byte lengths; a length of 0
// ends an access unit. Whatever they are, nothing panics, and the publication still works. The
// output can be decoded as far as this package knows.
func FuzzWriteVideo(f *testing.F) {
	encode := func(units ...[][]byte) []byte {
		var b []byte
		for _, nalus := range units {
			for _, nalu := range nalus {
				b = binary.BigEndian.AppendUint16(b, uint16(len(nalu)))
				b = append(b, nalu...)
			}
			b = append(b, 0, 0)
		}
		return b
	}
	f.Add(encode([][]byte{sps240, pps0, idrSlice(20)}, [][]byte{interSlice(20)}))
	f.Add(encode([][]byte{aud, sps360, pps0, pps1, sei, idrSlice(20), idrSlice(20)}, [][]byte{aud, interSlice(20), filler}))
	f.Add(encode([][]byte{sps240B, pps0}, [][]byte{idrSlice(2)}, [][]byte{sps240, pps0Other}, [][]byte{interSlice(2)}, [][]byte{idrSlice(2)}))
	f.Add(encode([][]byte{spsSlow[:5], pps0, idrSlice(9)}, [][]byte{{}}, [][]byte{endOfSeq}))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewRegistry(Config{MaxCacheBytes: 10000})
		p := begin(t, r)
		defer p.End(EndClosed)
		sub := p.Stream().Subscribe(1000)
		defer sub.Close()
		var nalus [][]byte
		var ts time.Duration
		for len(b) >= 2 {
			n := int(binary.BigEndian.Uint16(b))
			b = b[2:]
			if n == 0 {
				_ = p.WriteVideo(ts, ts+time.Duration(len(b)%5)*40*ms, nalus)
				nalus, ts = nil, ts+40*ms
				continue
			}
			n = min(n, len(b))
			nalus, b = append(nalus, b[:n]), b[n:]
		}
		started := false
		for _, u := range drain(sub) {
			started = started || u.IDR || u.RecoveryPoint
			f := u.Format
			if !started || f == nil || len(f.SPS) == 0 || len(f.PPS) == 0 || f.Width <= 0 || f.Height <= 0 || len(u.NALUs) == 0 ||
				f.FrameRate < 0 || f.FrameRate > 1000 || u.DTS > u.Arrival {
				t.Fatalf("delivered %+v of %+v", u, f)
			}
		}
		if p.cache.videoHeld > 10000 {
			t.Fatalf("cache holds %d bytes", p.cache.videoHeld)
		}
		writeIDR(t, p, ts)
		if got := describe(drain(sub)); got != "V" {
			t.Fatalf("an IDR afterwards: %q", got)
		}
	})
}

func FuzzParameterSets(f *testing.F) {
	for _, sps := range [][]byte{sps240, sps240B, sps360, spsSlow} {
		f.Add(sps, pps0, pps1)
	}
	f.Add(sps240[:7], []byte{0x68, 0, 0, 0}, []byte{0x68, 0x80})
	f.Fuzz(func(t *testing.T, sps, pps, other []byte) {
		ps := parameterSets{namedPPS: -1}
		if err := ps.set([][]byte{sps, pps, other}); err != nil {
			return
		}
		ps.apply(namedBy([][]byte{{0x65, 0x88, 0x41, 1}})) // PPS 1
		if f := ps.inForce; f != nil {
			if f.Width <= 0 || f.Width > 16384 || f.Height <= 0 || f.Height > 16384 || !(f.FrameRate >= 0 && f.FrameRate <= 1000) {
				t.Fatalf("%+v", f)
			}
			for _, pps := range append(ps.furtherPPS(), f.PPS) {
				var id [1]uint32
				if n := exponentialGolomb(pps, id[:]); n != 1 || id[0] > maxPPSID {
					t.Fatalf("%d numbers, PPS id %d", n, id)
				}
			}
		}
	})
}
