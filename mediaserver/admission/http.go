package admission

import (
	"context"
	"net"
	"net/http"
)

type connKey struct{}

// Watch makes an HTTP server tell the places of its connections what the connections do. A
// connection without a request waits. Handlers can call [Hold]. The server must serve a [Listener],
// perhaps with TLS on top.
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

// Hold notes that the request with this context publishes or receives media, or belongs to somebody
// who has proved to be the operator. Its connection keeps its place until release is called.
func Hold(ctx context.Context) (release func()) {
	place, ok := ctx.Value(connKey{}).(*Place)
	if !ok {
		return func() {}
	}
	place.Hold()
	return place.Release
}

// placeOf returns the place of a connection, with or without TLS; nil: it has no place.
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
