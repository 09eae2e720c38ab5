package pods

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/api/control"
)

func TestAPodIsToldOfItsPeersAgainWhenItForgot(t *testing.T) {
	inBubble(t, func(t *testing.T, f *followed) {
		f.connect()
		put := func(clear ...string) func() error {
			return func() error { return f.PutPeers(t.Context(), sundayPrimary, control.Peers{Clear: clear}) }
		}
		report := func(boot string, relay *control.PeerRelay) func() error {
			return func() error {
				s := playing("Primary")
				s.BootID, s.PeerRelay = boot, relay
				f.pod.send(s)
				synctest.Wait()
				return nil
			}
		}
		const old = `/v1/peers {"clear":["10.0.0.2"]}`
		for _, step := range []struct {
			what string
			do   func() error
			want []string
		}{
			{"one in clear", put("10.0.0.2"), []string{old}},
			{"the same", put("10.0.0.2"), nil},
			{"the pod reports it", report("boot-1", &control.PeerRelay{TLS: true, Told: true, Clear: []string{"10.0.0.2"}}), nil},
			{"the same", put("10.0.0.2"), nil},
			{"a manifest says nothing of it", func() error { return f.PutConfig(t.Context(), sundayPrimary, []byte("a")) }, []string{"/v1/config a"}},
			{"the same", put("10.0.0.2"), nil},
			{"an operator of the version before came between", report("boot-1", &control.PeerRelay{TLS: true, Told: true, ClearAny: true}), nil},
			{"it is told again", put("10.0.0.2"), []string{old}},
			{"none in clear", put(), []string{`/v1/peers {"clear":[]}`}},
			{"the pod reports it", report("boot-1", &control.PeerRelay{TLS: true, Told: true}), nil},
			{"the same", put(), nil},
			{"the pod restarts", report("boot-2", &control.PeerRelay{TLS: true}), nil},
			{"none in clear, to another boot", put(), []string{`/v1/peers {"clear":[]}`}},
		} {
			if err := step.do(); err != nil {
				t.Errorf("%s: %v", step.what, err)
			}
			if diff := cmp.Diff(step.want, f.pod.received()); diff != "" {
				t.Errorf("%s: requests (-want +got):\n%s", step.what, diff)
			}
		}
	})
}

func TestEachCommandSaysThatTheOperatorTellsOfPeers(t *testing.T) {
	inBubble(t, func(t *testing.T, f *followed) {
		f.connect()
		said := ""
		f.pod.change(fakeToken, func(w http.ResponseWriter, r *http.Request) {
			said = r.Header.Get(control.HeaderTellsPeers)
			accept(w, r)
		})
		if err := f.PutConfig(t.Context(), sundayPrimary, []byte("a")); err != nil || said == "" {
			t.Errorf("header %q, %v", said, err)
		}
	})
}

func TestAPodThatHasStartedIsConnectedToAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, f *followed) {
		refused := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
		serve := f.pod.answerWith(refused)
		target := f.pod.target(sundayPrimary)
		f.Follow(sunday, []Target{target})
		time.Sleep(time.Minute) // attempts are rare by now
		f.pod.answerWith(serve)
		began := time.Now()
		target.Started = began
		f.Follow(sunday, []Target{target})
		f.pod.send(playing("Primary"))
		synctest.Wait()
		if took := time.Since(began); took > 100*time.Millisecond || !f.State(sundayPrimary).Connected {
			t.Errorf("connected after %v: %+v", took, f.State(sundayPrimary))
		}
	})
}
