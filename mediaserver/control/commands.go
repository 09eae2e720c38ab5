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
	// maxBody bounds what the other commands take, in bytes.
	maxBody = 4 << 10
	// statusInterval is the shortest time between two events of /v1/events: a burst of
	// changes is one event.
	statusInterval = 100 * time.Millisecond
	// idleStatusInterval is how often /v1/events sends a status though nothing changed.
	idleStatusInterval = 10 * time.Second
	// commentInterval is how often it sends a comment: three missed ones tell the operator
	// that the pod or the way to it is gone.
	commentInterval = 3 * time.Second
)

// ErrUnknownPair is returned by Backend.Select for a name that is not declared.
var ErrUnknownPair = errors.New("no pair of this name is declared")

// ErrStaleManifest is wrapped by Backend.Configure for a manifest of a lower generation
// than the one in force.
var ErrStaleManifest = errors.New("the manifest is of an older generation than the one in force")

// A Backend is what commands act on.
type Backend interface {
	// Status returns the state of the server.
	Status() control.Status
	// Changed returns a channel that is closed when anything but figures in Status
	// changes.
	Changed() <-chan struct{}
	// Configure replaces the declared pairs by those of the manifest. Its error has one
	// line per mistake, or is an ErrStaleManifest, and then nothing was changed.
	Configure(manifest []byte) error
	// HearOldOperator says that a manifest came from an operator that does not tell of
	// peers; see control.HeaderTellsPeers.
	HearOldOperator()
	// Select pins a leg of a declared pair: Auto, Primary or Backup. Errors:
	// ErrUnknownPair, or a wrong selection.
	Select(pair, selection string) error
	// Advertise replaces the addresses that viewers are told. Its error has one line per
	// mistake, and then nothing was changed.
	Advertise(control.MediaAddresses) error
	// TellPeers says how the other leg's servers are reached. Its error has one line per
	// mistake, and then nothing was changed.
	TellPeers(control.Peers) error
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
	mux.HandleFunc("PUT /v1/addresses", c.addresses)
	mux.HandleFunc("PUT /v1/peers", c.peers)
	return mux
}

type commands struct{ backend Backend }

func (c *commands) status(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, c.backend.Status())
}

func (c *commands) events(w http.ResponseWriter, r *http.Request) {
	s := newEventStream(w, r)
	// Without changes a whole status now and then keeps the figures fresh, and a comment
	// more often tells that both ends are alive.
	idle := time.NewTicker(idleStatusInterval)
	defer idle.Stop()
	beat := time.NewTicker(commentInterval)
	defer beat.Stop()
	for {
		changed := c.backend.Changed()
		if s.send("status", c.backend.Status()) != nil {
			return
		}
		for waiting := true; waiting; {
			select {
			case <-r.Context().Done():
				return
			case <-changed:
				waiting = false
			case <-idle.C:
				waiting = false
			case <-beat.C:
				if s.comment() != nil {
					return
				}
			}
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
	if r.Header.Get(control.HeaderTellsPeers) == "" {
		c.backend.HearOldOperator()
	}
	switch err := c.backend.Configure(manifest); {
	case errors.Is(err, ErrStaleManifest):
		refuse(w, http.StatusConflict, err)
	case err != nil:
		refuse(w, http.StatusUnprocessableEntity, err)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

func (c *commands) selection(w http.ResponseWriter, r *http.Request) {
	var s control.Selection
	if err := decode(w, r, &s); err != nil {
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

func (c *commands) addresses(w http.ResponseWriter, r *http.Request) {
	var a control.MediaAddresses
	// Unknown fields are those of a newer operator, which may leave this server as it is.
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&a)
	if err == nil && a.WebRTC == nil {
		err = errors.New("webrtc is missing")
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, fmt.Errorf(`the body must be {"webrtc":["IP:udpPort:tcpPort"],"http":{"Primary":"URL"}}: %w`, err))
		return
	}
	if err := c.backend.Advertise(a); err != nil {
		refuse(w, http.StatusUnprocessableEntity, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (c *commands) peers(w http.ResponseWriter, r *http.Request) {
	var p control.Peers
	// Unknown fields are those of a newer operator, as above.
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&p)
	if err == nil && p.Clear == nil {
		err = errors.New("clear is missing")
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, fmt.Errorf(`the body must be {"clear":["IP address"]}: %w`, err))
		return
	}
	if err := c.backend.TellPeers(p); err != nil {
		refuse(w, http.StatusUnprocessableEntity, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// decode reads a small body strictly.
func decode(w http.ResponseWriter, r *http.Request, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	return d.Decode(into)
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
