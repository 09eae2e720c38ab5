package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Kind is the kind of a StreamPair in a manifest.
const Kind = "StreamPair"

// GroupVersion is the API group and version of the types in this package.
var GroupVersion = schema.GroupVersion{Group: "media.streampair.dev", Version: "v1alpha1"}

// SchemeGroupVersion is GroupVersion, by the name that generated code uses.
var SchemeGroupVersion = GroupVersion

// AddToScheme makes the types known to a client or a manager.
//
// It is written with apimachinery alone: the media server links this package, and
// controller-runtime would come with all of client-go.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &StreamPair{}, &StreamPairList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
