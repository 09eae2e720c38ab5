package v1alpha1

import (
	"net/netip"
	"regexp"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Limits of spec.exposure, as in the kubebuilder markers of the types.
const (
	maxExternalAddresses     = 16
	maxExternalAddressLength = 300
	maxAnnotations           = 64
	maxClassLength           = 316
	maxSourceRanges          = 64
	maxTrustedProxies        = 32
	maxNetworkLength         = 64
)

// host or host:port, as it can stand in a URL.
var hostPort = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])` +
	`(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?$`)

func (e *Exposure) validate(path *field.Path) field.ErrorList {
	errs := e.HTTP.validate(path.Child("http"))
	errs = append(errs, e.RTMP.validate(path.Child("rtmp"))...)
	errs = append(errs, e.RTMP.LoadBalancer.validateRTMPPorts(path.Child("rtmp", "loadBalancer"))...)
	if e.SRT != nil {
		errs = append(errs, e.SRT.validate(path.Child("srt"))...)
		errs = append(errs, e.SRT.LoadBalancer.validateNoTLSPorts(path.Child("srt", "loadBalancer"))...)
	}
	return append(errs, e.WebRTC.validate(path.Child("webrtc"))...)
}

func (l *LoadBalancerExposure) validateNoTLSPorts(path *field.Path) field.ErrorList {
	if l == nil || l.LegTLSPorts == nil {
		return nil
	}
	return field.ErrorList{field.Forbidden(path, "legTLSPorts are for rtmp only: remove them")}
}

func (h *HTTPExposure) validate(path *field.Path) field.ErrorList {
	errs := h.ServiceExposure.validate(path)
	if l := h.LoadBalancer; l != nil && (l.LegPorts != nil || l.LegTLSPorts != nil || l.LegAnnotations != nil) {
		errs = append(errs, field.Forbidden(path.Child("loadBalancer"),
			"http has one Service for both legs: legPorts, legTLSPorts and legAnnotations are for rtmp and webrtc"))
	}
	return append(errs, set(path.Child("trustedProxies"), h.TrustedProxies, maxTrustedProxies, validateNetwork)...)
}

func (s *ServiceExposure) validate(path *field.Path) field.ErrorList {
	errs := oneOf(path.Child("type"), s.Type, ExposureClusterIP, ExposureNodePort, ExposureLoadBalancer)
	errs = append(errs, s.LoadBalancer.validate(path.Child("loadBalancer"), s.Type)...)
	errs = append(errs, validateFamilies(path, s.IPFamilyPolicy)...)
	return append(errs, s.ExternalAddresses.validate(path.Child("externalAddresses"), validateHostPort)...)
}

func (w *WebRTCExposure) validate(path *field.Path) field.ErrorList {
	errs := oneOf(path.Child("type"), w.Type, ExposureClusterIP, ExposureNodePort, ExposureLoadBalancer, ExposureHostPort)
	errs = append(errs, w.LoadBalancer.validate(path.Child("loadBalancer"), w.Type)...)
	errs = append(errs, validateFamilies(path, w.IPFamilyPolicy)...)
	errs = append(errs, w.LoadBalancer.validateNoTLSPorts(path.Child("loadBalancer"))...)
	errs = append(errs, w.HostPorts.validate(path.Child("hostPorts"), w.Type)...)
	return append(errs, w.ExternalAddresses.validate(path.Child("externalAddresses"), validateMediaAddress)...)
}

func validateFamilies(path *field.Path, policy corev1.IPFamilyPolicy) field.ErrorList {
	if policy == "" {
		return nil
	}
	return oneOf(path.Child("ipFamilyPolicy"), policy,
		corev1.IPFamilyPolicySingleStack, corev1.IPFamilyPolicyPreferDualStack, corev1.IPFamilyPolicyRequireDualStack)
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
	var errs field.ErrorList
	switch class := path.Child("class"); {
	case l.Class == "":
	case len(l.Class) > maxClassLength:
		errs = append(errs, field.TooLong(class, l.Class, maxClassLength))
	case len(validation.IsQualifiedName(l.Class)) > 0:
		errs = append(errs, field.Invalid(class, l.Class,
			"must be the name of a load balancer class, such as service.k8s.aws/nlb"))
	}
	errs = append(errs, atMost(path.Child("annotations"), len(l.Annotations), maxAnnotations)...)
	if a := l.LegAnnotations; a != nil {
		errs = append(errs, atMost(path.Child("legAnnotations", "primary"), len(a.Primary), maxAnnotations)...)
		errs = append(errs, atMost(path.Child("legAnnotations", "backup"), len(a.Backup), maxAnnotations)...)
	}
	errs = append(errs, l.LegPorts.validate(path.Child("legPorts"))...)
	errs = append(errs, l.LegTLSPorts.validate(path.Child("legTLSPorts"))...)
	return append(errs, set(path.Child("sourceRanges"), l.SourceRanges, maxSourceRanges, validateNetwork)...)
}

// Ports of RTMP and RTMPS where nothing else is chosen.
const (
	defaultRTMPPort  = 1935
	defaultRTMPSPort = 1936
)

// validateRTMPPorts judges the ports that each leg's Service of RTMP would have.
func (l *LoadBalancerExposure) validateRTMPPorts(path *field.Path) field.ErrorList {
	if l == nil {
		return nil
	}
	ports, tls := LegPorts{defaultRTMPPort, defaultRTMPPort}, LegPorts{defaultRTMPSPort, defaultRTMPSPort}
	if l.LegPorts != nil {
		ports = *l.LegPorts
	}
	if l.LegTLSPorts != nil {
		tls = *l.LegTLSPorts
	}
	if ports.Primary == tls.Primary || ports.Backup == tls.Backup {
		return field.ErrorList{field.Forbidden(path, "of one leg, legPorts (1935 by default) and legTLSPorts (1936) must differ")}
	}
	return nil
}

func (p *LegPorts) validate(path *field.Path) field.ErrorList {
	if p == nil {
		return nil
	}
	return append(within(path.Child("primary"), &p.Primary, 1, 65535), within(path.Child("backup"), &p.Backup, 1, 65535)...)
}

func validateNetwork(path *field.Path, value string) *field.Error {
	if len(value) > maxNetworkLength {
		return field.TooLong(path, value, maxNetworkLength)
	}
	if network, err := netip.ParsePrefix(value); err != nil || network.Addr().Is4In6() {
		return field.Invalid(path, value, "must be a network in CIDR notation, such as 203.0.113.0/24")
	}
	return nil
}

func (l *LegAddresses) validate(path *field.Path, one func(*field.Path, string) *field.Error) field.ErrorList {
	if l == nil {
		return nil
	}
	return append(
		set(path.Child("primary"), l.Primary, maxExternalAddresses, one),
		set(path.Child("backup"), l.Backup, maxExternalAddresses, one)...)
}

func validateHostPort(path *field.Path, value string) *field.Error {
	switch {
	case len(value) > maxExternalAddressLength:
		return field.TooLong(path, value, maxExternalAddressLength)
	case !hostPort.MatchString(value):
		return field.Invalid(path, value,
			"must be host or host:port, such as live.example.com:1935, an IPv6 address in brackets")
	}
	return nil
}

func validateMediaAddress(path *field.Path, value string) *field.Error {
	if len(value) > maxExternalAddressLength {
		return field.TooLong(path, value, maxExternalAddressLength)
	}
	address, err := ParseMediaAddress(value)
	if err != nil {
		return field.Invalid(path, value, err.Error())
	}
	// ParseMediaAddress also takes ::ffff:203.0.113.7, which no CEL rule does.
	if bare, err := netip.ParseAddr(value); address.IP.Is4() && (value[0] == '[' || err == nil && bare.Is4In6()) {
		return field.Invalid(path, value, "an IPv4 address must be written as "+address.IP.String())
	}
	return nil
}
