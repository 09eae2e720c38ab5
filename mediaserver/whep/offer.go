package whep

import (
	"errors"
	"net/http"

	"github.com/pion/webrtc/v4"

	"github.com/streampair/streampair/mediaserver/rtc"
	"github.com/streampair/streampair/mediaserver/sdpoffer"
)

// stereoOpus is what is sent whatever the source: browsers mix it down if they must.
// In-band error correction is what makes a lost packet inaudible.
const stereoOpus = "minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1"

// A selection is what a viewer is sent of what it offered to receive.
type selection struct {
	parsed       *sdpoffer.Offer
	choices      []sdpoffer.Choice
	offer        *sdpoffer.Selection // of the choices; made by complete
	codecs       []webrtc.RTPCodecParameters
	video, audio bool
	ufrags       []string // the viewer's ICE user name fragments, of each section
}

// selectFormats reads an offer. Of each kind of media that the offer wants, the first
// section with a format that is sent is served. All other sections are rejected alone; the
// offer is refused where no section at all can be served.
func selectFormats(text string) (selection, *refusal) {
	offer, err := sdpoffer.Parse(text)
	if err != nil {
		return selection{}, refuseOffer("the offer is no SDP", err)
	}
	s := selection{parsed: offer, ufrags: offer.Ufrags()}
	wanted := false
	for i, section := range offer.Sections {
		if kind := section.Kind; section.Used && section.Receives() && (kind == "video" || kind == "audio") && !s.has(kind) {
			wanted = true
			if codec, ok := rtc.AnswerFormat(kind, section.Formats); ok {
				s.choices = append(s.choices, sdpoffer.Choice{Section: i, Format: codec, Direction: webrtc.RTPTransceiverDirectionRecvonly})
				s.add(kind)
			}
		}
	}
	switch {
	case !wanted:
		return selection{}, &refusal{http.StatusBadRequest, "the offer does not ask to receive video or audio (a=recvonly)", "bad_offer"}
	case len(s.choices) == 0:
		return selection{}, &refusal{
			http.StatusNotAcceptable,
			"the offer has no format that is sent here: video is H.264 (packetization-mode=1; Baseline, Main or High), audio is Opus",
			"no_common_format",
		}
	}
	return s, nil
}

// complete decides what the answer says of each format. sps is that of the pictures on
// air; nil: there are none.
func (s *selection) complete(sps []byte) *refusal {
	s.codecs = nil
	for i := range s.choices {
		c := &s.choices[i]
		codec := c.Format
		if s.parsed.Sections[c.Section].Kind == "audio" {
			codec.SDPFmtpLine = stereoOpus
		} else if rtc.IsUnspecifiedH264(codec) {
			c.Parameters = rtc.CompleteH264(codec.SDPFmtpLine, sps)
			codec.SDPFmtpLine = c.Parameters
		}
		s.codecs = append(s.codecs, codec)
	}
	var err error
	if s.offer, err = s.parsed.Select(s.choices...); err != nil {
		return refuseOffer("the offer can't be answered", err)
	}
	s.parsed, s.choices = nil, nil // they refer to the client's text
	return nil
}

func (s *selection) has(kind string) bool {
	return kind == "video" && s.video || kind == "audio" && s.audio
}

// add notes that a kind of media is sent.
func (s *selection) add(kind string) {
	s.audio = s.audio || kind == "audio"
	s.video = s.video || kind == "video"
}

// refuseOffer words an error of sdpoffer; what says what is wrong if no bound is exceeded.
func refuseOffer(what string, err error) *refusal {
	var offer *sdpoffer.Error
	if errors.As(err, &offer) && offer.TooLarge {
		return &refusal{http.StatusRequestEntityTooLarge, "the offer is larger than any player's: " + err.Error(), "offer_too_large"}
	}
	return &refusal{http.StatusBadRequest, what + ": " + err.Error(), "bad_offer"}
}
