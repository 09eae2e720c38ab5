package mpegts

import (
	"errors"
	"fmt"
)

var (
	errPES      = errors.New("a malformed PES packet")
	errPESTimes = errors.New("a PES packet whose PTS and DTS are more than 10 s apart")
)

const (
	pesHeaderSize = 9
	timestampSize = 5
	// clockRate is the rate of PTS and DTS, in Hz.
	clockRate = 90_000
	// timestampBits is the size of PTS and DTS.
	timestampBits = 33
	// mostReordering bounds how far PTS and DTS may be apart.
	mostReordering = 10 * clockRate
)

// pesTimes are the PTS and DTS of a PES packet, in units of clockRate. ok is false if there are none.
type pesTimes struct {
	pts, dts int64
	ok       bool
}

// parsePES reads a PES packet (section 2.4.3.6). The data points into b.
func parsePES(b []byte) (data []byte, times pesTimes, err error) {
	if len(b) < pesHeaderSize || b[0] != 0 || b[1] != 0 || b[2] != 1 || b[6]&0xc0 != 0x80 {
		return nil, times, errPES
	}
	header := int(b[8])
	if len(b) < pesHeaderSize+header {
		return nil, times, errPES
	}
	if length := int(b[4])<<8 | int(b[5]); length > 0 {
		if end := 6 + length; end > len(b) || end < pesHeaderSize+header {
			return nil, times, errPES
		}
		b = b[:6+length]
	}
	hasPTS, hasDTS := b[7]&0x80 != 0, b[7]&0x40 != 0
	switch {
	case hasDTS && (!hasPTS || header < 2*timestampSize), hasPTS && header < timestampSize:
		return nil, times, errPES
	case hasPTS:
		times = pesTimes{pts: timestamp(b[pesHeaderSize:]), ok: true}
		times.dts = times.pts
	}
	if hasDTS {
		times.dts = timestamp(b[pesHeaderSize+timestampSize:])
	}
	return b[pesHeaderSize+header:], times, nil
}

// timestamp reads a PTS or DTS.
func timestamp(b []byte) int64 {
	return int64(b[0]>>1&7)<<30 | int64(b[1])<<22 | int64(b[2]>>1)<<15 | int64(b[3])<<7 | int64(b[4]>>1)
}

// difference returns a less b, for timestamps that may have wrapped in between.
func difference(a, b int64) int64 {
	const size = 1 << timestampBits
	d := (a - b) & (size - 1)
	if d >= size/2 {
		d -= size
	}
	return d
}

// An assembler joins the packets of one PID to PES packets.
type assembler struct {
	pid   uint16
	limit int // bytes of a PES packet

	counter byte
	counted bool // a packet has come, so counter is valid
	missing int  // packets of any PID that were lost since, at most
	open    bool // the beginning of a PES packet has come
	buffer  []byte
	size    int // of the PES packet before, for the next buffer
}

// ErrLost is the error for a PES packet of which a part was lost.
var ErrLost = errors.New("packets of the transport stream were lost")

// A TooLongError is the error for a PES packet that is longer than its track may have them.
type TooLongError struct{ Limit int }

func (e *TooLongError) Error() string {
	return fmt.Sprintf("a PES packet of more than %d bytes", e.Limit)
}

// add takes a packet. It returns the PES packets that end with it: of done, the caller owns the
// bytes. An error means that a PES packet was dropped.
func (a *assembler) add(p packet) (done [][]byte, err error) {
	if p.payload == nil {
		return nil, nil
	}
	expected := (a.counter + 1) & 0x0f
	if a.counted && !p.jumps {
		switch p.counter {
		case expected:
		case a.counter:
			return nil, nil // a packet may be sent twice (section 2.4.3.3)
		default:
			err = a.lose()
		}
	}
	a.counter, a.counted, a.missing = p.counter, true, 0
	if p.starts {
		if pes := a.take(); pes != nil {
			done = append(done, pes)
		}
		a.open, a.buffer = true, make([]byte, 0, max(a.size, packetSize))
	}
	if !a.open {
		return done, err
	}
	if len(a.buffer)+len(p.payload) > a.limit {
		a.drop()
		return done, &TooLongError{a.limit}
	}
	a.buffer = append(a.buffer, p.payload...)
	if a.isComplete() {
		done = append(done, a.take())
	}
	return done, err
}

// isComplete reports whether the buffer has a whole PES packet. The packets of a picture may have no
// length. Such a packet ends where the next begins.
func (a *assembler) isComplete() bool {
	b := a.buffer
	if len(b) < 6 {
		return false
	}
	length := int(b[4])<<8 | int(b[5])
	return length > 0 && len(b) >= 6+length
}

// take returns what has come of a PES packet; nil: nothing has.
func (a *assembler) take() []byte {
	if !a.open || len(a.buffer) == 0 {
		return nil
	}
	pes := a.buffer
	a.drop()
	a.size = len(pes)
	return pes
}

// drop drops what has come of a PES packet. The next buffer begins small, since nothing is known of the
// length of the next packet.
func (a *assembler) drop() { a.open, a.buffer, a.size = false, nil, 0 }

// skip notes that at most that many packets are missing. The counters tell which PID has lost some,
// unless there are too many. An error means that a PES packet was dropped.
func (a *assembler) skip(packets int) error {
	const counters = 16
	if a.missing += packets; a.missing < counters {
		return nil
	}
	return a.lose()
}

// end returns the last PES packet. An error means that it was dropped.
func (a *assembler) end() ([]byte, error) {
	if a.missing > 0 {
		return nil, a.lose()
	}
	return a.take(), nil
}

// lose notes that packets were lost. The error is ErrLost if a PES packet is dropped.
func (a *assembler) lose() error {
	a.counted, a.missing = false, 0
	if !a.open {
		return nil
	}
	a.drop()
	return ErrLost
}
