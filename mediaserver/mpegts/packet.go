package mpegts

import "errors"

const (
	// packetSize is the size of a transport stream packet, and syncByte its first byte (section 2.4.3.2).
	packetSize = 188
	syncByte   = 0x47

	headerSize = 4
	nullPID    = 0x1fff
)

var errAdaptationField = errors.New("a transport stream packet whose adaptation field is longer than the packet")

// A packet is a transport stream packet (section 2.4.3).
type packet struct {
	pid uint16
	// damaged is transport_error_indicator, starts is payload_unit_start_indicator.
	damaged, starts bool
	scrambled       bool
	counter         byte // continuity_counter
	// jumps is discontinuity_indicator: the counter and the times may differ from those before.
	jumps   bool
	payload []byte // nil: there is none
}

// parsePacket reads a packet of packetSize bytes. The payload points into b.
func parsePacket(b []byte) (packet, error) {
	p := packet{
		pid:     uint16(b[1]&0x1f)<<8 | uint16(b[2]),
		damaged: b[1]&0x80 != 0, starts: b[1]&0x40 != 0,
		scrambled: b[3]&0xc0 != 0, counter: b[3] & 0x0f,
	}
	rest := b[headerSize:packetSize]
	if b[3]&0x20 != 0 { // there is an adaptation field (section 2.4.3.4)
		length := int(rest[0])
		if length >= len(rest) {
			return packet{}, errAdaptationField
		}
		p.jumps = length > 0 && rest[1]&0x80 != 0
		rest = rest[1+length:]
	}
	if b[3]&0x10 != 0 {
		p.payload = rest
	}
	return p, nil
}
