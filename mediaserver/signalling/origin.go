package signalling

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

const (
	// bootIDLength and sessionSecret are in hexadecimal digits. Nobody can guess 128
	// bits, so whoever knows an id may use its session.
	bootIDLength  = 8
	sessionSecret = 32
)

// An Origin is the server that has a session. Session ids begin with it, so that every
// server can tell which server a session belongs to.
type Origin struct {
	// Role is "s" for a server of both legs, "p" for that of the primary, "b" for that
	// of the backup.
	Role string
	// BootID is new at every start of a server: 8 hexadecimal digits.
	BootID string
}

// NewBootID returns a random BootID.
func NewBootID() string { return randomHex(bootIDLength) }

// NewID returns the id of a new session.
func (o Origin) NewID() string { return o.Role + o.BootID + randomHex(sessionSecret) }

// EventsHeader is a header of the answer to a WHEP offer. It carries the session's EventsID.
// Older servers do not send it, and take the session's id instead.
const EventsHeader = "Streampair-Events-Session"

// EventsID returns the name of a session in the URLs of its events. The name finds the session,
// and it begins with the Origin like the id. It gives no right to change or end the session, and
// the id can't be derived from it. That matters because proxies log URLs.
func EventsID(id string) string {
	o, ok := OriginOf(id)
	if !ok {
		return ""
	}
	hash := sha256.Sum256([]byte("streampair events " + id))
	return o.Role + o.BootID + hex.EncodeToString(hash[:sessionSecret/2])
}

// newETag returns an ETag that no other session has.
func newETag() string { return `"` + randomHex(16) + `"` }

// OriginOf returns the Origin of a session id. ok is false if no server makes such an id.
func OriginOf(id string) (o Origin, ok bool) {
	if len(id) != 1+bootIDLength+sessionSecret || !strings.Contains("spb", id[:1]) {
		return Origin{}, false
	}
	if _, err := hex.DecodeString(id[1:]); err != nil || strings.ToLower(id) != id {
		return Origin{}, false
	}
	return Origin{id[:1], id[1 : 1+bootIDLength]}, true
}

// LogName returns the part of a session id that may be shown.
func LogName(id string) string { return id[:min(len(id), 1+bootIDLength+8)] }

func randomHex(digits int) string {
	b := make([]byte, digits/2)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
