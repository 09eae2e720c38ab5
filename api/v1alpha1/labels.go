package v1alpha1

import (
	"regexp"
	"slices"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Labels are labels of objects. Keys of kubernetes.io, k8s.io and streampair.dev are not for
// users.
//
// +kubebuilder:validation:MaxProperties=32
// +kubebuilder:validation:XValidation:rule="self.all(k, k.size() <= 317 && k.matches('^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="each key must have the form of a label's, such as example.com/owner"
// +kubebuilder:validation:XValidation:rule="!self.exists(k, k.matches('^([^/]*[.])?(kubernetes[.]io|k8s[.]io|streampair[.]dev)/'))",message="labels of kubernetes.io, k8s.io and streampair.dev cannot be set"
type Labels map[string]LabelValue

// LabelValue is the value of a label: at most 63 letters, digits, '-', '_' and '.', starting
// and ending with a letter or digit.
//
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:Pattern=`^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$`
type LabelValue string

// Map returns the labels as Kubernetes has them.
func (l Labels) Map() map[string]string {
	all := make(map[string]string, len(l))
	for key, value := range l {
		all[key] = string(value)
	}
	return all
}

// Annotations are annotations of pods. Keys of kubernetes.io, k8s.io and streampair.dev are
// not for users, but for that of the cluster autoscaler.
//
// +kubebuilder:validation:MaxProperties=32
// +kubebuilder:validation:XValidation:rule="self.all(k, k.size() <= 317 && k.matches('^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="each key must have the form of an annotation's, such as example.com/owner"
// +kubebuilder:validation:XValidation:rule="!self.exists(k, k != 'cluster-autoscaler.kubernetes.io/safe-to-evict' && k.matches('^([^/]*[.])?(kubernetes[.]io|k8s[.]io|streampair[.]dev)/'))",message="annotations of kubernetes.io, k8s.io and streampair.dev cannot be set, but for cluster-autoscaler.kubernetes.io/safe-to-evict"
type Annotations map[string]AnnotationValue

// AnnotationValue is the value of an annotation.
//
// +kubebuilder:validation:MaxLength=4096
type AnnotationValue string

// Map returns the annotations as Kubernetes has them.
func (a Annotations) Map() map[string]string {
	all := make(map[string]string, len(a))
	for key, value := range a {
		all[key] = string(value)
	}
	return all
}

// AnnotationSafeToEvict (on a pod) says whether the cluster autoscaler may end the pod.
const AnnotationSafeToEvict = "cluster-autoscaler.kubernetes.io/safe-to-evict"

const (
	maxLabels          = 32
	maxKeyLength       = 317
	maxAnnotationValue = 4096
)

var (
	labelKey   = regexp.MustCompile(`^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)
	labelValue = regexp.MustCompile(`^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$`)
	reserved   = regexp.MustCompile(`^([^/]*[.])?(kubernetes[.]io|k8s[.]io|streampair[.]dev)/`)
)

// Validate returns every mistake of the labels at path.
func (l Labels) Validate(path *field.Path) field.ErrorList {
	errs := validateKeys(path, l.Map(), "labels")
	for key, value := range l {
		if len(value) > validation.LabelValueMaxLength || !labelValue.MatchString(string(value)) {
			errs = append(errs, field.Invalid(path.Key(key), value, "must be a label's value: at most 63 letters, digits, '-', '_' and '.'"))
		}
	}
	return errs
}

func (a Annotations) validate(path *field.Path) field.ErrorList {
	errs := validateKeys(path, a.Map(), "annotations", AnnotationSafeToEvict)
	for key, value := range a {
		if utf8.RuneCountInString(string(value)) > maxAnnotationValue {
			errs = append(errs, field.TooLong(path.Key(key), "", maxAnnotationValue))
		}
	}
	return errs
}

// validateKeys judges the keys of labels or annotations; those in allowed may be set.
func validateKeys(path *field.Path, values map[string]string, kind string, allowed ...string) field.ErrorList {
	errs := atMost(path, len(values), maxLabels)
	for key := range values {
		switch {
		case len(key) > maxKeyLength || !labelKey.MatchString(key):
			errs = append(errs, field.Invalid(path.Key(key), key, "must have the form of a key, such as example.com/owner"))
		case reserved.MatchString(key) && !slices.Contains(allowed, key):
			errs = append(errs, field.Forbidden(path.Key(key), kind+" of kubernetes.io, k8s.io and streampair.dev cannot be set"))
		}
	}
	return errs
}
