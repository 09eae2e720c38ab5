package player_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"
)

type session struct {
	pc           *webrtc.PeerConnection
	video, audio *webrtc.TrackLocalStaticSample
	frozen       bool // nothing is sent on it any more
	started      bool // it has had an IDR
	first        int  // the tick of that IDR
}

func (d *fakeServer) postWHEP(w http.ResponseWriter, r *http.Request) {
	var refuse func(http.ResponseWriter) bool
	d.locked(func() {
		d.posts = append(d.posts, time.Now())
		d.tokens = append(d.tokens, r.Header.Get("Authorization"))
		refuse = d.refuse
	})
	if refuse != nil && refuse(w) {
		return
	}
	s := &session{}
	var err error
	if s.video, err = webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264}, "video", "pair"); err != nil {
		d.t.Error(err)
	}
	if s.audio, err = webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "audio", "pair"); err != nil {
		d.t.Error(err)
	}
	d.answer(w, r, s, func(pc *webrtc.PeerConnection) error {
		for _, track := range []webrtc.TrackLocal{s.video, s.audio} {
			sender, err := pc.AddTrack(track)
			if err != nil {
				return err
			}
			go drain(sender)
		}
		return nil
	})
}

func (d *fakeServer) postWHIP(w http.ResponseWriter, r *http.Request) {
	var refuse func(http.ResponseWriter) bool
	d.locked(func() {
		d.posts = append(d.posts, time.Now())
		d.tokens = append(d.tokens, r.Header.Get("Authorization"))
		refuse = d.refuse
	})
	if refuse != nil && refuse(w) {
		return
	}
	d.answer(w, r, &session{}, func(pc *webrtc.PeerConnection) error {
		pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
			for {
				if _, _, err := track.ReadRTP(); err != nil {
					return
				}
				d.locked(func() { d.received[track.Codec().MimeType]++ })
			}
		})
		return nil
	})
}

// answer negotiates and registers a session, for WHEP and WHIP alike.
func (d *fakeServer) answer(w http.ResponseWriter, r *http.Request, s *session, addTracks func(*webrtc.PeerConnection) error) {
	offer, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil || r.Header.Get("Content-Type") != "application/sdp" {
		http.Error(w, "no offer", http.StatusBadRequest)
		return
	}
	answer, err := d.negotiate(s, string(offer), addTracks)
	if err != nil {
		d.t.Errorf("negotiate: %v", err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	id := get(d, func() string {
		d.made++
		id := fmt.Sprintf("%s%d", d.letter, d.made)
		d.sessions[id] = s
		return id
	})
	for _, link := range get(d, func() []string { return d.links }) {
		w.Header().Add("Link", link)
	}
	w.Header().Set("Content-Type", "application/sdp")
	w.Header().Set("Location", "/live/session/"+id)
	w.Header().Set("ETag", `"`+id+`"`)
	if !get(d, func() bool { return d.namesByID }) {
		w.Header().Set("Streampair-Events-Session", id+eventsSuffix)
	}
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, answer)
}

func (d *fakeServer) negotiate(s *session, offer string, addTracks func(*webrtc.PeerConnection) error) (string, error) {
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	settings.SetLite(true)
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return "", err
	}
	s.pc = pc
	if err := addTracks(pc); err != nil {
		return "", err
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", err
	}
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		return "", err
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(answer); err != nil {
		return "", err
	}
	<-gathered
	return pc.LocalDescription().SDP, nil
}

func (d *fakeServer) patch(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	id := r.PathValue("id")
	if r.Header.Get("Content-Type") == "application/jwt" {
		d.locked(func() { d.renewed = append(d.renewed, id+" "+string(body)) })
		w.WriteHeader(http.StatusNoContent)
		return
	}
	switch {
	case r.Header.Get("Content-Type") != "application/trickle-ice-sdpfrag",
		r.Header.Get("If-Match") != `"`+id+`"`,
		!strings.Contains(string(body), "a=ice-ufrag:"),
		!strings.Contains(string(body), "a=mid:0"):
		d.t.Errorf("bad trickle: %v %q", r.Header, body)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	d.locked(func() { d.patches++ })
	w.WriteHeader(http.StatusNoContent)
}

func (d *fakeServer) delete(w http.ResponseWriter, r *http.Request) {
	s := get(d, func() *session {
		s := d.sessions[r.PathValue("id")]
		delete(d.sessions, r.PathValue("id"))
		d.deletes++
		return s
	})
	if s == nil {
		http.NotFound(w, r)
		return
	}
	_ = s.pc.Close()
}

func drain(sender *webrtc.RTPSender) {
	for {
		if _, _, err := sender.ReadRTCP(); err != nil {
			return
		}
	}
}
