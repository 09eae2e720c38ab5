package hls

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/jwks"
	"github.com/streampair/streampair/mediaserver/signalling"
	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	playlistSuffix = ".m3u8"
	adaptiveSuffix = "_adaptive"
	// tokenCookie is the name of the cookie that may carry the token.
	tokenCookie = "streampair_token"
)

// A request is what a player asks for.
type request struct {
	key failover.PairKey
	// multivariant reports whether the multivariant playlist is asked for.
	multivariant bool
	// alone reports whether the backup is given and empty, which asks for the stream alone.
	alone bool
	directives
	// query is the query of all names in the answer, with its question mark; empty: none.
	query string
}

// Directives are the delivery directives of a request (draft section 6.2.5).
type directives struct {
	// sequence and part are _HLS_msn and _HLS_part; negative: not given.
	sequence, part int64
	skip           bool // _HLS_skip
}

var errDirectives = errors.New("_HLS_msn and _HLS_part must be whole numbers, and _HLS_part needs _HLS_msn")

func parseDirectives(query url.Values) (directives, error) {
	d := directives{sequence: -1, part: -1}
	for name, field := range map[string]*int64{"_HLS_msn": &d.sequence, "_HLS_part": &d.part} {
		if text := query.Get(name); text != "" {
			n, err := strconv.ParseUint(text, 10, 31+31)
			if err != nil {
				return d, errDirectives
			}
			*field = int64(n)
		}
	}
	if d.part >= 0 && d.sequence < 0 {
		return d, errDirectives
	}
	skip := query.Get("_HLS_skip")
	d.skip = skip == "YES" || skip == "v2"
	return d, nil
}

// streamOf returns the stream id in the name of a playlist.
func streamOf(file string) string {
	return strings.TrimSuffix(strings.TrimSuffix(file, playlistSuffix), adaptiveSuffix)
}

// parse returns what a player asks for, if the player may play it.
func (h *Handler) parse(r *http.Request) (request, error) {
	var req request
	query := r.URL.Query()
	app := r.PathValue("app")
	id, isPlaylist := strings.CutSuffix(r.PathValue("file"), playlistSuffix)
	if !isPlaylist {
		return req, stream.ErrInvalidStreamID
	}
	id, req.multivariant = strings.CutSuffix(id, adaptiveSuffix)
	req.key = failover.PairKey{App: app, Primary: id, Backup: query.Get("backupStreamId")}
	if req.key.Primary == req.key.Backup {
		return req, stream.ErrSameStream
	}
	req.alone = req.key.Backup == "" && query.Has("backupStreamId")
	if req.key.Backup == "" && !req.alone {
		if key, ok := h.cfg.PairOf(app, id); ok {
			req.key = key
		}
	}
	byQuery, err := h.authorize(r, req.key.Primary, req.key.Backup)
	if err != nil {
		return req, err
	}
	if byQuery != "" {
		req.query = "?token=" + url.QueryEscape(byQuery)
	}
	req.directives, err = parseDirectives(query)
	return req, err
}

// authorize checks the token of a request. byQuery is the token if it must be carried on in the
// query of the names in the answer, because no cookie and no header carries it.
func (h *Handler) authorize(r *http.Request, streamID, backupID string) (byQuery string, err error) {
	app := r.PathValue("app")
	if cookie, _ := r.Cookie(tokenCookie); cookie != nil && h.cfg.Authorize(app, streamID, backupID, cookie.Value) == nil {
		return "", nil
	}
	switch err := h.cfg.Authorize(app, streamID, backupID, signalling.Token(r)); {
	case errors.Is(err, jwks.ErrUnavailable):
		return "", err
	case err != nil:
		return "", &unauthorized{err}
	}
	if signalling.BearerToken(r) != "" {
		return "", nil
	}
	return r.URL.Query().Get("token"), nil
}

// An unauthorized error says that the token does not open the stream, or that there is no such
// stream.
type unauthorized struct{ error }

func (u *unauthorized) Unwrap() error { return u.error }

// child returns the name of the media playlist, relative to that of the multivariant playlist.
func (r request) child() string {
	query := url.Values{}
	if r.key.Backup != "" || r.alone {
		query.Set("backupStreamId", r.key.Backup)
	}
	text := query.Encode()
	switch token := strings.TrimPrefix(r.query, "?"); {
	case token == "":
	case text == "":
		text = token
	default:
		text += "&" + token
	}
	if text != "" {
		text = "?" + text
	}
	return r.key.Primary + playlistSuffix + text
}
