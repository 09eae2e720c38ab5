package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/hack/e2e/audience"
	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// A pair is reached through every type of exposure, and its Services stay the same objects.
func TestExposure(t *testing.T) {
	s := here(t)
	const name = "monday"
	pair := newPair(name)
	s.make(t, pair)
	t.Cleanup(func() { s.must(t, s.kube.Delete(context.Background(), pair)) })
	ready := []string{"Ready=True", "OnAir=True", "PrimaryLive=True", "BackupLive=True", "Converged=True", "Progressing=False"}
	s.waitForPair(t, name, patience, "Ready=True", "Exposed=True")

	var before map[string]string
	for _, exposure := range []struct {
		kind v1alpha1.ExposureType
		// through returns the addresses that the answer must have.
		through func(t *testing.T, role v1alpha1.Role) (promised []string)
	}{
		{v1alpha1.ExposureLoadBalancer, func(t *testing.T, role v1alpha1.Role) []string {
			return s.balanced(t, objects.MediaServiceName(name, role), objects.MediaTCPServiceName(name, role))
		}},
		{v1alpha1.ExposureNodePort, func(t *testing.T, role v1alpha1.Role) []string { return s.onNode(t, name, role, 0) }},
		{v1alpha1.ExposureHostPort, func(t *testing.T, role v1alpha1.Role) []string { return s.onNode(t, name, role, hostPorts[role]) }},
		{v1alpha1.ExposureClusterIP, nil},
	} {
		t.Run(string(exposure.kind), func(t *testing.T) {
			s.enter(t)
			s.change(t, name, func(p *v1alpha1.StreamPairSpec) { expose(&p.Exposure, exposure.kind) })
			s.waitForPair(t, name, patience, "Ready=True", "Exposed=True", "Progressing=False")
			// Encoders are told other addresses too. These
			// encoders publish to the addresses of this exposure.
			life, end := context.WithCancel(t.Context())
			var running sync.WaitGroup
			s.encode(t, life, name, &running, objects.Roles()...)
			defer running.Wait()
			defer end()
			status := s.waitForPair(t, name, patience, ready...).Status
			playBase, _, _ := strings.Cut(status.PlaybackURL, "/live/play.html")
			for _, role := range objects.Roles() {
				var promised []string
				if exposure.through != nil {
					promised = exposure.through(t, role)
				}
				s.playsThrough(t, playBase, role, promised)
			}
			now := s.services(t, name)
			for service, uid := range before {
				if _, there := now[service]; there && now[service] != uid {
					t.Errorf("Service %s is another object than before", service)
				}
			}
			before = now
		})
	}
}

var hostPorts = map[v1alpha1.Role]int32{v1alpha1.RolePrimary: 28189, v1alpha1.RoleBackup: 28190}

func expose(e *v1alpha1.Exposure, kind v1alpha1.ExposureType) {
	*e = v1alpha1.Exposure{}
	e.HTTP.Type, e.RTMP.Type, e.WebRTC.Type = kind, kind, kind
	if kind == v1alpha1.ExposureHostPort {
		// The other surfaces have no exposure by host port.
		e.HTTP.Type, e.RTMP.Type = v1alpha1.ExposureNodePort, v1alpha1.ExposureNodePort
		e.WebRTC.HostPorts = &v1alpha1.HostPorts{Primary: hostPorts[v1alpha1.RolePrimary], Backup: hostPorts[v1alpha1.RoleBackup]}
	}
}

// playsThrough opens sessions at a base URL until the role's pod serves one. The
// session may only use a promised address, "IP port protocol". playsThrough waits
// for pictures, once over each protocol. With promised nil any address may be used.
func (s *testCluster) playsThrough(t *testing.T, base string, role v1alpha1.Role, promised []string) {
	t.Helper()
	for _, protocol := range []string{"udp", "tcp"} {
		var lacking string
		// Each session has its own connection, because
		// a Service chooses a pod for each connection.
		c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		eventually.Within(t, 30*time.Second, fmt.Sprintf("pictures of the %s over %s by way of %v", role, protocol, promised), func() bool {
			lacking = ""
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			v, err := mediatest.WatchWHEP(ctx, base+whepPath, mediatest.WatchOptions{
				TimesOnly: true, TCP: protocol == "tcp", Client: c,
				Answer: func(sdp string) string {
					answer, found := onlyCandidate(sdp, protocol, promised)
					if !found {
						lacking = sdp
					}
					return answer
				},
			})
			if err != nil {
				return false
			}
			defer v.Close()
			if audience.ServedBy(v.Session().String()) != sessionLetter(role) {
				return false
			}
			if lacking != "" && promised != nil {
				return false // the pod has not been told of it yet
			}
			for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
				if len(v.PicturesFrom(0)) > 0 {
					return true
				}
			}
			return false
		})
	}
}

// onlyCandidate keeps a single candidate in an answer, if there is one with
// the protocol and a promised address. With promised nil all candidates stay.
func onlyCandidate(sdp, protocol string, promised []string) (answer string, found bool) {
	if promised == nil {
		return sdp, true
	}
	var lines []string
	for line := range strings.Lines(sdp) {
		if fields := strings.Fields(line); strings.HasPrefix(line, "a=candidate:") && len(fields) > 5 {
			if !slices.Contains(promised, fields[4]+" "+fields[5]+" "+strings.ToLower(fields[2])) || strings.ToLower(fields[2]) != protocol {
				continue
			}
			found = true
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, ""), found
}

// balanced returns the addresses of the Services' load balancers.
func (s *testCluster) balanced(t *testing.T, services ...string) []string {
	t.Helper()
	var promised []string
	for _, name := range services {
		service := &corev1.Service{}
		s.must(t, s.kube.Get(t.Context(), client.ObjectKey{Namespace: options.namespace, Name: name}, service))
		for _, ingress := range service.Status.LoadBalancer.Ingress {
			for _, port := range service.Spec.Ports {
				promised = append(promised, fmt.Sprintf("%s %d %s", ingress.IP, port.Port, strings.ToLower(string(port.Protocol))))
			}
		}
	}
	return promised
}

// onNode returns the addresses on the node of a leg's pod, with the
// given port, or with the node ports of the leg's media Service.
func (s *testCluster) onNode(t *testing.T, pair string, role v1alpha1.Role, port int32) []string {
	t.Helper()
	var pods corev1.PodList
	s.must(t, s.kube.List(t.Context(), &pods, client.InNamespace(options.namespace), client.MatchingLabels(objects.LegSelector(pair, role))))
	var promised []string
	for _, pod := range pods.Items {
		if port != 0 {
			promised = append(promised, fmt.Sprintf("%s %d udp", pod.Status.HostIP, port), fmt.Sprintf("%s %d tcp", pod.Status.HostIP, port))
			continue
		}
		service := &corev1.Service{}
		s.must(t, s.kube.Get(t.Context(), client.ObjectKey{Namespace: options.namespace, Name: objects.MediaServiceName(pair, role)}, service))
		for _, port := range service.Spec.Ports {
			promised = append(promised, fmt.Sprintf("%s %d %s", pod.Status.HostIP, port.NodePort, strings.ToLower(string(port.Protocol))))
		}
	}
	return promised
}

// services returns the UIDs of a pair's Services.
func (s *testCluster) services(t *testing.T, pair string) map[string]string {
	t.Helper()
	var list corev1.ServiceList
	s.must(t, s.kube.List(t.Context(), &list, client.InNamespace(options.namespace), client.MatchingLabels(objects.PairSelector(pair))))
	uids := map[string]string{}
	for _, service := range list.Items {
		uids[service.Name] = string(service.UID)
	}
	return uids
}
