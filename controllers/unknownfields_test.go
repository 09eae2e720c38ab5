package controllers

import (
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/streampair/streampair/api/v1alpha1"
)

func TestAFieldThatAnOlderPodIgnoresIsTold(t *testing.T) {
	for name, test := range map[string]struct {
		version string
		unknown []string // what the backup's pod says; nil: nothing
		set     bool     // spec.failover.maxJitterMilliseconds
		message string   // of Converged; "": Converged is True
	}{
		"it says that it ignores none":        {version: "0.2.0", unknown: []string{}, set: true},
		"it says which it ignores":            {"0.2.0", []string{"spec.failover.fast", "spec.output"}, true, "The backup's pod runs version 0.2.0, which ignores spec.failover.fast, spec.output. The fields take effect once the pod is replaced."},
		"it says nothing, and none is set":    {version: "0.1.0"},
		"it says nothing, and a field is set": {"0.1.0", nil, true, "The backup's pod runs version 0.1.0, which ignores spec.failover.maxJitterMilliseconds. The fields take effect once the pod is replaced."},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, func(spec *v1alpha1.StreamPairSpec) {
				if test.set {
					spec.Failover.MaxJitterMilliseconds = new(int32)
				}
			})
			pod := s.At(roleBackup).State.Status
			pod.Version, pod.UnknownFields = test.version, test.unknown
			status, _ := s.report()
			c := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionConverged)
			switch isTold := c.Reason == v1alpha1.ReasonDirectivePending; {
			case isTold != (test.message != ""):
				t.Errorf("Converged is %s, %s", c.Status, c.Reason)
			case isTold && c.Message != test.message:
				t.Errorf("Converged says %q\nwant %q", c.Message, test.message)
			}
		})
	}
}
