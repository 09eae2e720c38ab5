// Package sdpfrag reads SDP fragments, which are bodies of type
// application/trickle-ice-sdpfrag (RFC 8840 section 9). With them WHIP and WHEP
// clients send ICE candidates one by one and announce ICE restarts.
//
// The package checks and bounds all that it reads, so that callers may pass it on. It
// knows nothing of HTTP and makes no connection. Start with Parse.
package sdpfrag

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/ice/v4"
)

// ContentType is the media type of a fragment.
const ContentType = "application/trickle-ice-sdpfrag"

const (
	// MaxSize bounds a fragment, in bytes. A candidate takes about 150.
	MaxSize = 32 << 10
	// MaxCandidates bounds the candidates of one fragment. Further ones are left out.
	MaxCandidates = 64

	maxLine = 1024
)

// ErrTooLarge is returned when a fragment, or one of its lines, is too long.
var ErrTooLarge = errors.New("SDP fragment is too large")

// A Fragment is the content of one body.
type Fragment struct {
	// Ufrag and Password are the ICE credentials of the session that the fragment is about. They
	// are empty when the fragment has none. All its sections have the same ones.
	Ufrag, Password string
	Candidates      []Candidate
	// Unreadable is the number of malformed candidates that were left out, because others may
	// work. Surplus is the number left out beyond MaxCandidates.
	Unreadable, Surplus int
	// EndOfCandidates reports whether this was the last fragment with candidates.
	EndOfCandidates bool
}

// A Candidate is one ICE candidate.
type Candidate struct {
	// Mid is the candidate's media section, or empty when the fragment names none.
	Mid string
	// Value is the attribute without "a=", as in "candidate:1 1 udp …".
	Value string
}

// Parse reads a fragment. It skips attributes that are not about ICE, and candidates that it
// cannot read. An error is ErrTooLarge or names the line.
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

// line parses one line. mid is the name of the current media section.
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
		switch {
		case !isCandidate(value):
			f.Unreadable++
		case len(f.Candidates) >= MaxCandidates:
			f.Surplus++
		default:
			f.Candidates = append(f.Candidates, Candidate{Mid: *mid, Value: line[2:]})
		}
	}
	return nil
}

// set stores a credential (RFC 8839 section 5.4). It may be repeated, but must not change.
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

// isCandidate checks the fixed part of a candidate attribute (RFC 8839 section 5.1): foundation
// component transport priority address port "typ" type. Extensions follow in pairs.
func isCandidate(value string) bool {
	fields := strings.Fields(value)
	if len(fields) < 8 || len(fields)%2 != 0 {
		return false
	}
	foundation, transport, address := fields[0], fields[2], fields[4]
	for i := range len(foundation) {
		// Firefox writes a UUID with braces and dashes.
		if c := foundation[i]; !isICEChar(c) && c != '-' && c != '{' && c != '}' {
			return false
		}
	}
	component, err1 := strconv.ParseUint(fields[1], 10, 16)
	_, err2 := strconv.ParseUint(fields[3], 10, 32) // the priority
	_, err3 := strconv.ParseUint(fields[5], 10, 16) // the port
	return len(foundation) <= 32 && len(address) <= 255 && errors.Join(err1, err2, err3) == nil &&
		component >= 1 && component <= 256 &&
		(strings.EqualFold(transport, "udp") || strings.EqualFold(transport, "tcp")) &&
		fields[6] == "typ" && slices.Contains([]string{"host", "srflx", "prflx", "relay"}, fields[7])
}

func isICEChar(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '/'
}

// IsMid reports whether s can name a media section (RFC 5888 section 4). It must be a
// token; this package allows at most 64 bytes.
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

// HasAddress reports whether pion can take a candidate as it is, with or without "candidate:".
// A candidate with a name instead of an address is refused, because no client may make the
// server resolve a name. Browsers use names to hide their addresses.
func HasAddress(candidate string) bool {
	c, err := ice.UnmarshalCandidate(candidate)
	if err != nil {
		return false
	}
	_, err = netip.ParseAddr(c.Address())
	return err == nil
}
