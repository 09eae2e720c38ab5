// Package tcp bounds what a TCP connection holds whose peer does not read.
//
// Linux lets a send buffer grow to 4 MiB. That memory counts against the pod's limit and
// shows in no figure of Go. A Listener therefore bounds the bytes that wait unsent in
// the kernel (TCP_NOTSENT_LOWAT) and the time for which a peer may acknowledge nothing
// (TCP_USER_TIMEOUT, RFC 5482). The size of the send buffer itself stays the kernel's
// choice: bytes that are sent and not yet acknowledged fill the path to a far viewer, and
// a fixed SO_SNDBUF would throttle that viewer.
//
// A Backlog tells how long the oldest byte of a connection has waited, so that a handler
// can end a reader that is too slow. How slow is too slow is the handler's decision.
//
// Start with NewListener. The limits are those of Linux: elsewhere a Conn has no limits,
// and a Backlog is always empty.
package tcp
