package objects

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
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
func containerResources(spec corev1.ResourceRequirements) *corev1ac.ResourceRequirementsApplyConfiguration {
	requests, limits := spec.Requests.DeepCopy(), spec.Limits.DeepCopy()
	if requests == nil {
		requests = corev1.ResourceList{}
	}
	if limits == nil {
		limits = corev1.ResourceList{}
	}
	if _, set := limits[corev1.ResourceMemory]; !set {
		limit := resource.MustParse(defaultMemoryLimit)
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

// memoryVariables make the garbage collector work harder at nine
// tenths of the memory limit, before the kernel kills the process.
func memoryVariables(resources *corev1ac.ResourceRequirementsApplyConfiguration) []*corev1ac.EnvVarApplyConfiguration {
	if resources.Limits == nil {
		return nil
	}
	limit, limited := (*resources.Limits)[corev1.ResourceMemory]
	if !limited {
		return nil
	}
	const kibi = 1 << 10
	return []*corev1ac.EnvVarApplyConfiguration{
		corev1ac.EnvVar().WithName("GOMEMLIMIT").WithValue(fmt.Sprintf("%dKiB", limit.Value()/kibi*9/10)),
	}
}
