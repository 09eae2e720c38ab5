// Package tcp bounds what a TCP connection holds when its peer does not read.
//
// Linux lets a send buffer grow to 4 MiB. That memory counts against the pod's limit
// but is in no figure of Go. A Listener therefore bounds the bytes that wait unsent in
// the kernel (TCP_NOTSENT_LOWAT). It also bounds the time for which a peer may
// acknowledge nothing (TCP_USER_TIMEOUT, RFC 5482). The kernel still chooses the size
// of the send buffer. Bytes that are sent and not yet acknowledged fill the path to a
// far viewer, and a fixed SO_SNDBUF would throttle that viewer.
//
// A Backlog tells how long the oldest byte of a connection has waited. So a handler can close the
// connection of a reader that is too slow. The handler decides how slow that is.
//
// Start with NewListener. The limits work on Linux only. On other systems a Conn has
// no limits, and a Backlog is always empty.
package tcp
