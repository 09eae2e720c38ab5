// Package permit removes from a pair what the operator does not
// allow, and says what that was. [Rules] is where to start.
package permit

import (
	"maps"
	"slices"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
)

// Rules are what the operator allows pairs to ask
// for, and the labels that it adds to each of them.
type Rules struct {
	// AllowedExposure are the types of exposure that pairs
	// may use beside ClusterIP. Nil allows all types.
	AllowedExposure []v1alpha1.ExposureType
	// AllowPodImages says that pairs may name the image of their media pods.
	AllowPodImages bool
	// AllowedPodMetadata are the labels and annotations that
	// pairs may give their pods. Nil: [DefaultPodMetadata].
	AllowedPodMetadata []PodMetadata
	// CommonLabels are labels of every object of every pair.
	CommonLabels v1alpha1.Labels
}

// Refusals are what a pair asks for but does not get.
type Refusals struct {
	// Exposure are the surfaces whose type of exposure is not allowed.
	Exposure []string
	// Image says that the pair names an image, which needs AllowPodImages.
	Image bool
	// PodMetadata are the labels and annotations of pods that are not allowed.
	PodMetadata []string
}

// Apply returns a copy of the pair with defaults, and with the labels that all
// objects get. It removes an image, and labels and annotations of pods, that are not
// allowed. ClusterIP replaces the types of exposure that are not allowed. Such a pair
// is served inside the cluster, and its status says why it is not served outside.
func (r Rules) Apply(pair *v1alpha1.StreamPair) (*v1alpha1.StreamPair, Refusals) {
	pair = objects.WithDefaults(pair)
	var refused Refusals
	refuse := func(surface string, kind *v1alpha1.ExposureType) bool {
		if r.AllowedExposure == nil || *kind == v1alpha1.ExposureClusterIP || slices.Contains(r.AllowedExposure, *kind) {
			return false
		}
		refused.Exposure = append(refused.Exposure, "spec.exposure."+surface+".type "+string(*kind))
		*kind = v1alpha1.ExposureClusterIP
		return true
	}
	e := &pair.Spec.Exposure
	if refuse("http", &e.HTTP.Type) {
		e.HTTP.LoadBalancer = nil
	}
	if refuse("rtmp", &e.RTMP.Type) {
		e.RTMP.LoadBalancer = nil
	}
	if e.SRT != nil && refuse("srt", &e.SRT.Type) {
		e.SRT.LoadBalancer = nil
	}
	if refuse("webrtc", &e.WebRTC.Type) {
		e.WebRTC.LoadBalancer, e.WebRTC.HostPorts = nil, nil
	}
	if pair.Spec.MediaServer.Image != "" && !r.AllowPodImages {
		// The pair is treated as if its spec named no image. An image that is no longer allowed
		// thereby counts as a change of the spec, which does not wait until nobody watches.
		pair.Spec.MediaServer.Image, refused.Image = "", true
	}
	refused.PodMetadata = r.applyToPods(&pair.Spec.MediaServer)
	if len(r.CommonLabels) > 0 {
		all := maps.Clone(r.CommonLabels)
		for key, value := range pair.Spec.ObjectLabels {
			if _, taken := all[key]; !taken {
				all[key] = value
			}
		}
		pair.Spec.ObjectLabels = all
	}
	return pair, refused
}

// applyToPods removes the labels and annotations
// that pods may not have, and returns their paths.
func (r Rules) applyToPods(m *v1alpha1.MediaServer) []string {
	allowed := r.AllowedPodMetadata
	if allowed == nil {
		allowed = DefaultPodMetadata()
	}
	var refused []string
	labels, keys := onlyAllowed(m.PodLabels, allowed)
	for _, key := range keys {
		refused = append(refused, "spec.mediaServer.podLabels "+key)
	}
	annotations, keys := onlyAllowed(m.PodAnnotations, allowed)
	for _, key := range keys {
		refused = append(refused, "spec.mediaServer.podAnnotations "+key)
	}
	m.PodLabels, m.PodAnnotations = labels, annotations
	return refused
}
