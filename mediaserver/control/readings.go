package control

import (
	"bytes"
	"errors"
	"net/http"
	"time"

	"github.com/streampair/streampair/api/control"
)

// Readings are what can be read of a server without changing the server.
type Readings interface {
	// Status returns the state of the server.
	Status() control.Status
	// Measures returns what is measured of the streams of the declared pairs.
	Measures() control.Measures
	// Thumbnail returns the JPEG file of a stream's last key frame, and when the file was made. The
	// time is zero if there is none.
	Thumbnail(app, streamID string) (jpeg []byte, made time.Time)
}

// errNoThumbnail is told for a stream that is unknown, is measured elsewhere, or has no picture.
var errNoThumbnail = errors.New("there is no thumbnail of this stream here")

// NewReadings returns a handler of what can be read, without commands. The handler does
// not authenticate. The caller must bind it to loopback or wrap it.
func NewReadings(r Readings) http.Handler {
	mux := http.NewServeMux()
	registerReadings(mux, r)
	return mux
}

func registerReadings(mux *http.ServeMux, from Readings) {
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, from.Status())
	})
	mux.HandleFunc("GET /v1/measures", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		answer(w, http.StatusOK, from.Measures())
	})
	mux.HandleFunc("GET /v1/thumbnails/{app}/{streamID}", func(w http.ResponseWriter, r *http.Request) {
		jpeg, made := from.Thumbnail(r.PathValue("app"), r.PathValue("streamID"))
		if made.IsZero() {
			refuse(w, http.StatusNotFound, errNoThumbnail)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "image/jpeg")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		http.ServeContent(w, r, "", made, bytes.NewReader(jpeg))
	})
}
