package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
)

// readyPod returns a ready media pod of a leg.
func (p *plugin) readyPod(ctx context.Context, pair *v1alpha1.StreamPair, role v1alpha1.Role) (*corev1.Pod, error) {
	var pods corev1.PodList
	err := p.client.List(ctx, &pods, client.InNamespace(pair.Namespace), client.MatchingLabels(objects.LegSelector(pair.Name, role)))
	if err != nil {
		return nil, err
	}
	for i := range pods.Items {
		if pod := &pods.Items[i]; pod.DeletionTimestamp.IsZero() && ready(pod) {
			return pod, nil
		}
	}
	return nil, &noPodError{leg: objects.LegName(role), pair: pair.Name}
}

// A noPodError means that no pod of a leg is ready.
type noPodError struct{ leg, pair string }

func (e *noPodError) Error() string {
	return fmt.Sprintf("no pod of the %s leg is ready; see kubectl streampair status %s", e.leg, e.pair)
}

func ready(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// forward forwards ports of a pod to this machine until ctx ends or the connection is lost.
// It calls open once when the ports are open, with the local ports in the order of ports.
func (p *plugin) forward(ctx context.Context, pod *corev1.Pod, ports []string, open func(local []uint16) error) error {
	dialer, err := p.dialer(pod)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	opened := make(chan struct{})
	forwarder, err := portforward.NewOnAddressesForStreamingWithContext(ctx, dialer, []string{"127.0.0.1"}, ports, opened, io.Discard, p.errOut)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- forwarder.ForwardPorts() }()
	select {
	case err := <-ended:
		return fmt.Errorf("forward to pod %s: %w", pod.Name, err)
	case <-opened:
	}
	forwarded, err := forwarder.GetPorts()
	if err != nil {
		return err
	}
	var local []uint16
	for _, port := range forwarded {
		local = append(local, port.Local)
	}
	served := make(chan error, 1)
	go func() { served <- open(local) }()
	select {
	case err = <-served:
		stop()
		<-ended //nolint:errcheck // it ends by this stop
		return err
	case err = <-ended:
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("the connection to pod %s is lost: %w", pod.Name, errors.Join(err))
	}
}

// dialer returns a dialer that reaches a pod's ports through the API server, as kubectl
// does. It uses WebSocket, or SPDY if something on the way does not let WebSocket through.
func (p *plugin) dialer(pod *corev1.Pod) (httpstream.Dialer, error) {
	set, err := kubernetes.NewForConfig(p.config)
	if err != nil {
		return nil, err
	}
	u := set.CoreV1().RESTClient().Post().Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(p.config)
	if err != nil {
		return nil, err
	}
	bySPDY := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, u)
	byWebSocket, err := portforward.NewSPDYOverWebsocketDialerForStreaming(u, p.config)
	if err != nil {
		return nil, err
	}
	return &podDialer{byWebSocket: byWebSocket, bySPDY: bySPDY}, nil
}

// errForbidden means that the user has no right to pods/portforward.
var errForbidden = errors.New("the API server forbids pods/portforward")

// A podDialer dials by WebSocket, and by SPDY if that fails. A user may have the right for one of the two
// only: WebSocket begins with a GET.
type podDialer struct{ byWebSocket, bySPDY httpstream.Dialer }

// Dial implements httpstream.Dialer. The error is an errForbidden if the API server says so.
func (d *podDialer) Dial(protocols ...string) (httpstream.Connection, string, error) {
	connection, protocol, err := d.byWebSocket.Dial(protocols...)
	if !httpstream.IsUpgradeFailure(err) && !httpstream.IsHTTPSProxyError(err) {
		return connection, protocol, err
	}
	var failure *httpstream.UpgradeFailureError
	isForbidden := errors.As(err, &failure) && apierrors.IsForbidden(failure.Cause)
	connection, protocol, err = d.bySPDY.Dial(protocols...)
	// By SPDY client-go passes on the text of the API server's answer alone.
	if err != nil && (isForbidden || strings.Contains(err.Error(), " is forbidden: ")) {
		err = fmt.Errorf("%w: %w", errForbidden, err)
	}
	return connection, protocol, err
}

func localURL(scheme string, port uint16) *url.URL {
	return &url.URL{Scheme: scheme, Host: fmt.Sprintf("127.0.0.1:%d", port)}
}
