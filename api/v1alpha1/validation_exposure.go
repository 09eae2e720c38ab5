package v1alpha1

import (
	"net/netip"
	"regexp"

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
	return append(errs, e.WebRTC.validate(path.Child("webrtc"))...)
}

func (h *HTTPExposure) validate(path *field.Path) field.ErrorList {
	errs := h.ServiceExposure.validate(path)
	return append(errs, set(path.Child("trustedProxies"), h.TrustedProxies, maxTrustedProxies, validateNetwork)...)
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
	return append(errs, set(path.Child("sourceRanges"), l.SourceRanges, maxSourceRanges, validateNetwork)...)
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
