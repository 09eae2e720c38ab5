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
