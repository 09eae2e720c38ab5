package rtmp

import (
	"errors"
	"fmt"

	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/stream"
)

// A Reason is why a message was dropped, a connection refused, or a publisher turned
// away. Reasons are label values of metrics, so they are API.
type Reason string

// Reasons for ending a connection.
const (
	ReasonHandshake          Reason = "Handshake"
	ReasonTooManyConnections Reason = "TooManyConnections"
	ReasonPushedOut          Reason = "PushedOut"
	ReasonPublishTimeout     Reason = "PublishTimeout"
	ReasonTooMuchBeforehand  Reason = "TooMuchBeforePublish"
	ReasonIdle               Reason = "Idle"
	ReasonChunkStreams       Reason = "TooManyChunkStreams"
	ReasonChunkHeader        Reason = "ChunkHeader"
	ReasonChunkSize          Reason = "ChunkSize"
	ReasonMessageSize        Reason = "MessageTooLong"
	ReasonUnfinished         Reason = "TooMuchUnfinished"
	ReasonMemory             Reason = "OutOfMemory"
	ReasonAMF                Reason = "AMF"
	ReasonPanic              Reason = "Panic"
)

// Reasons for dropping one message.
const (
	ReasonEmpty          Reason = "EmptyMessage"
	ReasonUnknownType    Reason = "UnknownMessageType"
	ReasonUnknownCommand Reason = "UnknownCommand"
	ReasonAMF3           Reason = "AMF3"
	ReasonAckWindow      Reason = "AckWindow"
	ReasonAggregate      Reason = "Aggregate"
	ReasonStreamID       Reason = "MessageStreamID"
	ReasonNotPublishing  Reason = "MediaBeforePublish"
)

// Reasons for refusing a publisher.
const (
	ReasonUnauthorized     Reason = "Unauthorized"
	ReasonStreamInUse      Reason = "StreamInUse"
	ReasonTooManyTakeovers Reason = "TooManyTakeovers"
	ReasonTooManyStreams   Reason = "TooManyStreams"
	ReasonInvalidName      Reason = "InvalidName"
	ReasonUnknownStream    Reason = "UnknownStream"
	ReasonShuttingDown     Reason = "ShuttingDown"
	ReasonExpelled         Reason = "Expelled"
	ReasonTakenOver        Reason = "TakenOver"
	ReasonUnsupportedCodec Reason = "UnsupportedCodec"
	ReasonMalformedMedia   Reason = "MalformedMedia"
	ReasonPlay             Reason = "Play"
)

// A statusCode is the code of an onStatus message (section 7.2.2). Only codes that
// encoders know are used.
type statusCode string

const (
	statusBadName      statusCode = "NetStream.Publish.BadName"
	statusUnauthorized statusCode = "NetStream.Publish.Unauthorized"
	statusRejected     statusCode = "NetStream.Publish.Rejected"
	statusPlayFailed   statusCode = "NetStream.Play.Failed"
	statusShutdown     statusCode = "NetConnection.Connect.AppShutdown"
	// statusReconnect asks the client to connect again, at the same URL (Enhanced RTMP v2, Reconnect
	// Request).
	statusReconnect    statusCode = "NetConnection.Connect.ReconnectRequest"
	statusUnpublished  statusCode = "NetStream.Unpublish.Success"
	statusPublishStart statusCode = "NetStream.Publish.Start"
)

// A refusal ends a connection. It tells the client, the log and the metrics why.
type refusal struct {
	reason Reason
	code   statusCode
	end    stream.EndReason
	// by selects the metric that counts the refusal.
	by refuser
	// description is one sentence for the client's user.
	description string
}

type refuser int

const (
	byGuard    refuser = iota // the client broke a rule of the protocol or a limit
	byServer                  // the client may not publish, or not this stream
	byRegistry                // the registry ended its publication; this is no refusal and is not counted
)

func (r *refusal) Error() string { return r.description }

// refuse returns a refusal by the guard.
func refuse(reason Reason, format string, args ...any) *refusal {
	return &refusal{reason: reason, code: statusRejected, end: stream.EndError, description: fmt.Sprintf(format, args...)}
}

// refusePublisher returns a refusal to publish.
func refusePublisher(reason Reason, code statusCode, description string) *refusal {
	return &refusal{reason: reason, code: code, end: stream.EndError, by: byServer, description: description}
}

// refusePublish returns the refusal for an error of the registry's Publish, or a
// stream.ErrUndeclared.
func refusePublish(err error) *refusal {
	for _, known := range []struct {
		err    error
		reason Reason
		code   statusCode
	}{
		{stream.ErrStreamInUse, ReasonStreamInUse, statusBadName},
		{stream.ErrTooManyTakeovers, ReasonTooManyTakeovers, statusBadName},
		{stream.ErrTooManyStreams, ReasonTooManyStreams, statusRejected},
		{stream.ErrInvalidStreamID, ReasonInvalidName, statusBadName},
		{stream.ErrUndeclared, ReasonUnknownStream, statusBadName},
		{stream.ErrShuttingDown, ReasonShuttingDown, statusShutdown},
		{stream.ErrExpelled, ReasonExpelled, statusRejected},
	} {
		if errors.Is(err, known.err) {
			return refusePublisher(known.reason, known.code, err.Error())
		}
	}
	return refusePublisher(ReasonInvalidName, statusRejected, err.Error())
}

// refuseMedia returns the refusal for an error of a Feed.
func refuseMedia(err error) *refusal {
	var codec *flv.UnsupportedCodecError
	if errors.As(err, &codec) {
		return refusePublisher(ReasonUnsupportedCodec, statusRejected, codec.Error())
	}
	return refusePublisher(ReasonMalformedMedia, statusRejected, err.Error())
}

// ended returns the refusal of a connection whose publication the registry has ended.
func ended(err error) *refusal {
	r := &refusal{reason: ReasonTakenOver, code: statusBadName, end: stream.EndTakenOver, by: byRegistry, description: err.Error()}
	switch {
	case errors.Is(err, stream.ErrShuttingDown):
		r.reason, r.code, r.end = ReasonShuttingDown, statusShutdown, stream.EndShutdown
	case errors.Is(err, stream.ErrExpelled):
		r.reason, r.code, r.end = ReasonExpelled, statusRejected, stream.EndExpelled
	case errors.Is(err, stream.ErrRevoked):
		r.reason, r.code, r.end = ReasonUnauthorized, statusUnauthorized, stream.EndRevoked
	}
	return r
}
