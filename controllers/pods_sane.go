package controllers

import (
	"slices"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
)

const (
	// maxPodErrors bounds how many mistakes of its files a pod may report, and maxPodText
	// one text of it that is shown in the status, in bytes.
	maxPodErrors = 16
	maxPodText   = 512
	maxPodWord   = 64
)

// saneStatus leaves out of a status what our server does not say, and bounds what ends up in
// the status of the pair: a pod that is wrong must not make every status of its pair invalid.
func saneStatus(s *control.Status) {
	s.Version, s.Role = word(s.Version), role(s.Role)
	s.ConfigErrors = s.ConfigErrors[:min(len(s.ConfigErrors), maxPodErrors)]
	for i, text := range s.ConfigErrors {
		s.ConfigErrors[i] = shortLine(text)
	}
	s.ConfigErrors = slices.DeleteFunc(s.ConfigErrors, func(text string) bool { return text == "" })
	if s.TLS != nil {
		s.TLS.Error = shortLine(s.TLS.Error)
	}
	if r := s.PeerRelay; r != nil {
		r.Clear = r.Clear[:min(len(r.Clear), maxClearPeers)]
	}
	for i := range s.Pairs {
		sanePair(&s.Pairs[i])
	}
}

func sanePair(p *control.Pair) {
	p.Active, p.SwitchingTo, p.Reason = role(p.Active), role(p.SwitchingTo), word(p.Reason)
	p.ActiveStreamID = shortLine(p.ActiveStreamID)
	p.OnAir = p.OnAir && p.Active != "" && p.Reason != ""
	if p.Since != nil && p.Since.IsZero() {
		p.Since = nil
	}
	if s := p.LastSwitch; s != nil {
		s.From, s.To, s.Reason = role(s.From), role(s.To), word(s.Reason)
		if s.From == "" || s.To == "" || s.Reason == "" || s.Time.IsZero() {
			p.LastSwitch = nil
		}
	}
}

// role returns the name of a leg; empty if it is none.
func role(name string) string {
	if slices.Contains(Roles(), v1alpha1.Role(name)) {
		return name
	}
	return ""
}

// word returns a short name such as a reason or a version; empty if it is none.
func word(name string) string {
	if len(name) > maxPodWord || oneLine(name) != name {
		return ""
	}
	return name
}

func shortLine(text string) string {
	if len(text) > maxPodText {
		text = text[:maxPodText] + "…"
	}
	return oneLine(text)
}
