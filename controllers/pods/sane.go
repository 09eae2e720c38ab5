package pods

import (
	"slices"
	"time"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/oneline"
)

const (
	// maxPodErrors bounds how many mistakes in its files a pod may report.
	maxPodErrors = 16
	// maxPodWord bounds a name that a pod gives, such as a reason, in bytes.
	maxPodWord = 64
	// maxGap bounds how long viewers had no picture by what a pod says.
	maxGap = 365 * 24 * time.Hour
)

// historyKinds are the kinds of events that the operator knows.
var historyKinds = []string{
	control.HistoryOnAir, control.HistoryDark, control.HistorySwitched, control.HistoryRedundant, control.HistoryRedundancyLost,
}

// contentFaults are the faults of content that the operator knows.
var contentFaults = []string{
	control.FaultBlack, control.FaultFrozen, control.FaultSilent, control.FaultLowBitrate, control.FaultLowFrameRate,
}

// saneStatus removes from a status what the real media server never sends, and bounds
// the rest. Otherwise a faulty pod could make every status of its pair invalid.
func saneStatus(s *control.Status) {
	s.Version, s.Role, s.ConfigUID = word(s.Version), role(s.Role), word(s.ConfigUID)
	s.ConfigErrors = s.ConfigErrors[:min(len(s.ConfigErrors), maxPodErrors)]
	for i, text := range s.ConfigErrors {
		s.ConfigErrors[i] = oneline.Short(text)
	}
	s.ConfigErrors = slices.DeleteFunc(s.ConfigErrors, func(text string) bool { return text == "" })
	s.ConfigMistakes = s.ConfigMistakes[:min(len(s.ConfigMistakes), maxPodErrors)]
	for i, mistake := range s.ConfigMistakes {
		s.ConfigMistakes[i] = control.ConfigMistake{Reason: word(mistake.Reason), Message: oneline.Short(mistake.Message)}
	}
	s.ConfigMistakes = slices.DeleteFunc(s.ConfigMistakes, func(m control.ConfigMistake) bool { return m.Message == "" })
	s.UnknownFields = s.UnknownFields[:min(len(s.UnknownFields), maxPodErrors)]
	for i, path := range s.UnknownFields {
		s.UnknownFields[i] = oneline.Short(path)
	}
	if s.TLS != nil {
		s.TLS.Error = oneline.Short(s.TLS.Error)
	}
	if r := s.PeerRelay; r != nil {
		r.Clear = r.Clear[:min(len(r.Clear), MaxClearPeers)]
	}
	for i := range s.Pairs {
		sanePair(&s.Pairs[i])
	}
}

func sanePair(p *control.Pair) {
	p.Active, p.SwitchingTo, p.Reason = role(p.Active), role(p.SwitchingTo), word(p.Reason)
	p.ActiveStreamID = oneline.Short(p.ActiveStreamID)
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
	p.History = saneHistory(p.History)
	for i := range p.Legs {
		if c := p.Legs[i].Content; c != nil {
			c.Faults = slices.DeleteFunc(c.Faults, func(f string) bool { return !slices.Contains(contentFaults, f) })
			c.Faults = c.Faults[:min(len(c.Faults), len(contentFaults))]
		}
	}
}

// saneHistory keeps nil, by which a pod of an earlier version is known.
func saneHistory(entries []control.HistoryEntry) []control.HistoryEntry {
	entries = entries[:min(len(entries), control.MaxHistory)]
	for i := range entries {
		e := &entries[i]
		e.Leg, e.Reason, e.GapMilliseconds = role(e.Leg), word(e.Reason), min(max(e.GapMilliseconds, 0), maxGap.Milliseconds())
	}
	return slices.DeleteFunc(entries, func(e control.HistoryEntry) bool {
		return !slices.Contains(historyKinds, e.Kind) || e.Leg == "" || e.Time.IsZero()
	})
}

// role returns the name if it names a leg; otherwise the empty string.
func role(name string) string {
	if slices.Contains(objects.Roles(), v1alpha1.Role(name)) {
		return name
	}
	return ""
}

// word returns the name if it is a short word such as
// a reason or a version; otherwise the empty string.
func word(name string) string {
	if len(name) > maxPodWord || oneline.Of(name) != name {
		return ""
	}
	return name
}
