package whep

import (
	"fmt"
	"testing"

	"github.com/streampair/streampair/hack/eventually"
)

func TestHowManyMayBeConnecting(t *testing.T) {
	for limit, want := range map[int]int{0: 1024, 3: 64, 256: 64, 1000: 250} {
		if got := maxConnecting(limit); got != want {
			t.Errorf("of %d viewers %d may be connecting, want %d", limit, got, want)
		}
	}
}

func TestStrangersWhoNeverConnectKeepNobodyOut(t *testing.T) {
	s := newServer(t, func(cfg *Config) { cfg.MaxViewers = 3 })
	s.play()
	_, strangers := newClient(t, video)
	var first string
	for i := range 10 {
		response, body := s.post(fmt.Sprintf("/live/whep/stream%d", i), strangers)
		if response.StatusCode != 201 {
			t.Fatalf("stranger %d: %s %s", i, response.Status, body)
		}
		if i == 0 {
			first = response.Header.Get("Location")
		}
	}
	if r, _ := s.do("DELETE", first, ""); r.StatusCode != 404 {
		t.Errorf("the first stranger's session: %s, want it gone", r.Status)
	}
	for range 3 {
		pc, offer := newClient(t, video)
		response, answer := s.post("/live/whep/primary", offer)
		if response.StatusCode != 201 {
			t.Fatalf("%s: %s", response.Status, answer)
		}
		await(t, receive(t, pc, answer), video)
	}
	if response, body := s.post("/live/whep/primary", strangers); response.StatusCode != 503 || response.Header.Get("Retry-After") == "" {
		t.Errorf("one more than can watch: %s %s", response.Status, body)
	}
	eventually.True(t, "only the viewers are left", func() bool { return s.output.ViewerCount() == 3 && s.released.Load() == 10 })
}
