package controllers

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/streampair/streampair/api/v1alpha1"
)

// FieldOwner is the operator's name in server-side apply.
const FieldOwner = "streampair-operator"

// ContainerName is the media server's container in a media pod.
const ContainerName = "media-server"

// Ports of a media pod.
const (
	PortRTMP    = 1935
	PortRTMPS   = 1936
	PortHTTP    = 5080
	PortHTTPS   = 5443
	PortWebRTC  = 8189 // UDP and TCP
	PortProbe   = 9090 // /livez, /readyz, /metrics
	PortControl = 9091
	PortPeer    = 9092 // relay and forwarding between the pods of a pair, over TLS
	PortHealth  = 9093 // /livez, /readyz, for the kubelet
)

// Names of the ports, on containers and on Services alike: who looks for a Service's
// port, or its node port, looks for the name.
const (
	PortNameRTMP      = "rtmp"
	PortNameRTMPS     = "rtmps"
	PortNameHTTP      = "http"
	PortNameHTTPS     = "https"
	PortNameWebRTCUDP = "webrtc-udp"
	PortNameWebRTCTCP = "webrtc-tcp"
	PortNameProbe     = "probe"
	PortNameControl   = "control"
	PortNamePeer      = "peer"
	PortNameHealth    = "health"
)

// Ports of the playback Service: those of a browser, whatever its type, so that a change
// of the type breaks no Ingress.
const (
	PortPlayHTTP  = 80
	PortPlayHTTPS = 443
)

// Where a media pod finds its files.
const (
	configFolder  = "/etc/streampair/config"
	secretsFolder = "/etc/streampair/secrets"
	tlsFolder     = "/etc/streampair/tls"
)

// ManifestKey is the file of the ConfigMap that has the pair.
const ManifestKey = "pair.yaml"

// Annotations of the pod template. Both change only when the pod must be replaced.
const (
	// AnnotationStreams has the app and the stream ids: a media server takes any other
	// change of its manifest while it runs.
	AnnotationStreams = "media.streampair.dev/streams"
	// AnnotationTemplateHash tells apart the templates of a leg: a pod whose hash is that
	// of its Deployment's template is up to date.
	AnnotationTemplateHash = "media.streampair.dev/template-hash"
)

const (
	labelName      = "app.kubernetes.io/name"
	labelInstance  = "app.kubernetes.io/instance"
	labelComponent = "app.kubernetes.io/component"
	labelManagedBy = "app.kubernetes.io/managed-by"
)

// Roles are the legs of a pair, in the order in which they are listed everywhere.
func Roles() []v1alpha1.Role {
	return []v1alpha1.Role{v1alpha1.RolePrimary, v1alpha1.RoleBackup}
}

// OtherRole returns the leg beside role.
func OtherRole(role v1alpha1.Role) v1alpha1.Role {
	if role == v1alpha1.RolePrimary {
		return v1alpha1.RoleBackup
	}
	return v1alpha1.RolePrimary
}

// LegName is the role as it stands in names, labels and flags: primary or backup.
func LegName(role v1alpha1.Role) string { return strings.ToLower(string(role)) }

// DeploymentName names the Deployment of a leg.
func DeploymentName(pair string, role v1alpha1.Role) string {
	return objectName(pair, LegName(role))
}

// RTMPServiceName names the Service to which a leg's encoder publishes.
func RTMPServiceName(pair string, role v1alpha1.Role) string {
	return objectName(pair, LegName(role)+"-rtmp")
}

// MediaServiceName names the Service of a leg's WebRTC media: UDP and TCP, or UDP alone
// where [MediaTCPServiceName] is needed.
func MediaServiceName(pair string, role v1alpha1.Role) string {
	return objectName(pair, LegName(role)+"-media")
}

// MediaTCPServiceName names the Service of a leg's WebRTC media over TCP, for load
// balancers that don't take both protocols in one Service.
func MediaTCPServiceName(pair string, role v1alpha1.Role) string {
	return objectName(pair, LegName(role)+"-media-tcp")
}

// PodsServiceName names the headless Service under which a leg's pod is found by the
// other leg.
func PodsServiceName(pair string, role v1alpha1.Role) string {
	return objectName(pair, LegName(role)+"-pods")
}

// PlayServiceName names the Service to which viewers go.
func PlayServiceName(pair string) string { return objectName(pair, "play") }

// KeysSecretName names the generated Secret.
func KeysSecretName(pair string) string { return objectName(pair, "keys") }

// ConfigMapName names the ConfigMap with the manifest.
func ConfigMapName(pair string) string { return objectName(pair, "config") }

// ControlServerName is the DNS name in the certificate of a pair's command ports. It is
// resolved by nobody: clients dial an IP address and expect this name.
func ControlServerName(namespace, pair string) string {
	return pair + "-control." + namespace + ".streampair"
}

// maxNameLength is that of a DNS label, which the name of a Service must be.
const maxNameLength = 63

// objectName is the pair's name with a suffix. A long name of a pair leaves no room for
// the longest suffixes: its end then gives way to a hash, so that two pairs whose names
// begin alike keep apart.
func objectName(pair, suffix string) string {
	if name := pair + "-" + suffix; len(name) <= maxNameLength {
		return name
	}
	sum := sha256.Sum256([]byte(pair))
	end := "-" + hex.EncodeToString(sum[:4]) + "-" + suffix
	return strings.TrimRight(pair[:maxNameLength-len(end)], "-") + end
}

// PairSelector selects the pods of both legs.
func PairSelector(pair string) map[string]string {
	return map[string]string{v1alpha1.LabelPair: pair}
}

// LegSelector selects the pods of one leg.
func LegSelector(pair string, role v1alpha1.Role) map[string]string {
	return map[string]string{v1alpha1.LabelPair: pair, v1alpha1.LabelRole: LegName(role)}
}

// PairLabels are on every object of a pair.
func PairLabels(pair string) map[string]string {
	return map[string]string{
		labelName:          "streampair",
		labelInstance:      pair,
		labelComponent:     "media-server",
		labelManagedBy:     FieldOwner,
		v1alpha1.LabelPair: pair,
	}
}

// LegLabels are on every object and pod of one leg.
func LegLabels(pair string, role v1alpha1.Role) map[string]string {
	labels := PairLabels(pair)
	labels[v1alpha1.LabelRole] = LegName(role)
	return labels
}
