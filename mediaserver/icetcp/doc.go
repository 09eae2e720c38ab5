// Package icetcp accepts the TCP connections of ICE agents (ICE-TCP, RFC 6544), and
// bounds what each of them can take.
//
// An [admission.Door] gives each connection a place and may take it back. A connection
// that carries a session's media keeps its place. Bytes wait in a short queue before they
// reach the kernel. A sender of media asks [Conn.HasRoom] first, and waits while there is
// no room. Other frames, such as answers to connectivity checks, have some extra room. A
// write never blocks, because one goroutine writes to many viewers.
//
// Start with [NewListener], from which ice.TCPMuxDefault accepts. The mux's own write
// buffer must be off.
package icetcp
