package pods

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/controllers/oneline"
)

func TestADocumentIsSentOncePerBoot(t *testing.T) {
	inBubble(t, func(t *testing.T, f *followed) {
		f.connect()
		config := func(document string) func() error {
			return func() error { return f.PutConfig(t.Context(), sundayPrimary, []byte(document)) }
		}
		addresses := func(all ...string) func() error {
			return func() error { return f.PutAddresses(t.Context(), sundayPrimary, control.MediaAddresses{WebRTC: all}) }
		}
		report := func(boot string) func() error {
			return func() error {
				s := playing("Primary")
				s.BootID = boot
				f.pod.send(s)
				synctest.Wait()
				return nil
			}
		}
		for _, step := range []struct {
			what string
			do   func() error
			want []string
		}{
			{"a manifest", config("a"), []string{"/v1/config a"}},
			{"the same", config("a"), nil},
			{"another", config("b"), []string{"/v1/config b"}},
			{"the first again", config("a"), []string{"/v1/config a"}},
			{"addresses", addresses("203.0.113.1:30189"), []string{`/v1/addresses {"webrtc":["203.0.113.1:30189"]}`}},
			{"the same addresses", addresses("203.0.113.1:30189"), nil},
			{"none", addresses(), []string{`/v1/addresses {"webrtc":[]}`}},
			{"bases", func() error {
				return f.PutAddresses(t.Context(), sundayPrimary, control.MediaAddresses{HTTP: map[string]string{"Primary": "http://a", "Backup": "http://b"}})
			}, []string{`/v1/addresses {"webrtc":[],"http":{"Backup":"http://b","Primary":"http://a"}}`}},
			{"the pod restarts", report("boot-2"), nil},
			{"the same manifest to another boot", config("a"), []string{"/v1/config a"}},
			{"once", config("a"), nil},
			{"the same addresses to another boot", addresses(), []string{`/v1/addresses {"webrtc":[]}`}},
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

func TestARefusedDocumentIsExplainedInOneLine(t *testing.T) {
	refuse := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = w.Write([]byte(body))
		}
	}
	mistakes, _ := json.Marshal(control.Error{Errors: []string{"spec.app: wrong", "spec.backup: missing"}})
	older, _ := json.Marshal(control.Error{Errors: []string{"the manifest is of an older generation than the one in force: it has 2, and the one in force 9"}})
	for _, tt := range []struct {
		name string
		put  http.HandlerFunc
		want string
	}{
		{"mistakes", refuse(422, string(mistakes)), "PUT /v1/config: 422 Unprocessable Entity: spec.app: wrong; spec.backup: missing"},
		{"no JSON", refuse(500, "no\nspace\x1b[31m\xff left"), "PUT /v1/config: 500 Internal Server Error: no space[31m left"},
		{"an older generation", refuse(409, string(older)),
			"PUT /v1/config: 409 Conflict: the manifest is of an older generation than the one in force: it has 2, and the one in force 9"},
		{"nothing", refuse(413, ""), "PUT /v1/config: 413 Request Entity Too Large"},
		{"far too much", refuse(500, strings.Repeat("x", 1<<20)), "PUT /v1/config: 500 Internal Server Error: " + strings.Repeat("x", oneline.MaxLength) + "…"},
		{"no answer", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "PUT /v1/config: no answer in time"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *followed) {
				f.connect()
				f.pod.change(fakeToken, tt.put)
				began := time.Now()
				err := f.PutConfig(t.Context(), sundayPrimary, []byte("a"))
				if err == nil || err.Error() != tt.want {
					t.Errorf("got %v, want %s", err, tt.want)
				}
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("took %v", took)
				}
				f.pod.change(fakeToken, accept)
				f.pod.received()
				if err := f.PutConfig(t.Context(), sundayPrimary, []byte("a")); err != nil {
					t.Error(err)
				}
				if got := f.pod.received(); !slices.Equal(got, []string{"/v1/config a"}) {
					t.Errorf("what was refused is sent again: got %q", got)
				}
			})
		})
	}
}

func TestNothingIsSentToAPodThatIsNotConnected(t *testing.T) {
	inBubble(t, func(t *testing.T, f *followed) {
		put := func(why string) {
			t.Helper()
			if err := f.PutConfig(t.Context(), sundayPrimary, []byte("a")); !errors.Is(err, ErrNotConnected) {
				t.Errorf("%s: got %v", why, err)
			}
		}
		put("not followed")
		f.connect()
		f.pod.hangUp <- struct{}{}
		synctest.Wait()
		put("lost")
		if got := f.pod.received(); got != nil {
			t.Errorf("sent %q", got)
		}
	})
}

func TestARenewedTokenIsUsedByTheNextPush(t *testing.T) {
	inBubble(t, func(t *testing.T, f *followed) {
		f.connect()
		f.pod.change("renewed-token", accept)
		err := f.PutConfig(t.Context(), sundayPrimary, []byte("a"))
		if want := "PUT /v1/config: 401 Unauthorized: the bearer token is missing; or wrong"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		target := f.pod.target(sundayPrimary)
		target.Token = "renewed-token"
		f.Follow(sunday, []Target{target})
		if err := f.PutConfig(t.Context(), sundayPrimary, []byte("a")); err != nil {
			t.Error(err)
		}
	})
}

func TestAPushEndsWithItsContext(t *testing.T) {
	inBubble(t, func(t *testing.T, f *followed) {
		f.connect()
		f.pod.change(fakeToken, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := f.PutConfig(ctx, sundayPrimary, []byte("a")); err == nil {
			t.Error("no error")
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("took %v", took)
		}
	})
}
