package objects

import (
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	networkingv1ac "k8s.io/client-go/applyconfigurations/networking/v1"

	"github.com/streampair/streampair/api/v1alpha1"
)

const (
	portDNS = 53
	// portDNSOpenShift is where OpenShift's name servers listen. A rule
	// is about the port of the pod, not about port 53 of its Service.
	portDNSOpenShift = 5353
)

// linkLocal are the networks of name servers on the node itself: NodeLocal
// DNSCache (169.254.20.10) and those of clouds. Only their port for DNS is
// opened. A cloud's metadata service at such an address stays closed.
var linkLocal = [...]netip.Prefix{netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fe80::/10")}

// networkPolicy returns the pair's NetworkPolicy. Encoders and
// viewers may connect from anywhere. Scrapers reach the metrics, the
// pair's other pod the relay, and the operator the command port.
//
// Everybody reaches the probes. The kubelet probes from the node, which no rule
// can name. Some network plugins do not let the node in by themselves, so that the
// pods would be ended again and again. The port reveals only that the pod lives.
func networkPolicy(pair *v1alpha1.StreamPair, s Settings) Object {
	spec := networkingv1ac.NetworkPolicySpec().
		WithPodSelector(metav1ac.LabelSelector().WithMatchLabels(PairSelector(pair.Name))).
		WithPolicyTypes(networkingv1.PolicyTypeIngress).
		WithIngress(publicRule(pair), metricsRule(s), commandsRule(s), peerIngressRule(pair))
	if pair.Spec.MediaServer.Egress == v1alpha1.EgressRestricted {
		spec.WithPolicyTypes(networkingv1.PolicyTypeEgress).
			WithEgress(nameServersRule(s), openShiftNameServersRule(), peerEgressRule(pair))
		if urls := jwksURLs(pair); len(urls) > 0 {
			spec.WithEgress(jwksRule(urls, s))
		}
	}
	policy := networkingv1ac.NetworkPolicy(pair.Name, pair.Namespace).WithSpec(spec)
	return New(pair, KindNetworkPolicy, policy, policy.ObjectMetaApplyConfiguration, PairLabels(pair.Name))
}

func publicRule(pair *v1alpha1.StreamPair) *networkingv1ac.NetworkPolicyIngressRuleApplyConfiguration {
	rule := networkingv1ac.NetworkPolicyIngressRule().WithPorts(
		policyPort(corev1.ProtocolTCP, PortRTMP),
		policyPort(corev1.ProtocolTCP, PortRTMPS),
		policyPort(corev1.ProtocolTCP, PortHTTP),
		policyPort(corev1.ProtocolTCP, PortHTTPS),
		policyPort(corev1.ProtocolTCP, PortWebRTC),
		policyPort(corev1.ProtocolUDP, PortWebRTC),
		policyPort(corev1.ProtocolTCP, PortHealth))
	if pair.Spec.Exposure.SRT != nil {
		rule.WithPorts(policyPort(corev1.ProtocolUDP, PortSRT))
	}
	return rule
}

func metricsRule(s Settings) *networkingv1ac.NetworkPolicyIngressRuleApplyConfiguration {
	rule := networkingv1ac.NetworkPolicyIngressRule().
		WithPorts(policyPort(corev1.ProtocolTCP, PortProbe))
	for _, namespace := range s.MetricsNamespaces {
		rule.WithFrom(networkingv1ac.NetworkPolicyPeer().WithNamespaceSelector(namespaceSelector(namespace)))
	}
	return rule
}

func commandsRule(s Settings) *networkingv1ac.NetworkPolicyIngressRuleApplyConfiguration {
	rule := networkingv1ac.NetworkPolicyIngressRule().
		WithPorts(policyPort(corev1.ProtocolTCP, PortControl))
	if s.OperatorNamespace != "" {
		rule.WithFrom(networkingv1ac.NetworkPolicyPeer().
			WithNamespaceSelector(namespaceSelector(s.OperatorNamespace)).
			WithPodSelector(metav1ac.LabelSelector().WithMatchLabels(s.OperatorLabels)))
	}
	return rule
}

func peerIngressRule(pair *v1alpha1.StreamPair) *networkingv1ac.NetworkPolicyIngressRuleApplyConfiguration {
	return networkingv1ac.NetworkPolicyIngressRule().
		WithPorts(policyPort(corev1.ProtocolTCP, PortPeer)).
		WithFrom(podsOfPair(pair))
}

// peerEgressRule opens the port for HTTP too, because
// pods of releases before [PortPeer] relay there.
func peerEgressRule(pair *v1alpha1.StreamPair) *networkingv1ac.NetworkPolicyEgressRuleApplyConfiguration {
	return networkingv1ac.NetworkPolicyEgressRule().
		WithPorts(
			policyPort(corev1.ProtocolTCP, PortPeer),
			policyPort(corev1.ProtocolTCP, PortHTTP)).
		WithTo(podsOfPair(pair))
}

// private are the networks that a rule for public addresses leaves out.
var private = map[string][]string{
	"0.0.0.0/0": {"10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"},
	"::/0":      {"fc00::/7", "fe80::/10"},
}

// jwksRule opens the ports of the URLs of JSON Web Key Sets, at public addresses and those of
// --jwks-networks: no rule can have a name.
func jwksRule(urls []string, s Settings) *networkingv1ac.NetworkPolicyEgressRuleApplyConfiguration {
	rule := networkingv1ac.NetworkPolicyEgressRule()
	for _, all := range slices.Sorted(maps.Keys(private)) {
		rule.WithTo(networkingv1ac.NetworkPolicyPeer().WithIPBlock(networkingv1ac.IPBlock().WithCIDR(all).WithExcept(private[all]...)))
	}
	for _, network := range s.JWKSNetworks {
		rule.WithTo(networkingv1ac.NetworkPolicyPeer().WithIPBlock(networkingv1ac.IPBlock().WithCIDR(network)))
	}
	var ports []int32
	for _, one := range urls {
		port := int32(443)
		if u, err := url.Parse(one); err == nil && u.Port() != "" {
			n, _ := strconv.ParseInt(u.Port(), 10, 32) // the API server has checked the URL
			port = int32(n)
		}
		if !slices.Contains(ports, port) {
			ports = append(ports, port)
			rule.WithPorts(policyPort(corev1.ProtocolTCP, port))
		}
	}
	return rule
}

// nameServersRule opens DNS to the usual name servers, and to those that the operator
// uses. Some plugins judge the address of the name servers' Service before it is
// translated. NodeLocal DNSCache may answer at that address on the node itself.
func nameServersRule(s Settings) *networkingv1ac.NetworkPolicyEgressRuleApplyConfiguration {
	rule := networkingv1ac.NetworkPolicyEgressRule().
		WithPorts(policyPort(corev1.ProtocolUDP, portDNS), policyPort(corev1.ProtocolTCP, portDNS)).
		WithTo(networkingv1ac.NetworkPolicyPeer().
			WithNamespaceSelector(metav1ac.LabelSelector()).
			WithPodSelector(metav1ac.LabelSelector().WithMatchExpressions(metav1ac.LabelSelectorRequirement().
				WithKey("k8s-app").
				WithOperator(metav1.LabelSelectorOpIn).
				WithValues("kube-dns", "coredns", "node-local-dns"))))
	for _, network := range linkLocal {
		rule.WithTo(addresses(network))
	}
	for _, server := range s.NameServers {
		rule.WithTo(addresses(netip.PrefixFrom(server, server.BitLen())))
	}
	return rule
}

func openShiftNameServersRule() *networkingv1ac.NetworkPolicyEgressRuleApplyConfiguration {
	return networkingv1ac.NetworkPolicyEgressRule().
		WithPorts(policyPort(corev1.ProtocolUDP, portDNSOpenShift), policyPort(corev1.ProtocolTCP, portDNSOpenShift)).
		WithTo(networkingv1ac.NetworkPolicyPeer().WithNamespaceSelector(namespaceSelector("openshift-dns")))
}

// podsOfPair selects the pods of both legs. Without a
// namespace selector it applies to the policy's own namespace.
func podsOfPair(pair *v1alpha1.StreamPair) *networkingv1ac.NetworkPolicyPeerApplyConfiguration {
	return networkingv1ac.NetworkPolicyPeer().
		WithPodSelector(metav1ac.LabelSelector().WithMatchLabels(PairSelector(pair.Name)))
}

func addresses(network netip.Prefix) *networkingv1ac.NetworkPolicyPeerApplyConfiguration {
	return networkingv1ac.NetworkPolicyPeer().WithIPBlock(networkingv1ac.IPBlock().WithCIDR(network.String()))
}

func namespaceSelector(name string) *metav1ac.LabelSelectorApplyConfiguration {
	return metav1ac.LabelSelector().WithMatchLabels(map[string]string{corev1.LabelMetadataName: name})
}

func policyPort(protocol corev1.Protocol, port int32) *networkingv1ac.NetworkPolicyPortApplyConfiguration {
	return networkingv1ac.NetworkPolicyPort().WithProtocol(protocol).WithPort(intstr.FromInt32(port))
}
