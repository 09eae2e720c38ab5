package rtmp

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"

	gortmp "github.com/yutopp/go-rtmp"
	rtmpmessage "github.com/yutopp/go-rtmp/message"

	"github.com/streampair/streampair/mediaserver/access"
	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/feed"
	"github.com/streampair/streampair/mediaserver/jwks"
	"github.com/streampair/streampair/mediaserver/stream"
)

// A connection is one client. It is the net.Conn that go-rtmp reads and closes, and
// the Handler that go-rtmp calls. Both happen on one goroutine of go-rtmp. go-rtmp's writes
// come from another goroutine.
type connection struct {
	gortmp.DefaultHandler
	*guard
	server *Server
	remote string
	place  *admission.Place
	// lingeringPlace is the connection's lingering place, or nil. Guarded by connections.mu.
	lingeringPlace *admission.Place

	app, tcURL string
	key        stream.Key // the stream it last asked to publish; zero: none
	feed       *feed.Feed // nil while it does not publish
}

func (s *Server) newConnection(conn net.Conn) *connection {
	c := &connection{
		guard:  newGuard(newClientConn(conn, s.cfg.Limits), s.cfg.Metrics.GuardRefusals),
		server: s,
		remote: conn.RemoteAddr().String(),
	}
	c.onMedia, c.tooLong, c.messages.hasMemory = c.media, c.reportDropped, c.hasMemory
	return c
}

// reportDropped tells the publication that a message was dropped because it is too long.
func (c *connection) reportDropped(t messageType, length int) {
	if c.feed == nil {
		return
	}
	switch t {
	case typeVideo, typeAggregate:
		c.clientConn.media()
		c.feed.ReportDropped(stream.Video, length, c.clientConn.limits.MaxVideoMessage)
	case typeAudio:
		c.clientConn.media()
		c.feed.ReportDropped(stream.Audio, length, c.clientConn.limits.MaxAudioMessage)
	}
}

// hasMemory tells the publication how large the message buffers are. It reports whether the
// server has the memory for them.
func (c *connection) hasMemory(bytes int) bool {
	return c.feed == nil || c.feed.Publication().Hold(bytes+c.feed.Held())
}

// network returns the network for which the connection's place counts.
func (c *connection) network() netip.Prefix {
	return admission.NetworkOf(admission.AddressOf(c.remote))
}

// refuse makes go-rtmp's next read fail, so the connection ends after the present call.
func (c *connection) refuse(r *refusal) error { return c.fail(r) }

// recovered turns a panic into the end of this connection. go-rtmp would recover it
// too, but would not report it.
func (c *connection) recovered(err *error) {
	p := recover()
	if p == nil {
		return
	}
	_ = c.server.cfg.Recovery.Note("rtmp", p)
	*err = c.refuse(refuse(ReasonPanic, "the server failed to handle this stream"))
}

// Read is the guard's Read. A panic in it ends the connection, not the process.
func (c *connection) Read(b []byte) (n int, err error) {
	defer c.recovered(&err)
	return c.guard.Read(b)
}

// Close is the last call of go-rtmp.
func (c *connection) Close() error {
	defer c.server.closed(c)
	return c.guard.Close()
}

// OnConnect remembers the app. Whether the app exists is checked when the client publishes.
func (c *connection) OnConnect(_ uint32, cmd *rtmpmessage.NetConnectionConnect) error {
	c.app, c.tcURL = cmd.Command.App, cmd.Command.TCURL
	return nil
}

// OnFCPublish sends the answer that old encoders wait for.
func (c *connection) OnFCPublish(_ uint32, cmd *rtmpmessage.NetStreamFCPublish) error {
	name, _, _ := strings.Cut(cmd.StreamName, "?")
	_, err := c.Write(appendOwnCommand(nil, 0, "onFCPublish", []property{
		{"code", string(statusPublishStart)}, {"description", name},
	}))
	return err
}

// OnPublish lets the client publish, or tells it why it may not.
func (c *connection) OnPublish(ctx *gortmp.StreamContext, _ uint32, cmd *rtmpmessage.NetStreamPublish) (err error) {
	defer c.recovered(&err)
	if c.feed != nil {
		return c.refuse(refusePublisher(ReasonStreamInUse, statusBadName, "this connection publishes another stream already"))
	}
	key, token, ok := parseName(c.app, c.tcURL, cmd.PublishingName)
	if !ok {
		return c.refuse(refusePublisher(ReasonInvalidName, statusBadName,
			"the URL must be rtmp://host/app/id: "+stream.ErrInvalidStreamID.Error()))
	}
	c.key = key
	authenticated, err := c.server.cfg.Authorize(key, token)
	switch {
	case errors.Is(err, stream.ErrUndeclared):
		return c.refuse(refusePublish(err))
	case errors.Is(err, jwks.ErrUnavailable):
		return c.refuse(refusePublisher(ReasonUnauthorized, statusRejected, fmt.Sprintf("publishing %s is refused: %v", key, err)))
	case err != nil:
		return c.refuse(refusePublisher(ReasonUnauthorized, statusUnauthorized, fmt.Sprintf(
			"publishing %s is refused: %v; append ?token=… to the stream key, with the publish token of its StreamPair", key, err)))
	}
	publication, err := c.server.cfg.Registry.Publish(stream.PublishRequest{
		Key: key, Authenticated: authenticated, Credential: access.CredentialOf(token), Protocol: "rtmp", Remote: c.remote,
		Close: func(err error) { c.stop(ended(err)) },
	})
	if err != nil {
		return c.refuse(refusePublish(err))
	}
	c.feed = feed.New(publication)
	c.feed.LimitPictures(c.clientConn.limits.MaxVideoMessage)
	c.beginPublishing(ctx.StreamID)
	c.server.connections.holdPlace(c)
	return nil
}

// OnPlay refuses to play: this server does not serve viewers by RTMP.
func (c *connection) OnPlay(*gortmp.StreamContext, uint32, *rtmpmessage.NetStreamPlay) error {
	return c.refuse(refusePublisher(ReasonPlay, statusPlayFailed, "this server takes streams by RTMP but does not play them; open its play.html page"))
}

// media passes an audio or video message to the publication, and keeps the body.
func (c *connection) media(t messageType, timestamp uint32, body []byte) (err error) {
	if c.feed == nil {
		return nil
	}
	if t == typeVideo {
		err = c.feed.Video(timestamp, body)
	} else {
		err = c.feed.Audio(timestamp, body)
	}
	if err != nil {
		return refuseMedia(err)
	}
	return nil
}

// OnFCUnpublish ends the publication. OnDeleteStream and closeStream are two other ways to do so.
func (c *connection) OnFCUnpublish(uint32, *rtmpmessage.NetStreamFCUnpublish) error {
	return c.unpublished()
}

// OnDeleteStream ends the publication if the deleted message stream is the published one.
func (c *connection) OnDeleteStream(_ uint32, cmd *rtmpmessage.NetStreamDeleteStream) error {
	if cmd.StreamID != c.publishStream {
		return nil
	}
	return c.unpublished()
}

// OnUnknownCommandMessage is how go-rtmp reports closeStream.
func (c *connection) OnUnknownCommandMessage(_ uint32, cmd *rtmpmessage.CommandMessage) error {
	if cmd.CommandName != "closeStream" {
		return nil
	}
	return c.unpublished()
}

func (c *connection) unpublished() error {
	if c.feed == nil {
		return nil
	}
	c.feed.Publication().End(stream.EndUnpublished)
	c.feed = nil
	id := c.publishStream
	c.endPublishing()
	c.server.connections.releaseHold(c)
	_, err := c.Write(appendStatus(nil, id, statusUnpublished, "The stream is unpublished."))
	return err
}

// OnClose ends the publication at once, because go-rtmp and the socket may take some time.
func (c *connection) OnClose() {
	defer c.recovered(new(error))
	reason := stream.EndClosed
	var r *refusal
	refused := errors.As(c.failed, &r)
	c.server.connections.releasePlace(c, refused)
	if refused {
		reason = r.end
		c.report(r)
	}
	if c.feed != nil {
		c.feed.Publication().End(reason)
		c.feed = nil
	}
}

// report counts and logs why the connection ends.
func (c *connection) report(r *refusal) {
	switch r.by {
	case byGuard:
		c.server.cfg.Metrics.GuardRefusals.WithLabelValues(string(r.reason)).Inc()
	case byServer:
		c.server.cfg.Metrics.PublishRefusals.WithLabelValues("rtmp", string(r.reason)).Inc()
	case byRegistry: // the registry has logged the reason
		return
	}
	attrs := []any{"remote", c.remote, "reason", string(r.reason), "why", r.description}
	if c.key != (stream.Key{}) {
		attrs = append(attrs, "stream", c.key.String())
	} else if app, _, _ := strings.Cut(c.app, "?"); app != "" { // never log a token
		attrs = append(attrs, "app", app)
	}
	c.server.refusals.log(slog.LevelWarn, "RTMP client refused", attrs...)
}
