package charttest

import (
	"os"
	"regexp"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/yaml"

	"github.com/streampair/streampair/api/v1alpha1"
)

// healthCheck returns the script that docs/operate.md gives Argo CD.
func healthCheck(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/operate.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```yaml\n(data:\n  resource\\.customizations\\.health.*?)```").FindSubmatch(text)
	if block == nil {
		t.Fatal("docs/operate.md has no health check for Argo CD")
	}
	var config struct{ Data map[string]string }
	if err := yaml.UnmarshalStrict(block[1], &config); err != nil {
		t.Fatal(err)
	}
	script := config.Data["resource.customizations.health.media.streampair.dev_StreamPair"]
	if script == "" {
		t.Fatalf("keys of the ConfigMap: %v", config.Data)
	}
	return script
}

// health runs the script as Argo CD does: the object is the global obj, and the script returns a
// table with status and message.
func health(t *testing.T, script string, object map[string]any) (status, message string) {
	t.Helper()
	state := lua.NewState()
	defer state.Close()
	var value func(any) lua.LValue
	value = func(v any) lua.LValue {
		switch v := v.(type) {
		case map[string]any:
			table := state.NewTable()
			for key, element := range v {
				table.RawSetString(key, value(element))
			}
			return table
		case []any:
			table := state.NewTable()
			for _, element := range v {
				table.Append(value(element))
			}
			return table
		case string:
			return lua.LString(v)
		case int64:
			return lua.LNumber(v)
		case bool:
			return lua.LBool(v)
		}
		return lua.LNil
	}
	state.SetGlobal("obj", value(object))
	if err := state.DoString(script); err != nil {
		t.Fatal(err)
	}
	table, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		t.Fatalf("the script returns %s", state.Get(-1))
	}
	return lua.LVAsString(table.RawGetString("status")), lua.LVAsString(table.RawGetString("message"))
}

// What Argo CD shows, and what Flux and helm --wait wait for.
func TestGitOpsToolsKnowWhetherAStreamPairIsHealthy(t *testing.T) {
	script := healthCheck(t)
	for name, tt := range map[string]struct {
		ready    string // status/reason of the condition; "": the pair has no status yet
		observed int64  // generation, of 3
		argo     string
		kstatus  status.Status
	}{
		"new":                       {"", 0, "Progressing", status.InProgressStatus},
		"ready":                     {"True/" + v1alpha1.ReasonReady, 3, "Healthy", status.CurrentStatus},
		"ready before the change":   {"True/" + v1alpha1.ReasonReady, 2, "Progressing", status.InProgressStatus},
		"its pods begin":            {"False/" + v1alpha1.ReasonPodsNotReady, 3, "Progressing", status.InProgressStatus},
		"waits for a load balancer": {"False/" + v1alpha1.ReasonNotExposed, 3, "Progressing", status.InProgressStatus},
		"a Secret is missing":       {"False/" + v1alpha1.ReasonInvalidSecret, 3, "Degraded", status.InProgressStatus},
		"an object is in the way":   {"False/" + v1alpha1.ReasonNameConflict, 3, "Degraded", status.InProgressStatus},
		"the API server refuses":    {"False/" + v1alpha1.ReasonApplyFailed, 3, "Degraded", status.InProgressStatus},
		"paused":                    {"True/" + v1alpha1.ReasonPaused, 3, "Suspended", status.CurrentStatus},
		"is being paused":           {"False/" + v1alpha1.ReasonPodsNotReady, 3, "Progressing", status.InProgressStatus},
	} {
		t.Run(name, func(t *testing.T) {
			pair := v1alpha1.StreamPair{}
			pair.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("StreamPair"))
			pair.Name, pair.Generation = "sunday", 3
			pair.Status.ObservedGeneration = -1 // the default of the definition
			if tt.ready != "" {
				state, reason, _ := strings.Cut(tt.ready, "/")
				pair.Status.ObservedGeneration = tt.observed
				pair.Status.Conditions = append(pair.Status.Conditions, condition(v1alpha1.ConditionOnAir, "False", "NoLiveStream", tt.observed),
					condition(v1alpha1.ConditionReady, state, reason, tt.observed))
			}
			object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&pair)
			if err != nil {
				t.Fatal(err)
			}
			got, message := health(t, script, object)
			if got != tt.argo || message == "" {
				t.Errorf("Argo CD shows %s, %q, want %s", got, message, tt.argo)
			}
			result, err := status.Compute(&unstructured.Unstructured{Object: object})
			if err != nil || result.Status != tt.kstatus {
				t.Errorf("kstatus is %v (%v), want %s", result, err, tt.kstatus)
			}
		})
	}
}

func condition(name, state, reason string, observed int64) metav1.Condition {
	return metav1.Condition{
		Type: name, Status: metav1.ConditionStatus(state), Reason: reason, Message: "Told by the operator.",
		ObservedGeneration: observed, LastTransitionTime: metav1.Now(),
	}
}
