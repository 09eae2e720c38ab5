package sdpoffer

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// An Offer is a client's offer, parsed and within bounds. It refers to the client's
// text. So use it for one negotiation only. What may be kept is the result of Select,
// and what the comments of fields and methods allow.
type Offer struct {
	// Sections are the media sections in the order of the offer. The answer has the same
	// number in the same order (RFC 3264 section 6).
	Sections []Section

	attributes []sdp.Attribute // of the session
	bundle     []string        // mids of the BUNDLE group, RFC 8843 section 7; nil: there is none
}

// A Section is one media section.
type Section struct {
	// Kind is the media type: "audio", "video", "text", "application" or "message".
	Kind string
	// Used reports whether the section is in use. A section with port 0 is not in use, unless it
	// shares the port of another section (a=bundle-only, RFC 8843 section 6).
	Used bool
	// Direction is sendrecv, sendonly, recvonly or inactive. It is the section's, or else
	// the session's. The default is sendrecv (RFC 8866 section 6.7).
	Direction webrtc.RTPTransceiverDirection
	// Formats are the audio or video formats that have an rtpmap, in the order of the offer and
	// without duplicates. They have no RTCP feedback. They may be kept.
	Formats []webrtc.RTPCodecParameters

	mid         string
	description sdp.MediaName
	attributes  []sdp.Attribute
}

// Attribute returns the value of the section's first attribute of that name. ok
// reports whether there is one.
func (s *Section) Attribute(name string) (value string, ok bool) { return first(s.attributes, name) }

// Sends reports whether the client offers to send.
func (s *Section) Sends() bool {
	return s.Direction == webrtc.RTPTransceiverDirectionSendrecv || s.Direction == webrtc.RTPTransceiverDirectionSendonly
}

// Receives reports whether the client offers to receive.
func (s *Section) Receives() bool {
	return s.Direction == webrtc.RTPTransceiverDirectionSendrecv || s.Direction == webrtc.RTPTransceiverDirectionRecvonly
}

// Parse checks the bounds of an offer and parses it. The error is an *Error.
func Parse(offer string) (*Offer, error) {
	if err := checkBounds(offer); err != nil {
		return nil, err
	}
	var description sdp.SessionDescription
	if err := description.UnmarshalString(offer); err != nil {
		return nil, malformed("%v", err)
	}
	o := &Offer{attributes: description.Attributes, bundle: bundleGroup(description.Attributes)}
	for _, media := range description.MediaDescriptions {
		o.Sections = append(o.Sections, o.section(media))
	}
	return o, nil
}

// Ufrags returns the client's ICE username fragments, of the session and of every
// section. They may be kept.
func (o *Offer) Ufrags() []string {
	var ufrags []string
	add := func(attributes []sdp.Attribute) {
		if ufrag, ok := first(attributes, "ice-ufrag"); ok && !slices.Contains(ufrags, ufrag) {
			ufrags = append(ufrags, strings.Clone(ufrag))
		}
	}
	add(o.attributes)
	for i := range o.Sections {
		add(o.Sections[i].attributes)
	}
	return ufrags
}

func (o *Offer) section(media *sdp.MediaDescription) Section {
	s := Section{
		Kind: media.MediaName.Media, description: media.MediaName, attributes: media.Attributes,
	}
	_, bundleOnly := s.Attribute("bundle-only")
	s.Used = media.MediaName.Port.Value != 0 || bundleOnly
	s.mid, _ = s.Attribute("mid")
	s.Direction = direction(media.Attributes)
	if s.Direction == webrtc.RTPTransceiverDirectionUnknown {
		s.Direction = direction(o.attributes)
	}
	if s.Direction == webrtc.RTPTransceiverDirectionUnknown {
		s.Direction = webrtc.RTPTransceiverDirectionSendrecv
	}
	if s.Kind == "audio" || s.Kind == "video" {
		s.Formats = formats(s.Kind, media)
	}
	return s
}

// direction returns the first direction among attributes.
func direction(attributes []sdp.Attribute) webrtc.RTPTransceiverDirection {
	for _, a := range attributes {
		if d := webrtc.NewRTPTransceiverDirection(a.Key); d != webrtc.RTPTransceiverDirectionUnknown {
			return d
		}
	}
	return webrtc.RTPTransceiverDirectionUnknown
}

// formats reads the rtpmap and fmtp of each format (RFC 8866 sections 6.6 and 6.15) in one pass
// over the attributes. It leaves out a format whose rtpmap is missing or malformed.
func formats(kind string, media *sdp.MediaDescription) []webrtc.RTPCodecParameters {
	var all []webrtc.RTPCodecParameters
	index := map[string]int{} // of a format in all
	for _, format := range media.MediaName.Formats {
		payloadType, err := strconv.ParseUint(format, 10, 7)
		if _, known := index[format]; known || err != nil {
			continue
		}
		index[format] = len(all)
		all = append(all, webrtc.RTPCodecParameters{PayloadType: webrtc.PayloadType(payloadType)})
	}
	for _, a := range media.Attributes {
		format, value, _ := strings.Cut(a.Value, " ")
		i, listed := index[format]
		if !listed {
			continue
		}
		switch a.Key {
		case "rtpmap":
			readRTPMap(&all[i], kind, strings.TrimSpace(value))
		case "fmtp":
			if all[i].SDPFmtpLine == "" { // pion takes the first one too
				all[i].SDPFmtpLine = strings.Clone(strings.TrimSpace(value))
			}
		}
	}
	return slices.DeleteFunc(all, func(c webrtc.RTPCodecParameters) bool { return c.MimeType == "" })
}

// readRTPMap reads an encoding: name/clock rate[/channels].
func readRTPMap(c *webrtc.RTPCodecParameters, kind, encoding string) {
	name, rest, _ := strings.Cut(encoding, "/")
	rate, channels, _ := strings.Cut(rest, "/")
	clockRate, err := strconv.ParseUint(rate, 10, 32)
	if name == "" || strings.ContainsAny(name, " \t") || err != nil {
		return
	}
	var count uint64
	if channels != "" {
		if count, err = strconv.ParseUint(channels, 10, 16); err != nil {
			return
		}
	}
	c.MimeType, c.ClockRate, c.Channels = kind+"/"+name, uint32(clockRate), uint16(count)
}

// bundleGroup returns the mids of the first BUNDLE group, RFC 5888 section 5.
func bundleGroup(attributes []sdp.Attribute) []string {
	for _, a := range attributes {
		if mids := strings.Fields(a.Value); a.Key == "group" && len(mids) > 1 && mids[0] == "BUNDLE" {
			return mids[1:]
		}
	}
	return nil
}

func first(attributes []sdp.Attribute, name string) (value string, ok bool) {
	for _, a := range attributes {
		if a.Key == name {
			return a.Value, true
		}
	}
	return "", false
}
