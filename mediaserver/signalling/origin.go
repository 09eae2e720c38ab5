package signalling

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

const (
	// bootIDLength and sessionSecret are in hexadecimal digits. Nobody can guess 128 bits,
	// and so an id is also the right to use its session.
	bootIDLength  = 8
	sessionSecret = 32
)

// An Origin says where a session is. The ids of its sessions begin with it, so that every
// other server can tell whose they are.
type Origin struct {
	// Role is "s" for a server of both legs, "p" or "b" for that of one.
	Role string
	// BootID is made anew at every start of a server: 8 hexadecimal digits.
	BootID string
}

// NewBootID returns a random one.
func NewBootID() string { return randomHex(bootIDLength) }

// NewID returns the id of a new session.
func (o Origin) NewID() string { return o.Role + o.BootID + randomHex(sessionSecret) }

// EventsHeader is the header of the answer to a WHEP offer that has the EventsID of the
// session. Servers before it send none, and take the session's id.
const EventsHeader = "Streampair-Events-Session"

// EventsID returns the name of a session in the URLs of its events. It finds the session,
// and every server can tell whose the session is, as by the id itself. It is no right to
// change or end the session: proxies log URLs, and the id cannot be found from it.
func EventsID(id string) string {
	o, ok := OriginOf(id)
	if !ok {
		return ""
	}
	hash := sha256.Sum256([]byte("streampair events " + id))
	return o.Role + o.BootID + hex.EncodeToString(hash[:sessionSecret/2])
}

// NewETag returns one that no other session has.
func NewETag() string { return `"` + randomHex(16) + `"` }

// OriginOf returns where the session of that id is, or was. It is not ok if no server makes
// such an id.
func OriginOf(id string) (o Origin, ok bool) {
	if len(id) != 1+bootIDLength+sessionSecret || !strings.Contains("spb", id[:1]) {
		return Origin{}, false
	}
	if _, err := hex.DecodeString(id[1:]); err != nil || strings.ToLower(id) != id {
		return Origin{}, false
	}
	return Origin{id[:1], id[1 : 1+bootIDLength]}, true
}

// LogName is as much of a session's id as may be shown.
func LogName(id string) string { return id[:min(len(id), 1+bootIDLength+8)] }

func randomHex(digits int) string {
	b := make([]byte, digits/2)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
