package v1alpha1

import (
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Limits of the spec, as in the kubebuilder markers of the types.
const (
	MaxNameLength         = 50
	MaxAppLength          = 64
	MaxStreamIDLength     = 128
	MinInputLoss          = 100   // milliseconds
	MaxInputLoss          = 60000 // milliseconds
	MaxRecoverySeconds    = 600
	MaxDrainSeconds       = 3600
	MaxExternalURLLength  = 1024
	maxOrder              = 2
	maxICEServers         = 8
	maxICEServerURLs      = 8
	maxExternalAddresses  = 16
	maxSourceRanges       = 64
	pathSegmentCharacters = "letters, digits, '.', '_' and '-', starting with a letter or digit"
)

var (
	// An app or a stream id stands unescaped in URLs, in RTMP stream keys and in file
	// names, and is followed there by '.flv', '.m3u8', '?' or '/'. Starting with a letter
	// or digit keeps "." and ".." out.
	pathSegment = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

	// The names of a pair's Services begin with the pair's name: an RFC 1035 label.
	pairName = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)

	iceServerURL = regexp.MustCompile(`^(stun|stuns|turn|turns):[^\s]+$`)
)

// IsStreamID reports whether id can name a stream: 1 to 128 letters, digits, '.',
// '_' and '-', starting with a letter or digit.
func IsStreamID(id string) bool { return len(id) <= MaxStreamIDLength && pathSegment.MatchString(id) }

// IsApp reports whether app can be the first path segment of the pair's URLs: as a
// stream id, but at most 64 characters.
func IsApp(app string) bool { return len(app) <= MaxAppLength && pathSegment.MatchString(app) }

// Validate returns every mistake of a pair to which [StreamPair.Default] was applied,
// each with the path of its field; none when the pair can be served.
//
// It judges as the CustomResourceDefinition does, and works without a cluster.
func (p *StreamPair) Validate() field.ErrorList {
	var errs field.ErrorList
	name := field.NewPath("metadata", "name")
	switch {
	case p.Name == "":
		errs = append(errs, field.Required(name, "names the pair"))
	case len(p.Name) > MaxNameLength:
		errs = append(errs, field.TooLong(name, p.Name, MaxNameLength))
	case !pairName.MatchString(p.Name):
		errs = append(errs, field.Invalid(name, p.Name,
			"must be lower case letters, digits and '-', starting with a letter, ending with a letter or digit"))
	}
	return append(errs, p.Spec.validate(field.NewPath("spec"))...)
}

func (s *StreamPairSpec) validate(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if !IsApp(s.App) {
		errs = append(errs, field.Invalid(path.Child("app"), s.App,
			"must be 1 to 64 "+pathSegmentCharacters))
	}
	errs = append(errs, s.Primary.validate(path.Child("primary"))...)
	errs = append(errs, s.Backup.validate(path.Child("backup"))...)
	if s.Primary.StreamID == s.Backup.StreamID && s.Backup.StreamID != "" {
		errs = append(errs, field.Invalid(path.Child("backup", "streamID"), s.Backup.StreamID,
			"must differ from spec.primary.streamID"))
	}
	errs = append(errs, s.Failover.validate(path.Child("failover"))...)
	errs = append(errs, s.Playback.validate(path.Child("playback"))...)
	errs = append(errs, s.Publish.validate(path.Child("publish"))...)
	errs = append(errs, s.Exposure.validate(path.Child("exposure"))...)
	return append(errs, s.MediaServer.validate(path.Child("mediaServer"))...)
}

func (l *Leg) validate(path *field.Path) field.ErrorList {
	id := path.Child("streamID")
	switch {
	case l.StreamID == "":
		return field.ErrorList{field.Required(id, "names the leg's stream")}
	case !IsStreamID(l.StreamID):
		return field.ErrorList{field.Invalid(id, l.StreamID, "must be 1 to 128 "+pathSegmentCharacters)}
	}
	return nil
}

func (f *Failover) validate(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	errs = append(errs, oneOf(path.Child("mode"), f.Mode, FailoverSticky, FailoverPreferPrimary)...)
	errs = append(errs, oneOf(path.Child("select"), f.Select, SelectAuto, SelectPrimary, SelectBackup)...)
	errs = append(errs, within(path.Child("inputLossMilliseconds"), &f.InputLossMilliseconds, MinInputLoss, MaxInputLoss)...)
	return append(errs, within(path.Child("recoverySeconds"), f.RecoverySeconds, 0, MaxRecoverySeconds)...)
}

func (p *Publish) validate(path *field.Path) field.ErrorList {
	errs := oneOf(path.Child("auth"), p.Auth, PublishToken, PublishNone)
	errs = append(errs, p.TokenSecretRef.validate(path.Child("tokenSecretRef"))...)
	if p.TokenGeneration < 0 {
		errs = append(errs, field.Invalid(path.Child("tokenGeneration"), p.TokenGeneration, "must not be negative"))
	}
	return errs
}

func (p *Playback) validate(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	errs = append(errs, validateOrder(path.Child("order"), p.Order)...)
	if p.ExternalURL != "" {
		errs = append(errs, validateExternalURL(path.Child("externalURL"), p.ExternalURL)...)
	}
	errs = append(errs, oneOf(path.Child("auth"), p.Auth, PlaybackNone, PlaybackToken, PlaybackJWT)...)
	errs = append(errs, p.TokenSecretRef.validate(path.Child("tokenSecretRef"))...)
	return append(errs, oneOf(path.Child("legacyClients"), p.LegacyClients, LegacyClientsPair, LegacyClientsStream)...)
}

func validateOrder(path *field.Path, order []PlaybackMethod) field.ErrorList {
	switch {
	case len(order) == 0:
		return field.ErrorList{field.Required(path, "needs at least one of WebRTC, HLS")}
	case len(order) > maxOrder:
		return field.ErrorList{field.TooMany(path, len(order), maxOrder)}
	}
	var errs field.ErrorList
	for i, method := range order {
		errs = append(errs, oneOf(path.Index(i), method, PlaybackWebRTC, PlaybackHLS)...)
		if slices.Contains(order[:i], method) {
			errs = append(errs, field.Duplicate(path.Index(i), method))
		}
	}
	return errs
}

func validateExternalURL(path *field.Path, value string) field.ErrorList {
	if len(value) > MaxExternalURLLength {
		return field.ErrorList{field.TooLong(path, value, MaxExternalURLLength)}
	}
	u, err := url.Parse(value)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || strings.ContainsAny(value, "?#") {
		return field.ErrorList{field.Invalid(path, value,
			"must be an http:// or https:// URL without query or fragment, such as https://live.example.com")}
	}
	return nil
}

func (r *SecretReference) validate(path *field.Path) field.ErrorList {
	if r != nil && r.Name == "" {
		return field.ErrorList{field.Required(path.Child("name"), "names the Secret")}
	}
	return nil
}

func (e *Exposure) validate(path *field.Path) field.ErrorList {
	errs := e.HTTP.validate(path.Child("http"))
	errs = append(errs, e.RTMP.validate(path.Child("rtmp"))...)
	return append(errs, e.WebRTC.validate(path.Child("webrtc"))...)
}

func (s *ServiceExposure) validate(path *field.Path) field.ErrorList {
	errs := oneOf(path.Child("type"), s.Type, ExposureClusterIP, ExposureNodePort, ExposureLoadBalancer)
	errs = append(errs, s.LoadBalancer.validate(path.Child("loadBalancer"), s.Type)...)
	return append(errs, s.ExternalAddresses.validate(path.Child("externalAddresses"), validateHostPort)...)
}

func (w *WebRTCExposure) validate(path *field.Path) field.ErrorList {
	errs := oneOf(path.Child("type"), w.Type, ExposureClusterIP, ExposureNodePort, ExposureLoadBalancer, ExposureHostPort)
	errs = append(errs, w.LoadBalancer.validate(path.Child("loadBalancer"), w.Type)...)
	errs = append(errs, w.HostPorts.validate(path.Child("hostPorts"), w.Type)...)
	return append(errs, w.ExternalAddresses.validate(path.Child("externalAddresses"), validateMediaAddress)...)
}

func (h *HostPorts) validate(path *field.Path, kind ExposureType) field.ErrorList {
	switch {
	case h == nil && kind == ExposureHostPort:
		return field.ErrorList{field.Required(path, "type HostPort needs a port for each leg")}
	case h == nil:
		return nil
	case kind != ExposureHostPort:
		return field.ErrorList{field.Forbidden(path, "may be set only with type HostPort")}
	}
	errs := within(path.Child("primary"), &h.Primary, 1, 65535)
	errs = append(errs, within(path.Child("backup"), &h.Backup, 1, 65535)...)
	if h.Primary == h.Backup && len(errs) == 0 {
		errs = append(errs, field.Invalid(path.Child("backup"), h.Backup, "must differ from the primary's port"))
	}
	return errs
}

func (l *LoadBalancerExposure) validate(path *field.Path, kind ExposureType) field.ErrorList {
	if l == nil {
		return nil
	}
	if kind != ExposureLoadBalancer {
		return field.ErrorList{field.Forbidden(path, "may be set only with type LoadBalancer")}
	}
	ranges := path.Child("sourceRanges")
	if len(l.SourceRanges) > maxSourceRanges {
		return field.ErrorList{field.TooMany(ranges, len(l.SourceRanges), maxSourceRanges)}
	}
	var errs field.ErrorList
	for i, network := range l.SourceRanges {
		if _, err := netip.ParsePrefix(network); err != nil {
			errs = append(errs, field.Invalid(ranges.Index(i), network,
				"must be a network in CIDR notation, such as 203.0.113.0/24"))
		}
	}
	return errs
}

func (l *LegAddresses) validate(path *field.Path, one func(*field.Path, string) *field.Error) field.ErrorList {
	if l == nil {
		return nil
	}
	var errs field.ErrorList
	for role, addresses := range map[string][]string{"primary": l.Primary, "backup": l.Backup} {
		if len(addresses) > maxExternalAddresses {
			errs = append(errs, field.TooMany(path.Child(role), len(addresses), maxExternalAddresses))
			continue
		}
		for i, address := range addresses {
			if err := one(path.Child(role).Index(i), address); err != nil {
				errs = append(errs, err)
			}
		}
	}
	slices.SortFunc(errs, func(a, b *field.Error) int { return strings.Compare(a.Field, b.Field) })
	return errs
}

func validateHostPort(path *field.Path, value string) *field.Error {
	host := value
	if h, port, err := net.SplitHostPort(value); err == nil {
		host = h
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return field.Invalid(path, value, "the port must be a number from 1 to 65535")
		}
	}
	if host == "" || strings.ContainsAny(host, "/?#@ ") {
		return field.Invalid(path, value, "must be host or host:port, an IPv6 address in brackets")
	}
	return nil
}

func validateMediaAddress(path *field.Path, value string) *field.Error {
	if _, err := ParseMediaAddress(value); err != nil {
		return field.Invalid(path, value, err.Error())
	}
	return nil
}

func (m *MediaServer) validate(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	errs = append(errs, oneOf(path.Child("antiAffinity"), m.AntiAffinity,
		AntiAffinityPreferred, AntiAffinityRequired, AntiAffinityNone)...)
	errs = append(errs, within(path.Child("drainTimeoutSeconds"), m.DrainTimeoutSeconds, 0, MaxDrainSeconds)...)
	errs = append(errs, within(path.Child("nodeLossTolerationSeconds"), m.NodeLossTolerationSeconds, 0, MaxDrainSeconds)...)
	errs = append(errs, oneOf(path.Child("updatePolicy"), m.UpdatePolicy, UpdateWhenIdle, UpdateAuto)...)
	servers := path.Child("iceServers")
	if len(m.ICEServers) > maxICEServers {
		return append(errs, field.TooMany(servers, len(m.ICEServers), maxICEServers))
	}
	for i, server := range m.ICEServers {
		errs = append(errs, server.validate(servers.Index(i))...)
	}
	return errs
}

func (s *ICEServer) validate(path *field.Path) field.ErrorList {
	errs := s.CredentialSecretRef.validate(path.Child("credentialSecretRef"))
	urls := path.Child("urls")
	switch {
	case len(s.URLs) == 0:
		return append(errs, field.Required(urls, "needs at least one URL"))
	case len(s.URLs) > maxICEServerURLs:
		return append(errs, field.TooMany(urls, len(s.URLs), maxICEServerURLs))
	}
	for i, u := range s.URLs {
		if !iceServerURL.MatchString(u) {
			errs = append(errs, field.Invalid(urls.Index(i), u, "must begin with stun:, stuns:, turn: or turns:"))
		}
	}
	return errs
}

func oneOf[T ~string](path *field.Path, value T, allowed ...T) field.ErrorList {
	if slices.Contains(allowed, value) {
		return nil
	}
	return field.ErrorList{field.NotSupported(path, value, allowed)}
}

// within judges an integer that Default has set; nil is as good as the default.
func within(path *field.Path, value *int32, low, high int32) field.ErrorList {
	if value == nil || (low <= *value && *value <= high) {
		return nil
	}
	return field.ErrorList{field.Invalid(path, *value,
		"must be from "+strconv.Itoa(int(low))+" to "+strconv.Itoa(int(high)))}
}
