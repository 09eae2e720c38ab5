// Package recovery confines a panic to the session that caused it.
//
// Every goroutine of ours that works on input from strangers runs its work by Recovery.Do, which
// turns a panic into an error. The caller then ends one session, one connection or one request. The
// panic is counted, and its stack is logged once a minute.
//
// Two kinds of panic mean that more than one session may be broken. One kind unwinds through a
// Mutex, which several sessions share. The other is the third panic with the same stack within a
// minute. After either kind the Recovery gives up: the server makes its planned switch and exits,
// and the other pod of the pair plays on. Start with New.
//
// # What cannot be recovered
//
// A panic on a goroutine that a library started ends the process. If the library calls a function
// of ours that parses anything, that function runs by Do. The goroutines of these libraries read
// input from strangers. Each entry says what checks the input first:
//
//   - pion/ice, pion/dtls, pion/srtp, pion/webrtc and pion/interceptor: STUN, DTLS, RTP
//     and RTCP packets. Package rtc bounds their size and the connections they come by.
//     RTP and RTCP are authenticated (SRTP) before they are parsed. Offers are read by
//     package sdpoffer and candidates by package sdpfrag, within bounds and on the
//     request's own goroutine, before pion has them. SCTP is never negotiated.
//   - go-rtmp: chunks and commands. Package rtmp's guard parses and bounds each message
//     before the library does, and the library recovers on its own goroutines.
//   - net/http and crypto/tls: headers and handshakes, within the server's limits.
//     net/http recovers a handler's panic; Handler counts it before.
//
// The goroutines of package admission do not recover either. They read only the PROXY header of
// proxies that the operator of the server trusts. ffmpeg is a process of its own.
package recovery
