package e2e_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	cluster "github.com/streampair/streampair/hack/cluster/client"
	"github.com/streampair/streampair/hack/e2e/measure"
)

// mixedFor is the shortest time for which the pods of a pair have different versions.
const mixedFor = time.Minute

// testMixedVersions makes the changes and faults of a usual evening to a
// pair with pods of two versions. It kills the victim's media server.
func (s *faultRun) testMixedVersions(victim v1alpha1.Role) {
	s.t.Helper()
	began := time.Now()
	s.changeSpec()
	s.changeCertificate()
	s.switchLegs()
	s.killMediaServer(victim)
	s.relaysAnew()
	reset := s.fault
	s.playsPagesOfEither()
	s.observe(mixedFor - time.Since(began))
	s.staysSince(reset, "OnAir", "True/OnAir")
}

// changeSpec changes a part of the spec that running pods accept.
func (s *faultRun) changeSpec() {
	s.t.Helper()
	s.do("change the spec", func() error {
		s.change(s.t, pairName, func(p *v1alpha1.StreamPairSpec) { p.Failover.InputLossMilliseconds += 100 })
		return nil
	})
	generation := s.pair(s.t, pairName).Generation
	s.eventually(fmt.Sprintf("both pods have generation %d of the spec", generation), func() bool {
		for _, pod := range s.pods {
			status, _, err := s.ask(pod)
			if err != nil || status.ConfigGeneration != generation {
				return false
			}
			if len(status.ConfigErrors) > 0 {
				s.t.Fatalf("pod %s refuses the spec: %v", pod.Name, status.ConfigErrors)
			}
		}
		return true
	})
	s.waitFor(s.t, s.well...)
	s.figure("mixed versions: spec changed", "all viewers", measure.Goal{}, s.viewers()...)
}

// changeCertificate makes the operator renew the certificate by which pods are recognized.
func (s *faultRun) changeCertificate() {
	s.t.Helper()
	key := client.ObjectKey{Namespace: options.namespace, Name: objects.KeysSecretName(pairName)}
	secret := &corev1.Secret{}
	s.must(s.kube.Get(s.t.Context(), key, secret))
	before := secret.Data[v1alpha1.SecretKeyControlCert]
	s.do("renew the certificate", func() error {
		patch := fmt.Sprintf(`-p={"data":{%q:null,%q:null}}`, v1alpha1.SecretKeyControlCert, v1alpha1.SecretKeyControlKey)
		if _, err := s.kubectl("patch", "secret", key.Name, "-n", key.Namespace, "--type=merge", patch); err != nil {
			return err
		}
		// The operator does not watch Secrets. It reads them at each change of the pair.
		s.change(s.t, pairName, func(p *v1alpha1.StreamPairSpec) { p.Failover.InputLossMilliseconds += 100 })
		return nil
	})
	var renewed []byte
	s.eventually("the operator has made another certificate", func() bool {
		if s.kube.Get(s.t.Context(), key, secret) != nil {
			return false
		}
		renewed = secret.Data[v1alpha1.SecretKeyControlCert]
		return len(renewed) > 0 && !bytes.Equal(renewed, before)
	})
	block, _ := pem.Decode(renewed)
	if block == nil {
		s.t.Fatal("the certificate in the Secret is no PEM")
	}
	nudged := time.Time{}
	s.eventually("both pods show the new certificate", func() bool {
		// A kubelet reads a Secret again when its pod changes, or after a
		// minute. At the first change it may not know the new Secret yet.
		if time.Since(nudged) > 5*time.Second {
			nudged = time.Now()
			for _, pod := range s.pods {
				s.mustKubectl(s.t, "annotate", "pod", pod.Name, "-n", pod.Namespace, "--overwrite", "streampair.test/nudged="+strconv.FormatInt(nudged.Unix(), 10))
			}
		}
		for _, pod := range s.pods {
			if _, shown, err := s.ask(pod); err != nil || !bytes.Equal(shown, block.Bytes) {
				return false
			}
		}
		return true
	})
	s.waitFor(s.t, s.well...)
	s.observe(aftermath)
	s.figure("mixed versions: certificate renewed", "all viewers", measure.Goal{}, s.viewers()...)
}

// switchLegs switches to the standby by kubectl streampair, and leaves the pin in place.
func (s *faultRun) switchLegs() {
	s.t.Helper()
	s.do("kubectl streampair switch", func() error {
		s.runPlugin(s.t, "switch", objects.LegName(s.standby), pairName)
		return nil
	})
	s.bothPlay(s.standby)
	s.observe(aftermath)
	s.figure("mixed versions: switched", "all viewers", measure.Goal{Within: 500 * time.Millisecond}, s.viewers()...)
	s.runPlugin(s.t, "switch", "auto", pairName)
	s.active, s.standby = s.standby, s.active
	s.waitFor(s.t, s.well...)
}

func (s *faultRun) bothPlay(role v1alpha1.Role) {
	s.t.Helper()
	s.eventually("both pods play the "+string(role), func() bool {
		for _, pod := range s.pods {
			if state, err := stateAt(s.t.Context(), base(pod), ""); err != nil || state.Active != role || !state.OnAir {
				return false
			}
		}
		return true
	})
}

// killMediaServer kills the media server of a leg's pod. The server then
// starts with what the operator of the other version has written for it.
func (s *faultRun) killMediaServer(victim v1alpha1.Role) {
	s.t.Helper()
	other := objects.OtherRole(victim)
	s.countSessions()
	s.do("kill -9 of the "+string(victim)+"'s media server", func() error {
		return s.cluster.KillContainer(s.t.Context(), s.pods[victim].Status.ContainerStatuses[0].ContainerID)
	})
	s.observe(2 * aftermath)
	s.figure("mixed versions: kill -9 of a media server", "viewers of the other pod", measure.Goal{Within: 300 * time.Millisecond}, s.watchers[other])
	s.figure("mixed versions: kill -9 of a media server", "browser and its own", measure.Goal{Within: 2 * time.Second, Reconnects: true}, s.page, s.watchers[victim])
	s.waitFor(s.t, s.well...)
	s.bothFull()
}

// bothFull waits until each pod has all tracks of both legs, including the relayed leg.
func (s *faultRun) bothFull() {
	s.t.Helper()
	s.eventually("both pods have both legs", func() bool {
		for _, pod := range s.pods {
			if state, err := stateAt(s.t.Context(), base(pod), ""); err != nil || !state.full() {
				return false
			}
		}
		return true
	})
}

// relaysAnew makes both pods connect to each other again, with the keys now in force.
func (s *faultRun) relaysAnew() {
	s.t.Helper()
	a, b := s.pods[v1alpha1.RolePrimary].Status.PodIP, s.pods[v1alpha1.RoleBackup].Status.PodIP
	s.countSessions()
	s.do("reset the relay's connections", func() error {
		if err := s.cluster.CutRelay(s.t.Context(), a, b, cluster.Reset); err != nil {
			return err
		}
		s.eventually("the reset is felt", func() bool {
			for _, pod := range s.pods {
				if state, err := stateAt(s.t.Context(), base(pod), ""); err != nil || state.full() {
					return false
				}
			}
			return true
		})
		return s.cluster.HealRelay(s.t.Context(), a, b)
	})
	s.bothFull()
	s.waitFor(s.t, s.well...)
	s.figure("mixed versions: relay reset", "all viewers", overByCut, s.viewers()...)
}

// ask requests the status from a pod's command port, and returns it with the pod's certificate.
func (s *testCluster) ask(pod *corev1.Pod) (status control.Status, certificate []byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	secret := &corev1.Secret{}
	if err := s.kube.Get(ctx, client.ObjectKey{Namespace: pod.Namespace, Name: objects.KeysSecretName(pairName)}, secret); err != nil {
		return control.Status{}, nil, err
	}
	to := net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(objects.PortControl))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+to+"/v1/status", nil)
	if err != nil {
		return control.Status{}, nil, err
	}
	request.Header.Set("Authorization", "Bearer "+string(secret.Data[v1alpha1.SecretKeyClusterToken]))
	request.Close = true
	// The request is about which certificate the pod shows, so every certificate is accepted.
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	answer, err := c.Do(request)
	if err != nil {
		return control.Status{}, nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return control.Status{}, nil, fmt.Errorf("status of %s: %s", pod.Name, answer.Status)
	}
	return status, answer.TLS.PeerCertificates[0].Raw, json.NewDecoder(answer.Body).Decode(&status)
}
