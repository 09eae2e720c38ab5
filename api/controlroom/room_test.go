package controlroom

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/api/control"
)

// source is a Source with one pair, sunday.
type source struct{ taken []string }

func (*source) State(context.Context) State {
	return State{Place: "here", Pairs: []Pair{{Name: "sunday", Status: &control.Pair{Name: "sunday"}}}}
}

func (*source) Thumbnail(_ context.Context, pair, role string) ([]byte, error) {
	switch {
	case pair != "sunday":
		return nil, errors.New("the pod does not answer")
	case role != "Primary":
		return nil, nil
	}
	return []byte("\xff\xd8JPEG"), nil
}

func (s *source) Take(_ context.Context, pair, selection string) error {
	switch {
	case pair != "sunday":
		return ErrUnknownPair
	case selection == "Backup":
		return errors.New("you may not patch sunday")
	}
	s.taken = append(s.taken, selection)
	return nil
}

const (
	bearer = "the-token"
	host   = "127.0.0.1:9091"
)

// rig is a room whose address is host, and whose clock is now.
type rig struct {
	t    *testing.T
	now  time.Time
	room *Room
	source
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, now: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)}
	r.room = New(Config{
		Source: &r.source, IsHost: func(host string) bool { return host == "studio.example.com" },
		Bearer: func(token string) bool { return token == bearer }, Now: func() time.Time { return r.now },
	})
	r.room.files = readFiles(built)
	return r
}

// ask sends a request. headers are name, value, name, value … Host is a header too.
func (r *rig) ask(method, path, body string, headers ...string) *http.Response {
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	req.Host = host
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
			continue
		}
		req.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	r.room.Handler().ServeHTTP(w, req)
	return w.Result()
}

// enter opens the page with a new key, and returns the cookie.
func (r *rig) enter() string {
	r.t.Helper()
	answer := r.ask("GET", strings.TrimPrefix(r.room.URL("http://"+host), "http://"+host), "", "Sec-Fetch-Site", "none")
	if answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != r.room.folder || len(answer.Cookies()) != 1 {
		r.t.Fatalf("the key was answered %v", answer)
	}
	return answer.Cookies()[0].Name + "=" + answer.Cookies()[0].Value
}

func text(t *testing.T, answer *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestTheCookieIsForThisPageAlone(t *testing.T) {
	r := newRig(t)
	opened := r.room.URL("")
	answer := r.ask("GET", opened, "")
	want := &http.Cookie{Name: "streampair-room", Path: r.room.folder, HttpOnly: true, SameSite: http.SameSiteStrictMode}
	got := answer.Cookies()[0]
	if len(got.Value) < 26 || strings.Contains(opened, got.Value) {
		t.Errorf("the session %q is short, or the key", got.Value)
	}
	if len(got.Path) < 26 || strings.Contains(got.Path, got.Value) || newRig(t).room.folder == got.Path {
		t.Errorf("the folder %q is short, the session, or that of another room", got.Path)
	}
	got.Value, got.Raw = "", ""
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Who has neither cookie nor token gets nothing, and who has one gets all.
func TestEachRequestNeedsTheCookieOrTheToken(t *testing.T) {
	r := newRig(t)
	cookie := r.enter()
	for _, path := range []string{"/", "/room/assets/room-1.js", "/room/state", "/room/pairs/sunday/Primary/picture", "/v1/measures"} {
		for _, tt := range []struct {
			name   string
			header []string
			want   int
		}{
			{"nothing", nil, 401},
			{"a wrong cookie", []string{"Cookie", "streampair-room=guessed"}, 401},
			{"an empty cookie", []string{"Cookie", "streampair-room="}, 401},
			{"a wrong token", []string{"Authorization", "Bearer guessed"}, 401},
			{"a wrong token beside the cookie", []string{"Authorization", "Bearer guessed", "Cookie", cookie}, 401},
			{"the cookie", []string{"Cookie", cookie}, 200},
			{"the token", []string{"Authorization", "Bearer " + bearer}, 200},
		} {
			if path == "/v1/measures" && tt.want == 200 {
				tt.want = 404 // the room alone does not have it
			}
			for _, folder := range []string{"/", r.room.folder} {
				if got := r.ask("GET", folder+path[1:], "", tt.header...).StatusCode; got != tt.want {
					t.Errorf("%s below %s with %s: %d, want %d", path, folder, tt.name, got, tt.want)
				}
			}
		}
	}
}

func TestAKeyOpensOneBrowser(t *testing.T) {
	r := newRig(t)
	first := r.room.URL("")
	second := r.room.URL("")
	for _, tt := range []struct {
		name, method, path string
		after              time.Duration
		want               int
	}{
		{"a key that was replaced", "GET", first, 0, 401},
		{"a guess", "GET", "/?key=AAAA", 0, 401},
		{"no key", "GET", "/?key=", 0, 401},
		{"what only looks at the head", "HEAD", second, 0, 401},
		{"another path", "GET", "/room/state?" + strings.TrimPrefix(second, "/?"), 0, 401},
		{"the key", "GET", second, keyLifetime - time.Second, 303},
		{"the key again", "GET", second, 0, 401},
		{"a key after its time", "GET", "", keyLifetime, 401},
	} {
		if tt.path == "" {
			tt.path = r.room.URL("")
		}
		r.now = r.now.Add(tt.after)
		if got := r.ask(tt.method, tt.path, "").StatusCode; got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestASessionLastsWhileItsPageIsOpen(t *testing.T) {
	r := newRig(t)
	cookie := r.enter()
	for _, tt := range []struct {
		after time.Duration
		want  int
	}{{sessionLifetime - time.Second, 200}, {sessionLifetime - time.Second, 200}, {sessionLifetime, 401}, {0, 401}} {
		r.now = r.now.Add(tt.after)
		if got := r.ask("GET", "/room/state", "", "Cookie", cookie).StatusCode; got != tt.want {
			t.Errorf("after %v without a request: %d, want %d", tt.after, got, tt.want)
		}
	}
}

func TestTheIdlestSessionGivesItsPlaceToANewcomer(t *testing.T) {
	r := newRig(t)
	first, second := r.enter(), ""
	for i := range maxSessions {
		r.now = r.now.Add(time.Second)
		if cookie := r.enter(); i == 0 {
			second = cookie
		}
	}
	for cookie, want := range map[string]int{first: 401, second: 200} {
		if got := r.ask("GET", "/room/state", "", "Cookie", cookie).StatusCode; got != want {
			t.Errorf("%d, want %d", got, want)
		}
	}
	if n := len(r.room.door.sessions); n > maxSessions {
		t.Errorf("%d sessions are kept, and at most %d may be", n, maxSessions)
	}
}

// What a page of another address can make a browser send is refused, even with the cookie. So is
// what comes by a name that somebody else's DNS resolves to this machine.
func TestForeignPagesAreRefused(t *testing.T) {
	const own = "http://" + host
	const put = "/room/pairs/sunday/select"
	fromPage := []string{"Content-Type", "application/json", "Sec-Fetch-Site", "same-origin", "Origin", own}
	for name, tt := range map[string]struct {
		method, path string
		headers      []string
		want         int
	}{
		"the page itself":                          {"PUT", put, fromPage, 204},
		"by localhost":                             {"PUT", put, []string{"Content-Type", "application/json", "Sec-Fetch-Site", "same-origin", "Origin", "http://localhost:9091", "Host", "localhost:9091"}, 401}, // the cookie is the other name's, see below
		"a name of the certificate":                {"GET", "/room/state", []string{"Host", "studio.example.com:9091"}, 200},
		"an address that is not this connection's": {"GET", "/room/state", []string{"Host", "192.0.2.7:9091"}, 403},
		"rebinding, to read":                       {"GET", "/room/state", []string{"Host", "evil.example:9091", "Sec-Fetch-Site", "same-origin"}, 403},
		"rebinding, to take":                       {"PUT", put, []string{"Host", "evil.example:9091", "Content-Type", "application/json", "Sec-Fetch-Site", "same-origin", "Origin", "http://evil.example:9091"}, 403},
		"rebinding, with a key":                    {"GET", "/?key=guess", []string{"Host", "evil.example:9091"}, 403},
		"no Host":                                  {"GET", "/room/state", []string{"Host", ""}, 403},
		"a form by POST":                           {"POST", put, []string{"Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "cross-site", "Origin", "http://evil.example"}, 403},
		"a form by POST of another port":           {"POST", put, []string{"Content-Type", "text/plain", "Sec-Fetch-Site", "same-site", "Origin", "http://127.0.0.1:6666"}, 403},
		"a form by POST of a sandbox":              {"POST", put, []string{"Content-Type", "text/plain", "Origin", "null"}, 403},
		"an img":                                   {"GET", "/room/pairs/sunday/Primary/picture", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Dest", "image"}, 403},
		"an img of another port":                   {"GET", "/room/pairs/sunday/Primary/picture", []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Dest", "image"}, 403},
		"an iframe":                                {"GET", "/", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Dest", "iframe"}, 403},
		"an iframe of this page":                   {"GET", "/", []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Dest", "iframe"}, 403},
		"a link":                                   {"GET", "/", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Dest", "document"}, 403},
		"a fetch with no-cors":                     {"GET", "/room/state", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"}, 403},
		"a fetch with cors":                        {"GET", "/room/state", []string{"Origin", "http://evil.example"}, 403},
		"two sites in one request":                 {"GET", "/room/state", []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Site", "cross-site"}, 403},
		"two origins in one request":               {"PUT", put, append([]string{"Origin", "http://evil.example"}, fromPage...), 403},
		"a preflight":                              {"OPTIONS", put, []string{"Origin", "http://evil.example", "Access-Control-Request-Method", "PUT"}, 403},
		"a Take as text":                           {"PUT", put, []string{"Content-Type", "text/plain", "Sec-Fetch-Site", "same-origin", "Origin", own}, 403},
		"a Take by the address line":               {"PUT", put, []string{"Content-Type", "application/json", "Sec-Fetch-Site", "none", "Origin", own}, 403},
		"a Take without an origin":                 {"PUT", put, []string{"Content-Type", "application/json", "Sec-Fetch-Site", "same-origin"}, 403},
		"a Take of an old browser":                 {"PUT", put, []string{"Content-Type", "application/json", "Origin", own}, 403},
		"a Take of another port":                   {"PUT", put, []string{"Content-Type", "application/json", "Sec-Fetch-Site", "same-site", "Origin", "http://127.0.0.1:6666"}, 403},
		"a Take of another scheme":                 {"PUT", put, []string{"Content-Type", "application/json", "Sec-Fetch-Site", "same-origin", "Origin", "https://" + host}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			cookie := r.enter()
			if name == "by localhost" {
				cookie = "" // a browser has a cookie for each name
			}
			answer := r.ask(tt.method, tt.path, `{"select":"Primary"}`, append([]string{"Cookie", cookie}, tt.headers...)...)
			if answer.StatusCode != tt.want {
				t.Errorf("%d %s, want %d", answer.StatusCode, text(t, answer), tt.want)
			}
			if taken := len(r.taken) > 0; taken != (tt.want == 204) {
				t.Errorf("taken: %v", r.taken)
			}
			for _, header := range []string{"Access-Control-Allow-Origin", "Access-Control-Allow-Methods"} {
				if got := answer.Header.Get(header); got != "" {
					t.Errorf("%s: %s", header, got)
				}
			}
		})
	}
}

func TestTake(t *testing.T) {
	for name, tt := range map[string]struct {
		path, body string
		code       int
		answer     string
	}{
		"a leg":                    {"/room/pairs/sunday/select", `{"select":"Primary"}`, 204, ""},
		"auto":                     {"/room/pairs/sunday/select", `{"select":"Auto"}`, 204, ""},
		"who may not is told":      {"/room/pairs/sunday/select", `{"select":"Backup"}`, 422, "you may not patch sunday"},
		"a pair that is not there": {"/room/pairs/monday/select", `{"select":"Auto"}`, 404, "no such pair"},
		"a leg that is not there":  {"/room/pairs/sunday/select", `{"select":"Third"}`, 400, "the body must be"},
		"no leg":                   {"/room/pairs/sunday/select", `{}`, 400, "the body must be"},
		"more than a leg":          {"/room/pairs/sunday/select", `{"select":"Auto","force":true}`, 400, "the body must be"},
		"a body without an end":    {"/room/pairs/sunday/select", `{"select":"` + strings.Repeat("x", maxBody) + `"}`, 400, "the body must be"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			answer := r.ask("PUT", tt.path, tt.body, "Authorization", "Bearer "+bearer, "Content-Type", "application/json; charset=utf-8")
			if got := text(t, answer); answer.StatusCode != tt.code || !strings.Contains(got, tt.answer) {
				t.Errorf("%d %s, want %d and %q", answer.StatusCode, got, tt.code, tt.answer)
			}
			if taken := len(r.taken) == 1; taken != (tt.code == 204) {
				t.Errorf("taken: %v", r.taken)
			}
		})
	}
}

func TestStateAndPictures(t *testing.T) {
	r := newRig(t)
	var got State
	if err := json.NewDecoder(r.ask("GET", "/room/state", "", "Authorization", "Bearer "+bearer).Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r.State(t.Context()), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for path, want := range map[string]struct {
		code int
		kind string
	}{
		"/room/pairs/sunday/Primary/picture": {200, "image/jpeg"},
		"/room/pairs/sunday/Backup/picture":  {404, "application/json"},
		"/room/pairs/monday/Primary/picture": {502, "application/json"},
	} {
		answer := r.ask("GET", path, "", "Authorization", "Bearer "+bearer)
		if answer.StatusCode != want.code || answer.Header.Get("Content-Type") != want.kind || answer.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v, want %v", path, answer.StatusCode, answer.Header, want)
		}
	}
}

func TestEveryAnswerHasTheSecurityHeaders(t *testing.T) {
	r := newRig(t)
	for path, header := range map[string]string{"/": bearer, "/room/state": bearer, "/none": bearer, "/room/": "", "/?key=wrong": ""} {
		answer := r.ask("GET", path, "", "Authorization", "Bearer "+header)
		for name, want := range securityHeaders {
			if got := answer.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
	}
}
