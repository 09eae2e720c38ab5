package controlroom

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/streampair/streampair/api/control"
)

// State is all that the page shows.
type State struct {
	// Place says where the pairs are, such as the name of a machine or of a namespace.
	Place string `json:"place"`
	// Time is the clock of the server of the page.
	Time  time.Time `json:"time"`
	Pairs []Pair    `json:"pairs"`
}

// Pair is what the page shows of a pair.
type Pair struct {
	Name string `json:"name"`
	// AgeMilliseconds is the time since a media server last told Status.
	AgeMilliseconds int64 `json:"ageMilliseconds"`
	// Status is nil until a media server has told it.
	Status      *control.Pair         `json:"status,omitempty"`
	Measures    *control.PairMeasures `json:"measures,omitempty"`
	Credentials []Credential          `json:"credentials,omitempty"`
	// Warnings are sentences for the person on duty.
	Warnings []string `json:"warnings,omitempty"`
}

// A Credential is a certificate or a token that expires.
type Credential struct {
	Name     string    `json:"name"`
	NotAfter time.Time `json:"notAfter"`
}

// TokensOf returns the tokens that expire of the encoders that publish a pair's streams. streams may be of
// one media server or of several: an encoder is at one of them.
func TokensOf(pair *control.Pair, streams []control.Stream) []Credential {
	var out []Credential
	for _, leg := range []struct{ name, streamID string }{{"primary", pair.PrimaryID}, {"backup", pair.BackupID}} {
		for _, s := range streams {
			if s.App == pair.App && s.StreamID == leg.streamID && s.TokenExpires != nil {
				out = append(out, Credential{Name: "token of the " + leg.name + "'s encoder", NotAfter: *s.TokenExpires})
			}
		}
	}
	return out
}

// ErrUnknownPair is wrapped by the errors of a Source for a pair that does not exist.
var ErrUnknownPair = errors.New("there is no such pair")

// A Source knows the pairs. Its methods are called by several goroutines.
type Source interface {
	// State returns the state. Each open page asks twice a second.
	State(ctx context.Context) State
	// Thumbnail returns the JPEG file of a leg's last key frame. An empty file: there is none. role is
	// Primary or Backup.
	Thumbnail(ctx context.Context, pair, role string) (jpeg []byte, err error)
	// Take pins a leg, Primary or Backup, or lets the media servers choose: Auto. The error is an
	// ErrUnknownPair, or a sentence for the person on duty.
	Take(ctx context.Context, pair, selection string) error
}

// Config configures a Room.
type Config struct {
	// Source is required.
	Source Source
	// IsHost reports whether the room may be opened by a host name or address, beside the names of this
	// machine's loopback and the address that was connected to. Default: no other.
	IsHost func(host string) bool
	// Bearer reports whether a bearer token opens the room without a cookie. Default: none does.
	Bearer func(token string) bool
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// A Room is the control room of one server.
type Room struct {
	cfg   Config
	files *files
	door  door
	// folder is the path of the page in a browser, and of its cookie. Browsers send the cookies of a host
	// to all its ports. Whoever serves another port cannot guess the path, and so does not get the cookie.
	folder string
}

// maxBody bounds the body of a request, in bytes.
const maxBody = 1 << 10

// New returns a Room. NewKey lets the first person in.
func New(cfg Config) *Room {
	if cfg.IsHost == nil {
		cfg.IsHost = func(string) bool { return false }
	}
	if cfg.Bearer == nil {
		cfg.Bearer = func(string) bool { return false }
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Room{cfg: cfg, files: readFiles(dist), folder: "/" + rand.Text() + "/"}
}

// URL returns the address of the page, with a new key that opens the page once. base is the scheme and
// the host. The key of the URL before, if nobody used it, opens nothing any more.
func (r *Room) URL(base string) string { return base + "/?key=" + r.door.newKey(r.cfg.Now()) }

// Handler returns the page and all that the page asks for. A browser gets them in a folder that nobody can
// guess. Whoever has the bearer token needs no folder.
func (r *Room) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", r.files.page)
	mux.HandleFunc("GET /room/assets/{file}", r.files.asset)
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /room/state", r.state)
	mux.HandleFunc("GET /room/pairs/{name}/{role}/picture", r.picture)
	mux.HandleFunc("PUT /room/pairs/{name}/select", r.take)
	folders := http.NewServeMux()
	folders.Handle("/", mux)
	folders.Handle(r.folder, http.StripPrefix(strings.TrimSuffix(r.folder, "/"), mux))
	return r.Admit(folders)
}

func (r *Room) state(w http.ResponseWriter, req *http.Request) {
	answer(w, http.StatusOK, r.cfg.Source.State(req.Context()))
}

func (r *Room) picture(w http.ResponseWriter, req *http.Request) {
	jpeg, err := r.cfg.Source.Thumbnail(req.Context(), req.PathValue("name"), req.PathValue("role"))
	switch {
	case err != nil:
		refuse(w, http.StatusBadGateway, err.Error())
	case len(jpeg) == 0:
		refuse(w, http.StatusNotFound, "there is no picture of this leg")
	default:
		w.Header().Set("Content-Type", "image/jpeg")
		http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(jpeg))
	}
}

func (r *Room) take(w http.ResponseWriter, req *http.Request) {
	var s control.Selection
	d := json.NewDecoder(http.MaxBytesReader(w, req.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil || s.Select != "Auto" && s.Select != "Primary" && s.Select != "Backup" {
		refuse(w, http.StatusBadRequest, `the body must be {"select":"Auto"}, "Primary" or "Backup"`)
		return
	}
	switch err := r.cfg.Source.Take(req.Context(), req.PathValue("name"), s.Select); {
	case errors.Is(err, ErrUnknownPair):
		refuse(w, http.StatusNotFound, err.Error())
	case err != nil:
		refuse(w, http.StatusUnprocessableEntity, err.Error())
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// refuse answers with a sentence.
func refuse(w http.ResponseWriter, code int, sentence string) {
	answer(w, code, control.Error{Errors: []string{sentence}})
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // fails only if the client is gone
}
