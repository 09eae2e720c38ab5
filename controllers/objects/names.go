package objects

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strings"

	"github.com/streampair/streampair/api/v1alpha1"
)

// FieldOwner is the operator's field manager in server-side apply.
const FieldOwner = "streampair-operator"

// ContainerName is the name of the media server's container in a media pod.
const ContainerName = "media-server"

// Ports of a media pod.
const (
	PortRTMP    = 1935
	PortRTMPS   = 1936
	PortSRT     = 8890 // UDP
	PortHTTP    = 5080
	PortHTTPS   = 5443
	PortWebRTC  = 8189 // UDP and TCP
	PortProbe   = 9090 // /livez, /readyz, /metrics
	PortControl = 9091
	PortPeer    = 9092 // relay and forwarding between the pods of a pair, over TLS
	PortHealth  = 9093 // /livez, /readyz, for the kubelet
	// control.MonitorPort is on loopback alone, and so in no object.
)

// Names of the ports are the same on containers and on Services.
// Users look up a Service's port, or its node port, by this name.
const (
	PortNameRTMP      = "rtmp"
	PortNameRTMPS     = "rtmps"
	PortNameSRT       = "srt"
	PortNameHTTP      = "http"
	PortNameHTTPS     = "https"
	PortNameWebRTCUDP = "webrtc-udp"
	PortNameWebRTCTCP = "webrtc-tcp"
	PortNameProbe     = "probe"
	PortNameControl   = "control"
	PortNamePeer      = "peer"
	PortNameHealth    = "health"
)

// Ports of the playback Service are those of a browser, whatever the
// type of the Service. A change of the type thereby breaks no Ingress.
const (
	PortPlayHTTP  = 80
	PortPlayHTTPS = 443
)

// Folders in which a media pod finds its files.
const (
	configFolder  = "/etc/streampair/config"
	secretsFolder = "/etc/streampair/secrets"
	tlsFolder     = "/etc/streampair/tls"
)

// ManifestKey is the key of the manifest in the ConfigMap.
const ManifestKey = "pair.yaml"

// Annotations of the pod template. Both change only when the pod must be replaced.
const (
	// AnnotationStreams has the app and the stream ids. A running
	// media server accepts any other change of its manifest.
	AnnotationStreams = "media.streampair.dev/streams"
	// AnnotationTemplateHash is the hash of the pod template. A pod
	// is up to date if its hash is that of its Deployment's template.
	AnnotationTemplateHash = "media.streampair.dev/template-hash"
)

const (
	labelName      = "app.kubernetes.io/name"
	labelInstance  = "app.kubernetes.io/instance"
	labelComponent = "app.kubernetes.io/component"
	labelManagedBy = "app.kubernetes.io/managed-by"
)

// Roles returns the legs of a pair, in the order in which they are listed everywhere.
func Roles() []v1alpha1.Role {
	return []v1alpha1.Role{v1alpha1.RolePrimary, v1alpha1.RoleBackup}
}

// OtherRole returns the other leg.
func OtherRole(role v1alpha1.Role) v1alpha1.Role {
	if role == v1alpha1.RolePrimary {
		return v1alpha1.RoleBackup
	}
	return v1alpha1.RolePrimary
}

// LegName returns the role as names, labels and flags spell it: primary or backup.
func LegName(role v1alpha1.Role) string { return strings.ToLower(string(role)) }

// DeploymentName returns the name of the Deployment of a leg.
func DeploymentName(pair string, role v1alpha1.Role) string {
	return objectName(pair, LegName(role))
}

// RTMPServiceName returns the name of the Service to which a leg's encoder publishes.
func RTMPServiceName(pair string, role v1alpha1.Role) string {
	return objectName(pair, LegName(role)+"-rtmp")
}

// SRTServiceName returns the name of the Service to which a leg's encoder publishes by SRT.
func SRTServiceName(pair string, role v1alpha1.Role) string {
	return objectName(pair, LegName(role)+"-srt")
}

// MediaServiceName returns the name of the Service of a leg's WebRTC media. The
// Service is for UDP and TCP, or for UDP alone if TCP needs [MediaTCPServiceName].
func MediaServiceName(pair string, role v1alpha1.Role) string {
	return objectName(pair, LegName(role)+"-media")
}

// MediaTCPServiceName returns the name of the Service of a leg's WebRTC media over
// TCP. It is for load balancers that do not accept both protocols in one Service.
func MediaTCPServiceName(pair string, role v1alpha1.Role) string {
	return objectName(pair, LegName(role)+"-media-tcp")
}

// PodsServiceName returns the name of the headless
// Service by which the other leg finds a leg's pod.
func PodsServiceName(pair string, role v1alpha1.Role) string {
	return objectName(pair, LegName(role)+"-pods")
}

// PlayServiceName returns the name of the Service that viewers connect to.
func PlayServiceName(pair string) string { return objectName(pair, "play") }

// KeysSecretName returns the name of the generated Secret.
func KeysSecretName(pair string) string { return objectName(pair, "keys") }

// ConfigMapName returns the name of the ConfigMap with the manifest.
func ConfigMapName(pair string) string { return objectName(pair, "config") }

// ServiceAccountName returns the name of the media pods' ServiceAccount.
// It is the pair's name, except for a pair named default: every
// namespace has an account of that name, which must not be overwritten.
func ServiceAccountName(pair string) string {
	if pair == "default" {
		return objectName(pair, "media-server")
	}
	return pair
}

// ControlServerName returns the DNS name in the certificate of a pair's command
// ports. Nobody resolves the name: clients dial an IP address and expect this name.
func ControlServerName(namespace, pair string) string {
	return pair + "-control." + namespace + ".streampair"
}

// maxNameLength is that of a DNS label, in bytes. The name of a Service must be one.
const maxNameLength = 63

// objectName returns the pair's name with a suffix. If the name is too long for the
// suffix, a hash replaces its end. The hash keeps apart two pairs whose names begin alike.
func objectName(pair, suffix string) string {
	if name := pair + "-" + suffix; len(name) <= maxNameLength {
		return name
	}
	sum := sha256.Sum256([]byte(pair))
	end := "-" + hex.EncodeToString(sum[:4]) + "-" + suffix
	return strings.TrimRight(pair[:maxNameLength-len(end)], "-") + end
}

// PairSelector returns the labels that select the pods of both legs.
func PairSelector(pair string) map[string]string {
	return map[string]string{v1alpha1.LabelPair: pair}
}

// LegSelector returns the labels that select the pods of one leg.
func LegSelector(pair string, role v1alpha1.Role) map[string]string {
	return map[string]string{v1alpha1.LabelPair: pair, v1alpha1.LabelRole: LegName(role)}
}

// PairLabels returns the labels of every object of a pair.
func PairLabels(pair string) map[string]string {
	return map[string]string{
		labelName:          "streampair",
		labelInstance:      pair,
		labelComponent:     "media-server",
		labelManagedBy:     FieldOwner,
		v1alpha1.LabelPair: pair,
	}
}

// LegLabels returns the labels of every object and pod of one leg.
func LegLabels(pair string, role v1alpha1.Role) map[string]string {
	labels := PairLabels(pair)
	labels[v1alpha1.LabelRole] = LegName(role)
	return labels
}

// StreamID returns the stream id to which the encoder of a leg publishes.
func StreamID(pair *v1alpha1.StreamPair, role v1alpha1.Role) string {
	if role == v1alpha1.RoleBackup {
		return pair.Spec.Backup.StreamID
	}
	return pair.Spec.Primary.StreamID
}

// PlayPath returns the player's path, with the query that configures the player.
func PlayPath(pair *v1alpha1.StreamPair) string {
	var order []string
	for _, method := range pair.Spec.Playback.Order {
		order = append(order, strings.ToLower(string(method)))
	}
	return "/" + pair.Spec.App + "/play.html?name=" + url.QueryEscape(pair.Spec.Primary.StreamID) +
		"&backupStreamId=" + url.QueryEscape(pair.Spec.Backup.StreamID) +
		"&playOrder=" + url.QueryEscape(strings.Join(order, ","))
}
