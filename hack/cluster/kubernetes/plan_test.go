package kubernetes

import (
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/streampair/streampair/hack/cluster/client"
)

func TestNodeFiles(t *testing.T) {
	plan := planNode("test", 2)
	kubelet := struct {
		CgroupRoot                string   `json:"cgroupRoot"`
		ClusterDNS                []string `json:"clusterDNS"`
		NodeStatusUpdateFrequency string   `json:"nodeStatusUpdateFrequency"`
		NodeLeaseDurationSeconds  int      `json:"nodeLeaseDurationSeconds"`
	}{}
	parse(t, "kubelet.yaml", plan, &kubelet)
	if kubelet.CgroupRoot != "/streampair-test-node2" || kubelet.ClusterDNS[0] != "10.96.0.10" ||
		kubelet.NodeStatusUpdateFrequency != "4s" || kubelet.NodeLeaseDurationSeconds != 16 {
		t.Errorf("kubelet is set to %+v", kubelet)
	}
	var proxy struct {
		HostnameOverride string `json:"hostnameOverride"`
		BindAddress      string `json:"bindAddress"`
	}
	parse(t, "kube-proxy.yaml", plan, &proxy)
	if proxy.HostnameOverride != "node2" || proxy.BindAddress != "10.99.0.12" {
		t.Errorf("kube-proxy is set to %+v", proxy)
	}
	var cni struct {
		Plugins []struct {
			IPAM struct {
				Ranges [][]struct {
					Subnet string `json:"subnet"`
				} `json:"ranges"`
			} `json:"ipam"`
		} `json:"plugins"`
	}
	parse(t, "cni.conflist", plan, &cni)
	if got := cni.Plugins[0].IPAM.Ranges[0][0].Subnet; got != "10.244.2.0/24" {
		t.Errorf("pods get addresses of %s", got)
	}
	var values map[string]any
	parse(t, "values.yaml", plan, &values)
	if diff := cmp.Diff(map[string]any{"tag": "cluster"}, values["image"]); diff != "" {
		t.Error(diff)
	}
}

// parse renders a file and parses it.
func parse(t *testing.T, file string, plan nodePlan, into any) {
	t.Helper()
	content, err := render(file, plan)
	if err == nil {
		err = yaml.Unmarshal([]byte(content), into)
	}
	if err != nil {
		t.Fatalf("%s: %v\n%s", file, err, content)
	}
}

func TestRuleset(t *testing.T) {
	const empty = "table inet streampair-faults\ndelete table inet streampair-faults\ntable inet streampair-faults {\n"
	const relay = "chain relay { type filter hook forward priority -10;\n"
	pods := [2]string{"10.244.1.5", "10.244.2.7"}
	for name, test := range map[string]struct {
		isolated bool
		cuts     map[[2]string]client.Cut
		which    side
		want     string
	}{
		"no fault: what was there is removed": {want: empty + relay + "}\n}\n"},
		"a black hole swallows both directions of connections from either pod": {
			cuts: map[[2]string]client.Cut{pods: client.BlackHole}, which: fromBoth,
			want: empty + relay +
				"ip saddr 10.244.1.5 ip daddr 10.244.2.7 tcp dport { 5080, 9092 } drop\n" +
				"ip saddr 10.244.1.5 ip daddr 10.244.2.7 tcp sport { 5080, 9092 } drop\n" +
				"ip saddr 10.244.2.7 ip daddr 10.244.1.5 tcp dport { 5080, 9092 } drop\n" +
				"ip saddr 10.244.2.7 ip daddr 10.244.1.5 tcp sport { 5080, 9092 } drop\n}\n}\n",
		},
		"a reset begins with those who connected": {
			cuts: map[[2]string]client.Cut{pods: client.Reset}, which: fromClients,
			want: empty + relay +
				"ip saddr 10.244.1.5 ip daddr 10.244.2.7 tcp dport { 5080, 9092 } reject with tcp reset\n" +
				"ip saddr 10.244.2.7 ip daddr 10.244.1.5 tcp dport { 5080, 9092 } reject with tcp reset\n}\n}\n",
		},
		"cut off from the API server, with its pods": {
			isolated: true,
			want: empty +
				"chain output-daddr { type filter hook output priority -10; ip daddr 10.99.0.1 drop; }\n" +
				"chain input-saddr { type filter hook input priority -10; ip saddr 10.99.0.1 drop; }\n" +
				"chain forward-daddr { type filter hook forward priority -10; ip daddr 10.99.0.1 drop; }\n" +
				"chain forward-saddr { type filter hook forward priority -10; ip saddr 10.99.0.1 drop; }\n" +
				relay + "}\n}\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, ruleset(test.isolated, test.cuts, test.which)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBetween(t *testing.T) {
	for name, test := range map[string]struct {
		pods []string
		want [2]string
		ok   bool
	}{
		"in order":     {[]string{"10.244.1.5", "10.244.2.7"}, [2]string{"10.244.1.5", "10.244.2.7"}, true},
		"either order": {[]string{"10.244.2.7", "10.244.1.5"}, [2]string{"10.244.1.5", "10.244.2.7"}, true},
		"one pod":      {pods: []string{"10.244.2.7"}},
		"a node":       {pods: []string{"10.244.2.7", "10.99.0.11"}},
		"no address":   {pods: []string{"10.244.2.7", "pod"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := between(test.pods)
			if got != test.want || (err == nil) != test.ok {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestAssign(t *testing.T) {
	service := func(name string, kind corev1.ServiceType, addresses ...string) corev1.Service {
		s := corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ServiceSpec{Type: kind}}
		for _, a := range addresses {
			s.Status.LoadBalancer.Ingress = append(s.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: a})
		}
		return s
	}
	changed := map[string]string{}
	for _, s := range assign([]corev1.Service{
		service("inside", corev1.ServiceTypeClusterIP),
		service("first", corev1.ServiceTypeLoadBalancer),
		service("has", corev1.ServiceTypeLoadBalancer, "10.98.0.1"),
		service("second", corev1.ServiceTypeLoadBalancer),
		service("gives back", corev1.ServiceTypeClusterIP, "10.98.0.3"),
	}) {
		changed[s.Name] = ""
		for _, ingress := range s.Status.LoadBalancer.Ingress {
			changed[s.Name] += ingress.IP
		}
	}
	want := map[string]string{"first": "10.98.0.2", "second": "10.98.0.4", "gives back": ""}
	if diff := cmp.Diff(want, changed); diff != "" {
		t.Error(diff)
	}
}

func TestKeys(t *testing.T) {
	folder := t.TempDir()
	a, err := newAuthority(folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.server("api-server", []string{"kubernetes"}, []net.IP{net.ParseIP(controlAddress)}); err != nil {
		t.Fatal(err)
	}
	if err := a.client("node1", "system:node:node1", "system:nodes"); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(a.pem)
	server := certificate(t, filepath.Join(folder, "api-server.crt"))
	if _, err := server.Verify(x509.VerifyOptions{Roots: roots, DNSName: controlAddress}); err != nil {
		t.Error(err)
	}
	node := certificate(t, filepath.Join(folder, "node1.crt"))
	if _, err := node.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"system:nodes"}, node.Subject.Organization); diff != "" {
		t.Error(diff)
	}
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(folder, "node1.kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://10.99.0.1:6443" || len(config.CAData) == 0 || len(config.CertData) == 0 || len(config.KeyData) == 0 {
		t.Errorf("kubeconfig for %s is not complete", config.Host)
	}
}

func certificate(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(content)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
