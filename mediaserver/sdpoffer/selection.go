package sdpoffer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"github.com/streampair/streampair/mediaserver/sdpfrag"
)

const (
	// keptCandidates is how many candidates pion gets; the rest is ignored. An ICE-lite agent
	// would only make pairs of them. It answers whoever reaches it, with or without a candidate.
	keptCandidates = 32

	// maxCredential bounds an ice-ufrag or ice-pwd, RFC 8839 section 5.4.
	maxCredential = 256
)

// A Choice is a section to serve, and the format in which to serve it.
type Choice struct {
	// Section is the index in Offer.Sections of an audio or video section.
	Section int
	// Format is one of the section's formats, with its payload type.
	Format webrtc.RTPCodecParameters
	// RTX is the payload type of a viewer's retransmissions, RFC 4588. Default: 0, which is none.
	RTX webrtc.PayloadType
	// Parameters replace the format's parameters (a=fmtp). Default: those of the offer.
	Parameters string
	// Direction is what the client is taken to offer: recvonly for a viewer, sendonly
	// for a publisher.
	Direction webrtc.RTPTransceiverDirection
	// Layers are the layers of Section.Layers that a publisher is to send. Default: none.
	Layers []Layer
}

// A Transport is the client's end of the transport that all served sections share.
type Transport struct {
	// Ufrag and Password are the client's ICE credentials, RFC 8839 section 5.4.
	Ufrag, Password string
	// Hash and Fingerprint are of the client's certificate, RFC 8122 section 5.
	Hash, Fingerprint string
	// Passive reports whether the client can only be the DTLS server. Otherwise it is the DTLS client.
	Passive bool
}

// A Served is a section that is served.
type Served struct {
	// Kind is "audio" or "video", and Mid is the section's name.
	Kind, Mid string
	// Format is the format to serve. Its RTCP feedback is what both Choice.Format and the offer have.
	Format webrtc.RTPCodecParameters
	// RTX is Choice.RTX, or 0 if NACKs are not negotiated, because they ask for retransmissions.
	RTX webrtc.PayloadType
}

// A Selection is the part of an offer that is answered. It does not refer to the offer.
type Selection struct {
	// Transport is the client's end of the transport.
	Transport Transport
	// Served are the served sections, in the order of the offer.
	Served []Served

	offer    string
	rejected []string // by section; empty for a served section
	accepted []string // by served section: lines to add to pion's answer
	bundled  bool     // the client's offer has a BUNDLE group
}

// Select returns the Selection of the choices. There must be at least one, in the order of their
// sections. The error is an *Error: the offer lacks something that an answer needs.
func (o *Offer) Select(choices ...Choice) (*Selection, error) {
	if err := o.checkMids(choices); err != nil {
		return nil, err
	}
	if err := o.checkPayloadTypes(choices); err != nil {
		return nil, err
	}
	var b strings.Builder
	b.WriteString("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE")
	for _, c := range choices {
		b.WriteString(" " + o.Sections[c.Section].mid)
	}
	b.WriteString("\r\n")
	if _, ok := first(o.attributes, "extmap-allow-mixed"); ok {
		b.WriteString("a=extmap-allow-mixed\r\n")
	}
	transport, err := o.clientTransport(choices)
	if err != nil {
		return nil, err
	}
	o.writeTransport(&b, choices, transport)
	s := &Selection{Transport: transport, bundled: o.bundle != nil, rejected: make([]string, len(o.Sections))}
	for i := range o.Sections {
		s.rejected[i] = o.Sections[i].reject()
	}
	for i, c := range choices {
		section := &o.Sections[c.Section]
		s.rejected[c.Section], s.accepted = "", append(s.accepted, "")
		if c.Direction == webrtc.RTPTransceiverDirectionSendonly {
			s.accepted[i] = section.acceptedLayers(c.Layers)
		}
		section.write(&b, c, transport)
		s.Served = append(s.Served, section.served(c))
		if i == 0 {
			o.writeCandidates(&b)
		}
	}
	s.offer = b.String()
	return s, nil
}

// SDP returns the offer for pion: the served sections, each with its one format.
//
// It has no lines that name streams: no SSRCs, no layers, and no extensions in which packets name
// their section and layer. pion then assigns each stream by its payload type, which only one
// section has. It does so whether the client named the stream or not. With some of those lines
// pion accepts only named streams, and refuses several streams in a section.
func (s *Selection) SDP() string { return s.offer }

// Complete makes an answer to the client's offer from pion's answer to SDP. It adds
// the sections that are not served in their places, as rejected sections (RFC 3264
// section 6). Rejected sections have the transport's attributes too, because GStreamer
// refuses an answer in which a section lacks them.
func (s *Selection) Complete(answer string) string {
	sections := strings.SplitAfter(answer, "\r\nm=")
	var b strings.Builder
	for i := range sections {
		if i < len(sections)-1 {
			sections[i] = strings.TrimSuffix(sections[i], "m=")
		}
	}
	session, served, accepted := sections[0], sections[1:], s.accepted
	for line := range strings.Lines(session) {
		// An answer may have a bundle only if the offer has one, RFC 8843 section 7.3.
		if s.bundled || !strings.HasPrefix(line, "a=group:BUNDLE") {
			b.WriteString(line)
		}
	}
	for _, rejected := range s.rejected {
		switch {
		case rejected != "":
			b.WriteString(rejected)
			if len(sections) > 1 {
				writeTransportOf(&b, sections[1])
			}
		case len(served) > 0 && len(accepted) > 0:
			b.WriteString("m=" + served[0] + accepted[0])
			served, accepted = served[1:], accepted[1:]
		}
	}
	return b.String()
}

// writeTransportOf writes the transport's attributes of an answer's section.
func writeTransportOf(b *strings.Builder, section string) {
	for line := range strings.Lines(section) {
		for _, name := range []string{"a=setup:", "a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:"} {
			if strings.HasPrefix(line, name) {
				b.WriteString(line)
			}
		}
	}
}

// checkMids checks that each chosen section has its own name (RFC 8843 section 7.1),
// and that all share one transport.
func (o *Offer) checkMids(choices []Choice) *Error {
	seen := map[string]bool{}
	for i := range o.Sections {
		mid := o.Sections[i].mid
		if mid != "" && (seen[mid] || !sdpfrag.IsMid(mid)) {
			return malformed("its a=mid attributes are malformed, or two are the same")
		}
		seen[mid] = true
	}
	for _, c := range choices {
		mid := o.Sections[c.Section].mid
		if mid == "" {
			return malformed("it has a media section without a=mid")
		}
		if len(choices) > 1 && !slices.Contains(o.bundle, mid) {
			return malformed("its media sections are not in one a=group:BUNDLE, and this server has one port for all")
		}
	}
	return nil
}

// checkPayloadTypes checks that a payload type stands for one codec only, if the
// client is to send (RFC 8843 section 9.1.1); Selection.SDP says why. A client that
// receives distinguishes streams by SSRCs, which the answer names.
func (o *Offer) checkPayloadTypes(choices []Choice) *Error {
	codecs := map[webrtc.PayloadType]string{}
	for _, c := range choices {
		if c.Direction != webrtc.RTPTransceiverDirectionSendonly {
			continue
		}
		other, taken := codecs[c.Format.PayloadType]
		if taken && other != c.Format.MimeType {
			return malformed("%s and %s both have payload type %d; give each track a payload type of its own (GStreamer: rtph264pay pt=96, rtpopuspay pt=97)",
				other, c.Format.MimeType, c.Format.PayloadType)
		}
		codecs[c.Format.PayloadType] = c.Format.MimeType
	}
	return nil
}

// transport returns the attribute lists in which to look for the shared transport, in this
// order: the BUNDLE group's first section if it is served, the served sections, the
// group's first section even if it is not served, and the session.
func (o *Offer) transport(choices []Choice) [][]sdp.Attribute {
	var served, tagged [][]sdp.Attribute
	for _, c := range choices {
		served = append(served, o.Sections[c.Section].attributes)
	}
	for i := range o.Sections {
		if len(o.bundle) == 0 || o.Sections[i].mid != o.bundle[0] {
			continue
		}
		tagged = [][]sdp.Attribute{o.Sections[i].attributes}
		if slices.ContainsFunc(choices, func(c Choice) bool { return c.Section == i }) {
			served = append(tagged, served...)
		}
	}
	return append(append(served, tagged...), o.attributes)
}

// findTransport returns a transport attribute, and the index in o.transport at which it is; -1:
// there is none.
func (o *Offer) findTransport(choices []Choice, name string) (value string, level int) {
	for i, attributes := range o.transport(choices) {
		if value, ok := first(attributes, name); ok {
			return value, i
		}
	}
	return "", -1
}

// clientTransport returns the client's end of the transport that all sections share.
func (o *Offer) clientTransport(choices []Choice) (Transport, error) {
	ufrag, level := o.findTransport(choices, "ice-ufrag")
	if ufrag == "" || len(ufrag) > maxCredential {
		return Transport{}, malformed("it has no usable a=ice-ufrag")
	}
	password, ok := first(o.transport(choices)[level], "ice-pwd") // a password belongs to the ufrag of the same level
	if !ok {
		password, _ = o.findTransport(choices, "ice-pwd")
	}
	if password == "" || len(password) > maxCredential {
		return Transport{}, malformed("it has no usable a=ice-pwd")
	}
	value, _ := o.findTransport(choices, "fingerprint")
	fingerprint := strings.Fields(value)
	if len(fingerprint) != 2 {
		return Transport{}, malformed("it has no usable a=fingerprint")
	}
	return Transport{
		Ufrag: strings.Clone(ufrag), Password: strings.Clone(password),
		Hash: strings.Clone(fingerprint[0]), Fingerprint: strings.Clone(fingerprint[1]), Passive: o.isPassive(choices),
	}, nil
}

// writeTransport writes the client's transport as attributes of the session.
func (o *Offer) writeTransport(b *strings.Builder, choices []Choice, t Transport) {
	fmt.Fprintf(b, "a=ice-ufrag:%s\r\na=ice-pwd:%s\r\na=fingerprint:%s %s\r\n", t.Ufrag, t.Password, t.Hash, t.Fingerprint)
	if options, _ := o.findTransport(choices, "ice-options"); slices.Contains(strings.Fields(options), "trickle") {
		b.WriteString("a=ice-options:trickle\r\n")
	}
}

// isPassive reports whether the client can only be the DTLS server (a=setup, RFC 8842 section 5). So
// the server is the DTLS server whenever it can choose, as RFC 9725 wants.
func (o *Offer) isPassive(choices []Choice) bool {
	setup, _ := o.findTransport(choices, "setup")
	return setup == "passive"
}

// served returns what is served of the section.
func (s *Section) served(c Choice) Served {
	f := c.Format
	if c.Parameters != "" {
		f.SDPFmtpLine = c.Parameters
	}
	f.RTCPFeedback = slices.DeleteFunc(slices.Clone(f.RTCPFeedback), func(fb webrtc.RTCPFeedback) bool {
		return !s.offersFeedback(f.PayloadType, strings.TrimSpace(fb.Type+" "+fb.Parameter))
	})
	served := Served{Kind: strings.Clone(s.Kind), Mid: strings.Clone(s.mid), Format: f}
	if slices.Contains(f.RTCPFeedback, webrtc.RTCPFeedback{Type: webrtc.TypeRTCPFBNACK}) {
		served.RTX = c.RTX
	}
	return served
}

// offersFeedback reports whether the section offers RTCP feedback for a format, RFC 4585 section 4.2.
func (s *Section) offersFeedback(payloadType webrtc.PayloadType, feedback string) bool {
	return slices.ContainsFunc(s.attributes, func(a sdp.Attribute) bool {
		format, offered, _ := strings.Cut(a.Value, " ")
		return a.Key == "rtcp-fb" && offered == feedback && (format == "*" || format == fmt.Sprint(payloadType))
	})
}

// write writes the section for pion.
func (s *Section) write(b *strings.Builder, c Choice, t Transport) {
	setup := "active" // pion answers each of the two roles with the other
	if t.Passive {
		setup = "passive"
	}
	f := c.Format
	_, encoding, _ := strings.Cut(f.MimeType, "/")
	fmt.Fprintf(b, "m=%s 9 UDP/TLS/RTP/SAVPF %d\r\nc=IN IP4 0.0.0.0\r\na=mid:%s\r\na=%s\r\na=rtcp-mux\r\na=rtpmap:%d %s/%d",
		s.Kind, f.PayloadType, s.mid, c.Direction, f.PayloadType, encoding, f.ClockRate)
	if f.Channels > 0 {
		fmt.Fprintf(b, "/%d", f.Channels)
	}
	b.WriteString("\r\n")
	fmt.Fprintf(b, "a=setup:%s\r\n", setup)
	payloadType := fmt.Sprint(f.PayloadType)
	if c.Parameters != "" {
		fmt.Fprintf(b, "a=fmtp:%s %s\r\n", payloadType, c.Parameters)
	}
	for _, a := range s.attributes {
		if s.isKept(a, payloadType) && (a.Key != "fmtp" || c.Parameters == "") {
			fmt.Fprintf(b, "a=%s:%s\r\n", a.Key, a.Value)
		}
	}
}

// isKept reports whether pion gets an attribute unchanged.
func (s *Section) isKept(a sdp.Attribute, payloadType string) bool {
	switch a.Key {
	case "fmtp":
		format, _, _ := strings.Cut(a.Value, " ")
		return format == payloadType
	case "rtcp-fb":
		format, _, _ := strings.Cut(a.Value, " ")
		return format == payloadType || format == "*"
	case "extmap":
		fields := strings.Fields(a.Value)
		return len(fields) > 1 && fields[1] == sdp.TransportCCURI
	}
	return false
}

// writeCandidates writes the first candidates that have an address. Candidates with a name
// are left out, so that no client can make the server resolve a name.
func (o *Offer) writeCandidates(b *strings.Builder) {
	written := map[string]bool{}
	for i := range o.Sections {
		for _, a := range o.Sections[i].attributes {
			if a.Key != "candidate" || written[a.Value] || len(written) == keptCandidates {
				continue
			}
			if sdpfrag.HasAddress(a.Value) {
				written[a.Value] = true
				fmt.Fprintf(b, "a=candidate:%s\r\n", a.Value)
			}
		}
	}
}

// reject returns the section as it is in the answer when it is not served. Firefox
// needs a connection line even there.
func (s *Section) reject() string {
	format := "0"
	if len(s.description.Formats) > 0 {
		format = s.description.Formats[0]
	}
	text := fmt.Sprintf("m=%s 0 %s %s\r\nc=IN IP4 0.0.0.0\r\n", s.description.Media, strings.Join(s.description.Protos, "/"), format)
	if s.mid != "" {
		text += "a=mid:" + s.mid + "\r\n"
	}
	return text + "a=inactive\r\n"
}
