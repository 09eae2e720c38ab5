// Package pairtls lets the media servers of a pair prove to each other who they are, both
// ways, before either sends anything else.
//
// Both servers of a pair have the pair's certificate and its key. Each shows the
// certificate, as TLS server and as TLS client, and proves the key in the handshake. Each
// compares what the other shows, byte for byte, with the certificate that it expects. No
// chain, name, date or purpose is looked at: the certificate is the pair's own, was made
// for this, and one that has expired proves the key as well as before.
//
// A certificate that was replaced is accepted for [Overlap], because the new one reaches
// the two servers at different moments; see [Identity].
//
// A [Listener] is a TCP port that only the other server of the pair gets past. [Identity]
// has the configuration of either end. Start with [NewIdentity].
//
// The package knows no HTTP and no media.
package pairtls
