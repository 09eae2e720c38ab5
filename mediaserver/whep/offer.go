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
	offer        *sdpoffer.Selection
	codecs       []webrtc.RTPCodecParameters
	video, audio bool
	ufrags       []string // the viewer's ICE user name fragments, of each section
}

// selectFormats reads an offer. A kind of media that the offer wants must have a
// format that is sent, in the first section of its kind that has one. What the offer
// does not want, and a second section of a kind, is left out.
func selectFormats(text string) (selection, *refusal) {
	offer, err := sdpoffer.Parse(text)
	if err != nil {
		return selection{}, refuseOffer("the offer is no SDP", err)
	}
	s := selection{ufrags: offer.Ufrags()}
	var choices []sdpoffer.Choice
	wanted := map[string]bool{}
	for i, section := range offer.Sections {
		if kind := section.Kind; section.Used && section.Receives() && (kind == "video" || kind == "audio") && !s.has(kind) {
			wanted[kind] = true
			if codec, ok := rtc.AnswerFormat(kind, section.Formats); ok {
				choices = append(choices, sdpoffer.Choice{Section: i, Format: codec, Direction: webrtc.RTPTransceiverDirectionRecvonly})
				s.add(kind, codec)
			}
		}
	}
	switch {
	case len(wanted) == 0:
		return selection{}, &refusal{http.StatusBadRequest, "the offer does not ask to receive video or audio (a=recvonly)", "bad_offer"}
	case len(wanted) > len(choices):
		return selection{}, &refusal{
			http.StatusNotAcceptable,
			"the offer has no format that is sent here: video is H.264 (packetization-mode=1; Baseline, Main or High), audio is Opus",
			"no_common_format",
		}
	}
	if s.offer, err = offer.Select(choices...); err != nil {
		return selection{}, refuseOffer("the offer can't be answered", err)
	}
	return s, nil
}

func (s *selection) has(kind string) bool {
	return kind == "video" && s.video || kind == "audio" && s.audio
}

// add notes that a kind of media is sent in the format of codec.
func (s *selection) add(kind string, codec webrtc.RTPCodecParameters) {
	if kind == "audio" {
		s.audio = true
		codec.SDPFmtpLine = stereoOpus
	} else {
		s.video = true
	}
	s.codecs = append(s.codecs, codec)
}

// refuseOffer words an error of sdpoffer; what says what is wrong if no bound is exceeded.
func refuseOffer(what string, err error) *refusal {
	var offer *sdpoffer.Error
	if errors.As(err, &offer) && offer.TooLarge {
		return &refusal{http.StatusRequestEntityTooLarge, "the offer is larger than any player's: " + err.Error(), "offer_too_large"}
	}
	return &refusal{http.StatusBadRequest, what + ": " + err.Error(), "bad_offer"}
}
