package exact

import "errors"

var errShort = errors.New("parameter set or slice header ends early")

// reader reads the bits of a raw byte sequence payload. The first read beyond its end
// sets err; reads after that give zeros.
type reader struct {
	b   []byte
	pos int // in bits
	err error
}

// bits reads n bits, at most 32: u(n) of Rec. H.264 section 7.2.
func (r *reader) bits(n int) uint32 {
	if r.err != nil || r.pos+n > 8*len(r.b) {
		r.err = errShort
		return 0
	}
	var v uint32
	for range n {
		v = v<<1 | uint32(r.b[r.pos>>3]>>(7-r.pos&7))&1
		r.pos++
	}
	return v
}

func (r *reader) flag() bool { return r.bits(1) == 1 }

// golomb reads an unsigned Exp-Golomb code: ue(v) of section 9.1. The bits of a signed
// one, se(v), are the same.
func (r *reader) golomb() uint32 {
	zeros := 0
	for !r.flag() {
		if zeros++; zeros > 31 || r.err != nil {
			if r.err == nil {
				r.err = errors.New("Exp-Golomb code is too long")
			}
			return 0
		}
	}
	return 1<<zeros - 1 + r.bits(zeros)
}

// signed reads se(v), section 9.1.1.
func (r *reader) signed() int32 {
	k := r.golomb()
	if k&1 == 1 {
		return int32(k/2 + 1)
	}
	return -int32(k / 2)
}

// writer appends bits to a raw byte sequence payload.
type writer struct {
	b []byte
	n int // in bits
}

func (w *writer) bits(v uint32, n int) {
	for n--; n >= 0; n-- {
		if w.n&7 == 0 {
			w.b = append(w.b, 0)
		}
		w.b[w.n>>3] |= byte(v>>n&1) << (7 - w.n&7)
		w.n++
	}
}

func (w *writer) golomb(v uint32) {
	length := 0
	for t := v + 1; t > 1; t >>= 1 {
		length++
	}
	w.bits(0, length)
	w.bits(v+1, length+1)
}

// copy appends the bits from..to of b.
func (w *writer) copy(b []byte, from, to int) {
	r := reader{b: b, pos: from}
	for r.pos < to {
		w.bits(r.bits(1), 1)
	}
}

// unescape removes emulation prevention bytes, section 7.4.1.1, from the first max
// bytes of nalu.
func unescape(nalu []byte, limit int) []byte {
	out := make([]byte, 0, min(len(nalu), limit))
	zeros := 0
	for _, c := range nalu {
		if len(out) == limit {
			break
		}
		if zeros >= 2 && c == 3 {
			zeros = 0
			continue
		}
		if c == 0 {
			zeros++
		} else {
			zeros = 0
		}
		out = append(out, c)
	}
	return out
}

// escape inserts emulation prevention bytes.
func escape(rbsp []byte) []byte {
	out := make([]byte, 0, len(rbsp)+len(rbsp)/16+1)
	zeros := 0
	for _, c := range rbsp {
		if zeros >= 2 && c <= 3 {
			out = append(out, 3)
			zeros = 0
		}
		if c == 0 {
			zeros++
		} else {
			zeros = 0
		}
		out = append(out, c)
	}
	return out
}
