package objects

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/streampair/streampair/api/v1alpha1"
)

func TestResourcesAreTheSpecsAndElseTheDefaults(t *testing.T) {
	type list = map[corev1.ResourceName]string
	for _, test := range []struct {
		name                 string
		requests, limits     list
		wantRequests, wanted list
		goMemLimit           string
	}{
		{
			name:         "nothing said",
			wantRequests: list{"cpu": "100m", "memory": "128Mi"},
			wanted:       list{"memory": "512Mi"},
			goMemLimit:   "471859KiB",
		},
		{
			name:         "one request does not take the other defaults away",
			requests:     list{"cpu": "2"},
			wantRequests: list{"cpu": "2", "memory": "128Mi"},
			wanted:       list{"memory": "512Mi"},
			goMemLimit:   "471859KiB",
		},
		{
			name:         "a request above the default limit raises it",
			requests:     list{"memory": "1Gi"},
			wantRequests: list{"cpu": "100m", "memory": "1Gi"},
			wanted:       list{"memory": "1Gi"},
			goMemLimit:   "943718KiB",
		},
		{
			name:         "a limit below the default request lowers it",
			limits:       list{"cpu": "50m", "memory": "64Mi"},
			wantRequests: list{"cpu": "50m", "memory": "64Mi"},
			wanted:       list{"cpu": "50m", "memory": "64Mi"},
			goMemLimit:   "58982KiB",
		},
		{
			name:         "a memory limit of 0 is none",
			limits:       list{"memory": "0"},
			wantRequests: list{"cpu": "100m", "memory": "128Mi"},
		},
		{
			name:         "other resources pass",
			requests:     list{"ephemeral-storage": "1Gi", "memory": "2Gi"},
			limits:       list{"ephemeral-storage": "2Gi", "memory": "4Gi"},
			wantRequests: list{"cpu": "100m", "ephemeral-storage": "1Gi", "memory": "2Gi"},
			wanted:       list{"ephemeral-storage": "2Gi", "memory": "4Gi"},
			goMemLimit:   "3774873KiB",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			quantities := func(texts list) corev1.ResourceList {
				var quantities corev1.ResourceList
				for name, text := range texts {
					if quantities == nil {
						quantities = corev1.ResourceList{}
					}
					quantities[name] = resource.MustParse(text)
				}
				return quantities
			}
			texts := func(quantities *corev1.ResourceList) list {
				if quantities == nil {
					return nil
				}
				texts := list{}
				for name, quantity := range *quantities {
					texts[name] = quantity.String()
				}
				return texts
			}
			got := containerResources(corev1.ResourceRequirements{
				Requests: quantities(test.requests), Limits: quantities(test.limits),
			})
			if diff := cmp.Diff(test.wantRequests, texts(got.Requests)); diff != "" {
				t.Errorf("requests -want +got:\n%s", diff)
			}
			if diff := cmp.Diff(test.wanted, texts(got.Limits)); diff != "" {
				t.Errorf("limits -want +got:\n%s", diff)
			}
			goMemLimit := ""
			for _, variable := range memoryVariables(got) {
				goMemLimit = *variable.Value
			}
			if goMemLimit != test.goMemLimit {
				t.Errorf("GOMEMLIMIT %q, want %q", goMemLimit, test.goMemLimit)
			}
		})
	}
}

// A toleration says how long a pod stays on a lost node only with the
// effect NoExecute. No effect means all effects, so NoExecute too.
func TestATolerationOfAnotherEffectLeavesTheTimeOfALostNode(t *testing.T) {
	seconds := int32(30)
	for effect, ours := range map[corev1.TaintEffect]bool{
		corev1.TaintEffectNoSchedule: true, corev1.TaintEffectPreferNoSchedule: true,
		corev1.TaintEffectNoExecute: false, "": false,
	} {
		got := map[string]bool{}
		for _, one := range tolerations(v1alpha1.MediaServer{
			NodeLossTolerationSeconds: &seconds,
			Tolerations:               []corev1.Toleration{{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: effect}},
		}) {
			if one.TolerationSeconds != nil {
				got[*one.Key] = true
			}
		}
		want := map[string]bool{corev1.TaintNodeUnreachable: true}
		if ours {
			want[corev1.TaintNodeNotReady] = true
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("effect %q: taints with a time (-want +got):\n%s", effect, diff)
		}
	}
}
