// Package conformance tries a WHIP or WHEP server of any make against the text of its protocol: WHIP
// against RFC 9725, WHEP against draft-ietf-wish-whep-03. HEAD is of the editor's copy that followed
// -03, and events are of the draft of extensions beside it (github.com/wish-wg).
//
// A WHEP server may accept the offer, or make a counter-offer, which is answered.
//
// The package needs nothing of the server but the URL of an endpoint, and a token if the server demands one.
// It makes requests that are right, and requests that the server must refuse. It negotiates with
// pion, and waits for media: a WHEP endpoint must play a live stream. A WHIP endpoint gets a small
// picture and silence, so the stream should be nobody's.
//
// Every check has a section of the text, and is a MUST or a SHOULD there. SHALL counts as MUST. What
// the text leaves to the server is not checked: what a server does not have is skipped. Start with
// Run.
package conformance
