package v1alpha1

import (
	"net/netip"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

const (
	urlHost = `([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])`
	urlPort = `(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?`
)

var (
	strictExternalURL = regexp.MustCompile(`^https?://` + urlHost + urlPort + `(/[A-Za-z0-9._~/-]*)?$`)
	dotSegment        = regexp.MustCompile(`\.\.|/\.(/|$)`)
	// RFC 7064 and RFC 7065, section 3.1 of each.
	strictICEServerURL = regexp.MustCompile(`^(stuns?:` + urlHost + urlPort + `|turns?:` + urlHost + urlPort + `([?]transport=(udp|tcp))?)$`)
)

// ValidateNew returns what the CustomResourceDefinition refuses in a new pair: what
// [StreamPair.Validate] refuses, and URLs that definitions of earlier releases took. Pairs with
// such URLs exist, and their media servers go on with them; so Validate takes these URLs.
func (p *StreamPair) ValidateNew() field.ErrorList {
	errs := p.Validate()
	if len(errs) > 0 {
		return errs
	}
	spec := field.NewPath("spec")
	if u := p.Spec.Playback.ExternalURL; u != "" && (!strictExternalURL.MatchString(u) || dotSegment.MatchString(u) || !hasIPInBrackets(u)) {
		errs = append(errs, field.Invalid(spec.Child("playback", "externalURL"), u,
			"must be an http:// or https:// URL without user, query and fragment, with a port up to 65535 and without '..'"))
	}
	for i, server := range p.Spec.MediaServer.ICEServers {
		for j, u := range server.URLs {
			if !strictICEServerURL.MatchString(u) || strings.Contains(u, "..") || !hasIPInBrackets(u) {
				errs = append(errs, field.Invalid(spec.Child("mediaServer", "iceServers").Index(i).Child("urls").Index(j), u,
					"must be stun:, stuns:, turn: or turns: with a host and a port, such as turn:turn.example.com:3478?transport=udp"))
			}
		}
	}
	return errs
}

// hasIPInBrackets reports whether what stands in the URL's brackets, if there are any, is an
// IPv6 address.
func hasIPInBrackets(url string) bool {
	_, rest, bracketed := strings.Cut(url, "[")
	if !bracketed {
		return true
	}
	host, _, _ := strings.Cut(rest, "]")
	ip, err := netip.ParseAddr(host)
	// CEL's isIP takes no IPv4 address that is written as an IPv6 address.
	return err == nil && ip.Zone() == "" && !ip.Is4In6()
}
