package controlroom

import (
	"mime"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// securityHeaders are on every answer. The page takes code, styles and pictures from its own server
// alone, and no page frames it. Scripts cannot write HTML (trusted types).
var securityHeaders = map[string]string{
	"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
	"Referrer-Policy":              "no-referrer",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Cache-Control":                "no-store",
}

// Admit passes on the requests of those who may be in the room, and exchanges keys for cookies.
func (r *Room) Admit(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		for name, value := range securityHeaders {
			w.Header().Set(name, value)
		}
		if refusal := r.judge(req); refusal != "" {
			refuse(w, http.StatusForbidden, refusal)
			return
		}
		if key := req.URL.Query().Get("key"); key != "" && req.Method == http.MethodGet && req.URL.Path == "/" {
			r.enter(w, req, key)
			return
		}
		if !r.admits(req) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="streampair"`)
			refuse(w, http.StatusUnauthorized, notAdmitted)
			return
		}
		h.ServeHTTP(w, req)
	})
}

// cookieName is the same for all rooms. Each room has its own folder, and so its own cookie.
const cookieName = "streampair-room"

const notAdmitted = "open the control room by the URL with its key, which the server prints when it starts; a key opens one browser"

// enter exchanges a key for a cookie. The browser then opens the page without the key.
func (r *Room) enter(w http.ResponseWriter, req *http.Request, key string) {
	session, ok := r.door.exchange(key, r.cfg.Now())
	if !ok {
		refuse(w, http.StatusUnauthorized, "this key is wrong, was used before, or is older than an hour: "+notAdmitted)
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: session, Path: r.folder, HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: req.TLS != nil,
	})
	w.Header().Set("Location", r.folder)
	w.WriteHeader(http.StatusSeeOther)
}

// admits reports whether a request has the cookie of a session, or the bearer token.
func (r *Room) admits(req *http.Request) bool {
	if token, ok := bearerToken(req); ok {
		return r.cfg.Bearer(token)
	}
	cookie, err := req.Cookie(cookieName)
	return err == nil && r.door.admits(cookie.Value, r.cfg.Now())
}

// bearerToken returns the token of a request (RFC 6750, section 2.1). No page can make a browser send one.
func bearerToken(req *http.Request) (token string, ok bool) {
	token, ok = strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
	return strings.TrimSpace(token), ok
}

// judge returns why a request is refused whoever sent it; empty: it is not. A browser tells who makes
// it send a request by Sec-Fetch-Site (W3C Fetch Metadata, section 2.4) and Origin (RFC 6454).
func (r *Room) judge(req *http.Request) string {
	site, origin := req.Header.Get("Sec-Fetch-Site"), req.Header.Get("Origin")
	_, hasToken := bearerToken(req)
	switch {
	case !r.isServed(req):
		return "the control room is not served by this name"
	case len(req.Header.Values("Origin")) > 1 || IsForeign(req):
		return "pages of other addresses are not served"
	case slices.Contains([]string{"iframe", "frame", "embed", "object"}, req.Header.Get("Sec-Fetch-Dest")):
		return "the control room cannot be part of another page"
	case origin != "" && origin != ownOrigin(req):
		return "pages of other addresses are not served"
	case req.Method == http.MethodGet || req.Method == http.MethodHead:
		return ""
	case !isJSON(req):
		return "the body must be of the type application/json"
	case site != "same-origin" && (!hasToken || site != ""), origin == "" && !hasToken:
		return "commands are taken from the control room's own page, or with a bearer token"
	}
	return ""
}

// IsForeign reports whether a page of another address made a browser send the request.
func IsForeign(req *http.Request) bool {
	sites := req.Header.Values("Sec-Fetch-Site")
	return len(sites) > 1 || len(sites) == 1 && sites[0] != "same-origin" && sites[0] != "none"
}

func ownOrigin(req *http.Request) string {
	if req.TLS != nil {
		return "https://" + req.Host
	}
	return "http://" + req.Host
}

func isJSON(req *http.Request) bool {
	kind, _, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	return err == nil && kind == "application/json"
}

// isServed reports whether the room is served by the name that the request has for it. Any other name
// may be one that somebody else's DNS resolves to this machine.
func (r *Room) isServed(req *http.Request) bool {
	if IsThisMachine(req.Host) {
		return true
	}
	host := hostOf(req.Host)
	if local, ok := req.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		bound, err := netip.ParseAddrPort(local.String())
		if ip, parsed := netip.ParseAddr(host); err == nil && parsed == nil && ip.Unmap() == bound.Addr().Unmap().WithZone("") {
			return true
		}
	}
	return r.cfg.IsHost(host)
}

// IsThisMachine reports whether a host, with or without a port, always names this
// machine. A name that somebody else's DNS could resolve to this machine does not count.
func IsThisMachine(hostport string) bool {
	host := hostOf(hostport)
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback()
}

// hostOf returns a host without its port and without brackets.
func hostOf(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	return strings.Trim(host, "[]")
}
