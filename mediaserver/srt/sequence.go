package srt

// A sequence is the sequence number of a packet. It has 31 bits and wraps (section 3.1).
type sequence uint32

const sequenceMask = 1<<31 - 1

// minus returns how far s is after t; negative: it is before.
func (s sequence) minus(t sequence) int {
	d := int(s-t) & sequenceMask
	if d > sequenceMask/2 {
		d -= 1 << 31
	}
	return d
}

// plus returns the sequence number that comes n after s.
func (s sequence) plus(n int) sequence { return (s + sequence(n)) & sequenceMask }
