package server

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"os"
	"regexp"
	"sync/atomic"
)

// tokenForm is what can stand in an Authorization header (RFC 6750 section 2.1) and is
// too long to be guessed.
var tokenForm = regexp.MustCompile(`^[A-Za-z0-9._~+/=-]{16,512}$`)

// A tokenFile is a bearer token in a file that may change: the one that the operator and
// the other leg's pod show. The zero value has no token, and so nobody shows it.
type tokenFile struct {
	name    string
	current atomic.Pointer[string]
}

// load reads the file. While it is wrong, the last good token holds.
func (t *tokenFile) load() error {
	content, err := os.ReadFile(t.name)
	if err != nil {
		return fmt.Errorf("read the token: %w", err)
	}
	token := string(bytes.TrimSpace(content))
	if !tokenForm.MatchString(token) {
		return fmt.Errorf("read the token: %s must hold 16 to 512 letters, digits and any of ._~+/=-", t.name)
	}
	t.current.Store(&token)
	return nil
}

// token is the one in force, to show to the other leg's pod; empty: there is none.
func (t *tokenFile) token() string {
	if token := t.current.Load(); token != nil {
		return *token
	}
	return ""
}

// is reports whether got is the token. It takes the same time wherever the two differ.
func (t *tokenFile) is(got string) bool {
	want := t.token()
	if want == "" || len(got) > 512 {
		return false
	}
	g, w := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(g[:], w[:]) == 1
}
