package server

import (
	"net/http"
	"strings"
	"testing"

	"github.com/streampair/streampair/mediaserver/sdpfrag"
	"github.com/streampair/streampair/mediaserver/signalling"
)

// Proxies log the URLs of events. What they log must end no session. Pages
// of older servers send the session's id there, and must still get events.
func TestTheNameOfEventsIsNoRightToTheSession(t *testing.T) {
	w := startRelayedPair(t, sticky)
	a, b := w.servers[0], w.servers[1]
	session := a.begin("whep/primary")
	if session.events == "" || session.events == session.id {
		t.Fatalf("the events of session %s are called %q", session.id, session.events)
	}
	answer, _ := a.do("OPTIONS", a.url("whep/primary"), "")
	if exposed := answer.Header.Get("Access-Control-Expose-Headers"); !strings.Contains(exposed, signalling.EventsHeader) {
		t.Errorf("pages of other sites may read %s only", exposed)
	}
	for _, s := range w.servers {
		for what, name := range map[string]string{"its name": session.events, "the session's id": session.id} {
			if state, ok := s.events(name)(); !ok || state.ServedBy != "Primary" {
				t.Errorf("by %s %+v is told", what, state)
			}
		}
		for _, method := range []string{"DELETE", "PATCH"} {
			resource := s.url("whep/primary/"+session.events, "backupStreamId", "backup")
			if answer, text := s.do(method, resource, "", "Content-Type", sdpfrag.ContentType, "If-Match", session.etag); answer.StatusCode != http.StatusNotFound {
				t.Errorf("%s by the events' name: %s %s", method, answer.Status, text)
			}
		}
	}
	if n := a.whep.ViewerCount(); n != 1 {
		t.Errorf("%d sessions, want 1", n)
	}
	if answer, text := b.do("DELETE", b.url("whep/primary/"+session.id, "backupStreamId", "backup"), ""); answer.StatusCode != http.StatusOK {
		t.Errorf("DELETE by the id: %s %s", answer.Status, text)
	}
	answer, _ = b.do("GET", b.url("events/primary", "backupStreamId", "backup", "session", session.events), "")
	if answer.StatusCode != http.StatusNotFound {
		t.Errorf("events of a session that has ended: %s", answer.Status)
	}
}
