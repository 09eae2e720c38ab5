package e2e_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	cluster "github.com/streampair/streampair/hack/cluster/client"
	"github.com/streampair/streampair/hack/e2e/audience"
	"github.com/streampair/streampair/hack/e2e/measure"
	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

const (
	// pairName is the name of the pair that gets all faults.
	pairName = "sunday"
	// inputLoss is the pair's input loss time. toleration
	// is how long a pod stays bound to a lost node.
	inputLoss  = time.Second
	toleration = 5 * time.Second
	// patience is how long the cluster may take for what it does asynchronously.
	patience = 2 * time.Minute
)

// A testCluster is where faults are made: a pair in a cluster, an encoder for
// each leg, and a browser. The first test sets it up for all tests.
type testCluster struct {
	scope

	once       sync.Once
	broken     bool
	kubeconfig string
	kube       client.WithWatch
	cluster    *cluster.Client // nil: the cluster must not be harmed
	settings   cluster.Settings
	reinstall  bool // install the chart again at the end
	operator   client.ObjectKey
	files      map[v1alpha1.Role]string // programmes
	encoders   map[v1alpha1.Role]*audience.Encoder
	unplug     context.CancelFunc // ends the encoders
	page       *audience.Page
	pages      int // how many runs have opened the page so far
	// onlyPlayPage is set while pods of the version before may serve the player: they have no element.
	onlyPlayPage bool
	timeline     timeline
	table        measure.Table
	attempt      measure.Attempt // the current attempt at the run
	times        int             // how many times its goal a figure of this attempt may be
	slow         []string        // figures over their limit, for which the run is repeated
	life         context.Context // ends in close
	end          context.CancelFunc
	running      sync.WaitGroup
}

// here returns the testCluster for t. It is set up once.
func here(t *testing.T) *testCluster {
	t.Helper()
	s := &theCluster
	s.enter(t)
	s.once.Do(func() {
		s.broken = true
		s.setUp(t)
		s.broken = false
	})
	if s.broken {
		t.Fatal("the test cluster could not be set up: see the first test")
	}
	return s
}

func (s *testCluster) setUp(t *testing.T) {
	began := time.Now()
	s.life, s.end = context.WithCancel(context.Background())
	s.connect(t)
	s.findOperator(t)
	s.make(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: options.namespace}})
	s.make(t, newPair(pairName))
	s.change(t, pairName, func(p *v1alpha1.StreamPairSpec) { *p = newPair(pairName).Spec }) // it may be left from the last time
	s.running.Go(func() { s.timeline.follow(s.life, s.kube, s.key()) })
	s.waitFor(t, "Ready=True")
	s.files = map[v1alpha1.Role]string{}
	for i, role := range objects.Roles() {
		// The file has 30 pictures a second, all of them different.
		file, err := mediatest.Programme{Leg: i, GOP: time.Second, BitrateBPS: 1_000_000}.File(t.Context())
		s.must(t, err)
		s.files[role] = file
	}
	s.plugIn(t)
	s.page = audience.OpenBrowser(&s.scope)
	s.waitFor(t, "OnAir=True", "PrimaryLive=True", "BackupLive=True")
	t.Logf("the test cluster is set up after %v, for faults of %v input loss time", time.Since(began).Round(time.Second), inputLoss)
	if s.cluster != nil {
		t.Logf("the cluster notices a lost node after %v (looking every %v, nodes tell every %v); pods leave it after another %v",
			s.settings.NodeMonitorGracePeriod, s.settings.NodeMonitorPeriod, s.settings.NodeStatusUpdate, toleration)
	}
}

// newPair returns the pair for all faults. It is reached from outside
// the cluster, as viewers reach it. It gives up a lost node quickly.
func newPair(name string) *v1alpha1.StreamPair {
	tolerates := int32(toleration / time.Second)
	pair := &v1alpha1.StreamPair{
		ObjectMeta: metav1.ObjectMeta{Namespace: options.namespace, Name: name},
		Spec: v1alpha1.StreamPairSpec{
			Primary:     v1alpha1.Leg{StreamID: "primary"},
			Backup:      v1alpha1.Leg{StreamID: "backup"},
			Failover:    v1alpha1.Failover{InputLossMilliseconds: int32(inputLoss / time.Millisecond)},
			MediaServer: v1alpha1.MediaServer{NodeLossTolerationSeconds: &tolerates},
		},
	}
	x := &pair.Spec.Exposure
	x.HTTP.Type, x.RTMP.Type, x.WebRTC.Type = v1alpha1.ExposureLoadBalancer, v1alpha1.ExposureLoadBalancer, v1alpha1.ExposureLoadBalancer
	x.SRT = &v1alpha1.ServiceExposure{Type: v1alpha1.ExposureLoadBalancer}
	return pair
}

func (s *testCluster) key() client.ObjectKey {
	return client.ObjectKey{Namespace: options.namespace, Name: pairName}
}

func (s *testCluster) connect(t *testing.T) {
	t.Helper()
	s.kubeconfig = cmp.Or(os.Getenv("E2E_KUBECONFIG"), os.Getenv("KUBECONFIG"))
	config, err := clientcmd.BuildConfigFromFlags("", s.kubeconfig)
	s.must(t, err)
	config.QPS, config.Burst = 100, 200
	scheme := runtime.NewScheme()
	s.must(t, errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)))
	s.kube, err = client.NewWithWatch(config, client.Options{Scheme: scheme})
	s.must(t, err)
	if socket := os.Getenv(cluster.SocketVariable); socket != "" {
		s.cluster, err = cluster.Dial(socket)
		s.must(t, err)
		s.settings, err = s.cluster.Settings(t.Context())
		s.must(t, err)
	}
}

// findOperator waits until the operator runs. Whoever starts the tests installs the chart.
func (s *testCluster) findOperator(t *testing.T) {
	t.Helper()
	s.eventually(t, "an operator is available", func() bool {
		var list appsv1.DeploymentList
		err := s.kube.List(t.Context(), &list, client.MatchingLabels{"app.kubernetes.io/name": "streampair", "app.kubernetes.io/component": "operator"})
		if err != nil || len(list.Items) == 0 || list.Items[0].Status.AvailableReplicas == 0 {
			return false
		}
		s.operator = client.ObjectKeyFromObject(&list.Items[0])
		return true
	})
}

// make creates an object. An object that exists from the last time is kept.
func (s *testCluster) make(t *testing.T, object client.Object) {
	t.Helper()
	if err := s.kube.Create(t.Context(), object); !apierrors.IsAlreadyExists(err) {
		s.must(t, err)
	}
}

// plugIn starts the encoders of the pair that gets all faults. unplug ends them.
func (s *testCluster) plugIn(t *testing.T) {
	t.Helper()
	life, end := context.WithCancel(s.life)
	s.encoders, s.unplug = s.encode(t, life, pairName, &s.running, objects.Roles()...), end
}

// encode starts an encoder for each of these legs of a pair, until ctx ends.
func (s *testCluster) encode(t *testing.T, ctx context.Context, pair string, running *sync.WaitGroup, roles ...v1alpha1.Role) map[v1alpha1.Role]*audience.Encoder {
	t.Helper()
	secret := &corev1.Secret{}
	s.must(t, s.kube.Get(t.Context(), client.ObjectKey{Namespace: options.namespace, Name: objects.KeysSecretName(pair)}, secret))
	token := string(secret.Data[v1alpha1.SecretKeyPublishToken])
	encoders := map[v1alpha1.Role]*audience.Encoder{}
	for _, role := range roles {
		to := ""
		s.eventually(t, "a publish URL of the "+string(role), func() bool {
			for _, ingest := range s.pair(t, pair).Status.Ingest {
				if ingest.Role == role {
					to = ingest.RTMP
				}
			}
			return to != ""
		})
		log := writerFunc(func(text []byte) { s.timeline.say("%s's encoder: %s", role, text) })
		e := audience.NewEncoder(audience.EncoderConfig{File: s.files[role], URL: to + "?token=" + token, Log: log})
		encoders[role] = e
		running.Go(func() {
			if err := e.Run(ctx); err != nil {
				s.Errorf("%v", err)
			}
		})
	}
	return encoders
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}

// close ends encoders and viewers, and deletes the pair.
func (s *testCluster) close() {
	if s.end == nil {
		return
	}
	if s.cluster != nil {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		err := s.cluster.HealAll(ctx)
		if s.reinstall {
			err = errors.Join(err, s.cluster.Install(ctx, ""))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "hack/e2e: mend the cluster:", err)
		}
	}
	s.end()
	s.CleanUp()
	s.running.Wait()
	if s.kube != nil && !options.keep {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		err := s.kube.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: options.namespace}})
		if client.IgnoreNotFound(err) != nil {
			fmt.Fprintln(os.Stderr, "hack/e2e: delete the namespace:", err)
		}
	}
}

// needCluster skips tests of faults that only the test cluster can make.
func (s *testCluster) needCluster(t *testing.T) {
	t.Helper()
	if s.cluster == nil {
		t.Skip("this fault is done by the test cluster alone: make e2e")
	}
}

func (s *testCluster) must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits for what the cluster does asynchronously, and returns how long that took.
func (s *testCluster) eventually(t *testing.T, what string, done func() bool) time.Duration {
	t.Helper()
	return eventually.Within(t, patience, what, done)
}

// binary returns the path of a program that make builds.
func binary(t *testing.T, name string) string {
	t.Helper()
	folder := options.binaries
	for up := "."; folder == ""; up = filepath.Join(up, "..") {
		if _, err := os.Stat(filepath.Join(up, "go.mod")); err == nil {
			folder = filepath.Join(up, "bin")
		} else if len(up) > 40 {
			t.Fatal("not in the repository, so -binaries must say where the programs are")
		}
	}
	path, err := filepath.Abs(filepath.Join(folder, name))
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatalf("%v: build it (make commands)", err)
	}
	return path
}
