package whep

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"github.com/streampair/streampair/mediaserver/rtc"
)

// stereoOpus is what is sent whatever the source: browsers mix it down if they must.
// In-band error correction is what makes a lost packet inaudible.
const stereoOpus = "minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1"

// A selection is what a viewer is sent of what it offered to receive.
type selection struct {
	codecs       []webrtc.RTPCodecParameters
	video, audio bool
	ufrags       []string // the viewer's ICE user name fragments, of each section
}

// selectFormats reads an offer. A kind of media that the offer wants must have a
// format that is sent; one that it does not want is left out.
func selectFormats(offer string) (selection, *refusal) {
	var s selection
	var description sdp.SessionDescription
	if err := description.UnmarshalString(offer); err != nil {
		return s, &refusal{http.StatusBadRequest, fmt.Sprintf("the offer is no SDP: %v", err), "bad_offer"}
	}
	if ufrag, ok := description.Attribute("ice-ufrag"); ok {
		s.ufrags = append(s.ufrags, ufrag)
	}
	for _, media := range description.MediaDescriptions {
		if ufrag, ok := media.Attribute("ice-ufrag"); ok {
			s.ufrags = append(s.ufrags, ufrag)
		}
		if !receives(media) {
			continue
		}
		switch strings.ToLower(media.MediaName.Media) {
		case "video":
			s.video = true
		case "audio":
			s.audio = true
		}
	}
	if !s.video && !s.audio {
		return s, &refusal{http.StatusBadRequest, "the offer does not ask to receive video or audio (a=recvonly)", "bad_offer"}
	}
	unsupported := &refusal{
		http.StatusNotAcceptable,
		"the offer has no format that is sent here: video is H.264 (packetization-mode=1; Baseline, Main or High), audio is Opus",
		"no_common_format",
	}
	if s.video {
		h264, ok := rtc.HighestH264(offer)
		if !ok {
			return s, unsupported
		}
		s.codecs = append(s.codecs, h264)
	}
	if s.audio {
		opus, ok := rtc.OfferedOpus(offer)
		if !ok {
			return s, unsupported
		}
		opus.SDPFmtpLine = stereoOpus
		s.codecs = append(s.codecs, opus)
	}
	return s, nil
}

// receives says whether a section of an offer wants media; sendrecv is the default
// (RFC 8866 section 6.7), port 0 means that it is switched off (RFC 8843 section 6).
func receives(media *sdp.MediaDescription) bool {
	if _, bundleOnly := media.Attribute("bundle-only"); media.MediaName.Port.Value == 0 && !bundleOnly {
		return false
	}
	for _, no := range []string{"sendonly", "inactive"} {
		if _, ok := media.Attribute(no); ok {
			return false
		}
	}
	return true
}
