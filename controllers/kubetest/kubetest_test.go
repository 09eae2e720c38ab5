package kubetest_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/controllers/kubetest"
	"github.com/streampair/streampair/hack/eventually"
)

func TestMain(m *testing.M) { os.Exit(kubetest.Main(m)) }

func TestDeploymentsMakePodsAndTheirOwnerTakesThemAlong(t *testing.T) {
	t.Parallel()
	cluster := kubetest.Start(t)
	admin, namespace := cluster.Client(t, nil), cluster.Namespace(t)

	owner := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "owner"}}
	create(t, admin, owner)
	deployment := deploymentOf(namespace)
	deployment.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID,
	}}
	create(t, admin, deployment)
	eventually.True(t, "two pods of one ReplicaSet", func() bool {
		return len(list(t, admin, namespace, &corev1.PodList{})) == 2 &&
			len(list(t, admin, namespace, &appsv1.ReplicaSetList{})) == 1
	})

	if err := admin.Delete(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "nothing left of the deployment", func() bool {
		return len(list(t, admin, namespace, &appsv1.DeploymentList{})) == 0 &&
			len(list(t, admin, namespace, &appsv1.ReplicaSetList{})) == 0 &&
			len(list(t, admin, namespace, &corev1.PodList{})) == 0
	})
}

func TestARestrictedNamespaceRefusesPodsThatAreNot(t *testing.T) {
	t.Parallel()
	cluster := kubetest.Start(t)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: cluster.RestrictedNamespace(t), Name: "bare"},
		Spec:       deploymentOf("").Spec.Template.Spec,
	}
	err := cluster.Client(t, nil).Create(t.Context(), pod)
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "restricted") {
		t.Errorf("a pod without a security context: %v, want it forbidden by restricted", err)
	}
}

func TestUsersMayDoWhatTheirRolesSay(t *testing.T) {
	t.Parallel()
	cluster := kubetest.Start(t)
	namespace := cluster.Namespace(t)
	const roles = `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [get, list]}]
---
apiVersion: v1
kind: Service
metadata: {name: passed-over}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: bound-by-the-manifest}
rules: [{apiGroups: [""], resources: [secrets], verbs: [list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: bound-by-the-manifest}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: bound-by-the-manifest}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: ulla}]
`
	account := clientOf(t, cluster.ServiceAccountConfig(t, namespace, "robot", roles))
	ulla := clientOf(t, cluster.User(t, "ulla"))
	root := clientOf(t, cluster.User(t, "rita", "system:masters"))

	for _, test := range []struct {
		name    string
		who     client.Client
		list    client.ObjectList
		allowed bool
	}{
		{"the account by its role", account, &corev1.ConfigMapList{}, true},
		{"the account without a role", account, &corev1.SecretList{}, false},
		{"the user by the manifest's binding", ulla, &corev1.SecretList{}, true},
		{"the user without a role", ulla, &corev1.ConfigMapList{}, false},
		{"the user by its group", root, &corev1.NodeList{}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := test.who.List(t.Context(), test.list, client.InNamespace(namespace))
			if (err == nil) != test.allowed || (err != nil && !apierrors.IsForbidden(err)) {
				t.Errorf("got %v, want allowed %v", err, test.allowed)
			}
		})
	}
	if out := cluster.Kubectl(t, "--kubeconfig", cluster.KubeconfigOf(t, cluster.User(t, "ulla")), "auth", "whoami"); !strings.Contains(out, "ulla") {
		t.Errorf("kubectl auth whoami says\n%s", out)
	}
}

func TestAnAPIServerThatWasStoppedComesBackAsItWas(t *testing.T) {
	t.Parallel()
	cluster := kubetest.StartOwn(t)
	namespace := cluster.Namespace(t)
	account := clientOf(t, cluster.ServiceAccountConfig(t, namespace, "robot", `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: writer}
rules: [{apiGroups: [apps], resources: [deployments], verbs: [create]}]
`))
	robot := "system:serviceaccount:" + namespace + ":robot"

	cluster.StopAPIServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := account.Create(ctx, deploymentOf(namespace)); err == nil {
		t.Error("a write went through while the API server was stopped")
	}

	began := time.Now()
	cluster.StartAPIServer(t)
	t.Logf("the API server was back after %v", time.Since(began).Round(time.Millisecond))
	before := cluster.APIRequests(t)
	create(t, account, deploymentOf(namespace))
	eventually.True(t, "pods, by the controllers", func() bool {
		return len(list(t, cluster.Client(t, nil), namespace, &corev1.PodList{})) == 2
	})

	if n := cluster.APIRequests(t).Since(before)["POST deployments"]; n != 1 {
		t.Errorf("%d Deployments were created by the count of requests, want 1", n)
	}
	eventually.True(t, "the write in the audit log", func() bool { return len(cluster.Writes(t, robot)) == 1 })
	got := cluster.Writes(t, robot)[0]
	got.Time = time.Time{}
	want := kubetest.Write{
		User: robot, Verb: "create", Resource: "deployments", Namespace: namespace, Name: "web",
		Code: http.StatusCreated,
	}
	if got != want {
		t.Errorf("the audit log has %+v, want %+v", got, want)
	}
}

func TestNothingIsLeftOfATestBinaryThatWasKilled(t *testing.T) {
	t.Parallel()
	// The binary that dies is this one, started again.
	const victimVariable = "KUBETEST_VICTIM"
	if os.Getenv(victimVariable) != "" {
		fmt.Println(filepath.Dir(kubetest.StartOwn(t).Kubeconfig()))
		time.Sleep(time.Minute)
		return
	}
	kubetest.Start(t) // reports it if the programs are missing

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	victim := exec.CommandContext(t.Context(), self, "-test.run=^"+t.Name()+"$")
	victim.Env = append(os.Environ(), victimVariable+"=1")
	victim.Stderr = os.Stderr
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	folder, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("it has no cluster: %v", err)
	}
	folder = strings.TrimSpace(folder)
	var pids []string
	notes, err := filepath.Glob(filepath.Join(folder, "pids", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, note := range notes {
		pid, err := os.ReadFile(note)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, strings.TrimSpace(string(pid)))
	}
	if len(pids) != 3 {
		t.Fatalf("%d programs run, want etcd, kube-apiserver and kube-controller-manager", len(pids))
	}

	if err := victim.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = victim.Wait() // it was killed
	eventually.True(t, "no process and no file of the cluster", func() bool {
		for _, pid := range pids {
			if exec.Command("kill", "-0", pid).Run() == nil {
				return false
			}
		}
		_, err := os.Stat(folder)
		return os.IsNotExist(err)
	})
}

func deploymentOf(namespace string) *appsv1.Deployment {
	labels := map[string]string{"app": "web"}
	replicas := int32(2)
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web"}}},
			},
		},
	}
}

func clientOf(t *testing.T, config *rest.Config) client.Client {
	t.Helper()
	c, err := client.New(config, client.Options{Scheme: kubetest.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func create(t *testing.T, c client.Client, object client.Object) {
	t.Helper()
	if err := c.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
}

// list returns the names of the objects of a kind in a namespace.
func list(t *testing.T, c client.Client, namespace string, objects client.ObjectList) []string {
	t.Helper()
	if err := c.List(t.Context(), objects, client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	items, err := meta.ExtractList(objects)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, item := range items {
		names = append(names, item.(client.Object).GetName())
	}
	return names
}
