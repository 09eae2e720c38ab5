package admission

import (
	"context"
	"net"
	"net/http"
)

type connKey struct{}

// Watch makes an HTTP server tell the places of its connections what they do: a connection
// without a request is idle, and [Hold] works in its handlers. The server must serve a
// [Listener], perhaps with TLS above it.
func Watch(s *http.Server) {
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if place := placeOf(c); place != nil {
			return context.WithValue(ctx, connKey{}, place)
		}
		return ctx
	}
	s.ConnState = func(c net.Conn, state http.ConnState) {
		place := placeOf(c)
		if place == nil {
			return
		}
		switch state {
		case http.StateActive:
			place.Serve()
		case http.StateIdle:
			place.Wait()
		}
	}
}

// Hold says that the request whose context this is publishes or receives media, or belongs to
// somebody who has proved to be the operator: its connection keeps its place until release is
// called.
func Hold(ctx context.Context) (release func()) {
	place, ok := ctx.Value(connKey{}).(*Place)
	if !ok {
		return func() {}
	}
	place.Hold()
	return place.Release
}

// placeOf is the place of a connection, below TLS or not; nil: it has none.
func placeOf(c net.Conn) *Place {
	for {
		switch wrapped := c.(type) {
		case *Conn:
			return wrapped.place
		case interface{ NetConn() net.Conn }:
			c = wrapped.NetConn()
		default:
			return nil
		}
	}
}
