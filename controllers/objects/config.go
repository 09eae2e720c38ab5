package objects

import (
	"encoding/json"
	"fmt"
	"strconv"

	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/streampair/streampair/api/v1alpha1"
)

// configMap returns the ConfigMap that carries the manifest to the media pods. The
// kubelet delivers a change within a minute or two. The operator's push arrives at once.
func configMap(pair *v1alpha1.StreamPair) Object {
	config := corev1ac.ConfigMap(ConfigMapName(pair.Name), pair.Namespace).
		WithData(map[string]string{ManifestKey: string(Manifest(pair))})
	return New(pair, KindConfigMap, config, config.ObjectMetaApplyConfiguration, PairLabels(pair.Name))
}

// Manifest returns the pair as its media servers read it. The manifest has defaults,
// and the generated Secret if the pair names none. Its UID and generation tell which
// of two manifests is newer. It refers to Secrets but contains nothing of them.
func Manifest(pair *v1alpha1.StreamPair) []byte {
	spec := WithDefaults(pair).Spec
	leaveOutOperatorsOwn(&spec)
	if spec.Publish.TokenSecretRef == nil {
		spec.Publish.TokenSecretRef = &v1alpha1.SecretReference{Name: KeysSecretName(pair.Name)}
	}
	metadata := map[string]any{
		"name":      pair.Name,
		"namespace": pair.Namespace,
		"annotations": map[string]string{
			v1alpha1.AnnotationConfigGeneration: strconv.FormatInt(pair.Generation, 10),
		},
	}
	// A pair that was made again counts its generations from
	// 1, so the UID and the creation time tell it apart.
	if pair.UID != "" {
		metadata["uid"] = pair.UID
	}
	if !pair.CreationTimestamp.IsZero() {
		metadata["creationTimestamp"] = pair.CreationTimestamp
	}
	// The manifest is not the whole StreamPair. A media server has no use for managed
	// fields, labels, and the annotation in which kubectl keeps a copy of the object.
	manifest, err := json.Marshal(map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(),
		"kind":       "StreamPair",
		"metadata":   metadata,
		"spec":       spec,
	})
	if err == nil {
		manifest, err = yaml.JSONToYAML(manifest)
	}
	if err != nil {
		// All types of the API can be written as JSON, and JSON as YAML.
		panic(fmt.Sprintf("write the manifest of %s/%s: %v", pair.Namespace, pair.Name, err))
	}
	return manifest
}

// leaveOutOperatorsOwn removes fields that only the operator reads. Media servers
// of earlier releases do not know them, and would refuse the whole manifest.
func leaveOutOperatorsOwn(spec *v1alpha1.StreamPairSpec) {
	spec.ObjectLabels, spec.MediaServer.PodLabels, spec.MediaServer.PodAnnotations = nil, nil, nil
	spec.Notifications = nil
	e := &spec.Exposure
	e.SRT = nil // the pods are told by a variable
	e.HTTP.IPFamilyPolicy, e.RTMP.IPFamilyPolicy, e.WebRTC.IPFamilyPolicy = "", "", ""
	for _, balancer := range []*v1alpha1.LoadBalancerExposure{e.HTTP.LoadBalancer, e.RTMP.LoadBalancer, e.WebRTC.LoadBalancer} {
		if balancer != nil {
			balancer.LegAnnotations, balancer.LegPorts, balancer.LegTLSPorts = nil, nil, nil
		}
	}
}
