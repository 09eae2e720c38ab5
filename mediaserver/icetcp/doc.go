// Package icetcp accepts the TCP connections of ICE agents (ICE-TCP, RFC 6544), and bounds
// what one of them can take.
//
// A connection has a place, which an [admission.Door] gives and takes back: the connection
// that a session's media take keeps its place. Before bytes reach the kernel they wait in a
// short queue. A sender of media asks [Conn.HasRoom] first and waits while there is none; what
// else is written, such as an answer to a connectivity check, has some room of its own. A
// write never blocks, because one goroutine writes to many viewers.
//
// Start with [NewListener], which ice.TCPMuxDefault accepts from. Its write buffer must be off.
package icetcp
