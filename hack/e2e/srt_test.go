package e2e_test

import (
	"net"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/hack/e2e/audience"
	"github.com/streampair/streampair/hack/e2e/measure"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// srtLatency is the latency of ffmpeg's SRT. What is on its way when an encoder dies is still played.
const srtLatency = 120 * time.Millisecond

// overBySRTSilence is the goal for an SRT encoder that goes without a word.
var overBySRTSilence = measure.Goal{Within: inputLoss + srtLatency + 300*time.Millisecond}

func TestTheActiveSRTEncoderIsKilled(t *testing.T) {
	eachRun(t, func(t *testing.T, active v1alpha1.Role) {
		s := newFaultRun(t, active)
		_, back := s.activeBySRT()
		defer back()
		s.do("kill the active SRT encoder", s.encoders[s.active].Kill)
		s.observe(inputLoss + aftermath)
		s.srtFigures("active SRT encoder killed")
	})
}

func TestTheSRTLinkIsBlocked(t *testing.T) {
	eachRun(t, func(t *testing.T, active v1alpha1.Role) {
		s := newFaultRun(t, active)
		block, back := s.activeBySRT()
		defer back()
		s.do("block the link of the active SRT encoder", func() error {
			block.Store(true)
			return nil
		})
		s.observe(inputLoss + aftermath)
		s.srtFigures("link of the active SRT encoder blocked")
	})
}

// srtFigures takes the figures of a run in which the active encoder, by SRT, went without a word.
func (s *faultRun) srtFigures(fault string) {
	s.t.Helper()
	s.figure(fault, "pion viewers of both pods", overBySRTSilence, s.watchers[s.active], s.watchers[s.standby])
	s.figure(fault, "browser", overBySRTSilence, s.page)
	s.hasFailedOver(silent(s.active), disconnected(s.active))
}

// activeBySRT lets the active leg's encoder publish by SRT, over a link that can be blocked, until back
// is called. An encoder that has ended comes back after some seconds.
func (s *faultRun) activeBySRT() (blocked *atomic.Bool, back func()) {
	s.t.Helper()
	var publish string
	s.eventually("a publish URL of SRT", func() bool {
		for _, leg := range s.pair(s.t, pairName).Status.Ingest {
			if leg.Role == s.active {
				publish = leg.SRT
			}
		}
		return publish != ""
	})
	u, err := url.Parse(publish)
	s.must(err)
	secret := &corev1.Secret{}
	s.must(s.kube.Get(s.t.Context(), client.ObjectKey{Namespace: options.namespace, Name: objects.KeysSecretName(pairName)}, secret))
	server, err := net.ResolveUDPAddr("udp", u.Host)
	s.must(err)
	blocked = &atomic.Bool{}
	link := mediatest.NewUDPProxy(s.t, server, func([]byte, bool) bool { return !blocked.Load() })
	u.Host = link.Addr()

	back = s.activeSends(audience.EncoderConfig{
		File: s.files[s.active], URL: u.String() + ":" + string(secret.Data[v1alpha1.SecretKeyPublishToken]), RestartDelay: 10 * time.Second,
	})
	defer func() {
		if s.t.Failed() {
			back()
		}
	}()
	s.eventually("the leg comes by SRT", func() bool {
		state, err := stateAt(s.t.Context(), base(s.pods[s.active]), "")
		return err == nil && state.full()
	})
	s.activate()
	s.waitForCalm()
	s.countSessions()
	return blocked, back
}
