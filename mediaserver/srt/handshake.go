package srt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/datarhei/gosrt/packet"
)

const (
	headerSize = 16
	// handshakeSize is the size of a handshake without extensions (section 3.2.1).
	handshakeSize = 48
	// maxDatagram is the most that fits into an Ethernet frame with UDP over IPv4.
	maxDatagram = 1472
	// minMTU is the least MTU that a caller may declare. IPv4 asks for 576 (RFC 791 section 3.1).
	minMTU, maxMTU = 576, 1500

	protocolVersion  = 5
	inductionVersion = 4
	// magic is the extension field of the answer to an induction (section 4.3.1.1).
	magic = 0x4a17
	// libraryVersion is the version of the protocol that callers are told: 1.5.3.
	libraryVersion = 0x010503
	// minLibraryVersion is the first version with the handshake of version 5.
	minLibraryVersion = 0x010300
)

// A handshake is a handshake message of a caller.
type handshake struct {
	packet.CIFHandshake
	timestamp uint32
	// hasFilter reports whether the caller wants a packet filter. (That it has one is no wish: libsrt
	// always says so by a flag.)
	hasFilter bool
}

var errHandshake = errors.New("a malformed handshake")

// parseHandshake reads a datagram for socket 0. It must be at least headerSize long.
func parseHandshake(datagram []byte) (handshake, error) {
	var h handshake
	h.timestamp = binary.BigEndian.Uint32(datagram[8:])
	body := datagram[headerSize:]
	if len(body) < handshakeSize {
		return h, errHandshake
	}
	extensions, ok := extensionsOf(body[handshakeSize:])
	if !ok {
		return h, errHandshake // the library would panic
	}
	h.hasFilter = slices.Contains(extensions, packet.EXTTYPE_FILTER)
	if err := h.Unmarshal(body); err != nil {
		return h, fmt.Errorf("a malformed handshake: %w", err)
	}
	return h, nil
}

// extensionsOf returns the types of the extensions in b (section 3.2.1). ok is false if b is no
// sequence of whole extensions.
func extensionsOf(b []byte) (types []packet.CtrlSubType, ok bool) {
	for len(b) > 0 {
		if len(b) < 4 {
			return nil, false
		}
		size := 4 + 4*int(binary.BigEndian.Uint16(b[2:]))
		if size > len(b) {
			return nil, false
		}
		types = append(types, packet.CtrlSubType(binary.BigEndian.Uint16(b)))
		b = b[size:]
	}
	return types, true
}

// answerInduction makes h the answer to itself, with a cookie.
func (h *handshake) answerInduction(cookie uint32) {
	h.Version, h.EncryptionField, h.ExtensionField = protocolVersion, 0, magic
	h.MaxTransmissionUnitSize, h.MaxFlowWindowSize = maxMTU, maxWindow
	h.SynCookie = cookie
}

// check returns why a conclusion cannot be served, whoever sends it; nil: it can. The caller has
// shown a good cookie.
func (h *handshake) check() *refusal {
	switch {
	case h.Version != protocolVersion || h.SRTHS == nil:
		return refuse(ReasonVersion, rejectVersion, "the encoder speaks an old version of SRT; update the encoder to SRT 1.3 or later")
	case h.SRTHS.SRTVersion < minLibraryVersion:
		return refuse(ReasonVersion, rejectVersion, "the encoder has SRT %#06x; update the encoder to SRT 1.3 or later", h.SRTHS.SRTVersion)
	case h.MaxTransmissionUnitSize < minMTU || h.MaxTransmissionUnitSize > maxMTU:
		return refuse(ReasonHandshake, rejectRogue, "the encoder's MTU (MSS) is %d; set it from %d to %d", h.MaxTransmissionUnitSize, minMTU, maxMTU)
	case h.SRTHS.SRTFlags.STREAM:
		return refuse(ReasonMode, rejectMessageAPI, "the encoder uses the stream mode of SRT; set transtype=live")
	case h.HasCongestionCtl && h.CongestionCtl != "live":
		return refuse(ReasonMode, rejectCongestion, "the encoder uses the file mode of SRT; set transtype=live")
	case h.hasFilter:
		return refuse(ReasonMode, rejectFilter, "the encoder uses a packet filter (FEC), which this server has not; switch it off")
	case !h.SRTHS.SRTFlags.TSBPDSND || !h.SRTHS.SRTFlags.REXMITFLG:
		return refuse(ReasonMode, rejectRogue, "the encoder sends no times with its packets; set transtype=live")
	}
	return nil
}

// latencyOf returns the latency of the connection: the larger one of the caller's and the server's
// (section 4.4), up to the limit.
func latencyOf(callers uint16, l Limits) time.Duration {
	return min(max(time.Duration(callers)*time.Millisecond, l.MinLatency), l.MaxLatency)
}

// answerConclusion makes h the answer that accepts the caller.
func (h *handshake) answerConclusion(socket uint32, latency time.Duration) {
	h.IsRequest = false
	h.SRTSocketId, h.SynCookie = socket, 0
	h.MaxTransmissionUnitSize, h.MaxFlowWindowSize = maxMTU, maxWindow
	h.HasSID, h.StreamId, h.HasCongestionCtl = false, "", false
	h.SRTHS = &packet.CIFHandshakeExtension{
		SRTVersion: libraryVersion,
		SRTFlags: packet.CIFHandshakeExtensionFlags{
			TSBPDSND: true, TSBPDRCV: true, CRYPT: true, TLPKTDROP: true, PERIODICNAK: true, REXMITFLG: true,
		},
		RecvTSBPDDelay: uint16(latency / time.Millisecond),
		SendTSBPDDelay: h.SRTHS.RecvTSBPDDelay,
	}
}

// answerRefusal makes h the answer that refuses the caller.
func (h *handshake) answerRefusal(code uint32) {
	h.HandshakeType = packet.HandshakeType(code)
	h.HasHS, h.HasKM, h.HasSID, h.HasCongestionCtl = false, false, false, false
}
