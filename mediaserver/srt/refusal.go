package srt

import (
	"errors"
	"fmt"

	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/jwks"
	"github.com/streampair/streampair/mediaserver/stream"
)

// A Reason is why a datagram was dropped, or a caller turned away. Reasons are label values of
// metrics, so they are API.
type Reason string

// Reasons for dropping a datagram.
const (
	ReasonDatagram   Reason = "Datagram"   // it is no SRT
	ReasonSocket     Reason = "Socket"     // it belongs to no connection
	ReasonCookie     Reason = "Cookie"     // its sender has not proved the address
	ReasonRate       Reason = "Rate"       // too many handshakes of a network, or in all
	ReasonBacklog    Reason = "Backlog"    // they come faster than they can be taken
	ReasonControl    Reason = "Control"    // a malformed control message
	ReasonEncryption Reason = "Encryption" // a packet in clear that should be encrypted, or the reverse
	ReasonWindow     Reason = "Window"     // too far ahead of the packets before
	ReasonMemory     Reason = "OutOfMemory"
)

// Reasons for refusing a caller.
const (
	ReasonHandshake        Reason = "Handshake"
	ReasonVersion          Reason = "Version"
	ReasonMode             Reason = "Mode"
	ReasonTooMany          Reason = "TooManyConnections"
	ReasonInvalidName      Reason = "InvalidName"
	ReasonPlay             Reason = "Play"
	ReasonUnauthorized     Reason = "Unauthorized"
	ReasonPassphrase       Reason = "Passphrase"
	ReasonUnknownStream    Reason = "UnknownStream"
	ReasonStreamInUse      Reason = "StreamInUse"
	ReasonTooManyTakeovers Reason = "TooManyTakeovers"
	ReasonTooManyStreams   Reason = "TooManyStreams"
	ReasonShuttingDown     Reason = "ShuttingDown"
	ReasonExpelled         Reason = "Expelled"
	ReasonUnsupportedCodec Reason = "UnsupportedCodec"
	ReasonMalformedMedia   Reason = "MalformedMedia"
)

// Codes by which a handshake refuses a caller: section 4.3, table 7, and the SRT Access Control
// Guidelines of Haivision. Callers show them as words.
const (
	rejectSystem     = 1001
	rejectResource   = 1003
	rejectRogue      = 1004
	rejectClose      = 1007
	rejectVersion    = 1008
	rejectBadSecret  = 1010
	rejectUnsecure   = 1011
	rejectMessageAPI = 1012
	rejectCongestion = 1013
	rejectFilter     = 1014

	rejectBadRequest   = 1400
	rejectUnauthorized = 1401
	rejectOverload     = 1402
	rejectForbidden    = 1403
	rejectNotFound     = 1404
	rejectBadMode      = 1405
	rejectConflict     = 1409
	rejectDown         = 1503
)

// A refusal turns a caller away. The caller gets the code, and the log and the metrics the rest.
type refusal struct {
	reason Reason
	code   uint32
	// description is one sentence for the caller's user.
	description string
}

func (r *refusal) Error() string { return r.description }

func refuse(reason Reason, code uint32, format string, args ...any) *refusal {
	return &refusal{reason, code, fmt.Sprintf(format, args...)}
}

// refuseError returns the refusal for an error of parseStreamID, Config.Authorize or the registry.
func refuseError(err error) *refusal {
	for _, known := range []struct {
		err    error
		reason Reason
		code   uint32
	}{
		{errStreamID, ReasonInvalidName, rejectBadRequest},
		{errMode, ReasonPlay, rejectBadMode},
		{stream.ErrInvalidStreamID, ReasonInvalidName, rejectBadRequest},
		{stream.ErrUndeclared, ReasonUnknownStream, rejectNotFound},
		{jwks.ErrUnavailable, ReasonUnauthorized, rejectDown},
		{stream.ErrStreamInUse, ReasonStreamInUse, rejectConflict},
		{stream.ErrTooManyTakeovers, ReasonTooManyTakeovers, rejectConflict},
		{stream.ErrTooManyStreams, ReasonTooManyStreams, rejectOverload},
		{stream.ErrShuttingDown, ReasonShuttingDown, rejectClose},
		{stream.ErrExpelled, ReasonExpelled, rejectForbidden},
	} {
		if errors.Is(err, known.err) {
			return refuse(known.reason, known.code, "%v", err)
		}
	}
	return refuse(ReasonUnauthorized, rejectUnauthorized, "%v", err)
}

// mediaReason returns the reason for an error of a feed.TransportStream.
func mediaReason(err error) Reason {
	var codec *flv.UnsupportedCodecError
	if errors.As(err, &codec) {
		return ReasonUnsupportedCodec
	}
	return ReasonMalformedMedia
}
