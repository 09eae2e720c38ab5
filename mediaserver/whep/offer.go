package whep

import (
	"net/http"

	"github.com/streampair/streampair/mediaserver/rtc"
	"github.com/streampair/streampair/mediaserver/sdpoffer"
	"github.com/streampair/streampair/mediaserver/signalling"
)

// stereoOpus is answered whatever the source sends: browsers mix stereo down if they
// must. With in-band error correction a lost packet is inaudible.
const stereoOpus = "minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1"

// A selection is the part of a viewer's offer that is served.
type selection struct {
	parsed       *sdpoffer.Offer
	choices      []sdpoffer.Choice
	offer        *sdpoffer.Selection // selection of the choices; made by complete
	video, audio bool
	ufrags       []string // ICE username fragments of the viewer, one per section
}

// selectFormats parses an offer. Of each kind of media, it serves the first section
// with a format that can be sent. All other sections are rejected one by one. The
// offer is refused when no section can be served.
func selectFormats(text string) (selection, *signalling.Refusal) {
	offer, err := sdpoffer.Parse(text)
	if err != nil {
		return selection{}, signalling.RefuseOffer("The offer is no SDP", err)
	}
	s := selection{parsed: offer, ufrags: offer.Ufrags()}
	wanted := false
	for i, section := range offer.Sections {
		if kind := section.Kind; section.Used && section.Receives() && (kind == "video" || kind == "audio") && !s.has(kind) {
			wanted = true
			if choice, ok := rtc.ViewerChoice(i, kind, section.Formats); ok {
				s.choices = append(s.choices, choice)
				s.add(kind)
			}
		}
	}
	switch {
	case !wanted:
		return selection{}, signalling.Refuse(http.StatusBadRequest, signalling.ReasonMalformedOffer,
			"The offer does not ask to receive video or audio: offer a=recvonly.")
	case len(s.choices) == 0:
		return selection{}, signalling.Refuse(http.StatusUnprocessableEntity, signalling.ReasonUnsupportedMedia,
			"The offer has no format that is sent here: offer video in H.264 (packetization-mode=1; Baseline, Main or High), or audio in Opus.")
	}
	return s, nil
}

// complete decides what the answer says of each format. sps is the sequence parameter
// set of the pictures on air, or nil if there are none.
func (s *selection) complete(sps []byte) *signalling.Refusal {
	for i := range s.choices {
		c := &s.choices[i]
		if s.parsed.Sections[c.Section].Kind == "audio" {
			c.Parameters = stereoOpus
		} else if rtc.IsUnspecifiedH264(c.Format) {
			c.Parameters = rtc.CompleteH264(c.Format.SDPFmtpLine, sps)
		}
	}
	var err error
	if s.offer, err = s.parsed.Select(s.choices...); err != nil {
		return signalling.RefuseOffer("The offer can't be answered", err)
	}
	s.parsed, s.choices = nil, nil // they refer to the client's text, which need not be kept
	return nil
}

func (s *selection) has(kind string) bool {
	return kind == "video" && s.video || kind == "audio" && s.audio
}

// add records that a kind of media is sent.
func (s *selection) add(kind string) {
	s.audio = s.audio || kind == "audio"
	s.video = s.video || kind == "video"
}
