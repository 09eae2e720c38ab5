package kubernetes

import (
	"context"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// A balancer replaces a cloud's controller of load balancers: it gives each Service
// of type LoadBalancer an address. On every machine kube-proxy forwards that address.
type balancer struct {
	api kubernetes.Interface
}

func newBalancer(api kubernetes.Interface) *balancer { return &balancer{api} }

// Run runs until ctx ends, and then returns nil. While
// the API server is away no Service gets an address.
func (b *balancer) Run(ctx context.Context) error {
	for {
		b.pass(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// pass handles all Services once. A failed update is tried again in the next pass.
func (b *balancer) pass(ctx context.Context) {
	services, err := b.api.CoreV1().Services("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return
	}
	for _, service := range assign(services.Items) {
		_, _ = b.api.CoreV1().Services(service.Namespace).UpdateStatus(ctx, &service, metav1.UpdateOptions{})
	}
}

// assign returns the Services whose status must change. A Service that needs an address and
// has none gets an unused one. A Service that has an address and does not need one loses it.
func assign(services []corev1.Service) []corev1.Service {
	taken := map[string]bool{}
	for _, service := range services {
		for _, ingress := range service.Status.LoadBalancer.Ingress {
			taken[ingress.IP] = true
		}
	}
	next := netip.MustParsePrefix(loadBalancerAddress).Addr()
	var changed []corev1.Service
	for _, service := range services {
		wants, has := service.Spec.Type == corev1.ServiceTypeLoadBalancer, len(service.Status.LoadBalancer.Ingress) > 0
		switch {
		case wants && !has:
			for next = next.Next(); taken[next.String()]; next = next.Next() {
			}
			mode := corev1.LoadBalancerIPModeVIP
			service.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: next.String(), IPMode: &mode}}
		case has && !wants:
			service.Status.LoadBalancer.Ingress = nil
		default:
			continue
		}
		changed = append(changed, service)
	}
	return changed
}
