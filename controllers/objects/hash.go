package objects

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"

	"github.com/streampair/streampair/api/v1alpha1"
)

// AnnotationApplied is on each object of a pair.
// Its value is a hash of what the operator applied.
//
// The annotation lets the operator leave out an apply that would change nothing,
// without a request. Two things must hold for that. First, the object has the
// hash of the object to be applied. A field that was dropped, and must be
// removed, changes the hash. Second, the object has the value of each field to be
// applied. This shows changes by others, whatever the annotation says. In doubt
// the operator applies. An apply that changes nothing costs only a request.
const AnnotationApplied = "media.streampair.dev/applied"

// AppliedByAdoption is the value of AnnotationApplied on
// an adopted object until the operator first applies it.
const AppliedByAdoption = "adopted"

// AnnotationSpecHash is on a leg's Deployment. Its value is a hash of what the
// pair's spec put into the pod template. If the template must change but this
// hash has not, the change comes from the operator, such as a new default image.
const AnnotationSpecHash = "media.streampair.dev/spec-hash"

// A Desired is an object to be applied, with AnnotationApplied. Its tree is made on
// demand: kept for all pairs, the trees would take half of the operator's memory.
type Desired struct{ Object }

// NewDesired adds AnnotationApplied to an object of the pair.
func NewDesired(o Object) Desired {
	text, err := json.Marshal(o.hashed())
	if err != nil {
		panic(fmt.Sprintf("write %s %s: %v", o.Kind, o.Name, err)) // strings, numbers and quantities
	}
	sum := sha256.Sum256(text)
	o.Annotate(AnnotationApplied, hex.EncodeToString(sum[:8]))
	return Desired{o}
}

// hashed returns the part of the object that its hash covers.
func (o Object) hashed() any {
	deployment, ok := o.Config.(*appsv1ac.DeploymentApplyConfiguration)
	if !ok || !o.defaultOS {
		return o.Config
	}
	config, spec, template, pod := *deployment, *deployment.Spec, *deployment.Spec.Template, *deployment.Spec.Template.Spec
	pod.NodeSelector = maps.Clone(pod.NodeSelector)
	delete(pod.NodeSelector, corev1.LabelOSStable)
	template.Spec, spec.Template, config.Spec = &pod, &template, &spec
	return &config
}

// SpecHash returns the hash of the parts of the spec that the pod templates contain.
func SpecHash(pair *v1alpha1.StreamPair) string {
	spec := pair.Spec
	server := spec.MediaServer
	server.UpdatePolicy, server.Egress = "", ""
	text, err := json.Marshal([]any{
		spec.App, spec.Primary, spec.Backup, server,
		spec.Publish.TokenSecretRef, spec.Playback.TokenSecretRef, spec.Playback.TLSSecretName,
		spec.Exposure.WebRTC.HostPorts,
	})
	if err != nil {
		panic(fmt.Sprintf("write the spec of %s/%s: %v", pair.Namespace, pair.Name, err)) // came as JSON
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}
