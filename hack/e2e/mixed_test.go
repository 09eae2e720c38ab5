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
	"github.com/streampair/streampair/controllers"
	cluster "github.com/streampair/streampair/hack/cluster/client"
)

// mixedFor is for how long the pods of a pair are of different versions at the least.
const mixedFor = time.Minute

// enduresMixed does to a pair with pods of two versions what an evening may bring. The
// victim's media server is killed.
func (s *scene) enduresMixed(victim v1alpha1.Role) {
	s.t.Helper()
	began := time.Now()
	s.takesSpec()
	s.takesCertificate()
	s.takesSwitch()
	s.survivesKill(victim)
	s.relaysAnew()
	reset := s.fault
	s.playsPagesOfEither()
	s.observe(mixedFor - time.Since(began))
	s.staysSince(reset, "OnAir", "True/OnAir")
}

// takesSpec changes what pods take while they run.
func (s *scene) takesSpec() {
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
	s.figure("mixed versions: spec changed", "all viewers", goal{}, s.viewers()...)
}

// takesCertificate has the operator renew the certificate that pods are known by.
func (s *scene) takesCertificate() {
	s.t.Helper()
	key := client.ObjectKey{Namespace: options.namespace, Name: controllers.KeysSecretName(pairName)}
	secret := &corev1.Secret{}
	s.must(s.kube.Get(s.t.Context(), key, secret))
	before := secret.Data[v1alpha1.SecretKeyControlCert]
	s.do("renew the certificate", func() error {
		patch := fmt.Sprintf(`-p={"data":{%q:null,%q:null}}`, v1alpha1.SecretKeyControlCert, v1alpha1.SecretKeyControlKey)
		if _, err := s.kubectl("patch", "secret", key.Name, "-n", key.Namespace, "--type=merge", patch); err != nil {
			return err
		}
		// The operator does not watch Secrets. It looks at them with each change of the pair.
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
		// A kubelet looks at a Secret again when its pod changes, or after a minute. It may
		// not have heard of the new Secret at the first change.
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
	s.figure("mixed versions: certificate renewed", "all viewers", goal{}, s.viewers()...)
}

// takesSwitch switches to the standby by kubectl streampair, and leaves it there.
func (s *scene) takesSwitch() {
	s.t.Helper()
	s.do("kubectl streampair switch", func() error {
		s.runPlugin(s.t, "switch", controllers.LegName(s.standby), pairName)
		return nil
	})
	s.bothPlay(s.standby)
	s.observe(aftermath)
	s.figure("mixed versions: switched", "all viewers", goal{within: 500 * time.Millisecond}, s.viewers()...)
	s.runPlugin(s.t, "switch", "auto", pairName)
	s.active, s.standby = s.standby, s.active
	s.waitFor(s.t, s.well...)
}

func (s *scene) bothPlay(role v1alpha1.Role) {
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

// survivesKill kills the media server of a leg's pod, which then starts with what the other
// version's operator has written for it.
func (s *scene) survivesKill(victim v1alpha1.Role) {
	s.t.Helper()
	other := controllers.OtherRole(victim)
	s.countSessions()
	s.do("kill -9 of the "+string(victim)+"'s media server", func() error {
		return s.cluster.KillContainer(s.t.Context(), s.pods[victim].Status.ContainerStatuses[0].ContainerID)
	})
	s.observe(2 * aftermath)
	s.figure("mixed versions: kill -9 of a media server", "viewers of the other pod", goal{within: 300 * time.Millisecond}, s.watchers[other])
	s.figure("mixed versions: kill -9 of a media server", "browser and its own", goal{within: 2 * time.Second, reconnects: true}, s.page, s.watchers[victim])
	s.waitFor(s.t, s.well...)
	s.bothFull()
}

// bothFull waits until each pod has all tracks of both legs, by its relay too.
func (s *scene) bothFull() {
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

// relaysAnew has both pods connect to each other again, with the keys that are in force now.
func (s *scene) relaysAnew() {
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

// ask asks a pod's command port for its status, and returns the certificate that it shows.
func (s *stage) ask(pod *corev1.Pod) (status control.Status, certificate []byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	secret := &corev1.Secret{}
	if err := s.kube.Get(ctx, client.ObjectKey{Namespace: pod.Namespace, Name: controllers.KeysSecretName(pairName)}, secret); err != nil {
		return control.Status{}, nil, err
	}
	to := net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(controllers.PortControl))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+to+"/v1/status", nil)
	if err != nil {
		return control.Status{}, nil, err
	}
	request.Header.Set("Authorization", "Bearer "+string(secret.Data[v1alpha1.SecretKeyClusterToken]))
	request.Close = true
	// Which certificate is shown is what is asked.
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
