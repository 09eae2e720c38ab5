package rtmp

import (
	"errors"
	"fmt"

	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/stream"
)

// A Reason says why the guard dropped a message or refused a connection, or why a
// publisher was turned away. Reasons are label values of metrics, so they are API.
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

// statusCode is the code of an onStatus message (section 7.2.2), as far as encoders
// know them.
type statusCode string

const (
	statusBadName      statusCode = "NetStream.Publish.BadName"
	statusUnauthorized statusCode = "NetStream.Publish.Unauthorized"
	statusRejected     statusCode = "NetStream.Publish.Rejected"
	statusPlayFailed   statusCode = "NetStream.Play.Failed"
	statusShutdown     statusCode = "NetConnection.Connect.AppShutdown"
	statusUnpublished  statusCode = "NetStream.Unpublish.Success"
	statusPublishStart statusCode = "NetStream.Publish.Start"
)

// A refusal ends a connection, and says why to the client, the log and the metrics.
type refusal struct {
	reason Reason
	code   statusCode
	end    stream.EndReason
	// by says which metric counts it.
	by refuser
	// description is one sentence for the client's user.
	description string
}

type refuser int

const (
	byGuard    refuser = iota // the client broke a rule of the protocol or a limit
	byServer                  // it may not publish, or not this
	byRegistry                // its publication was ended: no refusal, and not counted
)

func (r *refusal) Error() string { return r.description }

// refuse is a refusal by the guard.
func refuse(reason Reason, format string, args ...any) *refusal {
	return &refusal{reason: reason, code: statusRejected, end: stream.EndError, description: fmt.Sprintf(format, args...)}
}

// refusePublisher is a refusal to publish.
func refusePublisher(reason Reason, code statusCode, description string) *refusal {
	return &refusal{reason: reason, code: code, end: stream.EndError, by: byServer, description: description}
}

// refusePublish translates an error of the registry's Publish, or a stream.ErrUndeclared.
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
			return refusePublisher(known.reason, known.code, known.err.Error())
		}
	}
	return refusePublisher(ReasonInvalidName, statusRejected, err.Error())
}

// refuseMedia translates an error of a Feed.
func refuseMedia(err error) *refusal {
	var codec *flv.UnsupportedCodecError
	if errors.As(err, &codec) {
		return refusePublisher(ReasonUnsupportedCodec, statusRejected, codec.Error())
	}
	return refusePublisher(ReasonMalformedMedia, statusRejected, err.Error())
}

// ended is how a connection ends whose publication the registry has ended.
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
