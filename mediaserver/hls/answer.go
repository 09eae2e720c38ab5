package hls

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/hls/cut"
	"github.com/streampair/streampair/mediaserver/hls/playlist"
	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	playlistType = "application/vnd.apple.mpegurl"
	mediaType    = "video/mp4"
	// answerTime is how long a player may take for an answer, from when it can be given.
	answerTime = 30 * time.Second
	// maxTexts bounds the playlists that are kept as text until the next change. Each viewer's token
	// makes another one.
	maxTexts = 16
	// peerPieceHold is how long a request for an unknown name is held where a peer may know it.
	peerPieceHold = 2 * time.Second
	// leastGzip is the size from which a playlist is compressed, in bytes.
	leastGzip = 512
)

// Kinds and outcomes of requests in metrics.
const (
	kindPlaylist = "playlist"
	kindMedia    = "media"

	outcomeOK       = "ok"
	outcomeTimeout  = "timeout"
	outcomeNotFound = "not_found"
	outcomeRefused  = "refused"
)

// A textKey names a text of a playlist's version.
type textKey struct {
	multivariant, skip, gzip bool
	query                    string
}

// A text is a playlist as it is sent, with its ETag.
type text struct {
	body []byte
	tag  string
}

// render returns the playlist that a request asks for. Its tag follows from the playlist without the
// query, which varies by viewer and is part of the URL already. So all servers that have the playlist
// send the same tag. p.mu must be held.
func (p *programme) render(req request, gzip bool) text {
	body := p.text(req)
	req.query = ""
	sum := sha256.Sum256(p.text(req))
	if gzip && len(body) >= leastGzip {
		body, sum[0] = compress(body), sum[0]^1
	}
	return text{body, `"` + hex.EncodeToString(sum[:12]) + `"`}
}

// allow lets pages of other sites read the answer. Where the viewer's cookie is used, only pages of
// allowed origins may. For all others, browsers use no cookie, because "*" forbids it.
func (h *Handler) allow(w http.ResponseWriter, r *http.Request, streamID string, isCookieUsed bool) {
	header := w.Header()
	header.Set("Access-Control-Expose-Headers", "ETag, Date, Content-Length, Content-Range, Retry-After")
	origins := h.cfg.Origins(r.PathValue("app"), streamID)
	if len(origins) > 0 {
		header.Add("Vary", "Origin")
	}
	switch origin := r.Header.Get("Origin"); {
	case slices.Contains(origins, origin):
		header.Set("Access-Control-Allow-Origin", origin)
		header.Set("Access-Control-Allow-Credentials", "true")
	case !isCookieUsed:
		header.Set("Access-Control-Allow-Origin", "*")
	}
	if h.isDraining() {
		header.Set("Connection", "close") // the next connection leads to another server
	}
}

// hasCookie reports whether a request shows a token in a cookie.
func hasCookie(r *http.Request) bool {
	_, err := r.Cookie(tokenCookie)
	return err == nil
}

func (h *Handler) preflight(w http.ResponseWriter, r *http.Request) {
	id, _, _ := strings.Cut(r.PathValue("file"), "/")
	h.allow(w, r, streamOf(id), false)
	w.Header().Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
	w.Header().Set("Access-Control-Allow-Headers", "Authorization, Range, If-None-Match")
	w.Header().Set("Access-Control-Max-Age", "3600")
	w.WriteHeader(http.StatusNoContent)
}

func networkOf(r *http.Request) netip.Prefix {
	return admission.NetworkOf(admission.AddressOf(r.RemoteAddr))
}

func (h *Handler) servePlaylist(w http.ResponseWriter, r *http.Request) {
	h.allow(w, r, streamOf(r.PathValue("file")), hasCookie(r))
	req, err := h.parse(r)
	if err != nil {
		h.refuse(w, kindPlaylist, err)
		return
	}
	from := networkOf(r)
	p, answered, err := h.programme(from, req.key)
	if err != nil {
		h.refuse(w, kindPlaylist, err)
		return
	}
	defer answered()
	setDeadline(w, darkHold+coldHold+3*maxTarget)
	if err := h.holdUntilReady(r.Context(), from, p); err != nil {
		h.refuse(w, kindPlaylist, err)
		return
	}
	if req.sequence >= 0 && !req.multivariant {
		if !p.isNear(req.sequence) {
			h.refuse(w, kindPlaylist, errTooFar)
			return
		}
		err := h.hold(r.Context(), from, p, h.reloadLimit(p), errLate, func() bool {
			return p.isReady() && p.list.Has(req.sequence, int(req.part))
		})
		// If this server ends, the player gets what there is, and goes on at another server.
		if goesOn := p.isMirrored() && errors.Is(err, errOver); err != nil && !goesOn {
			h.refuse(w, kindPlaylist, err)
			return
		}
	}
	setDeadline(w, answerTime)
	h.answer(w, r, p, req)
}

var errTooFar = errors.New("_HLS_msn is more than two segments ahead of the playlist")

// isNear reports whether a segment with that number is, was or soon will be in the playlist.
func (p *programme) isNear(sequence int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return sequence <= p.list.Next()+1
}

// setDeadline gives the answer to a request so much time from now.
func setDeadline(w http.ResponseWriter, limit time.Duration) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(limit))
}

// answer sends the playlist as it is now.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, p *programme, req request) {
	key := textKey{multivariant: req.multivariant, skip: req.skip, query: req.query}
	key.gzip = strings.Contains(r.Header.Get("Accept-Encoding"), "gzip")
	p.mu.Lock()
	if p.store.pieces == nil && !p.isMirrored() {
		p.mu.Unlock()
		h.refuse(w, kindPlaylist, errOver)
		return
	}
	target := p.plan.Target
	isNewest := req.sequence >= 0 && !p.list.Has(req.sequence+1, -1)
	answer, ok := p.texts[key]
	if !ok {
		answer = p.render(req, key.gzip)
		if len(p.texts) < maxTexts {
			p.texts[key] = answer
		}
	}
	p.mu.Unlock()
	header := w.Header()
	header.Set("Content-Type", playlistType)
	header.Add("Vary", "Accept-Encoding")
	header.Set("Cache-Control", fmt.Sprintf("max-age=%d", maxAge(target, isNewest)))
	header.Set("ETag", answer.tag)
	if bytes.HasPrefix(answer.body, gzipMagic) {
		header.Set("Content-Encoding", "gzip")
	}
	h.count(kindPlaylist, outcomeOK)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(answer.body))
}

// text returns the playlist that a request asks for. p.mu must be held.
func (p *programme) text(req request) []byte {
	if req.multivariant {
		return playlist.Multivariant(p.list.Segments(), req.child())
	}
	p.numbersTold = true
	return p.media(req.query, req.skip).Text()
}

// maxAge is how long caches may keep a playlist, in seconds (draft appendix B.1). The answer to a
// request for the newest segment or part never changes again.
func maxAge(target time.Duration, isNewest bool) int {
	if isNewest {
		return int(6 * target / time.Second)
	}
	return max(1, int(target/time.Second/2))
}

var gzipMagic = []byte{0x1f, 0x8b}

func compress(text []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed) // the level is valid
	_, _ = w.Write(text)                            // to a buffer
	_ = w.Close()
	return b.Bytes()
}

func (h *Handler) servePiece(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	h.allow(w, r, id, hasCookie(r))
	name, ok := cut.ParseName(r.PathValue("name"))
	if !ok {
		h.refuse(w, kindMedia, errNoPiece)
		return
	}
	if _, err := h.authorize(r, id, ""); err != nil {
		h.refuse(w, kindMedia, err)
		return
	}
	data, err := h.piece(w, r, stream.Key{App: r.PathValue("app"), ID: id}, name)
	if err != nil {
		h.refuse(w, kindMedia, err)
		return
	}
	defer admission.Hold(r.Context())() // media goes to this connection
	setDeadline(w, answerTime)
	header := w.Header()
	header.Set("Content-Type", mediaType)
	header.Set("Cache-Control", "max-age=31536000, immutable")
	header.Set("ETag", `"`+name.String()+`"`)
	h.count(kindMedia, outcomeOK)
	http.ServeContent(wholeWriter{w}, r, "", time.Time{}, newContent(data))
}

var errNoPiece = errors.New("no playlist names this, or no longer: load the playlist again")

// piece returns the bytes of that name. It waits for a part that has been announced. If there are
// peers, one of them may have shown what is still to come here: then piece waits for any name.
func (h *Handler) piece(w http.ResponseWriter, r *http.Request, of stream.Key, name cut.Name) ([][]byte, error) {
	data, err := h.pieceHere(w, r, of, name)
	if h.cfg.Peers == nil || !errors.Is(err, errNoPiece) {
		return data, err
	}
	ctx, end := context.WithCancelCause(r.Context())
	defer end(nil)
	place, err := h.waiting.Enter(networkOf(r), func() { end(errEnded) })
	if err != nil {
		return nil, errFull
	}
	defer place.Leave()
	place.Serve()
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for began := time.Now(); time.Since(began) < peerPieceHold; {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-ticker.C:
		}
		if data, err = h.pieceHere(w, r, of, name); !errors.Is(err, errNoPiece) {
			return data, err
		}
	}
	return nil, errNoPiece
}

// pieceHere returns the bytes of that name. It waits for a part that has been announced here.
func (h *Handler) pieceHere(w http.ResponseWriter, r *http.Request, of stream.Key, name cut.Name) ([][]byte, error) {
	h.mu.Lock()
	programmes := append([]*programme(nil), h.byStream[of]...)
	h.mu.Unlock()
	for _, p := range programmes {
		p.mu.Lock()
		data, ok := p.store.pieces[name]
		isHinted := p.hint == name
		p.mu.Unlock()
		if !ok && !isHinted {
			continue
		}
		defer p.ask()()
		if ok {
			return data, nil
		}
		setDeadline(w, 3*maxTarget+answerTime)
		if err := h.holdForHint(r.Context(), networkOf(r), p, name); err != nil {
			return nil, err
		}
		p.mu.Lock()
		data = p.store.pieces[name]
		p.mu.Unlock()
		if data != nil {
			return data, nil
		}
	}
	return nil, errNoPiece
}

// refuse answers a request that cannot be served. Nobody may cache that.
func (h *Handler) refuse(w http.ResponseWriter, kind string, err error) {
	if errors.Is(err, context.Canceled) {
		return // the player has gone
	}
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	code, outcome, retry := http.StatusServiceUnavailable, outcomeTimeout, "1"
	var who *unauthorized
	switch {
	case stream.IsUnknown(err):
		code, outcome, retry = http.StatusNotFound, outcomeNotFound, ""
	case errors.As(err, &who):
		code, outcome, retry = http.StatusUnauthorized, outcomeRefused, ""
		header.Set("WWW-Authenticate", "Bearer")
	case errors.Is(err, errDirectives), errors.Is(err, errTooFar):
		code, outcome, retry = http.StatusBadRequest, outcomeRefused, ""
	case errors.Is(err, errNoPiece), errors.Is(err, errNoHint), errors.Is(err, errOff):
		code, outcome, retry = http.StatusNotFound, outcomeNotFound, ""
	case errors.Is(err, errDark):
		code, outcome, retry = http.StatusNotFound, outcomeNotFound, "2"
	case errors.Is(err, errLate), errors.Is(err, errNotReady), errors.Is(err, errOver):
	default: // there is no place
		outcome, retry = outcomeRefused, "5"
	}
	if retry != "" {
		header.Set("Retry-After", retry)
	}
	setDeadline(w, answerTime)
	h.count(kind, outcome)
	http.Error(w, err.Error(), code)
}

func (h *Handler) count(kind, outcome string) {
	h.cfg.Metrics.HLSRequests.WithLabelValues(kind, outcome).Inc()
}
