// Package rtmp accepts RTMP and RTMPS publishers and turns them into publications of
// the stream registry.
//
// The library yutopp/go-rtmp speaks the protocol. It works with honest clients, but any other
// client can crash it, stall it or fill its memory. So it never sees a client's bytes. Between the
// socket and the library is a guard, a net.Conn that parses the chunk stream itself. The guard
// bounds everything, drops what a publisher does not need, and passes the rest on in one plain
// form. Limits bounds what a client may cost, and a Reason is why a client was refused.
//
// A byte passes these parts in turn. Server accepts and admits the connection. guard
// reads: clientConn has deadlines and budgets, chunkReader makes messages, and commands are
// parsed as AMF0. go-rtmp answers. connection, which is go-rtmp's Handler, authorises
// the publisher and writes access units to a stream.Publication.
//
// The package does not serve players: play is refused. Start with NewServer.
//
// Section numbers in comments are those of "Adobe's Real Time Messaging Protocol" 1.0
// (2012) unless another document is named.
package rtmp
