package antmedia

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
	"github.com/pion/webrtc/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/signalling"
	"github.com/streampair/streampair/mediaserver/stream"
	"github.com/streampair/streampair/mediaserver/whep"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A rig is a Handler whose sessions are all refused, with a pair of primary and backup.
type rig struct {
	*testing.T
	handler  *Handler
	server   *httptest.Server
	metrics  *metrics.Metrics
	draining chan struct{}
	log      mediatest.LogLines

	mu      sync.Mutex
	onAir   bool
	changed chan struct{}
	asked   []*http.Request // by which sessions were asked for
}

func newRig(t *testing.T, maxSockets int) *rig {
	r := &rig{T: t, metrics: metrics.New(prometheus.NewRegistry()), draining: make(chan struct{}), changed: make(chan struct{})}
	refuse := func(req *http.Request) *signalling.Refusal {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.asked = append(r.asked, req)
		return signalling.Refuse(http.StatusServiceUnavailable, "test", "no session in this test")
	}
	mayPlay := func(_, id, _, token string) error {
		switch {
		case id != "primary" && id != "backup":
			return stream.ErrUndeclared
		case token != "watch":
			return errors.New("the token is missing or wrong")
		}
		return nil
	}
	r.handler = NewHandler(Config{
		Play: func(req *http.Request, _ func()) (*whep.Offered, *signalling.Refusal) { return nil, refuse(req) },
		Publish: func(req *http.Request, _ string, _ func()) (*signalling.Session, string, *signalling.Refusal) {
			return nil, "", refuse(req)
		},
		MayPlay: mayPlay,
		MayPublish: func(req *http.Request) *signalling.Refusal {
			if signalling.Token(req) == "publish" {
				return nil
			}
			return signalling.Refuse(http.StatusUnauthorized, signalling.ReasonUnauthorized, "the token is missing or wrong")
		},
		PairOf: func(app, id string) (failover.PairKey, bool) {
			return failover.PairKey{App: app, Primary: "primary", Backup: "backup"}, id == "primary" || id == "backup"
		},
		OnAir: func(string, string, string) (bool, <-chan struct{}) {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.onAir, r.changed
		},
		Broadcasts: func(string) []Broadcast {
			return []Broadcast{{StreamID: "primary", Status: StatusBroadcasting, Width: 640, Height: 360}}
		},
		ICEServers: func(_ string, tokens []string) []webrtc.ICEServer {
			if slices.Contains(tokens, "watch") {
				return []webrtc.ICEServer{{URLs: []string{"turn:turn.example.com"}, Username: "user", Credential: "secret"}}
			}
			return []webrtc.ICEServer{{URLs: []string{"stun:stun.example.com"}}}
		},
		Draining: r.draining, MaxSockets: maxSockets, Recovery: recovery.New(recovery.Config{}), Logger: slog.New(slog.NewTextHandler(&r.log, nil)), Metrics: r.metrics,
	})
	mux := http.NewServeMux()
	r.handler.Register(mux)
	r.server = httptest.NewServer(mux)
	t.Cleanup(r.server.Close)
	t.Cleanup(r.handler.Close)
	return r
}

func (r *rig) refused(reason string) int {
	return int(testutil.ToFloat64(r.metrics.AntMediaRefusals.WithLabelValues(reason)))
}

// A client is a client's end of a socket.
type client struct {
	*rig
	*websocket.Conn
}

func (r *rig) dial(query string) (client, error) {
	ws, _, err := websocket.Dial(r.Context(), r.server.URL+"/live/websocket"+query, nil)
	if err == nil {
		r.Cleanup(func() { _ = ws.CloseNow() })
	}
	return client{r, ws}, err
}

func (r *rig) mustDial(query string) client {
	r.Helper()
	c, err := r.dial(query)
	if err != nil {
		r.Fatal(err)
	}
	return c
}

func (c client) say(text string) {
	c.Helper()
	if err := c.Write(c.Context(), websocket.MessageText, []byte(text)); err != nil {
		c.Fatal(err)
	}
}

// hears returns the next message, or the status with which the server has closed.
func (c client) hears() (m message, closed websocket.StatusCode) {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), eventually.Patience)
	defer cancel()
	_, text, err := c.Read(ctx)
	if err != nil {
		return m, websocket.CloseStatus(err)
	}
	if err := json.Unmarshal(text, &m); err != nil {
		c.Fatal(err)
	}
	return m, -1
}

func TestCommandsAreAnswered(t *testing.T) {
	r := newRig(t, 10)
	for _, test := range []struct {
		query, say string
		want       message
	}{
		{"", `{"command":"ping"}`, message{Command: "pong"}},
		{"", `{"command":"play"}`, message{Command: "error", Definition: "noStreamNameSpecified", ErrorCode: "400"}},
		{"", `{"command":"play","streamId":"a/b"}`, message{Command: "error", Definition: "invalidStreamName", ErrorCode: "400"}},
		{"", `{"command":"play","streamId":"other","token":"watch"}`, message{Command: "error", Definition: "no_stream_exist", ErrorCode: "404"}},
		{"", `{"command":"play","streamId":"primary"}`, message{Command: "error", Definition: "unauthorized_access", ErrorCode: "401"}},
		{"", `{"command":"publish","streamId":"primary","token":"watch"}`, message{Command: "error", Definition: "unauthorized_access", ErrorCode: "401"}},
		{"", `{"command":"publish","streamId":"primary","token":"publish"}`, message{Command: "start", StreamID: "primary"}},
		{"?token=publish", `{"command":"publish","streamId":"primary"}`, message{Command: "start", StreamID: "primary"}},
		{"", `{"command":"takeConfiguration","streamId":"primary","type":"answer","sdp":"v=0"}`, message{Command: "error", Definition: "no_stream_exist", ErrorCode: "404"}},
		{"", `{"command":"getTrackList","streamId":"primary"}`, message{Command: "trackList", StreamID: "primary"}},
		{"", `{"command":"getIceServerConfig"}`, message{Command: "iceServerConfig"}},
		{"?token=watch", `{"command":"getStreamInfo","streamId":"primary"}`, message{Command: "streamInformation", StreamID: "primary"}},
		{"?token=watch", `{"command":"getStreamInfo","streamId":"backup"}`, message{Command: "error", Definition: "no_stream_exist", ErrorCode: "404"}},
		{"", `{"command":"getStreamInfo","streamId":"primary"}`, message{Command: "error", Definition: "unauthorized_access", ErrorCode: "401"}},
	} {
		c := r.mustDial(test.query)
		c.say(test.say)
		got, closed := c.hears()
		if closed != -1 || got.Command != test.want.Command || got.Definition != test.want.Definition || got.ErrorCode != test.want.ErrorCode {
			t.Errorf("%s: %+v, closed %d", test.say, got, closed)
		}
		if got.Command == commandInformation && (len(got.StreamInfo) != 1 || got.StreamInfo[0].Width != 640) ||
			got.Command == commandTracks && got.TrackList == nil ||
			got.Command == commandICEServerConfig && *got.STUNServerURI != "stun:stun.example.com" {
			t.Errorf("%s: %+v", test.say, got)
		}
		_ = c.CloseNow()
	}
}

// A viewer that comes too early is held. Then it gets the pair, by the session of a WHEP client.
func TestPlayWaitsForMedia(t *testing.T) {
	r := newRig(t, 10)
	c := r.mustDial("")
	c.say(`{"command":"play","streamId":"backup","token":"watch"}`)
	c.say(`{"command":"play","streamId":"backup","token":"watch"}`) // some clients ask twice
	c.say(`{"command":"ping"}`)
	if m, _ := c.hears(); m.Command != commandPong {
		t.Errorf("before there is media: %+v", m)
	}
	r.mu.Lock()
	r.onAir = true
	close(r.changed)
	r.mu.Unlock()
	if m, _ := c.hears(); m.Command != commandError || m.Definition != definitionOverload || m.ErrorCode != "503" {
		t.Errorf("with media: %+v", m)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.asked) != 1 || r.asked[0].PathValue("streamId") != "primary" || r.asked[0].URL.Query().Get("backupStreamId") != "backup" ||
		signalling.Token(r.asked[0]) != "watch" || r.asked[0].PathValue("app") != "live" {
		t.Errorf("asked for %+v", r.asked)
	}
}

func TestWhatCannotBeUsedEndsTheSocket(t *testing.T) {
	r := newRig(t, 10)
	for name, test := range map[string]struct {
		say    string
		times  int
		closed websocket.StatusCode
		reason string
	}{
		"no JSON":           {"play", 1, websocket.StatusUnsupportedData, "malformed"},
		"no object":         {"[1]", 1, websocket.StatusUnsupportedData, "malformed"},
		"a huge message":    {strings.Repeat("x", maxMessage+1), 1, websocket.StatusMessageTooBig, "too_large"},
		"too many messages": {`{"command":"nothing"}`, 2 * messageBurst, websocket.StatusPolicyViolation, "message_rate"},
	} {
		c := r.mustDial("")
		for range test.times {
			if c.Write(t.Context(), websocket.MessageText, []byte(test.say)) != nil {
				break
			}
		}
		if _, closed := c.hears(); closed != test.closed {
			t.Errorf("%s: closed with %d, want %d", name, closed, test.closed)
		}
		eventually.True(t, name+" is counted", func() bool { return r.refused(test.reason) > 0 })
	}
	if r.refused("unknown_command") == 0 {
		t.Error("unknown commands are not counted")
	}
}

// What the endpoints of WHEP and WHIP have refused is in the log already.
func TestRefusalsAreLoggedOnce(t *testing.T) {
	r := newRig(t, 10)
	r.onAir = true
	c := r.mustDial("")
	c.say(`{"command":"publish","streamId":"primary","token":"watch"}`)
	c.hears()
	if n := len(r.log.With(`msg="client refused" component=antmedia stream=live/primary reason=unauthorized_access`)); n != 1 {
		t.Errorf("%d lines about the publisher", n)
	}
	before := len(r.log.With("client refused"))
	c.say(`{"command":"play","streamId":"primary","token":"watch"}`)
	if m, _ := c.hears(); m.Command != commandError || len(r.asked) != 1 {
		t.Errorf("%+v, %d sessions asked for", m, len(r.asked))
	}
	if n := len(r.log.With("client refused")) - before; n != 0 {
		t.Errorf("%d lines about the viewer, whom WHEP has refused", n)
	}
	for range messageBurst - 10 {
		c.say(`{"command":"nothing"}`)
	}
	eventually.True(t, "all are counted", func() bool { return r.refused("unknown_command") == messageBurst-10 })
	if n := len(r.log.With("unknown_command")); n == 0 || n > messageBurst/2 {
		t.Errorf("%d lines about %d unknown commands", n, messageBurst-10)
	}
}

func TestSessionsOfASocketAreBounded(t *testing.T) {
	r := newRig(t, 10)
	c := r.mustDial("?token=publish")
	for _, id := range []string{"a", "b", "c", "d"} {
		c.say(`{"command":"publish","streamId":"` + id + `"}`)
		if m, _ := c.hears(); m.Command != commandStart {
			t.Fatalf("%s: %+v", id, m)
		}
	}
	c.say(`{"command":"publish","streamId":"e"}`)
	if m, _ := c.hears(); m.Definition != definitionOverload {
		t.Errorf("one more: %+v", m)
	}
	c.say(`{"command":"stop","streamId":"a"}`)
	if m, _ := c.hears(); m.Definition != definitionPublishFinished {
		t.Errorf("stopped: %+v", m)
	}
	c.say(`{"command":"publish","streamId":"e"}`)
	if m, _ := c.hears(); m.Command != commandStart {
		t.Errorf("after another has ended: %+v", m)
	}
}

// When places run out, the client that has been of no use for the longest time goes.
func TestSocketsAreBounded(t *testing.T) {
	r := newRig(t, 2)
	first := r.mustDial("")
	r.mustDial("")
	r.mustDial("")
	if _, closed := first.hears(); closed != websocket.StatusTryAgainLater {
		t.Errorf("closed with %d", closed)
	}
}

func TestClientsAreSentAwayAtADrain(t *testing.T) {
	r := newRig(t, 10)
	c := r.mustDial("")
	close(r.draining)
	if _, closed := c.hears(); closed != websocket.StatusServiceRestart {
		t.Errorf("closed with %d", closed)
	}
	if _, err := r.dial(""); err == nil {
		t.Error("a client is let in at a drain")
	}
}

// Servers that need credentials are told to those alone whose token opens a stream.
func TestCredentialsOfICEServersNeedAToken(t *testing.T) {
	r := newRig(t, 10)
	for query, want := range map[string]string{"": "", "?token=other": "", "?token=watch": "secret"} {
		c := r.mustDial(query)
		c.say(`{"command":"getIceServerConfig"}`)
		if m, _ := c.hears(); m.Command != commandICEServerConfig || m.TURNPassword != want {
			t.Errorf("%q: %+v", query, m)
		}
	}
	// The token of a session counts too.
	c := r.mustDial("")
	c.say(`{"command":"play","streamId":"primary","token":"watch"}`)
	c.say(`{"command":"getIceServerConfig"}`)
	if m, _ := c.hears(); m.TURNPassword != "secret" {
		t.Errorf("%+v", m)
	}
}

func TestAnUnexpectedOfferIsTold(t *testing.T) {
	c := newRig(t, 10).mustDial("?token=watch")
	c.say(`{"command":"play","streamId":"primary"}`)
	for range 2 {
		c.say(`{"command":"takeConfiguration","streamId":"primary","type":"offer","sdp":"v=0"}`)
		if m, _ := c.hears(); m.Definition != definitionNotSet || m.ErrorCode != "409" {
			t.Errorf("%+v", m)
		}
	}
	c.say(`{"command":"stop","streamId":"primary"}`)
	if m, _ := c.hears(); m.Definition != definitionPlayFinished {
		t.Errorf("the session has ended before: %+v", m)
	}
}

// A client that announces a message and does not send it cannot keep its socket, nor the server.
func TestAClientThatDoesNotFinishItsMessageIsLeft(t *testing.T) {
	r := newRig(t, 10)
	conn, err := net.Dial("tcp", r.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = fmt.Fprintf(conn, "GET /live/websocket HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	if answer, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(answer, err)
	}
	const text, binary, masked, long = 0x81, 0x82, 0x80, 127
	_, _ = conn.Write([]byte{text, masked | 1, 0, 0, 0, 0, 'x'})                              // no JSON
	_, _ = conn.Write([]byte{binary, masked | long, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 'x'}) // 2^40 bytes
	eventually.True(t, "the place is free again", func() bool { return r.handler.door.Taken() == 0 })
}

// Pages of other sites may read, with their token in a header.
func TestPagesOfOtherSitesMayRead(t *testing.T) {
	r := newRig(t, 10)
	for _, test := range []struct {
		method, path, token string
		status              int
	}{
		{http.MethodOptions, "primary", "", http.StatusOK},
		{http.MethodGet, "primary", "watch", http.StatusOK},
		{http.MethodGet, "primary", "", http.StatusUnauthorized},
		{http.MethodGet, "list/0/10", "watch", http.StatusOK},
		{http.MethodGet, "count", "", http.StatusOK},
		{http.MethodGet, "list/x/10", "", http.StatusBadRequest},
		{http.MethodDelete, "primary", "watch", http.StatusMethodNotAllowed},
	} {
		req, err := http.NewRequestWithContext(t.Context(), test.method, r.server.URL+"/live/rest/v2/broadcasts/"+test.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+test.token)
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != test.status || answer.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s %s: %s, %v", test.method, test.path, answer.Status, answer.Header)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// A publisher stays at a drain until the server can do without the publisher.
func TestPublishersStayAtADrain(t *testing.T) {
	r := newRig(t, 10)
	c := r.mustDial("?token=publish")
	c.say(`{"command":"publish","streamId":"primary"}`)
	if m, _ := c.hears(); m.Command != commandStart {
		t.Fatalf("%+v", m)
	}
	close(r.draining)
	for range 3 {
		c.say(`{"command":"ping"}`)
		if m, closed := c.hears(); m.Command != commandPong {
			t.Fatalf("%+v, closed %d", m, closed)
		}
	}
	c.say(`{"command":"stop","streamId":"primary"}`)
	if m, _ := c.hears(); m.Definition != definitionPublishFinished {
		t.Errorf("%+v", m)
	}
	if _, closed := c.hears(); closed != websocket.StatusServiceRestart {
		t.Errorf("closed with %d", closed)
	}
}

func TestOtherRequestsAreNoSocket(t *testing.T) {
	r := newRig(t, 10)
	answer, err := http.Get(r.server.URL + "/live/websocket")
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusUpgradeRequired || r.refused("no_websocket") != 1 {
		t.Errorf("%s", answer.Status)
	}
}
