package objects

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/streampair/streampair/api/v1alpha1"
)

// ffmpegTagSuffix ends the tag of a release's image with ffmpeg.
const ffmpegTagSuffix = "-ffmpeg"

// nobody is the user and group id of the media server, as in its image.
const nobody = 65532

// podSpec returns the spec of a media pod. It meets the
// Pod Security level "restricted", except for host ports.
func podSpec(pair *v1alpha1.StreamPair, role v1alpha1.Role, s Settings) *corev1ac.PodSpecApplyConfiguration {
	m := pair.Spec.MediaServer
	spec := corev1ac.PodSpec().
		WithServiceAccountName(ServiceAccountName(pair.Name)).
		WithAutomountServiceAccountToken(false).
		// The media server would take the variables of the namespace's Services for flags.
		WithEnableServiceLinks(false).
		WithTerminationGracePeriodSeconds(int64(graceSeconds(pair))).
		WithSecurityContext(podSecurityContext(s)).
		WithNodeSelector(m.NodeSelector).
		WithTolerations(tolerations(m)...).
		WithContainers(container(pair, role, s)).
		WithVolumes(volumes(pair)...)
	for _, secret := range m.ImagePullSecrets {
		spec.WithImagePullSecrets(corev1ac.LocalObjectReference().WithName(secret.Name))
	}
	if m.PriorityClassName != "" {
		spec.WithPriorityClassName(m.PriorityClassName)
	}
	return keptApart(spec, pair, role)
}

// podSecurityContext has no ids if the cluster chooses them.
// OpenShift refuses a user or group outside the namespace's range.
func podSecurityContext(s Settings) *corev1ac.PodSecurityContextApplyConfiguration {
	security := corev1ac.PodSecurityContext().
		WithRunAsNonRoot(true).
		WithSeccompProfile(corev1ac.SeccompProfile().WithType(corev1.SeccompProfileTypeRuntimeDefault))
	if s.ClusterChoosesUser {
		return security
	}
	return security.
		WithRunAsUser(nobody).
		WithRunAsGroup(nobody).
		WithFSGroup(nobody) // the group may read the Secrets, and others may not
}

func container(pair *v1alpha1.StreamPair, role v1alpha1.Role, s Settings) *corev1ac.ContainerApplyConfiguration {
	image := s.image(pair)
	port := s.probePort(image)
	ofFFmpeg := s.ffmpegMemory(pair)
	resources := containerResources(pair.Spec.MediaServer.Resources, ofFFmpeg)
	return corev1ac.Container().
		WithName(ContainerName).
		WithImage(image).
		WithArgs(mediaServerArgs(pair, role, s)...).
		WithEnv(
			fieldVariable("POD_IP", "status.podIP"),
			fieldVariable("POD_NAME", "metadata.name"),
			fieldVariable("NODE_NAME", "spec.nodeName")).
		WithEnv(memoryVariables(resources, ofFFmpeg)...).
		WithEnv(newerFlags(pair, s)...).
		WithPorts(containerPorts(pair, role)...).
		WithResources(resources).
		WithSecurityContext(corev1ac.SecurityContext().
			WithAllowPrivilegeEscalation(false).
			WithReadOnlyRootFilesystem(true).
			WithCapabilities(corev1ac.Capabilities().WithDrop("ALL"))).
		// The pod has a minute to start, since its node may be busy pulling images.
		WithStartupProbe(probe("/livez", port).WithPeriodSeconds(1).WithTimeoutSeconds(5).WithFailureThreshold(60)).
		// Ending a pod that serves is worse than keeping
		// one that does not. This probe has a minute too.
		WithLivenessProbe(probe("/livez", port).WithPeriodSeconds(10).WithTimeoutSeconds(5).WithFailureThreshold(6)).
		WithReadinessProbe(probe("/readyz", port).WithPeriodSeconds(2).WithTimeoutSeconds(2).WithFailureThreshold(3)).
		WithVolumeMounts(volumeMounts(pair)...)
}

func fieldVariable(name, field string) *corev1ac.EnvVarApplyConfiguration {
	// This version is the default. It is written because the hash covers what is written.
	return corev1ac.EnvVar().WithName(name).WithValueFrom(corev1ac.EnvVarSource().
		WithFieldRef(corev1ac.ObjectFieldSelector().WithAPIVersion("v1").WithFieldPath(field)))
}

// image returns the media server's image of a pair.
func (s Settings) image(pair *v1alpha1.StreamPair) string {
	if image := pair.Spec.MediaServer.Image; s.AllowPodImages && image != "" {
		return image
	}
	return s.DefaultImage
}

// ffmpegMemory returns the part of the memory limit that is for ffmpeg.
func (s Settings) ffmpegMemory(pair *v1alpha1.StreamPair) resource.Quantity {
	if !s.DefaultImageHasFFmpeg || s.image(pair) != s.DefaultImage {
		return resource.Quantity{}
	}
	return ffmpegShare(pair.Spec.MediaServer.Resources)
}

// probePort returns the name of the port that the kubelet probes.
//
// [PortHealth] carries only probes, so that other connections cannot keep a probe
// out. Media servers of earlier releases do not listen there, and a liveness probe
// of a closed port would end their pods again and again. So this port is probed
// only if the image is known to be of the operator's release: the default image
// with the operator's version as its tag. All other images, and images named by a
// digest, are probed at [PortProbe]. Media servers of every release answer there.
//
// The port changes together with the image, in one change of the pod template.
// An operator that is rolled back brings its own image and the port for it.
func (s Settings) probePort(image string) string {
	tag := strings.TrimSuffix(image[strings.LastIndexByte(image, ':')+1:], ffmpegTagSuffix)
	ofThisRelease := tag != "" && !strings.Contains(image, "@") && strings.TrimPrefix(tag, "v") == strings.TrimPrefix(s.Version, "v")
	if image == s.DefaultImage && ofThisRelease {
		return PortNameHealth
	}
	return PortNameProbe
}

func probe(urlPath, port string) *corev1ac.ProbeApplyConfiguration {
	return corev1ac.Probe().WithHTTPGet(corev1ac.HTTPGetAction().
		WithPath(urlPath).
		WithPort(intstr.FromString(port)))
}

// mediaServerArgs returns the arguments. They contain no
// secret, because everybody who may read the pod sees them.
func mediaServerArgs(pair *v1alpha1.StreamPair, role v1alpha1.Role, s Settings) []string {
	keys := path.Join(secretsFolder, KeysSecretName(pair.Name))
	peer := PodsServiceName(pair.Name, OtherRole(role)) + "." + pair.Namespace + ".svc"
	args := []string{
		"--pair=" + path.Join(configFolder, ManifestKey),
		"--role=" + LegName(role),
		// The pod's search path completes this name, whatever the cluster's domain is.
		fmt.Sprintf("--peer=http://%s:%d", peer, PortHTTP),
		"--secrets=" + secretsFolder,
		fmt.Sprintf("--rtmp-address=:%d", PortRTMP),
		fmt.Sprintf("--rtmps-address=:%d", PortRTMPS),
		fmt.Sprintf("--http-address=:%d", PortHTTP),
		fmt.Sprintf("--https-address=:%d", PortHTTPS),
		fmt.Sprintf("--webrtc-address=:%d", PortWebRTC),
		fmt.Sprintf("--probe-address=:%d", PortProbe),
		fmt.Sprintf("--control-address=:%d", PortControl),
		"--control-tls-cert=" + path.Join(keys, v1alpha1.SecretKeyControlCert),
		"--control-tls-key=" + path.Join(keys, v1alpha1.SecretKeyControlKey),
		"--control-token-file=" + path.Join(keys, v1alpha1.SecretKeyClusterToken),
		fmt.Sprintf("--drain-timeout=%ds", *pair.Spec.MediaServer.DrainTimeoutSeconds),
		"--log-format=json",
	}
	if pair.Spec.Playback.TLSSecretName != "" {
		args = append(args,
			"--tls-cert="+path.Join(tlsFolder, corev1.TLSCertKey),
			"--tls-key="+path.Join(tlsFolder, corev1.TLSPrivateKeyKey))
	}
	if s.MaxViewers > 0 {
		args = append(args, "--max-viewers="+strconv.Itoa(s.MaxViewers))
	}
	return args
}

// newerFlags returns flags that an image of an earlier release does not know, as variables: such an
// image ignores a variable, and does not start with a flag that it does not know.
func newerFlags(pair *v1alpha1.StreamPair, s Settings) []*corev1ac.EnvVarApplyConfiguration {
	var variables []*corev1ac.EnvVarApplyConfiguration
	if len(s.JWKSNetworks) > 0 && len(jwksURLs(pair)) > 0 {
		variables = append(variables, corev1ac.EnvVar().WithName("JWKS_NETWORKS").WithValue(strings.Join(s.JWKSNetworks, ",")))
	}
	if pair.Spec.Exposure.SRT != nil {
		variables = append(variables, corev1ac.EnvVar().WithName("SRT_ADDRESS").WithValue(fmt.Sprintf(":%d", PortSRT)))
	}
	if s.MaxEgressMegabits > 0 {
		variables = append(variables, corev1ac.EnvVar().WithName("MAX_EGRESS").WithValue(strconv.Itoa(s.MaxEgressMegabits)))
	}
	if s.NoViewerReports {
		variables = append(variables, corev1ac.EnvVar().WithName("NO_VIEWER_REPORTS").WithValue("true"))
	}
	return variables
}

// jwksURLs returns the URLs of JSON Web Key Sets that the media pods call.
func jwksURLs(pair *v1alpha1.StreamPair) []string {
	var urls []string
	for _, set := range []*v1alpha1.JWKS{pair.Spec.Publish.JWKS, pair.Spec.Playback.JWKS} {
		if url := set.CalledURL(); url != "" && !slices.Contains(urls, url) {
			urls = append(urls, url)
		}
	}
	return urls
}

// containerPorts returns the ports for the Services and, with HostPort, for the node.
func containerPorts(pair *v1alpha1.StreamPair, role v1alpha1.Role) []*corev1ac.ContainerPortApplyConfiguration {
	udp := containerPort(PortNameWebRTCUDP, corev1.ProtocolUDP, PortWebRTC)
	tcp := containerPort(PortNameWebRTCTCP, corev1.ProtocolTCP, PortWebRTC)
	if exposure := pair.Spec.Exposure.WebRTC; exposure.Type == v1alpha1.ExposureHostPort && exposure.HostPorts != nil {
		port := exposure.HostPorts.Primary
		if role == v1alpha1.RoleBackup {
			port = exposure.HostPorts.Backup
		}
		udp.WithHostPort(port)
		tcp.WithHostPort(port)
	}
	ports := []*corev1ac.ContainerPortApplyConfiguration{
		containerPort(PortNameRTMP, corev1.ProtocolTCP, PortRTMP),
		containerPort(PortNameRTMPS, corev1.ProtocolTCP, PortRTMPS),
		containerPort(PortNameHTTP, corev1.ProtocolTCP, PortHTTP),
		containerPort(PortNameHTTPS, corev1.ProtocolTCP, PortHTTPS),
		udp,
		tcp,
		containerPort(PortNameProbe, corev1.ProtocolTCP, PortProbe),
		containerPort(PortNameControl, corev1.ProtocolTCP, PortControl),
		containerPort(PortNamePeer, corev1.ProtocolTCP, PortPeer),
		containerPort(PortNameHealth, corev1.ProtocolTCP, PortHealth),
	}
	if pair.Spec.Exposure.SRT != nil {
		ports = append(ports, containerPort(PortNameSRT, corev1.ProtocolUDP, PortSRT))
	}
	return ports
}

// containerPort returns a port of the container. The protocol is
// part of the port's key in server-side apply, as in a Service.
func containerPort(name string, protocol corev1.Protocol, port int32) *corev1ac.ContainerPortApplyConfiguration {
	return corev1ac.ContainerPort().WithName(name).WithProtocol(protocol).WithContainerPort(port)
}
