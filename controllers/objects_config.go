package controllers

import (
	"encoding/json"
	"fmt"
	"strconv"

	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/streampair/streampair/api/v1alpha1"
)

// configMap carries the manifest to the media pods. The kubelet brings a change to them
// within a minute or two; the operator's push is there at once.
func configMap(pair *v1alpha1.StreamPair) Object {
	config := corev1ac.ConfigMap(ConfigMapName(pair.Name), pair.Namespace).
		WithData(map[string]string{ManifestKey: string(Manifest(pair))})
	return owned(pair, KindConfigMap, config, config.ObjectMetaApplyConfiguration, PairLabels(pair.Name))
}

// Manifest is the pair as its media servers read it: with defaults, with the generated
// Secret where the pair names none, and with the generation by which the newer of two
// manifests is known. It refers to Secrets and has nothing of what they hold.
func Manifest(pair *v1alpha1.StreamPair) []byte {
	spec := withDefaults(pair).Spec
	if spec.Publish.TokenSecretRef == nil {
		spec.Publish.TokenSecretRef = &v1alpha1.SecretReference{Name: KeysSecretName(pair.Name)}
	}
	// Not a StreamPair: managed fields, labels, and the annotation in which kubectl keeps a
	// copy of the whole object say nothing to a media server.
	manifest, err := json.Marshal(map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(),
		"kind":       "StreamPair",
		"metadata": map[string]any{
			"name":      pair.Name,
			"namespace": pair.Namespace,
			"annotations": map[string]string{
				v1alpha1.AnnotationConfigGeneration: strconv.FormatInt(pair.Generation, 10),
			},
		},
		"spec": spec,
	})
	if err == nil {
		manifest, err = yaml.JSONToYAML(manifest)
	}
	if err != nil {
		// The types of the API all can be written as JSON, and JSON as YAML.
		panic(fmt.Sprintf("write the manifest of %s/%s: %v", pair.Namespace, pair.Name, err))
	}
	return manifest
}
