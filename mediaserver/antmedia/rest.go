package antmedia

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/streampair/streampair/mediaserver/signalling"
)

// Values of Broadcast.Status.
const (
	StatusBroadcasting = "broadcasting"
	StatusCreated      = "created"
)

// maxListed bounds how many streams one answer has, as in Ant Media Server.
const maxListed = 50

// A Broadcast is what clients are told of a stream.
type Broadcast struct {
	StreamID string `json:"streamId"`
	// Status is broadcasting, or created while nobody publishes.
	Status string `json:"status"`
	Name   string `json:"name"`
	// Type is always liveStream. PublishType is RTMP, WebRTC or SRT; Pull: another server has the
	// publisher.
	Type        string  `json:"type"`
	PublishType string  `json:"publishType,omitempty"`
	Bitrate     int64   `json:"bitrate"` // bits a second
	Speed       float64 `json:"speed"`
	Width       int     `json:"width"`
	Height      int     `json:"height"`
	// StartTime and UpdateTime are Unix times in milliseconds.
	StartTime  int64 `json:"startTime"`
	UpdateTime int64 `json:"updateTime"`
	// Viewers are those by WebRTC. The others are not counted, and always 0.
	HLSViewers  int `json:"hlsViewerCount"`
	Viewers     int `json:"webRTCViewerCount"`
	RTMPViewers int `json:"rtmpViewerCount"`
}

// rest returns a handler that pages of any site may ask. The token authorises, and no cookie is read.
func rest(serve http.HandlerFunc) http.HandlerFunc {
	const allowed = "GET, HEAD, OPTIONS"
	return func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Access-Control-Allow-Origin", "*")
		header.Set("Cache-Control", "no-store")
		switch r.Method {
		case http.MethodOptions:
			signalling.Preflight(w, allowed)
		case http.MethodGet, http.MethodHead:
			serve(w, r)
		default:
			signalling.RefuseMethod(w, allowed, "Streams can be read here, and not changed.").Write(w, "")
		}
	}
}

// visible returns the streams of the app that the request's token opens.
func (h *Handler) visible(r *http.Request) []Broadcast {
	app, token := r.PathValue("app"), signalling.Token(r)
	visible := []Broadcast{}
	for _, b := range h.cfg.Broadcasts(app) {
		if h.cfg.MayPlay(app, b.StreamID, "", token) == nil {
			visible = append(visible, b)
		}
	}
	return visible
}

func (h *Handler) serveBroadcast(w http.ResponseWriter, r *http.Request) {
	app, id := r.PathValue("app"), r.PathValue("id")
	if err := h.cfg.MayPlay(app, id, "", signalling.Token(r)); err != nil {
		refusal := signalling.RefuseViewer(err)
		h.refused(r, id, refusal.Reason, refusal.Message)
		refusal.Write(w, "")
		return
	}
	for _, b := range h.cfg.Broadcasts(app) {
		if b.StreamID == id {
			answer(w, b)
			return
		}
	}
	const message = "There is no such stream."
	h.refused(r, id, signalling.ReasonUnknownStream, message)
	http.Error(w, message, http.StatusNotFound)
}

func (h *Handler) serveCount(w http.ResponseWriter, r *http.Request) {
	answer(w, struct {
		Number int `json:"number"`
	}{len(h.visible(r))})
}

func (h *Handler) serveList(w http.ResponseWriter, r *http.Request) {
	offset, err1 := strconv.Atoi(r.PathValue("offset"))
	size, err2 := strconv.Atoi(r.PathValue("size"))
	if err1 != nil || err2 != nil || offset < 0 || size < 0 {
		http.Error(w, "Offset and size are whole numbers.", http.StatusBadRequest)
		return
	}
	all := h.visible(r)
	all = all[min(offset, len(all)):]
	answer(w, all[:min(size, maxListed, len(all))])
}

// answer writes JSON.
func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client has gone
}
