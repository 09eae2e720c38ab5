// Command attack sends to a media server of one's own, on loopback, what strangers may send
// to one: offers that cost memory, packets that no encoder sends, connections that are held
// and never read. Every input is bounded in count and time.
//
//	attack [-server FILE] [-before FILE] [-only NAME] [-for DURATION]
//	attack [-server FILE] -soak DURATION [-seed N]
//
// The first form starts a server for each input and prints a table: what came of the input,
// what the server took at its peak, and the longest time for which another viewer had no new
// picture. With -before the same is done to another build of the server beside it. The
// second form sends all inputs mixed to a pair of two servers, and kills the encoder on air
// each minute. It fails if a viewer is lost for good or a server grows.
//
// Start from input.go, which lists the inputs.
package main
