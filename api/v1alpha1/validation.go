package v1alpha1

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Limits of the spec, as in the kubebuilder markers of the types.
const (
	MaxNameLength         = 50
	MaxAppLength          = 64
	MaxStreamIDLength     = 128
	MinInputLoss          = 100   // milliseconds
	MaxInputLoss          = 60000 // milliseconds
	MaxJitter             = 10000 // milliseconds
	MaxContentSeconds     = 600
	MinSilenceDBFS        = -90
	MaxSilenceDBFS        = -20
	MaxLowBitrate         = 100000 // kilobits per second
	MaxLowFrameRate       = 99     // percent
	MaxRecoverySeconds    = 600
	MaxDrainSeconds       = 3600
	MaxTokenGraceSeconds  = 86400
	MaxExternalURLLength  = 1024
	MaxJWKSURLLength      = 1024
	MaxNotifications      = 8
	maxNotificationEvents = 5
	maxNotificationURL    = 1024
	maxOrder              = 2
	maxAllowedOrigins     = 32
	maxOriginLength       = 300
	maxImageLength        = 512
	maxImagePullSecrets   = 16
	maxNodeSelector       = 32
	maxTolerations        = 32
	maxICEServers         = 8
	maxICEServerURLs      = 8
	maxICEServerURLLength = 512
	maxAudiences          = 8
	maxClaimLength        = 1024
	pathSegmentCharacters = "letters, digits, '.', '_' and '-', starting with a letter or digit"
)

var (
	// An app or a stream id stands unescaped in URLs, in RTMP stream keys and in file names.
	// There '.flv', '.m3u8', '?' or '/' follows it. Starting with a letter or digit keeps "."
	// and ".." out.
	pathSegment = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

	// The names of a pair's Services begin with the pair's name: an RFC 1035 label.
	pairName = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)

	// Of a URL just what can be put before "/{app}/play.html?…".
	origin      = regexp.MustCompile(`^https?://([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[1-9][0-9]{0,4})?$`)
	httpsURL    = regexp.MustCompile(`^https://([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?(/[!-~]*)?$`)
	externalURL = regexp.MustCompile(`^https?://([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[1-9][0-9]{0,4})?(/[A-Za-z0-9._~/-]*)?$`)

	image        = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/@-]*$`)
	iceServerURL = regexp.MustCompile(`^(stun|stuns|turn|turns):[!-~]+$`)
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
	errs = append(errs, s.ObjectLabels.Validate(path.Child("objectLabels"))...)
	errs = append(errs, validateNotifications(path.Child("notifications"), s.Notifications)...)
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
	errs = append(errs, oneOf(path.Child("mode"), f.Mode, FailoverSticky, FailoverPreferPrimary, FailoverManual)...)
	errs = append(errs, oneOf(path.Child("select"), f.Select, SelectAuto, SelectPrimary, SelectBackup)...)
	errs = append(errs, within(path.Child("inputLossMilliseconds"), &f.InputLossMilliseconds, MinInputLoss, MaxInputLoss)...)
	errs = append(errs, within(path.Child("maxJitterMilliseconds"), f.MaxJitterMilliseconds, 0, MaxJitter)...)
	errs = append(errs, within(path.Child("recoverySeconds"), f.RecoverySeconds, 0, MaxRecoverySeconds)...)
	return append(errs, f.Content.validate(path.Child("content"))...)
}

func (c *Content) validate(path *field.Path) field.ErrorList {
	if c == nil {
		return nil
	}
	errs := oneOf(path.Child("policy"), c.Policy, ContentObserve, ContentFailover)
	after := func(part string, seconds *int32) {
		errs = append(errs, within(path.Child(part, "afterSeconds"), seconds, 0, MaxContentSeconds)...)
	}
	if f := c.Silence; f != nil {
		after("silence", f.AfterSeconds)
		errs = append(errs, within(path.Child("silence", "belowDBFS"), f.BelowDBFS, MinSilenceDBFS, MaxSilenceDBFS)...)
	}
	if c.Black != nil {
		after("black", c.Black.AfterSeconds)
	}
	if c.Frozen != nil {
		after("frozen", c.Frozen.AfterSeconds)
	}
	if f := c.LowBitrate; f != nil {
		after("lowBitrate", f.AfterSeconds)
		errs = append(errs, within(path.Child("lowBitrate", "belowKilobitsPerSecond"), f.BelowKilobitsPerSecond, 0, MaxLowBitrate)...)
	}
	if f := c.LowFrameRate; f != nil {
		after("lowFrameRate", f.AfterSeconds)
		errs = append(errs, within(path.Child("lowFrameRate", "belowPercent"), f.BelowPercent, 0, MaxLowFrameRate)...)
	}
	return append(errs, within(path.Child("clearSeconds"), c.ClearSeconds, 1, MaxContentSeconds)...)
}

func (p *Publish) validate(path *field.Path) field.ErrorList {
	errs := oneOf(path.Child("auth"), p.Auth, PublishToken, PublishNone)
	errs = append(errs, p.TokenSecretRef.validate(path.Child("tokenSecretRef"))...)
	errs = append(errs, p.SRTPassphraseSecretRef.validate(path.Child("srtPassphraseSecretRef"))...)
	if p.JWKS != nil && p.Auth == PublishNone {
		errs = append(errs, field.Forbidden(path.Child("jwks"),
			"does nothing with auth None: set auth to Token, or everybody can publish"))
	}
	errs = append(errs, p.JWKS.validate(path.Child("jwks"))...)
	if p.TokenGeneration < 0 {
		errs = append(errs, field.Invalid(path.Child("tokenGeneration"), p.TokenGeneration, "must not be negative"))
	}
	return append(errs, within(path.Child("replacedTokenGraceSeconds"), p.ReplacedTokenGraceSeconds, 0, MaxTokenGraceSeconds)...)
}

func (p *Playback) validate(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	errs = append(errs, validateOrder(path.Child("order"), p.Order)...)
	errs = append(errs, validateExternalURL(path.Child("externalURL"), p.ExternalURL)...)
	errs = append(errs, objectName(path.Child("tlsSecretName"), p.TLSSecretName, "a Secret")...)
	errs = append(errs, oneOf(path.Child("auth"), p.Auth, PlaybackNone, PlaybackToken, PlaybackJWT)...)
	if p.TokenSecretRef != nil && p.Auth == PlaybackNone {
		// Whoever names a Secret here expects it to keep people out.
		errs = append(errs, field.Forbidden(path.Child("tokenSecretRef"),
			"does nothing with auth None: set auth to Token or JWT, or everybody can watch"))
	}
	errs = append(errs, p.TokenSecretRef.validate(path.Child("tokenSecretRef"))...)
	if p.JWKS != nil && p.Auth != PlaybackJWT {
		errs = append(errs, field.Forbidden(path.Child("jwks"), "does nothing without auth JWT: set auth to JWT"))
	}
	errs = append(errs, p.JWKS.validate(path.Child("jwks"))...)
	errs = append(errs, within(path.Child("replacedTokenGraceSeconds"), p.ReplacedTokenGraceSeconds, 0, MaxTokenGraceSeconds)...)
	errs = append(errs, p.HLS.validate(path.Child("hls"))...)
	errs = append(errs, set(path.Child("allowedOrigins"), p.AllowedOrigins, maxAllowedOrigins, validateOrigin)...)
	return append(errs, oneOf(path.Child("legacyClients"), p.LegacyClients, LegacyClientsPair, LegacyClientsStream)...)
}

func (j *JWKS) validate(path *field.Path) field.ErrorList {
	if j == nil {
		return nil
	}
	var errs field.ErrorList
	switch {
	case (j.URL != "") == (j.SecretRef != nil):
		errs = append(errs, field.Required(path, "set exactly one of url and secretRef"))
	case j.URL != "" && (len(j.URL) > MaxJWKSURLLength || !httpsURL.MatchString(j.URL) || strings.Contains(j.URL, "#")):
		errs = append(errs, field.Invalid(path.Child("url"), j.URL,
			"must be an https:// URL without user and fragment, such as https://login.example.com/.well-known/jwks.json"))
	}
	errs = append(errs, j.SecretRef.validate(path.Child("secretRef"))...)
	if len(j.Issuer) > maxClaimLength {
		errs = append(errs, field.TooLong(path.Child("issuer"), "", maxClaimLength))
	}
	return append(errs, set(path.Child("audiences"), j.Audiences, maxAudiences, func(path *field.Path, value string) *field.Error {
		if value == "" || len(value) > maxClaimLength {
			return field.Invalid(path, value, fmt.Sprintf("must have 1 to %d bytes", maxClaimLength))
		}
		return nil
	})...)
}

// Bounds of HLS. A part is at least 100 ms long: shorter ones cost more than they gain.
const (
	MaxHLSSegmentSeconds   = 10
	MinHLSPartMilliseconds = 100
	MaxHLSPartMilliseconds = 2000
	MaxHLSWindowSeconds    = 3600
)

func (h *HLS) validate(path *field.Path) field.ErrorList {
	if h == nil {
		return nil
	}
	errs := oneOf(path.Child("mode"), h.Mode, HLSOnDemand, HLSAlways, HLSOff)
	errs = append(errs, within(path.Child("segmentSeconds"), &h.SegmentSeconds, 1, MaxHLSSegmentSeconds)...)
	errs = append(errs, within(path.Child("partMilliseconds"), &h.PartMilliseconds, MinHLSPartMilliseconds, MaxHLSPartMilliseconds)...)
	errs = append(errs, within(path.Child("windowSeconds"), &h.WindowSeconds, 1, MaxHLSWindowSeconds)...)
	if len(errs) == 0 && h.PartMilliseconds > 1000*h.SegmentSeconds {
		errs = append(errs, field.Invalid(path.Child("partMilliseconds"), h.PartMilliseconds,
			"a part must not be longer than a segment: lower partMilliseconds, or raise segmentSeconds"))
	}
	return errs
}

func validateOrigin(path *field.Path, value string) *field.Error {
	if len(value) <= maxOriginLength && origin.MatchString(value) {
		return nil
	}
	return field.Invalid(path, value,
		"must be as a browser sends it: http:// or https://, a host, and no path, such as https://www.example.com")
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
	switch {
	case value == "":
		return nil
	case len(value) > MaxExternalURLLength:
		return field.ErrorList{field.TooLong(path, value, MaxExternalURLLength)}
	case !externalURL.MatchString(value):
		return field.ErrorList{field.Invalid(path, value,
			"must be an http:// or https:// URL without user, query and fragment, such as https://live.example.com")}
	}
	return nil
}

func (r *SecretReference) validate(path *field.Path) field.ErrorList {
	switch name := path.Child("name"); {
	case r == nil:
		return nil
	case r.Name == "":
		return field.ErrorList{field.Required(name, "names the Secret")}
	default:
		return objectName(name, r.Name, "a Secret")
	}
}

// objectName judges the name of an object of some kind; empty: none is meant.
func objectName(path *field.Path, name, kind string) field.ErrorList {
	switch {
	case name == "":
		return nil
	case len(name) > validation.DNS1123SubdomainMaxLength:
		return field.ErrorList{field.TooLong(path, name, validation.DNS1123SubdomainMaxLength)}
	case len(validation.IsDNS1123Subdomain(name)) > 0:
		return field.ErrorList{field.Invalid(path, name, "must be the name of "+kind+
			": lower case letters, digits, '-' and '.', starting and ending with a letter or digit")}
	}
	return nil
}

func (m *MediaServer) validate(path *field.Path) field.ErrorList {
	errs := validateImage(path.Child("image"), m.Image)
	secrets := path.Child("imagePullSecrets")
	errs = append(errs, atMost(secrets, len(m.ImagePullSecrets), maxImagePullSecrets)...)
	names := map[string]bool{}
	for i, secret := range m.ImagePullSecrets {
		switch name := secrets.Index(i).Child("name"); {
		case secret.Name == "":
			errs = append(errs, field.Required(name, "names the Secret"))
		case names[secret.Name]:
			errs = append(errs, field.Duplicate(name, secret.Name))
		}
		names[secret.Name] = true
	}
	if len(m.Resources.Claims) > 0 {
		errs = append(errs, field.Forbidden(path.Child("resources", "claims"), "a media server uses no devices"))
	}
	errs = append(errs, oneOf(path.Child("antiAffinity"), m.AntiAffinity,
		AntiAffinityPreferred, AntiAffinityRequired, AntiAffinityNone)...)
	errs = append(errs, atMost(path.Child("nodeSelector"), len(m.NodeSelector), maxNodeSelector)...)
	errs = append(errs, atMost(path.Child("tolerations"), len(m.Tolerations), maxTolerations)...)
	errs = append(errs, objectName(path.Child("priorityClassName"), m.PriorityClassName, "a PriorityClass")...)
	errs = append(errs, m.PodLabels.Validate(path.Child("podLabels"))...)
	errs = append(errs, m.PodAnnotations.validate(path.Child("podAnnotations"))...)
	errs = append(errs, within(path.Child("drainTimeoutSeconds"), m.DrainTimeoutSeconds, 0, MaxDrainSeconds)...)
	errs = append(errs, within(path.Child("nodeLossTolerationSeconds"), m.NodeLossTolerationSeconds, 0, MaxDrainSeconds)...)
	errs = append(errs, oneOf(path.Child("updatePolicy"), m.UpdatePolicy, UpdateWhenIdle, UpdateAuto)...)
	if m.Egress != "" {
		errs = append(errs, oneOf(path.Child("egress"), m.Egress, EgressUnrestricted, EgressRestricted)...)
	}
	servers := path.Child("iceServers")
	if tooMany := atMost(servers, len(m.ICEServers), maxICEServers); tooMany != nil {
		return append(errs, tooMany...)
	}
	for i, server := range m.ICEServers {
		errs = append(errs, server.validate(servers.Index(i))...)
	}
	return errs
}

func validateImage(path *field.Path, value string) field.ErrorList {
	switch {
	case value == "":
		return nil
	case len(value) > maxImageLength:
		return field.ErrorList{field.TooLong(path, value, maxImageLength)}
	case !image.MatchString(value):
		return field.ErrorList{field.Invalid(path, value,
			"must be an image reference, such as registry.example.com/streampair-mediaserver:1.0")}
	}
	return nil
}

func (s *ICEServer) validate(path *field.Path) field.ErrorList {
	errs := s.CredentialSecretRef.validate(path.Child("credentialSecretRef"))
	urls := path.Child("urls")
	if len(s.URLs) == 0 {
		return append(errs, field.Required(urls, "needs at least one URL"))
	}
	return append(errs, set(urls, s.URLs, maxICEServerURLs, func(path *field.Path, u string) *field.Error {
		switch {
		case len(u) > maxICEServerURLLength:
			return field.TooLong(path, u, maxICEServerURLLength)
		case !iceServerURL.MatchString(u):
			return field.Invalid(path, u, "must begin with stun:, stuns:, turn: or turns:, such as turn:turn.example.com:3478")
		}
		return nil
	})...)
}

func oneOf[T ~string](path *field.Path, value T, allowed ...T) field.ErrorList {
	if slices.Contains(allowed, value) {
		return nil
	}
	return field.ErrorList{field.NotSupported(path, value, allowed)}
}

// within judges an integer; nil stands for the field's default.
func within(path *field.Path, value *int32, low, high int32) field.ErrorList {
	if value == nil || (low <= *value && *value <= high) {
		return nil
	}
	return field.ErrorList{field.Invalid(path, *value,
		"must be from "+strconv.Itoa(int(low))+" to "+strconv.Itoa(int(high)))}
}

func atMost(path *field.Path, n, limit int) field.ErrorList {
	if n <= limit {
		return nil
	}
	return field.ErrorList{field.TooMany(path, n, limit)}
}

// set judges a list of at most limit strings that differ, each by one.
func set(path *field.Path, values []string, limit int, one func(*field.Path, string) *field.Error) field.ErrorList {
	errs := atMost(path, len(values), limit)
	if errs != nil {
		return errs
	}
	for i, value := range values {
		if err := one(path.Index(i), value); err != nil {
			errs = append(errs, err)
		} else if slices.Contains(values[:i], value) {
			errs = append(errs, field.Duplicate(path.Index(i), value))
		}
	}
	return errs
}
