package rtmp

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"

	gortmp "github.com/yutopp/go-rtmp"
	rtmpmessage "github.com/yutopp/go-rtmp/message"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/flv/feed"
	"github.com/streampair/streampair/mediaserver/stream"
)

// A connection is one client: the net.Conn that go-rtmp reads and closes, and the
// Handler that it calls. Both happen on one goroutine of go-rtmp's, except that its
// writes come from another.
type connection struct {
	gortmp.DefaultHandler
	*guard
	server *Server
	remote string
	place  *admission.Place
	// lingers is its place among those who linger; nil: it does not. Guarded by guests.mu.
	lingers *admission.Place

	app, tcURL string
	feed       *feed.Feed // nil unless it publishes
}

func (s *Server) newConnection(conn net.Conn) *connection {
	c := &connection{
		guard:  newGuard(newWire(conn, s.cfg.Limits), s.cfg.Metrics.GuardRefusals),
		server: s,
		remote: conn.RemoteAddr().String(),
	}
	c.tooLong = c.leftOut
	return c
}

// leftOut tells the publication of a message that was dropped.
func (c *connection) leftOut(t messageType, length int) {
	if c.feed == nil {
		return
	}
	switch t {
	case typeVideo, typeAggregate:
		c.wire.media()
		c.feed.LeftOut(stream.Video, length, c.wire.limits.MaxVideoMessage)
	case typeAudio:
		c.wire.media()
		c.feed.LeftOut(stream.Audio, length, c.wire.limits.MaxAudioMessage)
	}
}

// network is whom its place counts for.
func (c *connection) network() netip.Prefix {
	return admission.NetworkOf(admission.AddressOf(c.remote))
}

// refuse ends the connection after the call that go-rtmp is in.
func (c *connection) refuse(r *refusal) error { return c.fail(r) }

// recovered turns a panic into the end of this connection. go-rtmp would do so too, but
// tell nobody.
func (c *connection) recovered(err *error) {
	p := recover()
	if p == nil {
		return
	}
	_ = c.server.cfg.Recovery.Note("rtmp", p)
	*err = c.refuse(refuse(ReasonPanic, "the server failed to handle this stream"))
}

// Read is the guard's, kept from taking the process along.
func (c *connection) Read(b []byte) (n int, err error) {
	defer c.recovered(&err)
	return c.guard.Read(b)
}

// Close is called by go-rtmp as the last thing.
func (c *connection) Close() error {
	defer c.server.closed(c)
	return c.guard.Close()
}

// OnConnect remembers the app: whether there is one shows when it publishes.
func (c *connection) OnConnect(_ uint32, cmd *rtmpmessage.NetConnectionConnect) error {
	c.app, c.tcURL = cmd.Command.App, cmd.Command.TCURL
	return nil
}

// OnFCPublish gives old encoders the answer they wait for.
func (c *connection) OnFCPublish(_ uint32, cmd *rtmpmessage.NetStreamFCPublish) error {
	name, _, _ := strings.Cut(cmd.StreamName, "?")
	_, err := c.Write(appendOwnCommand(nil, 0, "onFCPublish", []property{
		{"code", string(statusPublishStart)}, {"description", name},
	}))
	return err
}

// OnPublish lets the client publish, or tells it why not.
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
	authenticated, err := c.server.cfg.Authorize(key, token)
	switch {
	case errors.Is(err, stream.ErrUndeclared):
		return c.refuse(refusePublish(err))
	case err != nil:
		return c.refuse(refusePublisher(ReasonUnauthorized, statusUnauthorized, fmt.Sprintf("publishing %s is refused: %v", key, err)))
	}
	publication, err := c.server.cfg.Registry.Publish(stream.PublishRequest{
		Key: key, Authenticated: authenticated, Credential: sha256.Sum256([]byte(token)), Protocol: "rtmp", Remote: c.remote,
		Close: func(err error) { c.stop(ended(err)) },
	})
	if err != nil {
		return c.refuse(refusePublish(err))
	}
	c.feed = feed.New(publication)
	c.feed.LimitPictures(c.wire.limits.MaxVideoMessage)
	c.beginPublishing(ctx.StreamID)
	c.server.guests.publishing(c)
	return nil
}

// OnPlay refuses: viewers do not come by RTMP.
func (c *connection) OnPlay(*gortmp.StreamContext, uint32, *rtmpmessage.NetStreamPlay) error {
	return c.refuse(refusePublisher(ReasonPlay, statusPlayFailed, "this server takes streams by RTMP but does not play them; open its play.html page"))
}

// OnVideo hands a video message to the publication.
func (c *connection) OnVideo(timestamp uint32, payload io.Reader) (err error) {
	defer c.recovered(&err)
	body, err := c.body(payload)
	if err != nil || c.feed == nil {
		return err
	}
	if err := c.feed.Video(timestamp, body); err != nil {
		return c.refuse(refuseMedia(err))
	}
	return nil
}

// OnAudio hands an audio message to the publication.
func (c *connection) OnAudio(timestamp uint32, payload io.Reader) (err error) {
	defer c.recovered(&err)
	body, err := c.body(payload)
	if err != nil || c.feed == nil {
		return err
	}
	if err := c.feed.Audio(timestamp, body); err != nil {
		return c.refuse(refuseMedia(err))
	}
	return nil
}

// body copies a payload: go-rtmp's reader is a view of a buffer that it uses again.
func (c *connection) body(payload io.Reader) ([]byte, error) {
	b := make([]byte, c.mediaSize)
	if _, err := io.ReadFull(payload, b); err != nil {
		return nil, fmt.Errorf("read payload: %w", err)
	}
	return b, nil
}

// OnFCUnpublish, OnDeleteStream and closeStream are three ways to say goodbye.
func (c *connection) OnFCUnpublish(uint32, *rtmpmessage.NetStreamFCUnpublish) error {
	return c.unpublished()
}

// OnDeleteStream ends the publication if it is on that message stream.
func (c *connection) OnDeleteStream(_ uint32, cmd *rtmpmessage.NetStreamDeleteStream) error {
	if cmd.StreamID != c.publishStream {
		return nil
	}
	return c.unpublished()
}

// OnUnknownCommandMessage is where go-rtmp reports closeStream.
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
	c.server.guests.waiting(c)
	_, err := c.Write(appendStatus(nil, id, statusUnpublished, "The stream is unpublished."))
	return err
}

// OnClose ends the publication at once: go-rtmp and the socket may take their time.
func (c *connection) OnClose() {
	defer c.recovered(new(error))
	reason := stream.EndClosed
	var r *refusal
	refused := errors.As(c.failed, &r)
	c.server.guests.leaving(c, refused)
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
	case byRegistry: // the registry has told the story
		return
	}
	attrs := []any{"remote", c.remote, "reason", string(r.reason), "why", r.description}
	if c.feed != nil {
		attrs = append(attrs, "stream", c.feed.Publication().Stream().Key().String())
	} else if app, _, _ := strings.Cut(c.app, "?"); app != "" { // never log a token
		attrs = append(attrs, "app", app)
	}
	c.server.refusals.log(slog.LevelWarn, "RTMP client refused", attrs...)
}
