package whep

import (
	"net/http"

	"github.com/streampair/streampair/mediaserver/rtc"
	"github.com/streampair/streampair/mediaserver/sdpoffer"
	"github.com/streampair/streampair/mediaserver/signalling"
)

// wished is the offer of a client that takes all that is sent. The server's own offer is made from
// wished. Its transport is a placeholder. It names no profile of H.264, so the offer has that of the
// pictures.
const wished = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n" +
	"a=ice-ufrag:none\r\na=ice-pwd:000000000000000000000000\r\na=fingerprint:sha-256 00\r\na=setup:actpass\r\n" +
	"m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=recvonly\r\na=rtcp-mux\r\n" +
	"a=rtpmap:96 H264/90000\r\na=fmtp:96 level-asymmetry-allowed=1;packetization-mode=1\r\n" +
	"a=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\na=rtcp-fb:96 ccm fir\r\na=rtcp-fb:96 goog-remb\r\n" +
	"a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n" +
	"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=recvonly\r\na=rtcp-mux\r\n" +
	"a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n"

// An Offered is a session in which the server offers and the client answers. Clients of Ant Media
// Server need that. In all else it is a WHEP session.
type Offered struct {
	// SDP is the offer. Mids are the names of its sections.
	SDP     string
	Mids    []string
	session *session

	accepted bool
}

// Offer opens a session, as a POST of r would. onConnected is called once the client has connected. The
// client has as long for its answer as for connecting.
func (h *Handler) Offer(r *http.Request, onConnected func()) (*Offered, *signalling.Refusal) {
	o := &Offered{Mids: []string{"0", "1"}}
	_, offer, refusal := h.front.Open(r, wished, func(p signalling.Peer) {
		o.session = p.(*session)
		o.session.offers, o.session.onConnected = true, onConnected
	})
	if refusal != nil {
		return nil, refusal
	}
	o.SDP = offer
	return o, nil
}

// Accept takes the client's answer. A further one is refused. Accept is for one goroutine.
func (o *Offered) Accept(text string) *signalling.Refusal {
	if o.accepted {
		return signalling.Refuse(http.StatusConflict, signalling.ReasonICERestart, "The session has its answer: begin a new one.")
	}
	answer, err := sdpoffer.ParseAnswer(text)
	if err != nil {
		return signalling.RefuseOffer("The answer can't be used", err)
	}
	const pictures = 96 // in wished
	switch {
	case answer.Accepts(o.Mids[0], pictures):
	case answer.Accepts(o.Mids[0], rtc.BaselineType):
		o.session.viewer.SendAsBaseline()
	default:
		return signalling.Refuse(http.StatusUnprocessableEntity, signalling.ReasonUnsupportedMedia,
			"The answer takes no video in H.264. Sound without a picture is played by WHEP alone.")
	}
	o.accepted = true
	if err := o.session.connection.Accept(answer.Transport); err != nil {
		return signalling.RefuseOffer("The answer can't be used", err)
	}
	return nil
}

// Left returns a channel that is closed when the session has ended.
func (o *Offered) Left() <-chan struct{} { return o.session.Left() }

// Close ends the session.
func (o *Offered) Close() { o.session.viewer.Close() }
