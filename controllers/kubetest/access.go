package kubetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/streampair/streampair/api/v1alpha1"
)

// requestTimeout bounds each request that this package makes for a test.
const requestTimeout = 30 * time.Second

// Client returns the administrator's client. A nil scheme means Kubernetes' own kinds and
// StreamPair.
func (c *Cluster) Client(t TB, scheme *runtime.Scheme) client.Client {
	t.Helper()
	if scheme == nil {
		scheme = Scheme()
	}
	admin, err := client.New(c.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return admin
}

// Scheme returns a new scheme with Kubernetes' own kinds and StreamPair.
func Scheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	return scheme
}

// Namespace returns the name of a new namespace in which pods can be
// made. The namespace and its contents are deleted after the test.
func (c *Cluster) Namespace(t TB) string {
	t.Helper()
	return c.namespace(t, nil)
}

// RestrictedNamespace is Namespace, and the namespace enforces the
// Pod Security level "restricted". Pods that violate the level are
// refused, and Deployments with such pods get a warning.
func (c *Cluster) RestrictedNamespace(t TB) string {
	t.Helper()
	return c.namespace(t, map[string]string{
		"pod-security.kubernetes.io/enforce": "restricted",
		"pod-security.kubernetes.io/warn":    "restricted",
	})
}

func (c *Cluster) namespace(t TB, labels map[string]string) string {
	t.Helper()
	admin := c.Client(t, nil)
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()

	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-", Labels: labels}}
	if err := admin.Create(ctx, namespace); err != nil {
		t.Fatalf("create a namespace: %v", err)
	}
	c.deleteAfter(t, admin, namespace)
	for !hasDefaultAccount(ctx, admin, namespace.Name) {
		if ctx.Err() != nil {
			t.Fatalf("namespace %s got no service account within %v", namespace.Name, requestTimeout)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return namespace.Name
}

// deleteAfter deletes an object after the test, without waiting until it is gone. If the
// API server is stopped at the end of a test, the object goes with the test's own cluster.
func (c *Cluster) deleteAfter(t TB, admin client.Client, object client.Object) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
		defer cancel()
		err := admin.Delete(ctx, object, client.PropagationPolicy(metav1.DeletePropagationBackground))
		if err != nil && !apierrors.IsNotFound(err) && c.shared {
			t.Errorf("delete %s after the test: %v", object.GetName(), err)
		}
	})
}

// User returns the configuration of a user with a client certificate
// of that name and those groups. The user has the rights that RBAC
// gives to the name and the groups. Without any binding these are few.
func (c *Cluster) User(t TB, name string, groups ...string) *rest.Config {
	t.Helper()
	c.users.Lock()
	defer c.users.Unlock()
	user, err := c.env.AddUser(envtest.User{Name: name, Groups: groups}, &rest.Config{QPS: -1})
	if err != nil {
		t.Fatal(err)
	}
	return user.Config()
}

// ServiceAccountConfig returns the configuration of a service account with a token,
// valid for an hour, as a pod has it. The account is created if it does not exist.
//
// The manifests are YAML as a chart or kustomize prints them. Their Roles,
// ClusterRoles, RoleBindings, ClusterRoleBindings and ServiceAccounts are
// applied, in the given namespace if they name none, and deleted after the
// test. Objects of other kinds are ignored, so that the whole output can be
// passed. A role without a binding in the manifests is bound to the account.
func (c *Cluster) ServiceAccountConfig(t TB, namespace, name string, manifests ...string) *rest.Config {
	t.Helper()
	admin := c.Client(t, nil)
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()

	objects, err := rbacObjects(manifests)
	if err != nil {
		t.Fatal(err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	for _, object := range append(objects, unboundRoles(objects, account)...) {
		if namespaced(object) && object.GetNamespace() == "" {
			object.SetNamespace(namespace)
		}
		if err := admin.Apply(ctx, client.ApplyConfigurationFromUnstructured(object.DeepCopy()),
			client.FieldOwner("kubetest"), client.ForceOwnership); err != nil {
			t.Fatalf("apply %s %s: %v", object.GetKind(), object.GetName(), err)
		}
		c.deleteAfter(t, admin, object)
	}
	if err := admin.Create(ctx, account); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatalf("create service account %s: %v", name, err)
	}
	token := &authenticationv1.TokenRequest{}
	if err := admin.SubResource("token").Create(ctx, account, token); err != nil {
		t.Fatalf("token of service account %s: %v", name, err)
	}
	config := rest.AnonymousClientConfig(c.Config)
	config.BearerToken = token.Status.Token
	config.QPS = -1
	return config
}

// rbacObjects returns the objects of the manifests that define rights and accounts.
func rbacObjects(manifests []string) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for _, manifest := range manifests {
		decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(manifest), 4096)
		for {
			object := &unstructured.Unstructured{}
			if err := decoder.Decode(&object.Object); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, fmt.Errorf("read a manifest: %w", err)
			}
			if group := object.GroupVersionKind().Group; group == rbacv1.GroupName ||
				group == "" && object.GetKind() == "ServiceAccount" {
				objects = append(objects, object)
			}
		}
	}
	return objects, nil
}

// unboundRoles returns bindings to the account for the roles that no binding names.
func unboundRoles(objects []*unstructured.Unstructured, account *corev1.ServiceAccount) []*unstructured.Unstructured {
	type role struct{ kind, name string }
	bound := make(map[role]bool)
	for _, object := range objects {
		kind, _, _ := unstructured.NestedString(object.Object, "roleRef", "kind")
		name, _, _ := unstructured.NestedString(object.Object, "roleRef", "name")
		bound[role{kind, name}] = true
	}
	var bindings []*unstructured.Unstructured
	for _, object := range objects {
		kind := object.GetKind()
		if kind != "Role" && kind != "ClusterRole" || bound[role{kind, object.GetName()}] {
			continue
		}
		binding := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": rbacv1.SchemeGroupVersion.String(),
			"kind":       kind + "Binding",
			"roleRef":    map[string]any{"apiGroup": rbacv1.GroupName, "kind": kind, "name": object.GetName()},
			"subjects": []any{map[string]any{
				"kind": "ServiceAccount", "namespace": account.Namespace, "name": account.Name,
			}},
		}}
		binding.SetNamespace(object.GetNamespace())
		binding.SetName(object.GetName() + "-" + account.Namespace + "-" + account.Name)
		bindings = append(bindings, binding)
	}
	return bindings
}

func namespaced(object *unstructured.Unstructured) bool {
	return !strings.HasPrefix(object.GetKind(), "Cluster")
}

// Kubeconfig returns the path of the administrator's kubeconfig file.
func (c *Cluster) Kubeconfig() string { return filepath.Join(c.dir, "kubeconfig") }

// KubeconfigOf writes a kubeconfig file with a configuration of User or
// ServiceAccountConfig, for a program that acts as that user, and returns its path.
func (c *Cluster) KubeconfigOf(t TB, config *rest.Config) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	kubeconfig := clientcmdapi.NewConfig()
	kubeconfig.Clusters["test"] = &clientcmdapi.Cluster{
		Server: config.Host, CertificateAuthorityData: config.CAData,
	}
	kubeconfig.AuthInfos["test"] = &clientcmdapi.AuthInfo{
		ClientCertificateData: config.CertData, ClientKeyData: config.KeyData, Token: config.BearerToken,
	}
	kubeconfig.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: "test"}
	kubeconfig.CurrentContext = "test"
	content, err := clientcmd.Write(*kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
