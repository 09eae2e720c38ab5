package sdpoffer

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// maxRID bounds the name of a layer, in bytes (RFC 8851 section 10). RTP has room for
// 255 bytes, but clients use only a few.
const maxRID = 32

// A Layer is one simulcast encoding of a section that the client offers to send, RFC 8853.
type Layer struct {
	// RID is the layer's name, which its RTP packets carry (RFC 8852).
	RID string

	restrictions string // of a=rid, RFC 8851 section 10, without pt=
}

// Layers returns the layers that the client offers to send in a format, in the order
// of the offer. Of alternative layers (a comma in a=simulcast) it returns the first. A
// section without a=rid has none. They may be kept.
func (s *Section) Layers(format webrtc.PayloadType) []Layer {
	var layers []Layer
	for _, a := range s.attributes {
		if a.Key != "rid" {
			continue
		}
		if l, ok := readRID(a.Value, format); ok && !slices.ContainsFunc(layers, func(has Layer) bool { return has.RID == l.RID }) {
			layers = append(layers, l)
		}
	}
	simulcast, ok := s.Attribute("simulcast")
	if !ok {
		return layers
	}
	var listed []Layer
	for alternatives := range strings.SplitSeq(sendList(simulcast), ";") {
		for rid := range strings.SplitSeq(alternatives, ",") {
			rid = strings.TrimPrefix(strings.TrimSpace(rid), "~") // "~": paused at first
			i := slices.IndexFunc(layers, func(l Layer) bool { return l.RID == rid })
			if i < 0 || slices.Contains(listed, layers[i]) {
				continue
			}
			listed = append(listed, layers[i])
			break
		}
	}
	return listed
}

// readRID parses the value of a=rid: name "send" [restrictions].
func readRID(value string, format webrtc.PayloadType) (l Layer, ok bool) {
	fields := strings.Fields(value)
	if len(fields) < 2 || fields[1] != "send" || !isRID(fields[0]) {
		return Layer{}, false
	}
	l.RID = strings.Clone(fields[0])
	var kept []string
	for restriction := range strings.SplitSeq(strings.Join(fields[2:], ""), ";") {
		name, formats, _ := strings.Cut(restriction, "=")
		switch {
		case name == "pt" && !slices.Contains(strings.Split(formats, ","), strconv.Itoa(int(format))):
			return Layer{}, false
		case name != "pt" && restriction != "":
			kept = append(kept, restriction)
		}
	}
	l.restrictions = strings.Join(kept, ";")
	return l, true
}

// sendList returns the list of what the client sends from the value of a=simulcast. The value
// is one or two directions, each with its list (RFC 8853 section 5.1).
func sendList(value string) string {
	fields := strings.Fields(value)
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i] == "send" {
			return strings.TrimPrefix(fields[i+1], "rid=") // "rid=" as in drafts of the RFC
		}
	}
	return ""
}

// isRID reports whether a text is a valid layer name, RFC 8851 section 10.
func isRID(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= maxRID
}

// SSRCs returns the SSRCs that the section names. They may be kept.
func (s *Section) SSRCs() []uint32 {
	var ssrcs []uint32
	for _, a := range s.attributes {
		if a.Key != "ssrc" {
			continue
		}
		number, _, _ := strings.Cut(a.Value, " ")
		if ssrc, err := strconv.ParseUint(number, 10, 32); err == nil && !slices.Contains(ssrcs, uint32(ssrc)) {
			ssrcs = append(ssrcs, uint32(ssrc))
		}
	}
	return ssrcs
}

// RIDExtension returns the number of the RTP header extension in which the section's packets name
// their layer (RFC 8852 section 4.1). It is 0 if the client offers none.
func (s *Section) RIDExtension() uint8 { return s.extension(sdp.SDESRTPStreamIDURI) }

// extension returns the number that the client offers for an RTP header extension (RFC
// 8285 section 8), or 0 if there is none.
func (s *Section) extension(uri string) uint8 {
	for _, a := range s.attributes {
		fields := strings.Fields(a.Value)
		if a.Key != "extmap" || len(fields) < 2 || fields[1] != uri {
			continue
		}
		number, _, _ := strings.Cut(fields[0], "/")
		if n, err := strconv.ParseUint(number, 10, 8); err == nil && n > 0 && n != 15 { // 15 is reserved
			return uint8(n)
		}
	}
	return 0
}

// acceptedLayers returns the lines of the answer's section that pion does not write. They accept
// each layer, and the extensions in which packets name their section and layer. An encoder does
// not send a layer that is missing from the answer, or it stops altogether.
func (s *Section) acceptedLayers(layers []Layer) string {
	var b strings.Builder
	for _, uri := range []string{sdp.SDESMidURI, sdp.SDESRTPStreamIDURI} {
		if id := s.extension(uri); id > 0 {
			fmt.Fprintf(&b, "a=extmap:%d %s\r\n", id, uri)
		}
	}
	var rids []string
	for _, l := range layers {
		fmt.Fprintf(&b, "a=rid:%s recv", l.RID)
		if l.restrictions != "" {
			b.WriteString(" " + l.restrictions)
		}
		b.WriteString("\r\n")
		rids = append(rids, l.RID)
	}
	if _, ok := s.Attribute("simulcast"); ok && len(rids) > 0 {
		b.WriteString("a=simulcast:recv " + strings.Join(rids, ";") + "\r\n")
	}
	return b.String()
}
