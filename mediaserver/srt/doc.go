// Package srt accepts publishers by SRT (draft-sharabayko-srt-01) in live mode, and writes their MPEG
// transport streams to publications of the stream registry.
//
// The package is a listener that only receives. From the library datarhei/gosrt it takes what is
// the same for everybody: the control messages, and the encryption. The library's own listener is
// not used, because any caller can crash it, stall it or fill its memory: a handshake that is a few
// bytes short makes it panic, the caller chooses how long packets are kept, and nothing bounds them.
// A guard in front of it would have to know all that a receiver knows: sequence numbers, times,
// losses and keys.
//
// A datagram passes these parts in turn. Server reads it from the socket, and finds its connection by
// address and socket id. Handshakes are answered by a goroutine of their own: the answer to the first
// one keeps nothing, and its cookie proves the address of the caller. A connection decrypts, and its
// window puts packets in order, asks for lost ones, and says when each is due. What is due goes to a
// feed.TransportStream.
//
// Section numbers in comments are those of draft-sharabayko-srt-01 unless another document is named.
//
// Start with NewServer.
package srt
