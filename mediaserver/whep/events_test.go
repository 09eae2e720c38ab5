package whep

import (
	"net/http"
	"path"
	"strings"
	"sync"
	"testing"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/signalling"
)

// air is whether a stream has media.
type air struct {
	mu      sync.Mutex
	onAir   bool
	changed chan struct{}
}

func (a *air) get(string, string, string) (bool, <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.onAir, a.changed
}

func (a *air) set(onAir bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.onAir = onAir
	close(a.changed)
	a.changed = make(chan struct{})
}

// eventsLink returns the URL and the list of events of the Link header.
func eventsLink(t *testing.T, answer *http.Response) (url, events string) {
	t.Helper()
	for _, link := range answer.Header.Values("Link") {
		url, rest, ok := strings.Cut(strings.TrimPrefix(link, "<"), `>; rel="urn:ietf:params:whep:ext:core:server-sent-events"; events="`)
		if ok {
			return url, strings.TrimSuffix(rest, `"`)
		}
	}
	t.Fatalf("no Link header announces the events: %q", answer.Header.Values("Link"))
	return "", ""
}

func newServerWithEvents(t *testing.T, change func(*Config)) (s *server, a *air, draining chan struct{}) {
	a, draining = &air{changed: make(chan struct{})}, make(chan struct{})
	s = newServer(t, func(c *Config) {
		c.Events = &EventsConfig{OnAir: a.get, Draining: draining}
		if change != nil {
			change(c)
		}
	})
	return s, a, draining
}

// A viewer asks for events, and is told them as the draft says.
func TestEvents(t *testing.T) {
	const other = "https://other.example/prefix"
	s, air, draining := newServerWithEvents(t, func(c *Config) { c.Alternate = func() string { return other } })
	_, offer := newClient(t, video)
	const endpoint = "/live/whep/primary?backupStreamId=backup&token=x"
	created, body := s.post(endpoint, offer, "X-Forwarded-Prefix", "/tv")
	if created.StatusCode != http.StatusCreated {
		t.Fatal(created.Status, body)
	}
	link, list := eventsLink(t, created)
	if list != "active,inactive,reconnect,viewercount" || !strings.HasPrefix(link, "/tv/live/whep/primary/") {
		t.Errorf("%s %s", link, list)
	}
	link = strings.TrimPrefix(link, "/tv")
	made, body := s.do("POST", link, "", "X-Forwarded-Prefix", "/tv") // without a list: all events
	location := made.Header.Get("Location")
	if made.StatusCode != http.StatusCreated || !strings.HasPrefix(location, "/tv/live/whep/primary/") {
		t.Fatal(made.Status, body, location)
	}
	session := path.Base(created.Header.Get("Location"))
	if strings.Contains(location, session) {
		t.Error("the URL of an event stream has the session's id, which lets everybody end the session")
	}
	byName := strings.Replace(link, session, created.Header.Get(signalling.EventsHeader), 1)
	if refused, body := s.do("POST", byName, ""); refused.StatusCode != http.StatusNotFound {
		t.Errorf("POST by the events' name: %s %s", refused.Status, body)
	}
	location = strings.TrimPrefix(location, "/tv")
	var empty struct{}
	var viewers struct{ ViewerCount int }
	events := mediatest.FollowEvents(t, s.http.URL+location)
	if name := events.NextName(&viewers); name != "viewercount" || viewers.ViewerCount != 1 {
		t.Fatalf("%s %+v, want viewercount 1 and no inactive at first", name, viewers)
	}
	air.set(true)
	events.Next("active", &empty)
	air.set(false)
	events.Next("inactive", &empty)
	air.set(true)
	if name := events.NextName(&empty); name != "active" {
		t.Errorf("%s, want active", name)
	}
	_, offer = newClient(t, video)
	if second, body := s.post(endpoint, offer); second.StatusCode != http.StatusCreated {
		t.Fatal(second.Status, body)
	}
	events.Next("viewercount", &viewers)
	if viewers.ViewerCount != 2 {
		t.Errorf("%d viewers, want 2", viewers.ViewerCount)
	}

	// A GET takes the place of the one before. What is true is told again.
	again := mediatest.FollowEvents(t, s.http.URL+location)
	again.Next("active", &empty)
	events.Ends()
	again.Close()
	air.set(false)
	again = mediatest.FollowEvents(t, s.http.URL+location)
	again.Next("inactive", &empty)

	close(draining)
	var reconnect struct{ URL string }
	again.Next("reconnect", &reconnect)
	if want := other + strings.TrimSuffix(endpoint, "&token=x"); reconnect.URL != want {
		t.Errorf("reconnect to %q, want %q", reconnect.URL, want)
	}

	if deleted, body := s.do("DELETE", location, ""); deleted.StatusCode != http.StatusOK {
		t.Error(deleted.Status, body)
	}
	again.Ends()
	for _, method := range []string{"GET", "DELETE"} {
		if gone, body := s.do(method, location, ""); gone.StatusCode != http.StatusNotFound {
			t.Errorf("%s after DELETE: %s %s", method, gone.Status, body)
		}
	}
}

func TestEventsThatAreNotWantedAreNotSent(t *testing.T) {
	s, air, draining := newServerWithEvents(t, nil)
	_, offer := newClient(t, video)
	created, _ := s.post("/live/whep/primary", offer)
	link, _ := eventsLink(t, created)
	made, _ := s.do("POST", link, `["reconnect", "inactive"]`, "Content-Type", "application/json")
	air.set(true)
	events := mediatest.FollowEvents(t, s.http.URL+made.Header.Get("Location"))
	events.Begun()
	air.set(false)
	var empty struct{ URL string }
	if name := events.NextName(&empty); name != "inactive" {
		t.Errorf("%s, want inactive", name)
	}
	close(draining)
	if name := events.NextName(&empty); name != "reconnect" || empty.URL != "" {
		t.Errorf("%s %q, want reconnect without a URL, because no other server is known", name, empty.URL)
	}
}

func TestEventStreamsEndWithTheirSession(t *testing.T) {
	s, _, _ := newServerWithEvents(t, nil)
	_, offer := newClient(t, video)
	created, _ := s.post("/live/whep/primary", offer)
	link, _ := eventsLink(t, created)
	var streams []string
	for range maxEventStreams + 1 {
		made, _ := s.do("POST", link, `["viewercount"]`, "Content-Type", "application/json")
		streams = append(streams, made.Header.Get("Location"))
	}
	if gone, body := s.do("GET", streams[0], ""); gone.StatusCode != http.StatusNotFound {
		t.Errorf("the oldest of too many: %s %s", gone.Status, body)
	}
	events := mediatest.FollowEvents(t, s.http.URL+streams[1])
	events.Begun()
	s.do("DELETE", created.Header.Get("Location"), "")
	events.Ends()
	for method, url := range map[string]string{"GET": streams[1], "DELETE": streams[2], "POST": link} {
		if gone, body := s.do(method, url, ""); gone.StatusCode != http.StatusNotFound {
			t.Errorf("%s after the session's end: %s %s", method, gone.Status, body)
		}
	}
}

func TestEventStreamsHavePlaces(t *testing.T) {
	s, _, _ := newServerWithEvents(t, func(c *Config) { c.Events.MaxStreams = 1 })
	_, offer := newClient(t, video)
	created, _ := s.post("/live/whep/primary", offer)
	link, _ := eventsLink(t, created)
	stream := func() string {
		made, _ := s.do("POST", link, "")
		return s.http.URL + made.Header.Get("Location")
	}
	first, second := stream(), stream()
	events := mediatest.FollowEvents(t, first)
	events.Begun()
	if refused, body := s.do("GET", second, ""); refused.StatusCode != 503 || refused.Header.Get("Retry-After") == "" {
		t.Errorf("%s %s", refused.Status, body)
	}
	events.Close()
	eventually.True(t, "the place is free", func() bool { return s.handler.eventDoor.Taken() == 0 })
	mediatest.FollowEvents(t, second).Begun()
}

func TestRequestsForEventsThatAreRefused(t *testing.T) {
	s, _, _ := newServerWithEvents(t, nil)
	_, offer := newClient(t, video)
	created, _ := s.post("/live/whep/primary", offer)
	link, _ := eventsLink(t, created)
	for name, test := range map[string]struct {
		method, url, body, contentType string
		status                         int
		text                           string
	}{
		"no list":                    {"POST", link, `{"active": true}`, "application/json", 400, "list of events"},
		"no JSON":                    {"POST", link, `active`, "application/json", 400, "list of events"},
		"an event that is not had":   {"POST", link, `["active", "layers"]`, "application/json", 400, "layers"},
		"another type":               {"POST", link, `["active"]`, "text/plain", 415, "application/json"},
		"too long a list":            {"POST", link, `["` + strings.Repeat("x", maxEventList) + `"]`, "application/json", 413, "1024"},
		"no such session":            {"POST", strings.Replace(link, "/sse", "0/sse", 1), "", "", 404, "session"},
		"a session of other streams": {"POST", strings.Replace(link, "primary", "backup", 1), "", "", 404, "session"},
		"no such event stream":       {"GET", link + "/x", "", "", 404, "event stream"},
		"events by GET":              {"GET", link, "", "", 405, "POST"},
		"another method":             {"PATCH", link + "/x", "", "", 405, "GET and DELETE"},
		"a preflight":                {"OPTIONS", link, "", "", 200, ""},
		"a preflight of a stream":    {"OPTIONS", link + "/x", "", "", 200, ""},
	} {
		answer, body := s.do(test.method, test.url, test.body, "Content-Type", test.contentType)
		if answer.StatusCode != test.status || !strings.Contains(body, test.text) {
			t.Errorf("%s: %s %q, want %d and %q", name, answer.Status, body, test.status, test.text)
		}
		if h := answer.Header; h.Get("Access-Control-Allow-Origin") != "*" || (test.status == 405) && h.Get("Allow") == "" {
			t.Errorf("%s: %v", name, h)
		}
	}
}

func TestWithoutEventsNoneAreAnnounced(t *testing.T) {
	s := newServer(t, nil)
	_, offer := newClient(t, video)
	if created, body := s.post("/live/whep/primary", offer); created.StatusCode != 201 || created.Header.Get("Link") != "" {
		t.Errorf("%s %s, Link %q", created.Status, body, created.Header.Get("Link"))
	}
}
