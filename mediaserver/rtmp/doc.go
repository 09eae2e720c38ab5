// Package rtmp takes in RTMP and RTMPS publishers and turns them into publications of
// the stream registry.
//
// The protocol's dialogue is yutopp/go-rtmp's. That library works with honest clients
// and can be killed, bloated or stalled by any other, so it never sees a client's
// bytes: between the socket and the library stands a guard, a net.Conn that parses the
// chunk stream itself, bounds everything, drops what a publisher does not need, and
// hands on a plain and canonical rendering of the rest. What a client may cost is
// in Limits, why it was turned away in Reason.
//
// The way of a byte: Server accepts and admits, guard reads (wire: deadlines and
// budgets; chunkReader: messages; commands: AMF0), go-rtmp answers, connection (its
// Handler) authorises the publisher and writes access units to a stream.Publication.
//
// It is not a player's server: play is refused. Start from NewServer.
//
// Section numbers in comments are those of "Adobe's Real Time Messaging Protocol" 1.0
// (2012) unless said otherwise.
package rtmp
