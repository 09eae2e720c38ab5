package objects

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/streampair/streampair/api/control"
)

// Defaults for a media pod. There is no CPU limit: a throttled
// media server would send late, and viewers would see that.
const (
	defaultCPURequest    = "100m"
	defaultMemoryRequest = "128Mi"
	defaultMemoryLimit   = "512Mi"
)

// containerResources returns the spec's resources, with the default for each resource
// that the spec leaves out. A default request is lowered to the spec's limit, and a
// default limit raised to the spec's request. A memory limit of 0 means no limit.
// ofFFmpeg is added to the default limit.
func containerResources(spec corev1.ResourceRequirements, ofFFmpeg resource.Quantity) *corev1ac.ResourceRequirementsApplyConfiguration {
	requests, limits := spec.Requests.DeepCopy(), spec.Limits.DeepCopy()
	if requests == nil {
		requests = corev1.ResourceList{}
	}
	if limits == nil {
		limits = corev1.ResourceList{}
	}
	if _, set := limits[corev1.ResourceMemory]; !set {
		limit := resource.MustParse(defaultMemoryLimit)
		limit.Add(ofFFmpeg)
		if request := requests[corev1.ResourceMemory]; request.Cmp(limit) > 0 {
			limit = request
		}
		limits[corev1.ResourceMemory] = limit
	} else if limits.Memory().IsZero() {
		delete(limits, corev1.ResourceMemory)
	}
	for name, text := range map[corev1.ResourceName]string{
		corev1.ResourceCPU:    defaultCPURequest,
		corev1.ResourceMemory: defaultMemoryRequest,
	} {
		if _, set := requests[name]; set {
			continue
		}
		request := resource.MustParse(text)
		if limit, limited := limits[name]; limited && limit.Cmp(request) < 0 {
			request = limit
		}
		requests[name] = request
	}
	resources := corev1ac.ResourceRequirements().WithRequests(requests)
	if len(limits) > 0 {
		resources.WithLimits(limits)
	}
	return resources
}

// ffmpegShare returns what is added to the default memory limit for ffmpeg. A limit of the spec, or
// a request that is the limit, stays as it is. There the media server takes what ffmpeg may have from
// its own memory. A pod has the encoder of one leg, and so one ffmpeg that watches pictures.
func ffmpegShare(spec corev1.ResourceRequirements) resource.Quantity {
	share, limit := *resource.NewQuantity(control.AnalyserMemoryBytes, resource.BinarySI), resource.MustParse(defaultMemoryLimit)
	limit.Add(share)
	request := spec.Requests[corev1.ResourceMemory]
	if _, set := spec.Limits[corev1.ResourceMemory]; set || request.Cmp(limit) > 0 {
		return resource.Quantity{}
	}
	return share
}

// memoryVariables make the garbage collector work harder at nine
// tenths of the memory limit, before the kernel kills the process. ofFFmpeg is
// the part of the limit that is not for Go.
func memoryVariables(resources *corev1ac.ResourceRequirementsApplyConfiguration, ofFFmpeg resource.Quantity) []*corev1ac.EnvVarApplyConfiguration {
	if resources.Limits == nil {
		return nil
	}
	limit, limited := (*resources.Limits)[corev1.ResourceMemory]
	if !limited {
		return nil
	}
	limit.Sub(ofFFmpeg)
	const kibi = 1 << 10
	return []*corev1ac.EnvVarApplyConfiguration{
		corev1ac.EnvVar().WithName("GOMEMLIMIT").WithValue(fmt.Sprintf("%dKiB", limit.Value()/kibi*9/10)),
	}
}
