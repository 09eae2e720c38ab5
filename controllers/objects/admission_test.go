package objects_test

import (
	"cmp"
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

// An endpoint is one end of a connection: a pod, or a machine inside or outside the cluster.
type endpoint struct {
	ip netip.Addr
	// The remaining fields are for pods. A pod on its node's network counts as the node.
	namespace       string
	namespaceLabels labels.Set
	labels          labels.Set
	ports           []corev1.ContainerPort
}

func (e endpoint) isPod() bool { return e.namespace != "" }

// allows reports whether policies let from open a connection to a port of to. It
// follows the API's documentation of NetworkPolicy, without any plugin's exceptions:
// a node has no special rights. An ipBlock matches pods too, as with some plugins.
func allows(t *testing.T, policies []networkingv1.NetworkPolicy, from, to endpoint, protocol corev1.Protocol, port int32) bool {
	t.Helper()
	leaves, enters := true, true
	for _, policy := range policies {
		if policyIsFor(t, policy, from, networkingv1.PolicyTypeEgress) {
			leaves = false
		}
		if policyIsFor(t, policy, to, networkingv1.PolicyTypeIngress) {
			enters = false
		}
	}
	for _, policy := range policies {
		if policyIsFor(t, policy, from, networkingv1.PolicyTypeEgress) {
			for _, rule := range policy.Spec.Egress {
				leaves = leaves || matchesPort(rule.Ports, to, protocol, port) && matchesPeer(t, rule.To, policy.Namespace, to)
			}
		}
		if policyIsFor(t, policy, to, networkingv1.PolicyTypeIngress) {
			for _, rule := range policy.Spec.Ingress {
				enters = enters || matchesPort(rule.Ports, to, protocol, port) && matchesPeer(t, rule.From, policy.Namespace, from)
			}
		}
	}
	return leaves && enters
}

// policyIsFor reports whether the policy limits the endpoint's connections in that direction.
func policyIsFor(t *testing.T, policy networkingv1.NetworkPolicy, e endpoint, direction networkingv1.PolicyType) bool {
	t.Helper()
	types := policy.Spec.PolicyTypes
	if len(types) == 0 {
		types = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		if len(policy.Spec.Egress) > 0 {
			types = append(types, networkingv1.PolicyTypeEgress)
		}
	}
	return e.namespace == policy.Namespace && e.isPod() && slices.Contains(types, direction) &&
		selectsLabels(t, &policy.Spec.PodSelector, e.labels)
}

// matchesPort reports whether a rule is for a port. A rule without ports is for all ports.
func matchesPort(ports []networkingv1.NetworkPolicyPort, to endpoint, protocol corev1.Protocol, port int32) bool {
	if len(ports) == 0 {
		return true
	}
	return slices.ContainsFunc(ports, func(p networkingv1.NetworkPolicyPort) bool {
		if p.Protocol == nil && protocol != corev1.ProtocolTCP || p.Protocol != nil && *p.Protocol != protocol {
			return false
		}
		switch {
		case p.Port == nil:
			return true
		case p.Port.Type == intstr.String:
			return slices.ContainsFunc(to.ports, func(c corev1.ContainerPort) bool {
				return c.Name == p.Port.StrVal && c.ContainerPort == port && cmp.Or(c.Protocol, corev1.ProtocolTCP) == protocol
			})
		case p.EndPort != nil:
			return p.Port.IntVal <= port && port <= *p.EndPort
		}
		return p.Port.IntVal == port
	})
}

// matchesPeer reports whether a rule of a policy in namespace is
// for the endpoint. A rule without peers is for all endpoints.
func matchesPeer(t *testing.T, peers []networkingv1.NetworkPolicyPeer, namespace string, e endpoint) bool {
	t.Helper()
	if len(peers) == 0 {
		return true
	}
	return slices.ContainsFunc(peers, func(p networkingv1.NetworkPolicyPeer) bool {
		if p.IPBlock != nil {
			return contains(t, p.IPBlock.CIDR, e.ip) &&
				!slices.ContainsFunc(p.IPBlock.Except, func(cidr string) bool { return contains(t, cidr, e.ip) })
		}
		if !e.isPod() || p.NamespaceSelector == nil && p.PodSelector == nil {
			return false
		}
		if p.NamespaceSelector == nil && e.namespace != namespace ||
			p.NamespaceSelector != nil && !selectsLabels(t, p.NamespaceSelector, e.namespaceLabels) {
			return false
		}
		return p.PodSelector == nil || selectsLabels(t, p.PodSelector, e.labels)
	})
}

func contains(t *testing.T, cidr string, ip netip.Addr) bool {
	t.Helper()
	network, err := netip.ParsePrefix(cidr)
	if err != nil {
		t.Fatal(err)
	}
	return network.Contains(ip)
}

func selectsLabels(t *testing.T, selector *metav1.LabelSelector, set labels.Set) bool {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	return s.Matches(set)
}

// The evaluator itself is tested with policies whose meaning the API's documentation gives.
func TestTheEvaluatorReadsPoliciesAsTheAPIDocumentsThem(t *testing.T) {
	pod := func(namespace, app, ip string) endpoint {
		return endpoint{
			ip: netip.MustParseAddr(ip), namespace: namespace, namespaceLabels: labels.Set{"team": namespace}, labels: labels.Set{"app": app},
			ports: []corev1.ContainerPort{{Name: "web", ContainerPort: 80}, {Name: "dns", ContainerPort: 53, Protocol: corev1.ProtocolUDP}},
		}
	}
	web, client, elsewhere := pod("a", "web", "10.0.0.1"), pod("a", "client", "10.0.0.2"), pod("b", "client", "10.0.1.2")
	outside := endpoint{ip: netip.MustParseAddr("198.51.100.7")}
	const selectWeb = "podSelector: {matchLabels: {app: web}}\n"
	for _, tt := range []struct {
		name, spec string
		from, to   endpoint
		protocol   corev1.Protocol
		port       int32
		want       bool
	}{
		{"a pod without a policy", "podSelector: {matchLabels: {app: other}}", outside, web, "TCP", 80, true},
		{"a policy without rules", selectWeb, outside, web, "TCP", 80, false},
		{"a policy without rules does not limit egress", selectWeb, web, outside, "TCP", 80, true},
		{"egress without rules", selectWeb + "policyTypes: [Egress]", web, outside, "TCP", 80, false},
		{"egress alone does not limit ingress", selectWeb + "policyTypes: [Egress]", outside, web, "TCP", 80, true},
		{"an egress rule limits egress without a type", selectWeb + "egress: [{to: [{podSelector: {}}]}]", web, outside, "TCP", 80, false},
		{"an empty rule allows all", selectWeb + "ingress: [{}]", outside, web, "UDP", 1, true},
		{"a port of another number", selectWeb + "ingress: [{ports: [{port: 80}]}]", outside, web, "TCP", 81, false},
		{"a port without a protocol is TCP", selectWeb + "ingress: [{ports: [{port: 80}]}]", outside, web, "UDP", 80, false},
		{"a protocol without a port is all ports", selectWeb + "ingress: [{ports: [{protocol: UDP}]}]", outside, web, "UDP", 9, true},
		{"a range of ports", selectWeb + "ingress: [{ports: [{port: 80, endPort: 90}]}]", outside, web, "TCP", 90, true},
		{"a port beyond the range", selectWeb + "ingress: [{ports: [{port: 80, endPort: 90}]}]", outside, web, "TCP", 91, false},
		{"a named port", selectWeb + "ingress: [{ports: [{port: web}]}]", outside, web, "TCP", 80, true},
		{"a named port of another protocol", selectWeb + "ingress: [{ports: [{port: dns}]}]", outside, web, "TCP", 53, false},
		{"a pod of the namespace", selectWeb + "ingress: [{from: [{podSelector: {matchLabels: {app: client}}}]}]", client, web, "TCP", 80, true},
		{"a pod alike of another namespace", selectWeb + "ingress: [{from: [{podSelector: {matchLabels: {app: client}}}]}]", elsewhere, web, "TCP", 80, false},
		{"a namespace", selectWeb + "ingress: [{from: [{namespaceSelector: {matchLabels: {team: b}}}]}]", elsewhere, web, "TCP", 80, true},
		{"all namespaces, and no machine", selectWeb + "ingress: [{from: [{namespaceSelector: {}}]}]", outside, web, "TCP", 80, false},
		{"a namespace and a pod of it, in one peer", selectWeb + "ingress: [{from: [{namespaceSelector: {matchLabels: {team: b}}, podSelector: {matchLabels: {app: web}}}]}]", elsewhere, web, "TCP", 80, false},
		{"a namespace or a pod, in two peers", selectWeb + "ingress: [{from: [{namespaceSelector: {matchLabels: {team: b}}}, {podSelector: {matchLabels: {app: web}}}]}]", elsewhere, web, "TCP", 80, true},
		{"a network", selectWeb + "ingress: [{from: [{ipBlock: {cidr: 198.51.100.0/24}}]}]", outside, web, "TCP", 80, true},
		{"a network but for a part", selectWeb + "ingress: [{from: [{ipBlock: {cidr: 198.51.100.0/24, except: [198.51.100.0/28]}}]}]", outside, web, "TCP", 80, false},
		{"an expression", selectWeb + "ingress: [{from: [{podSelector: {matchExpressions: [{key: app, operator: In, values: [x, client]}]}}]}]", client, web, "TCP", 80, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			policy := networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "a"}}
			if err := yaml.UnmarshalStrict([]byte(tt.spec), &policy.Spec); err != nil {
				t.Fatal(err)
			}
			if got := allows(t, []networkingv1.NetworkPolicy{policy}, tt.from, tt.to, tt.protocol, tt.port); got != tt.want {
				t.Errorf("allowed: %v, want %v, by\n%s", got, tt.want, tt.spec)
			}
		})
	}
}
