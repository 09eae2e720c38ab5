// Command attack sends to a media server that it starts on loopback what strangers
// may send: offers that cost memory, packets that no encoder sends, and connections
// that are held open and never read. Every input is bounded in count and time.
//
//	attack [-server FILE] [-before FILE] [-only NAME] [-for DURATION]
//	attack [-server FILE] -soak DURATION [-seed N]
//
// The first form starts a server for each input and prints a table. The table has the
// result of the input, the server's peak memory, and the longest time without a new picture
// for another viewer. With -before another build of the server gets the same inputs, for
// comparison. The second form sends all inputs, mixed, to a pair of two servers, and kills
// the encoder on air every minute. It fails if a viewer is lost for good or a server grows.
//
// Start with input.go, which lists the inputs.
package main
