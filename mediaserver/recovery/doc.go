// Package recovery keeps a panic to the session that caused it.
//
// Every goroutine of ours that works on what strangers send runs its work by
// Recovery.Do, which turns a panic into an error. The caller then ends what the work was
// for: one session, one connection, one request. The panic is counted and its stack is
// logged. Two kinds of panic say that more than one session is broken: one that unwinds
// through a Mutex, which several sessions share, and the third of one stack within a
// minute. After either the Recovery gives up: the server makes its planned switch and
// exits, and the other pod of the pair plays on. Start with New.
//
// # What cannot be recovered
//
// A panic on a goroutine that a library started ends the process, unless the library
// calls a function of ours there, which then runs by Do. These goroutines read what
// strangers send, and this is what checks it first:
//
//   - pion/ice, pion/dtls, pion/srtp, pion/sctp, pion/webrtc: STUN, DTLS, SRTP and RTCP
//     packets. Package rtc reads the sockets through its own listeners, which bound
//     packets and connections; SRTP and SRTCP are authenticated before they are parsed.
//     Offers and candidates are parsed on the request's goroutine, and are bounded by
//     packages whip, whep and sdpfrag before pion has them. SCTP is never negotiated.
//   - go-rtmp: chunks and commands. Package rtmp's guard parses and bounds each message
//     before the library does. The library's reads and calls of its handler run by Do,
//     its own decoding of a message recovers by itself.
//   - net/http, crypto/tls: headers and handshakes, bounded by the server's limits.
//     net/http recovers a handler's panic; Handler counts it.
//   - ffmpeg runs in a process of its own.
package recovery
