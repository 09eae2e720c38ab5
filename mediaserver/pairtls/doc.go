// Package pairtls lets the two media servers of a pair prove their identity to each other, before
// either of them sends anything else.
//
// Both servers of a pair have the pair's certificate and its key. Each server shows the
// certificate, as TLS server and as TLS client, and proves in the handshake that it has the key.
// Each server compares the other's certificate, byte for byte, with the certificate that it
// expects. No chain, name, date or purpose is checked: the certificate is the pair's own and was
// made for this. An expired certificate proves the key as well as before.
//
// A certificate that was replaced is accepted for [Overlap], because the new certificate reaches
// the two servers at different moments; see [Identity].
//
// A [Listener] is a TCP port that admits only the other server of the pair. [Identity] has the TLS
// configuration of either end. Start with [NewIdentity].
//
// The package knows no HTTP and no media.
package pairtls
