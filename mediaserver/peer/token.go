package peer

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

// tokenForm is what an Authorization header may contain (RFC 6750 section 2.1), and long enough not
// to be guessed.
var tokenForm = regexp.MustCompile(`^[A-Za-z0-9._~+/=-]{16,512}$`)

// tokenOverlap is how long the relay accepts a token that was replaced. A kubelet brings the new
// token to the two pods up to a minute and a half apart.
const tokenOverlap = 5 * time.Minute

// A ClusterToken is a bearer token in a file that may change. The operator sends this token to the
// command port. The relay token of the pair's pods is derived from it. The zero value has no token
// and accepts none.
type ClusterToken struct {
	current  atomic.Pointer[string]
	previous atomic.Pointer[replacedToken]
}

type replacedToken struct {
	token string
	until time.Time
}

// Load reads the token from a file. While the file is invalid, the last good token stays in force.
// Calls must not overlap.
func (t *ClusterToken) Load(file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read the token: %w", err)
	}
	token := string(bytes.TrimSpace(content))
	if !tokenForm.MatchString(token) {
		return fmt.Errorf("read the token: %s must hold 16 to 512 letters, digits and any of ._~+/=-", file)
	}
	if before := t.current.Swap(&token); before != nil && *before != token {
		t.previous.Store(&replacedToken{token: *before, until: time.Now().Add(tokenOverlap)})
	}
	return nil
}

// Is reports whether got is the token in force.
func (t *ClusterToken) Is(got string) bool {
	current := t.current.Load()
	return current != nil && same(got, *current)
}

// relayToken returns the token for requests to the other leg's pod; empty: there is none. The relay
// token crosses the pods' network in clear, so it must not open the command port. A new one is only
// sent once the other pod must have it too. Until then both pods accept the old one.
func (t *ClusterToken) relayToken() string {
	if previous := t.previous.Load(); previous != nil && time.Now().Before(previous.until.Add(-tokenOverlap/2)) {
		return DeriveRelayToken(previous.token)
	}
	if current := t.current.Load(); current != nil {
		return DeriveRelayToken(*current)
	}
	return ""
}

// isRelayToken reports whether got is the relay token of the other leg's pod.
func (t *ClusterToken) isRelayToken(got string) bool {
	current, previous := t.current.Load(), t.previous.Load()
	if current != nil && same(got, DeriveRelayToken(*current)) {
		return true
	}
	return previous != nil && time.Now().Before(previous.until) && same(got, DeriveRelayToken(previous.token))
}

// DeriveRelayToken derives the relay token from a token. The token cannot be found from it.
func DeriveRelayToken(token string) string {
	h := hmac.New(sha256.New, []byte(token))
	h.Write([]byte("streampair relay"))
	return hex.EncodeToString(h.Sum(nil))
}

// same reports whether got is want. Its time does not depend on where the two differ.
func same(got, want string) bool {
	if len(got) > 512 {
		return false
	}
	g, w := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(g[:], w[:]) == 1
}
