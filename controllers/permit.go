package controllers

import (
	"slices"

	"github.com/streampair/streampair/api/v1alpha1"
)

// Refusals are what a pair asks for and the operator was told not to grant.
type Refusals struct {
	// Exposure are the surfaces of a type that is not allowed.
	Exposure []string
	// Image says that the pair names an image, which needs AllowPodImages.
	Image bool
}

// permit returns a copy of the pair with defaults, without an image that is not allowed, and
// with ClusterIP in place of the types of exposure that are not: a pair that asks for too much is served inside the
// cluster, and its status says why it is not outside.
func (s Settings) permit(pair *v1alpha1.StreamPair) (*v1alpha1.StreamPair, Refusals) {
	pair = withDefaults(pair)
	var refused Refusals
	refuse := func(surface string, kind *v1alpha1.ExposureType) bool {
		if s.AllowedExposure == nil || *kind == v1alpha1.ExposureClusterIP || slices.Contains(s.AllowedExposure, *kind) {
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
	if refuse("webrtc", &e.WebRTC.Type) {
		e.WebRTC.LoadBalancer, e.WebRTC.HostPorts = nil, nil
	}
	if pair.Spec.MediaServer.Image != "" && !s.Objects.AllowPodImages {
		// As if the spec did not name it: what was allowed and is not any more is a change of
		// the spec, which does not wait until nobody watches.
		pair.Spec.MediaServer.Image, refused.Image = "", true
	}
	return pair, refused
}
