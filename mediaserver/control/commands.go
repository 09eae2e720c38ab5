package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/streampair/streampair/api/control"
)

const (
	// maxManifest bounds what PUT /v1/config takes, in bytes.
	maxManifest = 1 << 20
	// statusInterval is the shortest time between two events of /v1/events: a burst of
	// changes is one event.
	statusInterval = 100 * time.Millisecond
)

// ErrUnknownPair is returned by Backend.Select for a name that is not declared.
var ErrUnknownPair = errors.New("no pair of this name is declared")

// A Backend is what commands act on.
type Backend interface {
	// Status returns the state of the server.
	Status() control.Status
	// Changed returns a channel that is closed when anything but figures in Status
	// changes.
	Changed() <-chan struct{}
	// Configure replaces the declared pairs by those of the manifest. Its error has one
	// line per mistake, and then nothing was changed.
	Configure(manifest []byte) error
	// Select pins a leg of a declared pair: Auto, Primary or Backup. Errors:
	// ErrUnknownPair, or a wrong selection.
	Select(pair, selection string) error
}

// NewCommands returns the handler of the command port. It does not authenticate: the
// caller binds it to loopback or wraps it.
func NewCommands(b Backend) http.Handler {
	c := &commands{b}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", c.status)
	mux.HandleFunc("GET /v1/events", c.events)
	mux.HandleFunc("PUT /v1/config", c.config)
	mux.HandleFunc("PUT /v1/pairs/{name}/select", c.selection)
	return mux
}

type commands struct{ backend Backend }

func (c *commands) status(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, c.backend.Status())
}

func (c *commands) events(w http.ResponseWriter, r *http.Request) {
	s := newEventStream(w)
	// Without changes a whole status now and then tells that both ends are alive.
	idle := time.NewTicker(10 * time.Second)
	defer idle.Stop()
	for {
		changed := c.backend.Changed()
		if s.send("status", c.backend.Status()) != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-changed:
		case <-idle.C:
		}
		select {
		case <-r.Context().Done():
			return
		case <-time.After(statusInterval):
		}
	}
}

func (c *commands) config(w http.ResponseWriter, r *http.Request) {
	manifest, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxManifest))
	if err != nil {
		refuse(w, http.StatusRequestEntityTooLarge, fmt.Errorf("the manifest is longer than %d bytes", maxManifest))
		return
	}
	if err := c.backend.Configure(manifest); err != nil {
		refuse(w, http.StatusUnprocessableEntity, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (c *commands) selection(w http.ResponseWriter, r *http.Request) {
	var s control.Selection
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		refuse(w, http.StatusBadRequest, fmt.Errorf(`the body must be {"select":"Auto"}, "Primary" or "Backup": %w`, err))
		return
	}
	switch err := c.backend.Select(r.PathValue("name"), s.Select); {
	case errors.Is(err, ErrUnknownPair):
		refuse(w, http.StatusNotFound, err)
	case err != nil:
		refuse(w, http.StatusUnprocessableEntity, err)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// refuse answers with the lines of err.
func refuse(w http.ResponseWriter, code int, err error) {
	answer(w, code, control.Error{Errors: strings.Split(err.Error(), "\n")})
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // the client has gone
}
