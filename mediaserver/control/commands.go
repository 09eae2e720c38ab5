package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/mediaserver/sse"
)

const (
	// maxManifest bounds the body of PUT /v1/config, in bytes.
	maxManifest = 1 << 20
	// maxBody bounds the bodies of the other commands, in bytes.
	maxBody = 4 << 10
	// statusInterval is the shortest time between two events
	// of /v1/events. A burst of changes becomes one event.
	statusInterval = 100 * time.Millisecond
	// idleStatusInterval is how often /v1/events sends a status if nothing changed.
	idleStatusInterval = 10 * time.Second
	// commentInterval is how often /v1/events sends a comment. Three missing comments
	// tell the operator that the pod or the network path to the pod is gone.
	commentInterval = 3 * time.Second
)

// ErrUnknownPair is returned by Backend.Select for a name that no declared pair has.
var ErrUnknownPair = errors.New("no pair of this name is declared")

// ErrStaleManifest is wrapped by Backend.Configure's error
// for a manifest of a lower generation than the one in force.
var ErrStaleManifest = errors.New("the manifest is of an older generation than the one in force")

// Replaced identifies the manifest that a command replaces; see control.HeaderReplaces.
type Replaced struct {
	Generation int64
	UID        string // of the StreamPair; empty: any
}

// maxUID bounds the UID in a header, in bytes. The API server's UIDs have 36.
const maxUID = 64

// parseReplaced parses the value of control.HeaderReplaces.
func parseReplaced(value string) (Replaced, error) {
	number, uid, _ := strings.Cut(value, "/")
	generation, err := strconv.ParseInt(number, 10, 64)
	if err != nil || generation < 1 || len(uid) > maxUID {
		return Replaced{}, fmt.Errorf("%s must be GENERATION or GENERATION/UID", control.HeaderReplaces)
	}
	return Replaced{Generation: generation, UID: uid}, nil
}

// A Backend carries out the commands.
type Backend interface {
	Readings
	// Changed returns a channel that is closed when Status changes in more than figures.
	Changed() <-chan struct{}
	// Configure replaces the declared pairs by those of the manifest. Its error is an
	// ErrStaleManifest, or has one line per mistake. After an error nothing has changed.
	Configure(manifest []byte) error
	// Replace is Configure, except that the manifest in force may be of a higher generation.
	// The error is an ErrStaleManifest if another manifest than replaced is in force.
	Replace(manifest []byte, replaced Replaced) error
	// NoteOldOperator notes that a manifest came from an operator
	// that does not tell of peers; see control.HeaderTellsPeers.
	NoteOldOperator()
	// Select pins a leg of a declared pair: Auto, Primary or Backup. The
	// error is ErrUnknownPair, or says that the selection is invalid.
	Select(pair, selection string) error
	// Advertise replaces the addresses that viewers are told. Its error
	// has one line per mistake. After an error nothing has changed.
	Advertise(control.MediaAddresses) error
	// TellPeers says how to reach the other leg's servers. Its error
	// has one line per mistake. After an error nothing has changed.
	TellPeers(control.Peers) error
}

// NewCommands returns the handler of the command port. The handler does
// not authenticate. The caller must bind it to loopback or wrap it.
func NewCommands(b Backend) http.Handler {
	c := &commands{b}
	mux := http.NewServeMux()
	registerReadings(mux, b)
	mux.HandleFunc("GET /v1/events", c.events)
	mux.HandleFunc("PUT /v1/config", c.config)
	mux.HandleFunc("PUT /v1/pairs/{name}/select", c.selection)
	mux.HandleFunc("PUT /v1/addresses", c.addresses)
	mux.HandleFunc("PUT /v1/peers", c.peers)
	return mux
}

type commands struct{ backend Backend }

func (c *commands) events(w http.ResponseWriter, r *http.Request) {
	s := sse.NewStream(w, r)
	// Without changes, a whole status from time to time keeps the figures
	// fresh. More frequent comments show that both ends are alive.
	idle := time.NewTicker(idleStatusInterval)
	defer idle.Stop()
	beat := time.NewTicker(commentInterval)
	defer beat.Stop()
	for {
		changed := c.backend.Changed()
		if s.Send("status", c.backend.Status()) != nil {
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
				if s.Comment() != nil {
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
		c.backend.NoteOldOperator()
	}
	configure := c.backend.Configure
	if value := r.Header.Get(control.HeaderReplaces); value != "" {
		replaced, err := parseReplaced(value)
		if err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		configure = func(manifest []byte) error { return c.backend.Replace(manifest, replaced) }
	}
	switch err := configure(manifest); {
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
	// Unknown fields come from a newer operator, and do not matter to this server.
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
	// Unknown fields come from a newer operator, as above.
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

// decode decodes a small body, and refuses unknown fields.
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
	_ = json.NewEncoder(w).Encode(v) // fails only if the client is gone
}
