package server

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"os"
	"regexp"
	"sync/atomic"
	"time"
)

// tokenForm is what can stand in an Authorization header (RFC 6750 section 2.1) and is
// too long to be guessed.
var tokenForm = regexp.MustCompile(`^[A-Za-z0-9._~+/=-]{16,512}$`)

// tokenOverlap is how long the relay takes a token that was replaced: a kubelet brings the
// new one to the two pods up to a minute and a half apart.
const tokenOverlap = 5 * time.Minute

// A tokenFile is a bearer token in a file that may change: the one that the operator
// shows, and from which what the other leg's pod shows is made. The zero value has no
// token, and so nobody shows it.
type tokenFile struct {
	name     string
	current  atomic.Pointer[string]
	previous atomic.Pointer[replacedToken]
}

type replacedToken struct {
	token string
	until time.Time
}

// load reads the file. While it is wrong, the last good token holds. Calls do not overlap.
func (t *tokenFile) load() error {
	content, err := os.ReadFile(t.name)
	if err != nil {
		return fmt.Errorf("read the token: %w", err)
	}
	token := string(bytes.TrimSpace(content))
	if !tokenForm.MatchString(token) {
		return fmt.Errorf("read the token: %s must hold 16 to 512 letters, digits and any of ._~+/=-", t.name)
	}
	if before := t.current.Swap(&token); before != nil && *before != token {
		t.previous.Store(&replacedToken{token: *before, until: time.Now().Add(tokenOverlap)})
	}
	return nil
}

// is reports whether got is the token in force.
func (t *tokenFile) is(got string) bool {
	current := t.current.Load()
	return current != nil && same(got, *current)
}

// relayToken is what is shown to the other leg's pod; empty: nothing. It crosses the pods'
// network in clear, so it must not open the command port. A new one is shown only when the
// other pod must have it too; until then both take the old one.
func (t *tokenFile) relayToken() string {
	if previous := t.previous.Load(); previous != nil && time.Now().Before(previous.until.Add(-tokenOverlap/2)) {
		return forRelay(previous.token)
	}
	if current := t.current.Load(); current != nil {
		return forRelay(*current)
	}
	return ""
}

// isRelays reports whether got is what the other leg's pod shows.
func (t *tokenFile) isRelays(got string) bool {
	current, previous := t.current.Load(), t.previous.Load()
	if current != nil && same(got, forRelay(*current)) {
		return true
	}
	return previous != nil && time.Now().Before(previous.until) && same(got, forRelay(previous.token))
}

// forRelay makes another secret of a token, from which it cannot be found.
func forRelay(token string) string {
	h := hmac.New(sha256.New, []byte(token))
	h.Write([]byte("streampair relay"))
	return hex.EncodeToString(h.Sum(nil))
}

// same takes the same time wherever the two differ.
func same(got, want string) bool {
	if len(got) > 512 {
		return false
	}
	g, w := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(g[:], w[:]) == 1
}
