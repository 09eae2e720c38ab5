// Package admission decides who may come in when places run out: connections, streams of
// events, viewers, publishers, pairs made on demand. Every port and handler that a stranger
// can reach has a [Door], and all of them follow the same rules.
//
// While there are places, everybody gets one: a thousand viewers behind one address need no
// setting. When there is none, the address with the most guests that may go loses the one
// that has been of no use for the longest time. So a stranger who takes all places pushes out
// his own, and everybody else still gets in. A guest that publishes or receives media is
// never ended for a newcomer; where all are such guests, the newcomer is refused.
//
// An IPv6 host owns a whole /64, so a place counts for that: see [NetworkOf]. Which address a
// client has is told by the connection, or by a proxy that the configuration trusts: see
// [Proxies]. A [Listener] puts a Door in front of a TCP port, and [Watch] tells it what the
// connections of an HTTP server do.
//
// The package knows no protocol beyond that, and no media. Start with [NewDoor].
package admission
