package kubetest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// errNoAssets is all that a test reports if the programs are missing.
var errNoAssets = errors.New("run hack/kube.sh first (make test does)")

// findAssets returns the folder with the programs:
// KUBEBUILDER_ASSETS, or the folder that hack/kube.sh fills.
func findAssets() (string, error) {
	folder := os.Getenv("KUBEBUILDER_ASSETS")
	if folder == "" {
		root, err := repository()
		if err != nil {
			return "", err
		}
		folder = filepath.Join(root, ".cache", "kube")
	}
	for _, program := range []string{"etcd", "kube-apiserver", "kube-controller-manager", "kubectl"} {
		if _, err := os.Stat(filepath.Join(folder, program)); err != nil {
			return "", errNoAssets
		}
	}
	return filepath.Abs(folder)
}

// findCRDs returns the folder of the CustomResourceDefinitions.
func findCRDs() (string, error) {
	root, err := repository()
	if err != nil {
		return "", err
	}
	return filepath.Join(root, "config", "crd", "bases"), nil
}

// repository returns the root of the source tree. A test runs
// in the folder of its package, which is below the root.
func repository() (string, error) {
	folder, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, "config", "crd", "bases")); err == nil {
			return folder, nil
		}
		parent := filepath.Dir(folder)
		if parent == folder {
			return "", fmt.Errorf("no folder above the test's has config/crd/bases: run it inside the source tree")
		}
		folder = parent
	}
}
