// Package signalling holds what WHIP and WHEP have in common over HTTP: RFC 9725, which
// the WHEP draft follows, and who of their clients gets a place. It is no handler, and
// knows no media.
package signalling

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/pion/webrtc/v4"
)

// BearerToken is the token of a request's Authorization header, RFC 6750 section 2.1;
// empty: there is none.
func BearerToken(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// Token is the bearer token of a request, or that of its URL, which is what a link carries.
func Token(r *http.Request) string {
	if token := BearerToken(r); token != "" {
		return token
	}
	return r.URL.Query().Get("token")
}

// LinkAlternate tells a client that is refused here of a server that serves the same, by
// its base URL; empty: none is known. See RFC 8288.
func LinkAlternate(w http.ResponseWriter, base string) {
	if base != "" {
		w.Header().Add("Link", "<"+base+`>; rel="alternate"`)
	}
}

// ICEServerLinks writes STUN and TURN servers to recommend as the values of Link
// headers, RFC 9725 section 4.6.
func ICEServerLinks(servers []webrtc.ICEServer) []string {
	var links []string
	for _, server := range servers {
		for _, url := range server.URLs {
			link := "<" + url + `>; rel="ice-server"`
			if password, ok := server.Credential.(string); ok && server.Username != "" {
				link += "; username=" + quote(server.Username) +
					"; credential=" + quote(password) + `; credential-type="password"`
			}
			links = append(links, link)
		}
	}
	return links
}

// quote writes s as a quoted-string, RFC 9110 section 5.6.4.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\r", "", "\n", "").Replace(s) + `"`
}

// A BodyError says why a request's body was not taken.
type BodyError struct {
	// Status is the answer's: 415, 413 or 400.
	Status int
	// Message is a sentence for whoever runs the client.
	Message string
}

func (e *BodyError) Error() string { return e.Message }

// ReadBody reads a request's body of the given type and of at most limit bytes. How long
// that may take is the server's affair.
func ReadBody(w http.ResponseWriter, r *http.Request, mediaType string, limit int64) ([]byte, *BodyError) {
	got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || got != mediaType {
		return nil, &BodyError{http.StatusUnsupportedMediaType, "Send the body as Content-Type: " + mediaType + "."}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, &BodyError{http.StatusRequestEntityTooLarge, fmt.Sprintf("The body is larger than %d bytes.", limit)}
	case err != nil:
		return nil, &BodyError{http.StatusBadRequest, fmt.Sprintf("The body did not arrive: %v.", err)}
	}
	return body, nil
}

// maxPrefix bounds a prefix of Location, in bytes.
const maxPrefix = 256

// Location returns the URL of a session below that of the request which began it. A proxy
// that strips a prefix off the path tells so by X-Forwarded-Prefix, and the client needs it
// back. Whoever makes that header up misleads itself alone.
func Location(r *http.Request, sessionID string) string {
	path := strings.TrimSuffix(r.URL.EscapedPath(), "/") + "/" + sessionID
	// Of several proxies each one adds what it stripped, the outermost first.
	var prefix strings.Builder
	for _, part := range strings.Split(strings.Join(r.Header.Values("X-Forwarded-Prefix"), ","), ",") {
		part = strings.TrimSuffix(strings.TrimSpace(part), "/")
		if !isPrefix(part) {
			return path
		}
		prefix.WriteString(part)
	}
	if prefix.Len() > maxPrefix {
		return path
	}
	return prefix.String() + path
}

// isPrefix reports whether a text is the beginning of an absolute path, RFC 3986 section
// 3.3, and of nothing else: two slashes would begin the name of a host.
func isPrefix(text string) bool {
	if text == "" {
		return true
	}
	if text[0] != '/' || strings.Contains(text, "//") {
		return false
	}
	for i := range len(text) {
		c := text[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && !strings.ContainsRune("/-._~%!$&'()*+;=:@", rune(c)) {
			return false
		}
	}
	return true
}
