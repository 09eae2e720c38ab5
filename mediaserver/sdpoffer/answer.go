package sdpoffer

import (
	"slices"
	"strings"

	"github.com/pion/webrtc/v4"
)

// An Answer is what a client answers to an offer of the server.
type Answer struct {
	// Transport is the client's end of the transport.
	Transport Transport
	accepted  map[string][]webrtc.PayloadType // by mid
}

// ParseAnswer reads a client's answer, within the bounds of an offer. The error is an *Error. The
// Answer does not refer to the text.
func ParseAnswer(text string) (*Answer, error) {
	o, err := Parse(text)
	if err != nil {
		return nil, err
	}
	a := &Answer{accepted: map[string][]webrtc.PayloadType{}}
	var choices []Choice
	for i := range o.Sections {
		if s := &o.Sections[i]; s.Used && s.Receives() {
			choices = append(choices, Choice{Section: i})
			mid := strings.Clone(s.mid)
			for _, f := range s.Formats {
				a.accepted[mid] = append(a.accepted[mid], f.PayloadType)
			}
		}
	}
	if len(choices) == 0 {
		return nil, malformed("it accepts neither picture nor sound")
	}
	if a.Transport, err = o.clientTransport(choices); err != nil {
		return nil, err
	}
	return a, nil
}

// Accepts reports whether the client has accepted a format of the section of that mid.
func (a *Answer) Accepts(mid string, format webrtc.PayloadType) bool {
	return slices.Contains(a.accepted[mid], format)
}
