package kubetest

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMissingProgramsAreSaidInOneLine(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("KUBEBUILDER_ASSETS", folder)
	// The assets of another project have no kube-controller-manager.
	for _, program := range []string{"etcd", "kube-apiserver", "kubectl"} {
		if err := os.WriteFile(filepath.Join(folder, program), nil, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	_, err := start()
	if want := "run hack/kube.sh first (make test does)"; err == nil || err.Error() != want {
		t.Errorf("start says %v, want %q", err, want)
	}
}
