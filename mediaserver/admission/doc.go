// Package admission decides who may come in when places run out: connections, streams of events,
// viewers, publishers, pairs made on demand. Every port and handler that a stranger can reach has a
// [Door], and all doors follow the same rules.
//
// While there are places, everybody gets one: a thousand viewers behind one address need no
// setting. When there is no place left, one client has to go. It belongs to the address with the
// most clients that may go, and is the one that has been of no use for the longest time. So a
// stranger who takes all places pushes out clients of his own, and everybody else still gets in. A
// client that publishes or receives media is never ended for a newcomer. If all clients are of that
// kind, the newcomer is refused.
//
// An IPv6 host owns a whole /64, so all clients from a /64 are counted together: see [NetworkOf].
// The address of a client is that of its connection, or the address that a trusted proxy tells: see
// [Proxies]. A [Listener] puts a Door in front of a TCP port. [Watch] tells the Door what the
// connections of an HTTP server do.
//
// The package knows no protocol beyond that, and no media. Start with [NewDoor].
package admission
