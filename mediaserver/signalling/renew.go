package signalling

import (
	"mime"
	"net/http"
	"strings"
)

// TokenType is the media type of a token in a body (RFC 7519 section 10.3.1).
const TokenType = "application/jwt"

// maxToken bounds a token in a body, in bytes.
const maxToken = 8 << 10

// renew gives a session another token.
func renew(w http.ResponseWriter, r *http.Request, renewer Renewer) *Refusal {
	token, refusal := ReadBody(w, r, TokenType, maxToken)
	if refusal != nil {
		return refusal
	}
	if refusal := renewer.Renew(strings.TrimSpace(string(token))); refusal != nil {
		return refusal
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// isOf reports whether a request's body has the media type.
func isOf(r *http.Request, contentType string) bool {
	got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && got == contentType
}
