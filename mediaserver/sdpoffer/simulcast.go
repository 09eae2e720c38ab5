package sdpoffer

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// maxRID bounds the name of a layer, RFC 8851 section 10. RTP has room for 255 bytes; no
// client uses more than a few.
const maxRID = 32

// A Layer is one simulcast encoding of a section that the client offers to send, RFC 8853.
type Layer struct {
	// RID is its name, by which RTP packets say that they are of it (RFC 8852).
	RID string

	restrictions string // of a=rid, RFC 8851 section 10, without pt=
}

// Layers returns the layers that the client offers to send in a format, in the order of
// the offer. Of layers that are alternatives to each other (a comma in a=simulcast), the first
// is returned. There are none in a section without a=rid. They may be kept.
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
			rid = strings.TrimPrefix(strings.TrimSpace(rid), "~") // paused at first
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

// readRID reads the value of a=rid: name "send" [restrictions].
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

// sendList returns what a=simulcast says that the client sends, RFC 8853 section 5.1: one or
// two directions, each with its list.
func sendList(value string) string {
	fields := strings.Fields(value)
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i] == "send" {
			return strings.TrimPrefix(fields[i+1], "rid=") // as drafts of the RFC had it
		}
	}
	return ""
}

// isRID reports whether a text is the name of a layer, RFC 8851 section 10.
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

// RIDExtension returns the number of the RTP header extension in which packets of the
// section name their layer, RFC 8852 section 4.1; 0: the client offers none.
func (s *Section) RIDExtension() uint8 { return s.extension(sdp.SDESRTPStreamIDURI) }

// extension returns the number that the client offers for an RTP header extension, RFC 8285
// section 8; 0: none.
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

// acceptedLayers returns what the answer says of the section that pion does not write: the
// extensions in which the client's packets name their section and layer, and that each layer
// is taken. An encoder that finds a layer missing from the answer does not send that layer, or
// stops.
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
