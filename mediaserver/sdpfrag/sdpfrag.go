// Package sdpfrag reads SDP fragments, the bodies of type
// application/trickle-ice-sdpfrag (RFC 8840 section 9) with which WHIP and WHEP
// clients deliver ICE candidates one by one and announce ICE restarts.
//
// It checks and bounds what it reads, so that callers may pass it on; it knows nothing
// of HTTP, and makes no connection. Start with Parse.
package sdpfrag

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/pion/ice/v4"
)

// ContentType is the media type of a fragment.
const ContentType = "application/trickle-ice-sdpfrag"

const (
	// MaxSize bounds a fragment, in bytes. A candidate takes about 150.
	MaxSize = 32 << 10
	// MaxCandidates bounds the candidates of one fragment. Those beyond are ignored.
	MaxCandidates = 64

	maxLine = 1024
)

// ErrTooLarge says that a fragment, or a line of it, is too long.
var ErrTooLarge = errors.New("SDP fragment is too large")

// A Fragment is what one body says.
type Fragment struct {
	// Ufrag and Password are the ICE credentials of the session the fragment is
	// about; empty when it does not say. They are the same for all its sections.
	Ufrag, Password string
	Candidates      []Candidate
	// EndOfCandidates says that no more will come.
	EndOfCandidates bool
}

// A Candidate is one ICE candidate.
type Candidate struct {
	// Mid is the media section it belongs to; empty when the fragment does not say.
	Mid string
	// Value is the attribute without "a=", as in "candidate:1 1 udp …".
	Value string
}

// Parse reads a fragment. Attributes that have nothing to do with ICE are skipped.
// Errors: ErrTooLarge, and others that name the line.
func Parse(body []byte) (Fragment, error) {
	if len(body) > MaxSize {
		return Fragment{}, fmt.Errorf("%d bytes: %w", len(body), ErrTooLarge)
	}
	var f Fragment
	mid, number := "", 0
	for line := range strings.Lines(string(body)) {
		number++
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			continue
		}
		if err := f.line(line, &mid); err != nil {
			return Fragment{}, fmt.Errorf("line %d: %w", number, err)
		}
	}
	if (f.Ufrag == "") != (f.Password == "") {
		return Fragment{}, errors.New("ice-ufrag and ice-pwd come together or not at all")
	}
	return f, nil
}

// line takes one line; mid is that of the current media section.
func (f *Fragment) line(line string, mid *string) error {
	if len(line) > maxLine {
		return ErrTooLarge
	}
	if len(line) < 2 || line[1] != '=' || line[0] < 'a' || line[0] > 'z' {
		return errors.New("not of the form <letter>=<value>")
	}
	for i := range len(line) {
		if line[i] < ' ' || line[i] == 0x7f {
			return errors.New("control character")
		}
	}
	if line[0] == 'm' {
		*mid = ""
	}
	if line[0] != 'a' {
		return nil
	}
	name, value, _ := strings.Cut(line[2:], ":")
	switch name {
	case "mid":
		if !IsMid(value) {
			return errors.New("malformed mid")
		}
		*mid = value
	case "ice-ufrag":
		return set(&f.Ufrag, value, 4, name)
	case "ice-pwd":
		return set(&f.Password, value, 22, name)
	case "end-of-candidates":
		f.EndOfCandidates = true
	case "candidate":
		if err := checkCandidate(value); err != nil {
			return err
		}
		if len(f.Candidates) >= MaxCandidates {
			return nil
		}
		f.Candidates = append(f.Candidates, Candidate{Mid: *mid, Value: line[2:]})
	}
	return nil
}

// set stores a credential (RFC 8839 section 5.4), which may be repeated but not differ.
func set(to *string, value string, minLength int, name string) error {
	if len(value) < minLength || len(value) > 256 {
		return fmt.Errorf("%s must have %d to 256 characters", name, minLength)
	}
	for i := range len(value) {
		if !isICEChar(value[i]) {
			return fmt.Errorf("%s has a character that is not allowed", name)
		}
	}
	if *to != "" && *to != value {
		return fmt.Errorf("%s differs between sections: only bundled media is supported", name)
	}
	*to = value
	return nil
}

// checkCandidate checks the fixed part of a candidate-attribute, RFC 8839 section 5.1:
// foundation component transport priority address port "typ" type, then extensions in
// pairs.
func checkCandidate(value string) error {
	malformed := func(what string) error { return fmt.Errorf("malformed candidate: %s", what) }
	fields := strings.Fields(value)
	if len(fields) < 8 || len(fields)%2 != 0 {
		return malformed("number of fields")
	}
	if len(fields[0]) > 32 {
		return malformed("foundation")
	}
	for i := range len(fields[0]) {
		// Firefox writes braces and dashes of a UUID.
		if c := fields[0][i]; !isICEChar(c) && c != '-' && c != '{' && c != '}' {
			return malformed("foundation")
		}
	}
	if n, err := strconv.ParseUint(fields[1], 10, 16); err != nil || n < 1 || n > 256 {
		return malformed("component")
	}
	if !strings.EqualFold(fields[2], "udp") && !strings.EqualFold(fields[2], "tcp") {
		return malformed("transport")
	}
	if _, err := strconv.ParseUint(fields[3], 10, 32); err != nil {
		return malformed("priority")
	}
	if len(fields[4]) > 255 {
		return malformed("address")
	}
	if _, err := strconv.ParseUint(fields[5], 10, 16); err != nil {
		return malformed("port")
	}
	if fields[6] != "typ" {
		return malformed("type")
	}
	switch fields[7] {
	case "host", "srflx", "prflx", "relay":
		return nil
	}
	return malformed("type")
}

func isICEChar(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '/'
}

// IsMid reports whether s is usable as the name of a media section, RFC 5888 section 4: a
// token, here of at most 64 bytes.
func IsMid(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return !strings.ContainsAny(s, "\"(),/:;<=>?@[\\]")
}

// HasAddress reports whether pion can take a candidate, with or without "candidate:", as
// it is. A candidate with a name for an address is not taken: nobody who sends one shall
// make the server resolve it, and browsers name what they do not want to be found by.
func HasAddress(candidate string) bool {
	c, err := ice.UnmarshalCandidate(candidate)
	if err != nil {
		return false
	}
	_, err = netip.ParseAddr(c.Address())
	return err == nil
}
