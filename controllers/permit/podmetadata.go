package permit

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// A PodMetadata is a label or annotation that pairs may give their pods. Its
// form is KEY, KEY=VALUE for one value only, or PREFIX* for all keys with
// that prefix. A user who writes pairs must not be able to draw another
// Service's traffic to a media pod, or to switch off what protects pods.
type PodMetadata string

// DefaultPodMetadata returns what is allowed by default. Some keep
// meshes from injecting a sidecar, through which WebRTC media
// cannot pass. The others keep autoscalers from ending a pod.
func DefaultPodMetadata() []PodMetadata {
	return []PodMetadata{
		"sidecar.istio.io/inject=false", "istio.io/dataplane-mode=none", "linkerd.io/inject=disabled",
		"kuma.io/sidecar-injection=disabled", "consul.hashicorp.com/connect-inject=false",
		"karpenter.sh/do-not-disrupt", "cluster-autoscaler.kubernetes.io/safe-to-evict",
	}
}

// ParsePodMetadata parses the text of one PodMetadata.
func ParsePodMetadata(text string) (PodMetadata, error) {
	key, _, _ := strings.Cut(text, "=")
	key = strings.TrimSuffix(key, "*")
	if key == "" {
		return "", fmt.Errorf("%q would allow everything: name keys, such as example.com/owner", text)
	}
	// A prefix may end with a character that a whole key must not end with.
	if wrong := validation.IsQualifiedName(strings.TrimRight(key, "./-_") + "x"); len(wrong) > 0 {
		return "", fmt.Errorf("%q is no key of a label or an annotation: %s", text, wrong[0])
	}
	return PodMetadata(text), nil
}

// allows reports whether a pod may have that label or annotation.
func (m PodMetadata) allows(key, value string) bool {
	name, only, exact := strings.Cut(string(m), "=")
	if prefix, open := strings.CutSuffix(name, "*"); open {
		return strings.HasPrefix(key, prefix) && (!exact || value == only)
	}
	return key == name && (!exact || value == only)
}

// onlyAllowed splits the labels or annotations of a pod
// into the allowed ones and the keys of the others.
func onlyAllowed[V ~string](wanted map[string]V, allowed []PodMetadata) (granted map[string]V, refused []string) {
	granted = maps.Clone(wanted)
	for _, key := range slices.Sorted(maps.Keys(wanted)) {
		if !slices.ContainsFunc(allowed, func(m PodMetadata) bool { return m.allows(key, string(wanted[key])) }) {
			delete(granted, key)
			refused = append(refused, key)
		}
	}
	if len(granted) == 0 {
		return nil, refused
	}
	return granted, refused
}
