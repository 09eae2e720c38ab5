package controlroom

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"sync"
	"time"
)

const (
	// keyLifetime is how long a key that nobody uses opens the room.
	keyLifetime = time.Hour
	// sessionLifetime is how long a page that asks for nothing stays admitted.
	sessionLifetime = 12 * time.Hour
	// maxSessions bounds the admitted browsers. A newcomer ends the session that is idle for longest.
	maxSessions = 64
)

type digest = [sha256.Size]byte

// A door lets browsers in. It keeps digests of keys and sessions, and not the secrets themselves. The
// zero value has no key, and lets nobody in.
type door struct {
	mu       sync.Mutex // guards all below
	key      digest
	keyUntil time.Time
	sessions map[digest]time.Time // until when
}

// newKey returns a key that opens the door once, and makes the key before useless.
func (d *door) newKey(now time.Time) string {
	key := rand.Text()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.key, d.keyUntil = sha256.Sum256([]byte(key)), now.Add(keyLifetime)
	return key
}

// exchange gives a session for a key. ok is false for a wrong, used or expired key. The time that a
// refusal takes does not depend on where the keys differ.
func (d *door) exchange(key string, now time.Time) (session string, ok bool) {
	got := sha256.Sum256([]byte(key))
	d.mu.Lock()
	defer d.mu.Unlock()
	if subtle.ConstantTimeCompare(got[:], d.key[:]) != 1 || !now.Before(d.keyUntil) {
		return "", false
	}
	d.keyUntil = time.Time{}
	session = rand.Text()
	if d.sessions == nil {
		d.sessions = make(map[digest]time.Time)
	}
	if len(d.sessions) == maxSessions {
		delete(d.sessions, d.idlest())
	}
	d.sessions[sha256.Sum256([]byte(session))] = now.Add(sessionLifetime)
	return session, true
}

// idlest returns the session that ends first. d.mu must be held.
func (d *door) idlest() (found digest) {
	var first time.Time
	for session, until := range d.sessions {
		if first.IsZero() || until.Before(first) {
			found, first = session, until
		}
	}
	return found
}

// admits reports whether a session is admitted, and prolongs the session.
func (d *door) admits(session string, now time.Time) bool {
	of := sha256.Sum256([]byte(session))
	d.mu.Lock()
	defer d.mu.Unlock()
	until, known := d.sessions[of]
	if !known {
		return false
	}
	if !now.Before(until) {
		delete(d.sessions, of)
		return false
	}
	d.sessions[of] = now.Add(sessionLifetime)
	return true
}
