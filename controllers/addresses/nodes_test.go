package addresses_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/addresses"
	"github.com/streampair/streampair/controllers/observed/observedtest"
)

func TestNodesOfBothFamiliesAreTold(t *testing.T) {
	for _, tt := range []struct {
		name     string
		families []corev1.IPFamily
		want     []string
	}{
		{"a Service of both", []corev1.IPFamily{corev1.IPv6Protocol, corev1.IPv4Protocol}, []string{"203.0.113.1:30189:31189", "[2001:db8::1]:30189:31189"}},
		{"a Service of IPv4", []corev1.IPFamily{corev1.IPv4Protocol}, []string{"203.0.113.1:30189:31189"}},
		{"a Service of IPv6", []corev1.IPFamily{corev1.IPv6Protocol}, []string{"[2001:db8::1]:30189:31189"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := observedtest.New(t, func(spec *v1alpha1.StreamPairSpec) { spec.Exposure.WebRTC.Type = v1alpha1.ExposureNodePort })
			s.Seen.Pods[v1alpha1.RolePrimary][0].OtherNodeAddresses = []string{"2001:db8::1"}
			s.Service("sunday-primary-media").Spec.IPFamilies = tt.families
			if diff := cmp.Diff(tt.want, addresses.Of(s.Pair, s.Seen).WebRTC[v1alpha1.RolePrimary]); diff != "" {
				t.Errorf("media addresses (-want +got):\n%s", diff)
			}
		})
	}
	for _, tt := range []struct {
		candidates, want []string
	}{
		{[]string{"203.0.113.7", "10.0.0.1", "2001:db8::7"}, []string{"203.0.113.7", "2001:db8::7"}},
		{[]string{"2001:db8::7", "fd00::1", "10.0.0.1"}, []string{"2001:db8::7", "10.0.0.1"}},
		{[]string{"", "10.0.0.1", "10.0.0.1"}, []string{"10.0.0.1"}},
		{[]string{"node.example.com", "10.0.0.1"}, []string{"node.example.com"}},
		{[]string{""}, nil},
	} {
		if got := addresses.OneOfEachFamily(tt.candidates); !slices.Equal(got, tt.want) {
			t.Errorf("of %q: %q, want %q", tt.candidates, got, tt.want)
		}
	}
}
