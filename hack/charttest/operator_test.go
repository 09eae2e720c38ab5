package charttest

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestOperatorTakesTheArguments starts the real operator with the arguments of every set of
// values, and of config/default, beside the --probe of helm test: it reads all arguments,
// asks the URL instead of working, and ends.
func TestOperatorTakesTheArguments(t *testing.T) {
	operator := buildOperator(t)
	probed := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer probed.Close()

	run := func(t *testing.T, path string, args []any) error {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, operator, "--probe="+probed.URL+path)
		for _, arg := range args {
			cmd.Args = append(cmd.Args, arg.(string))
		}
		cmd.Env = append(os.Environ(), "POD_NAMESPACE="+namespace)
		out, err := cmd.CombinedOutput()
		t.Logf("%v: %v %s", cmd.Args[1:], err, out)
		return err
	}
	arguments := map[string][]any{}
	sets := valueSets(t)
	sets["defaults"] = ""
	for name, values := range sets {
		containers := at[[]any](t, podOf(t, operatorOf(t, render(t, values).objects)), "spec", "containers")
		arguments[name] = containers[0].(map[string]any)["args"].([]any)
	}
	containers := at[[]any](t, podOf(t, operatorOf(t, kustomize(t, "default"))), "spec", "containers")
	arguments["config/default"] = containers[0].(map[string]any)["args"].([]any)

	for _, name := range slices.Sorted(maps.Keys(arguments)) {
		t.Run(name, func(t *testing.T) {
			if err := run(t, "/readyz", arguments[name]); err != nil {
				t.Errorf("the operator does not start: %v", err)
			}
		})
	}
	t.Run("and refuses others", func(t *testing.T) {
		if run(t, "/readyz", []any{"--no-such-flag"}) == nil {
			t.Error("an unknown flag was accepted: this test shows nothing")
		}
	})
	t.Run("helm test fails while the operator is not ready", func(t *testing.T) {
		if run(t, "/elsewhere", nil) == nil {
			t.Error("--probe succeeded though the answer was 503")
		}
	})
}

// buildOperator returns the path of the operator's command.
func buildOperator(t *testing.T) string {
	t.Helper()
	operator := filepath.Join(t.TempDir(), "operator")
	// As make build does, so that all but the linking is done already.
	build := exec.Command("go", "build", "-C", "../..", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", operator, "./controllers/cmd/streampair-operator")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the operator: %v\n%s", err, out)
	}
	return operator
}
