package stream

import (
	"testing"
	"time"
)

// golomb returns a NAL unit that begins with the numbers as ue(v), Rec. H.264 section 9.1.
func golomb(header byte, numbers ...uint32) []byte {
	var bits []byte // one bit each
	for _, number := range append(numbers, 0) {
		length := 0
		for number+1 >= 2<<length {
			length++
		}
		bits = append(bits, make([]byte, length)...)
		for i := length; i >= 0; i-- {
			bits = append(bits, byte((number+1)>>i&1))
		}
	}
	nalu := make([]byte, 2+len(bits)/8, 3+len(bits)/8)
	nalu[0] = header
	for i, bit := range bits {
		nalu[1+i/8] |= bit << (7 - i%8)
	}
	return append(nalu, 0x80)
}

// Some encoders number the parameter sets of each IDR with the next id.
func TestIDsOfParameterSetsThatRise(t *testing.T) {
	r := NewRegistry(Config{})
	p := begin(t, r)
	defer p.End(EndClosed)
	sub := p.Stream().Subscribe(10)
	defer sub.Close()
	must(t, p.SetVideoParameters(sps240, golomb(0x68, 0, 0)))
	for n := range uint32(600) {
		id, at := n%(maxPPSID+1), time.Duration(n)*time.Second
		must(t, p.WriteVideo(at, at, [][]byte{golomb(0x68, id, 0), golomb(0x65, 0, 7, id)}))
		units := drain(sub)
		if len(units) != 1 || string(units[0].Format.PPS) != string(golomb(0x68, id, 0)) {
			t.Fatalf("IDR %d: %d pictures", n, len(units))
		}
	}
}

func TestManyLargePPSAreBounded(t *testing.T) {
	ps := parameterSets{namedPPS: -1}
	must(t, ps.set([][]byte{sps240}))
	for id := range uint32(maxPPSID + 1) {
		ps.setPPS(append(golomb(0x68, id, 0), make([]byte, maxParameterSet-8)...))
	}
	if n := ps.ppsBytes(); n > maxPPSBytes || n < maxPPSBytes-maxParameterSet || !ps.hasPPS(maxPPSID) {
		t.Errorf("%d bytes, the newest is there: %v", n, ps.hasPPS(maxPPSID))
	}
}
