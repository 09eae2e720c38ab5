package server

import (
	"net/http"
	"strings"
	"testing"

	"github.com/streampair/streampair/mediaserver/mediatest"
)

// whepEvents follows the events of a WHEP session of the pair, which the viewer opens at the one
// server and follows at the other.
func whepEvents(at, other *testServer) *mediatest.Events {
	at.t.Helper()
	created, text := at.do("POST", at.url("whep/primary", "backupStreamId", "backup"), offer(at.t), "Content-Type", "application/sdp")
	link, _, ok := strings.Cut(strings.TrimPrefix(created.Header.Get("Link"), "<"), ">; rel=\"urn:ietf:params:whep:ext:core:server-sent-events\"")
	if created.StatusCode != http.StatusCreated || !ok {
		at.t.Fatalf("%s %s, Link %q", created.Status, text, created.Header.Get("Link"))
	}
	base := strings.TrimSuffix(other.url(""), "/live/?")
	made, text := other.do("POST", base+link, `["active", "inactive", "reconnect", "viewercount"]`, "Content-Type", "application/json")
	if made.StatusCode != http.StatusCreated {
		at.t.Fatal(made.Status, text)
	}
	return mediatest.FollowEvents(at.t, base+made.Header.Get("Location"))
}

func TestEventsOfWHEPAreAboutThePair(t *testing.T) {
	t.Parallel()
	w := startRelayedPair(t, sticky)
	events := whepEvents(w.servers[0], w.servers[1])
	var nothing struct{}
	var viewers struct{ ViewerCount int }
	if name := events.NextName(&viewers); name != "viewercount" || viewers.ViewerCount != 1 {
		t.Errorf("at first: %s %+v", name, viewers)
	}
	primary := w.publish(0, 0)
	events.Next("active", &nothing)
	backup := w.publish(1, 1)
	w.play(0, true, true)
	primary.Kill()
	w.play(1, false, true) // which is no event: the pair has media all the time
	backup.Kill()
	if name := events.NextName(&nothing); name != "inactive" {
		t.Errorf("%s, want inactive", name)
	}
}

func TestADrainingServerSaysByWHEPWhereToReconnect(t *testing.T) {
	t.Parallel()
	p := startPod(t, pairOf(1, "  mediaServer: {drainTimeoutSeconds: 30}\n"), "--drain-timeout", "30s")
	const other = "http://203.0.113.9:30080"
	if code, text := p.command("PUT", "/v1/addresses", firstCluster, `{"webrtc":[],"http":{"Primary":"http://203.0.113.8","Backup":"`+other+`"}}`); code != http.StatusNoContent {
		t.Fatalf("%d %s", code, text)
	}
	events := whepEvents(p.testServer, p.testServer)
	events.Begun()
	p.end()
	var reconnect struct{ URL string }
	events.Next("reconnect", &reconnect)
	if want := other + "/live/whep/primary?backupStreamId=backup"; reconnect.URL != want {
		t.Errorf("reconnect to %q, want %q", reconnect.URL, want)
	}
	events.Close()
}
