package e2e_test

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/hack/e2e/audience"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/sdpfrag"
)

const whepPath = "/live/whep/primary?backupStreamId=backup"

// A Service in front of both pods sends each request of a session
// to either pod. A request must work at the other pod too.
func TestASessionIsReachedByWayOfTheOtherPod(t *testing.T) {
	s := newFaultRun(t, v1alpha1.RolePrimary)
	for _, role := range objects.Roles() {
		t.Run("session of the "+objects.LegName(role), func(t *testing.T) {
			v, err := mediatest.WatchWHEP(t.Context(), base(s.pods[role])+whepPath, mediatest.WatchOptions{TimesOnly: true})
			s.testCluster.must(t, err)
			defer v.Abandon()
			other := base(s.pods[objects.OtherRole(role)])
			session := other + v.Session().Path
			id := v.Session().Path[len("/live/whep/primary/"):]

			// The fragment has a valid candidate that leads nowhere.
			const fragment = "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n"
			if code := ask(t, http.MethodPatch, session, sdpfrag.ContentType, fragment); code != http.StatusNoContent {
				t.Errorf("PATCH by way of the other pod: %d", code)
			}
			state, err := stateAt(t.Context(), other, "&session="+url.QueryEscape(id))
			if err != nil || state.ServedBy != role {
				t.Errorf("events by way of the other pod are of the %s's, %v", state.ServedBy, err)
			}
			s.testCluster.eventually(t, "pictures", func() bool { return len(v.PicturesFrom(0)) > 0 })
			if code := ask(t, http.MethodDelete, session, "", ""); code != http.StatusOK && code != http.StatusNoContent {
				t.Errorf("DELETE by way of the other pod: %d", code)
			}
			select {
			case <-v.Failed():
			case <-time.After(10 * time.Second):
				t.Error("the session that was deleted by way of the other pod goes on")
			}
			if code := ask(t, http.MethodDelete, session, "", ""); code != http.StatusNotFound {
				t.Errorf("DELETE of a session that has ended: %d", code)
			}
		})
	}
	t.Run("of a pod that is no more", func(t *testing.T) {
		session := base(s.pods[v1alpha1.RolePrimary]) + "/live/whep/primary/b0123456789abcdef01234567"
		if code := ask(t, http.MethodDelete, session, "", ""); code != http.StatusNotFound {
			t.Errorf("DELETE of a session that nobody knows: %d", code)
		}
	})
	t.Run("through the playback Service", func(t *testing.T) {
		served := map[string]int{}
		for range 16 {
			// Each request has its own connection, as requests of different browsers have.
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
			v, err := mediatest.WatchWHEP(t.Context(), s.playBase()+whepPath, mediatest.WatchOptions{TimesOnly: true, Client: client})
			s.testCluster.must(t, err)
			served[audience.ServedBy(v.Session().String())]++
			if code := ask(t, http.MethodDelete, v.Session().String(), "", ""); code != http.StatusOK && code != http.StatusNoContent {
				t.Errorf("DELETE: %d", code)
			}
			v.Abandon()
		}
		if len(served) != 2 {
			t.Errorf("of 16 sessions the pods served %v", served)
		}
	})
}

func ask(t *testing.T, method, url, contentType, body string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	request.Close = true
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}
