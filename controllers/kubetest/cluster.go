// Package kubetest gives tests a real Kubernetes control plane: etcd, kube-apiserver and
// kube-controller-manager. The API server has RBAC, Pod Security and every other default
// admission plugin, and OwnerReferencesPermissionEnforcement. With kube-controller-manager,
// Deployments make pods, the objects of deleted owners are deleted, and namespaces and
// service accounts work. The StreamPair CustomResourceDefinition is installed.
//
// The control plane runs nothing: there is no node, no scheduler and no kubelet, so pods
// stay Pending. Kubelet acts as scheduler and kubelet for a namespace, and can start a
// process for each pod. Nothing enforces NetworkPolicies, and no Service carries traffic.
//
// Start is where to start. The programs come from hack/kube.sh, or from
// KUBEBUILDER_ASSETS if that is set. All listen on loopback only, on free ports.
package kubetest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

const (
	// startTimeout bounds the start of each program. An idle machine needs 2
	// s. A test run that shares two cores with compilers once needed 40 s.
	startTimeout = 90 * time.Second
	// startTimeoutVariable overrides startTimeout, as everywhere envtest is used.
	startTimeoutVariable = "KUBEBUILDER_CONTROLPLANE_START_TIMEOUT"
	stopTimeout          = 20 * time.Second
	// outageGrace is how long an API server may take to end before it is killed.
	outageGrace = 2 * time.Second
)

// Cluster is a running control plane. Several tests may use its
// methods at once, except StopAPIServer and StartAPIServer.
type Cluster struct {
	// Config is the administrator's configuration. The administrator is a
	// member of system:masters and has no limit on the rate of requests.
	Config *rest.Config

	env         *envtest.Environment
	controllers *program
	reaper      *reaper
	assets      string // folder of the programs
	dir         string // everything of this cluster, removed when it ends
	logs        []*os.File
	shared      bool // used by the other tests of this binary too

	users sync.Mutex // held while envtest makes a user, because envtest can only make one at a time
}

// Start returns the cluster that the tests of this binary share if their TestMain is
// Main. Otherwise it returns a cluster for this test only, which ends with the test.
func Start(t TB) *Cluster {
	t.Helper()

	shared.Lock()
	defer shared.Unlock()
	if !shared.enabled {
		return StartOwn(t)
	}
	if shared.cluster == nil && shared.err == nil {
		began := time.Now()
		if shared.cluster, shared.err = start(); shared.err == nil {
			shared.cluster.shared = true
			t.Logf("the control plane that the tests share was up after %v", time.Since(began).Round(time.Millisecond))
		}
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.cluster
}

// StartOwn returns a cluster for this test only, which ends with the test.
// It is for a test that stops the API server or counts its requests.
func StartOwn(t TB) *Cluster {
	t.Helper()

	began := time.Now()
	c, err := start()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the control plane was up after %v", time.Since(began).Round(time.Millisecond))
	t.Cleanup(func() {
		if err := c.stop(); err != nil {
			t.Errorf("stop the control plane: %v", err)
		}
	})
	return c
}

// shared is the cluster of this test binary. It is a variable
// because TestMain cannot pass anything to the tests in another way.
var shared struct {
	sync.Mutex
	enabled bool
	cluster *Cluster // nil until the first test asks for a cluster
	err     error    // of the start, which is not tried again, because it may take minutes
}

// Main runs the tests of a binary with one cluster for all of
// them. The cluster is started when the first test asks for it:
//
//	func TestMain(m *testing.M) { os.Exit(kubetest.Main(m)) }
func Main(m *testing.M) (exitCode int) {
	shared.Lock()
	shared.enabled = true
	shared.Unlock()

	exitCode = m.Run()

	shared.Lock()
	defer shared.Unlock()
	if shared.cluster != nil {
		if err := shared.cluster.stop(); err != nil {
			fmt.Fprintln(os.Stderr, "kubetest: stop the control plane:", err)
			exitCode = max(exitCode, 1)
		}
		shared.cluster = nil
	}
	return exitCode
}

func start() (*Cluster, error) {
	assets, err := findAssets()
	if err != nil {
		return nil, err
	}
	crds, err := findCRDs()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "kubetest-")
	if err != nil {
		return nil, err
	}
	c := &Cluster{assets: assets, dir: dir}
	if err := c.start(crds); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return c, nil
}

func (c *Cluster) start(crds string) (err error) {
	if c.reaper, err = startReaper(c.dir); err != nil {
		return err
	}
	if err := c.configure(crds); err != nil {
		return err
	}
	if c.Config, err = c.env.Start(); err != nil {
		return fmt.Errorf("start etcd and kube-apiserver: %w%s", err, c.logTails("etcd", "kube-apiserver"))
	}
	c.Config.QPS = -1 // the API server has its own limits
	if err := os.WriteFile(c.Kubeconfig(), c.env.KubeConfig, 0o600); err != nil {
		return err
	}
	// The controllers start after the CRD is installed, because
	// the garbage collector looks for new kinds only every 30 s.
	if err := c.startControllers(); err != nil {
		return fmt.Errorf("start kube-controller-manager: %w%s", err, c.logTails("kube-controller-manager"))
	}
	return nil
}

// configure prepares the environment, and starts nothing.
func (c *Cluster) configure(crds string) error {
	etcd, apiServer := &envtest.Etcd{}, &envtest.APIServer{}
	// The folders are this package's own, so that a stopped API server keeps its certificates.
	etcd.DataDir = filepath.Join(c.dir, "etcd-data")
	apiServer.CertDir = filepath.Join(c.dir, "certificates")
	for _, folder := range []string{etcd.DataDir, apiServer.CertDir, filepath.Join(c.dir, pidFolder)} {
		if err := os.Mkdir(folder, 0o700); err != nil {
			return err
		}
	}

	var err error
	if etcd.Path, err = c.wrap("etcd"); err != nil {
		return err
	}
	if apiServer.Path, err = c.wrap("kube-apiserver"); err != nil {
		return err
	}
	if etcd.Out, err = c.openLog("etcd"); err != nil {
		return err
	}
	if apiServer.Out, err = c.openLog("kube-apiserver"); err != nil {
		return err
	}
	etcd.Err, apiServer.Err = etcd.Out, apiServer.Out

	policy := filepath.Join(c.dir, "audit-policy.yaml")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		return err
	}
	apiServer.Configure().
		// envtest switches ServiceAccount off, because it has nobody
		// who makes accounts. Here kube-controller-manager makes them.
		Disable("disable-admission-plugins").
		// As on OpenShift, setting an owner needs the right to delete.
		Set("enable-admission-plugins", "OwnerReferencesPermissionEnforcement").
		Set("service-cluster-ip-range", "10.0.0.0/16").
		Set("audit-policy-file", policy).
		Set("audit-log-path", c.auditLog()).
		// The log is kept in one file. Otherwise Writes would lose the oldest requests.
		Set("audit-log-maxsize", "4096")

	c.env = &envtest.Environment{
		ControlPlane:             envtest.ControlPlane{Etcd: etcd, APIServer: apiServer, KubectlPath: filepath.Join(c.assets, "kubectl")},
		CRDDirectoryPaths:        []string{crds},
		ErrorIfCRDPathMissing:    true,
		ControlPlaneStopTimeout:  stopTimeout,
		ControlPlaneStartTimeout: startTimeout,
	}
	if os.Getenv(startTimeoutVariable) != "" {
		c.env.ControlPlaneStartTimeout = 0 // envtest then reads the variable
	}
	return nil
}

// stop ends all programs and removes all files. It also works on a partly started cluster.
func (c *Cluster) stop() error {
	var errs []error
	if c.controllers != nil {
		errs = append(errs, c.controllers.stop())
	}
	if c.env != nil {
		errs = append(errs, c.env.Stop())
	}
	for _, log := range c.logs {
		errs = append(errs, log.Close())
	}
	errs = append(errs, os.RemoveAll(c.dir))
	if c.reaper != nil {
		errs = append(errs, c.reaper.release())
	}
	return errors.Join(errs...)
}

// StopControllers ends kube-controller-manager, for a test that acts in its
// place. After that Deployments make no pods, Services have no endpoints,
// and nothing is garbage-collected. It is only for a cluster of StartOwn.
func (c *Cluster) StopControllers(t TB) {
	t.Helper()
	if c.shared {
		t.Fatal("other tests share these controllers: use StartOwn in a test that stops them")
	}
	if err := c.controllers.stop(); err != nil {
		t.Fatalf("stop kube-controller-manager: %v", err)
	}
	c.forget("kube-controller-manager")
}

// StopAPIServer makes the API server unreachable until StartAPIServer, as an outage does:
// requests and watches break. Stored objects stay. It is only for a cluster of StartOwn.
func (c *Cluster) StopAPIServer(t TB) {
	t.Helper()
	if c.shared {
		t.Fatal("other tests share this API server: use StartOwn in a test that stops it")
	}
	// Its clients back off for up to 30 s, and the tests
	// after the outage would have to wait for that.
	if err := c.controllers.stop(); err != nil {
		t.Fatalf("stop kube-controller-manager: %v", err)
	}
	// An API server that is told to end waits a minute for
	// watches, and breaks none. An outage breaks them.
	stopped := make(chan error, 1)
	go func() { stopped <- c.env.ControlPlane.APIServer.Stop() }()
	var err error
	select {
	case err = <-stopped:
	case <-time.After(outageGrace):
		err = errors.Join(c.kill("kube-apiserver"), <-stopped)
	}
	if err != nil {
		t.Fatalf("stop kube-apiserver: %v", err)
	}
	c.forget("kube-apiserver")
}

// StartAPIServer ends the outage. The API server returns at its old address, with
// its old certificates and tokens. StartAPIServer returns when requests work again.
func (c *Cluster) StartAPIServer(t TB) {
	t.Helper()
	if err := c.env.ControlPlane.APIServer.Start(); err != nil {
		t.Fatalf("start kube-apiserver again: %v%s", err, c.logTails("kube-apiserver"))
	}
	if err := c.startControllers(); err != nil {
		t.Fatalf("start kube-controller-manager again: %v%s", err, c.logTails("kube-controller-manager"))
	}
}
