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
		ffmpeg               bool
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
			name:         "an image with ffmpeg: the default limit is higher, and Go's is the same",
			ffmpeg:       true,
			wantRequests: list{"cpu": "100m", "memory": "128Mi"},
			wanted:       list{"memory": "640Mi"},
			goMemLimit:   "471859KiB",
		},
		{
			name:         "an image with ffmpeg, and a request below the default limit",
			ffmpeg:       true,
			requests:     list{"memory": "600Mi"},
			wantRequests: list{"cpu": "100m", "memory": "600Mi"},
			wanted:       list{"memory": "640Mi"},
			goMemLimit:   "471859KiB",
		},
		{
			name:         "an image with ffmpeg: a limit stays",
			ffmpeg:       true,
			limits:       list{"memory": "512Mi"},
			wantRequests: list{"cpu": "100m", "memory": "128Mi"},
			wanted:       list{"memory": "512Mi"},
			goMemLimit:   "471859KiB",
		},
		{
			name:         "an image with ffmpeg: a request that is the limit stays",
			ffmpeg:       true,
			requests:     list{"memory": "1Gi"},
			wantRequests: list{"cpu": "100m", "memory": "1Gi"},
			wanted:       list{"memory": "1Gi"},
			goMemLimit:   "943718KiB",
		},
		{
			name:         "an image with ffmpeg: no limit stays",
			ffmpeg:       true,
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
			spec := corev1.ResourceRequirements{Requests: quantities(test.requests), Limits: quantities(test.limits)}
			var ofFFmpeg resource.Quantity
			if test.ffmpeg {
				ofFFmpeg = ffmpegShare(spec)
			}
			got := containerResources(spec, ofFFmpeg)
			if diff := cmp.Diff(test.wantRequests, texts(got.Requests)); diff != "" {
				t.Errorf("requests -want +got:\n%s", diff)
			}
			if diff := cmp.Diff(test.wanted, texts(got.Limits)); diff != "" {
				t.Errorf("limits -want +got:\n%s", diff)
			}
			goMemLimit := ""
			for _, variable := range memoryVariables(got, ofFFmpeg) {
				goMemLimit = *variable.Value
			}
			if goMemLimit != test.goMemLimit {
				t.Errorf("GOMEMLIMIT %q, want %q", goMemLimit, test.goMemLimit)
			}
		})
	}
}

// The limit is raised for the image that is known to have ffmpeg, and for no other.
func TestMemoryForFFmpegIsOfTheDefaultImage(t *testing.T) {
	for name, test := range map[string]struct {
		settings Settings
		image    string // of the pair
		want     string
	}{
		"the default image has no ffmpeg":       {Settings{}, "", "512Mi"},
		"the default image has ffmpeg":          {Settings{DefaultImageHasFFmpeg: true}, "", "640Mi"},
		"an image of the pair":                  {Settings{DefaultImageHasFFmpeg: true, AllowPodImages: true}, "other:1", "512Mi"},
		"an image that the pair may not choose": {Settings{DefaultImageHasFFmpeg: true}, "other:1", "640Mi"},
	} {
		t.Run(name, func(t *testing.T) {
			test.settings.DefaultImage = "default:1"
			pair := &v1alpha1.StreamPair{}
			pair.Spec.MediaServer.Image = test.image
			limits := *containerResources(pair.Spec.MediaServer.Resources, test.settings.ffmpegMemory(pair)).Limits
			if got := limits.Memory().String(); got != test.want {
				t.Errorf("the limit is %s, want %s", got, test.want)
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
