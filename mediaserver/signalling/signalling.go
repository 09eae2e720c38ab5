// Package signalling is the HTTP side of WebRTC: what WHIP (RFC 9725) and WHEP
// (draft-ietf-wish-whep) have in common.
//
// A Front answers the requests. It decides which clients get a place, finds the session that a
// request is about, takes trickled candidates, and words what it refuses. Package whip or whep
// gives it the protocol's side of each session, a Peer, which negotiates and has the media. Beside
// the Front there are tokens and session ids, which other HTTP handlers use too. Start with
// NewFront.
package signalling

import (
	"net/http"
	"strings"

	"github.com/pion/webrtc/v4"
)

// BearerToken returns the token of a request's Authorization header (RFC 6750 section
// 2.1), or "" if there is none.
func BearerToken(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// Token returns the bearer token of a request, or else the token in its URL, as in a link.
func Token(r *http.Request) string {
	if token := BearerToken(r); token != "" {
		return token
	}
	return r.URL.Query().Get("token")
}

// LinkAlternate adds a Link header (RFC 8288) to a refusal. It names another server that serves
// the same, by its base URL. It adds nothing when base is empty, because none is known.
func LinkAlternate(w http.ResponseWriter, base string) {
	if base != "" {
		w.Header().Add("Link", "<"+base+`>; rel="alternate"`)
	}
}

// iceServerLinks returns the values of Link headers that recommend STUN and TURN
// servers, RFC 9725 section 4.6.
func iceServerLinks(servers []webrtc.ICEServer) []string {
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

// maxPrefix bounds the prefixes in a path, in bytes.
const maxPrefix = 256

// PathBelow returns the path of a resource, such as a session, below the URL of the request that
// made it. A proxy that strips a prefix off the path names the prefix in X-Forwarded-Prefix, and the
// client needs that prefix. A client that makes the header up misleads only itself.
func PathBelow(r *http.Request, name string) string {
	path := strings.TrimSuffix(r.URL.EscapedPath(), "/") + "/" + name
	// With several proxies, each adds the prefix that it stripped, the outermost first.
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

// isPrefix reports whether a text is the beginning of an absolute path (RFC 3986 section 3.3) and
// nothing else. Two slashes are refused, because they would begin a host name.
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
