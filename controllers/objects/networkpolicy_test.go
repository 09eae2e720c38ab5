package objects_test

import (
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/objects/objectstest"
)

// policyCluster has the endpoints that may want to talk to media pods,
// and those that media pods may want to talk to. Nothing enforces a
// NetworkPolicy in the test cluster, so its rules are evaluated here.
type policyCluster struct {
	policies                                      []networkingv1.NetworkPolicy
	primary, backup, otherPair, sameNameElsewhere endpoint
	operator, besideOperator, stranger            endpoint
	prometheus, node, viewer                      endpoint
	kubeDNS, openShiftDNS, podOnDNSPort           endpoint
}

func newPolicyCluster(t *testing.T, settings objects.Settings, egress v1alpha1.EgressPolicy) policyCluster {
	t.Helper()
	last := netip.MustParseAddr("10.244.0.0")
	pod := func(namespace string, set map[string]string) endpoint {
		last = last.Next()
		return endpoint{ip: last, namespace: namespace, labels: set, namespaceLabels: labels.Set{corev1.LabelMetadataName: namespace}}
	}
	pairs := map[string]*v1alpha1.StreamPair{}
	var c policyCluster
	for _, at := range []struct{ namespace, name string }{{"live", "sunday"}, {"live", "monday"}, {"other", "sunday"}} {
		pair := objectstest.Pairs(t)["smallest"]
		pair.Namespace, pair.Name, pair.Spec.MediaServer.Egress = at.namespace, at.name, egress
		pairs[at.namespace+"/"+at.name] = pair
		c.policies = append(c.policies, *objectstest.Typed[networkingv1.NetworkPolicy](t, objectstest.Find(t, objects.Of(pair, settings), objects.KindNetworkPolicy, at.name)))
	}
	media := func(pair *v1alpha1.StreamPair, role v1alpha1.Role) endpoint {
		e := pod(pair.Namespace, objects.LegLabels(pair.Name, role))
		for _, d := range objectstest.Deployments(t, objects.Of(pair, settings)) {
			if d.Name == objects.DeploymentName(pair.Name, role) {
				e.ports = d.Spec.Template.Spec.Containers[0].Ports
			}
		}
		return e
	}
	c.primary, c.backup = media(pairs["live/sunday"], v1alpha1.RolePrimary), media(pairs["live/sunday"], v1alpha1.RoleBackup)
	c.otherPair, c.sameNameElsewhere = media(pairs["live/monday"], v1alpha1.RolePrimary), media(pairs["other/sunday"], v1alpha1.RolePrimary)
	c.operator = pod("streampair-system", settings.OperatorLabels)
	c.besideOperator = pod("streampair-system", map[string]string{"app": "other"})
	c.stranger = pod("live", map[string]string{"app": "other"})
	c.prometheus = pod("monitoring", map[string]string{"app": "prometheus"})
	c.kubeDNS = pod("kube-system", map[string]string{"k8s-app": "kube-dns"})
	c.openShiftDNS = pod("openshift-dns", map[string]string{"dns.operator.openshift.io/daemonset-dns": "default"})
	c.podOnDNSPort = pod("live", map[string]string{"app": "resolver"})
	c.node, c.viewer = machine("192.0.2.1"), machine("198.51.100.7")
	return c
}

func machine(ip string) endpoint { return endpoint{ip: netip.MustParseAddr(ip)} }

// connections returns what a pair's policy must allow and refuse with these settings.
func (c policyCluster) connections(scraped []string, egress v1alpha1.EgressPolicy) []policyConnection {
	anybody := len(scraped) == 0
	unrestricted := egress != v1alpha1.EgressRestricted
	media := c.primary
	return []policyConnection{
		{"an encoder by RTMP", c.viewer, media, "TCP", 1935, true},
		{"an encoder by RTMPS", c.viewer, media, "TCP", 1936, true},
		{"a viewer by HTTP", c.viewer, media, "TCP", 5080, true},
		{"a viewer by HTTPS", c.viewer, media, "TCP", 5443, true},
		{"a viewer's media by UDP", c.viewer, media, "UDP", 8189, true},
		{"a viewer's media by TCP", c.viewer, media, "TCP", 8189, true},
		{"an Ingress in the cluster", c.stranger, media, "TCP", 5080, true},
		{"a viewer on any other port", c.viewer, media, "TCP", 22, false},
		{"HTTP by UDP", c.viewer, media, "UDP", 5443, false},

		{"the node's probe", c.node, media, "TCP", 9093, true},
		{"a load balancer's health check", machine("203.0.113.9"), media, "TCP", 9093, true},
		{"Prometheus", c.prometheus, media, "TCP", 9090, true},
		{"metrics for any pod", c.stranger, media, "TCP", 9090, anybody},
		{"metrics from outside", c.viewer, media, "TCP", 9090, anybody},
		{"the probe of an image before the port for probes, by a node that the plugin does not let in", c.node, media, "TCP", 9090, anybody},

		{"the operator's command", c.operator, media, "TCP", 9091, true},
		{"a pod beside the operator", c.besideOperator, media, "TCP", 9091, false},
		{"a stranger's command", c.stranger, media, "TCP", 9091, false},
		{"the peer's command", c.backup, media, "TCP", 9091, false},
		{"a command from outside", c.viewer, media, "TCP", 9091, false},

		{"the relay of the peer", c.backup, media, "TCP", 9092, true},
		{"the relay back", media, c.backup, "TCP", 9092, true},
		{"the relay of a peer of the release before", c.backup, media, "TCP", 5080, true},
		{"the relay for a stranger pod", c.stranger, media, "TCP", 9092, false},
		{"the relay for another pair's pod", c.otherPair, media, "TCP", 9092, false},
		{"the relay for a pair of the same name elsewhere", c.sameNameElsewhere, media, "TCP", 9092, false},
		{"the relay for the operator", c.operator, media, "TCP", 9092, false},
		{"the relay for a viewer", c.viewer, media, "TCP", 9092, false},
		{"the relay by UDP", c.backup, media, "UDP", 9092, false},

		{"a name by UDP", media, c.kubeDNS, "UDP", 53, true},
		{"a name by TCP", media, c.kubeDNS, "TCP", 53, true},
		{"a name of OpenShift's servers", media, c.openShiftDNS, "UDP", 5353, true},
		{"a name of NodeLocal DNSCache", media, machine("169.254.20.10"), "UDP", 53, true},
		{"a name of NodeLocal DNSCache by IPv6", media, machine("fe80::53"), "TCP", 53, true},
		{"a name at the address of the Service", media, machine("10.96.0.10"), "UDP", 53, true},
		{"anything else of the name servers", media, c.kubeDNS, "TCP", 9153, unrestricted},
		{"anything else of OpenShift's name servers", media, c.openShiftDNS, "TCP", 443, unrestricted},
		{"a name of some pod", media, c.podOnDNSPort, "UDP", 53, unrestricted},
		{"a name of a server outside", media, machine("203.0.113.53"), "UDP", 53, unrestricted},
		{"a name at another Service's address", media, machine("10.96.0.11"), "UDP", 53, unrestricted},
		{"the cloud's metadata", media, machine("169.254.169.254"), "TCP", 80, unrestricted},
		{"the internet", media, c.viewer, "TCP", 443, unrestricted},
		{"the internet by UDP", media, c.viewer, "UDP", 443, unrestricted},
		{"a STUN server, which is for browsers to ask", media, machine("203.0.113.10"), "UDP", 3478, unrestricted},
		{"the API server", media, machine("10.96.0.1"), "TCP", 443, unrestricted},
		{"the node", media, c.node, "TCP", 10250, unrestricted},
		{"a stranger pod", media, c.stranger, "TCP", 80, unrestricted},
		{"another pair's viewers' port", media, c.otherPair, "TCP", 5080, unrestricted},
		{"the operator", media, c.operator, "TCP", 8443, unrestricted},
		{"the peer's metrics", media, c.backup, "TCP", 9090, anybody && unrestricted},
	}
}

type policyConnection struct {
	name     string
	from, to endpoint
	protocol corev1.Protocol
	port     int32
	allowed  bool
}

func TestTheNetworkPolicyAllowsWhatAPairNeedsAndNothingElse(t *testing.T) {
	for name, scraped := range map[string][]string{"metrics for anybody": nil, "metrics for one namespace": {"monitoring"}} {
		for _, egress := range []v1alpha1.EgressPolicy{"", v1alpha1.EgressUnrestricted, v1alpha1.EgressRestricted} {
			t.Run(name+", egress "+string(egress), func(t *testing.T) {
				settings := objectstest.Settings()
				settings.MetricsNamespaces = scraped
				settings.NameServers = []netip.Addr{netip.MustParseAddr("10.96.0.10")}
				c := newPolicyCluster(t, settings, egress)
				for _, connection := range c.connections(scraped, egress) {
					got := allows(t, c.policies, connection.from, connection.to, connection.protocol, connection.port)
					if got != connection.allowed {
						t.Errorf("%s, %s %d: allowed %v, want %v", connection.name, connection.protocol, connection.port, got, connection.allowed)
					}
				}
			})
		}
	}
}

// An operator outside the cluster has no pod that a rule could name.
func TestWithoutAnOperatorInTheClusterCommandsAreLeftToTokenAndCertificate(t *testing.T) {
	settings := objectstest.Settings()
	settings.OperatorNamespace = ""
	c := newPolicyCluster(t, settings, v1alpha1.EgressRestricted)
	if !allows(t, c.policies, c.viewer, c.primary, "TCP", objects.PortControl) {
		t.Error("an operator outside the cluster cannot command")
	}
	if allows(t, c.policies, c.stranger, c.primary, "TCP", objects.PortPeer) {
		t.Error("a stranger reaches the relay")
	}
}
