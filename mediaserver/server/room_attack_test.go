package server

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	api "github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/controlroom"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// evilPage tries all that a page can do to a server without being of that server. It tells what
// became of each attempt.
const evilPage = `<!doctype html><title>evil</title>
<iframe name="form"></iframe>
<script>
const room = new URLSearchParams(location.search).get("room");
const seen = {};
const limit = () => new Promise(done => setTimeout(done, 5000, "no end"));
const settle = (name, promise) => Promise.race([promise, limit()]).then(v => seen[name] = v, () => seen[name] = "refused");
const loaded = (node, src) => new Promise((yes, no) => { node.onload = () => yes("loaded"); node.onerror = no; node.src = src; document.body.append(node); });
window.attack = async () => {
	const take = "/room/pairs/sunday/select", body = '{"select":"Backup"}';
	await settle("img", loaded(new Image(), room + "/room/pairs/sunday/Primary/picture"));
	await settle("script", loaded(document.createElement("script"), room + "/room/state"));
	await settle("fetch", fetch(room + "/room/state", {credentials: "include"}).then(r => r.text()));
	await settle("fetch PUT", fetch(room + take, {method: "PUT", body, credentials: "include", headers: {"Content-Type": "application/json"}}).then(() => "sent"));
	await settle("no-cors", fetch(room + "/room/state", {mode: "no-cors", credentials: "include"}).then(() => "opaque"));
	await settle("no-cors POST", fetch(room + take, {method: "POST", mode: "no-cors", body, credentials: "include"}).then(() => "opaque"));
	const frame = document.createElement("iframe");
	frame.src = room + "/";
	await Promise.race([limit(), new Promise(done => { frame.onload = done; document.body.append(frame); })]);
	try { seen.iframe = frame.contentDocument ? "read" : "refused"; } catch { seen.iframe = "refused"; }
	const form = document.createElement("form");
	form.method = "POST"; form.action = room + take; form.target = "form"; form.enctype = "text/plain";
	const field = document.createElement("input");
	field.name = '{"select":"Backup","x":"'; field.value = '"}';
	form.append(field); document.body.append(form);
	await Promise.race([limit(), new Promise(done => { document.querySelector("iframe[name=form]").onload = done; form.submit(); })]);
	return seen;
};
</script>`

// A page of another site, and one of another port of this machine, fail in a browser that is admitted.
// They do so even where they know the folder of the room.
func TestPagesOfOthersFailInTheBrowserOfThePersonOnDuty(t *testing.T) {
	mediatest.SkipInShort(t)
	var reached atomic.Int64 // requests that the room carried out
	room, base := startRoom(t, &fakeRoom{taken: func(string) { reached.Add(1) }, looked: func() { reached.Add(1) }})
	var cookies atomic.Int64 // that the page of others was sent
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cookies.Add(int64(len(r.Cookies())))
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprint(w, evilPage)
	}))
	defer evil.Close()
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(evil.URL, "http://"))
	page := openRoom(t, room.URL(base), chromedp.Flag("host-resolver-rules", "MAP *.example 127.0.0.1"))
	opened := mediatest.Eval[string](t, page.ctx, `location.origin + location.pathname`)
	folder := strings.TrimSuffix(opened, "/")
	tab := mediatest.Tab(t, page.ctx) // with the cookies of the room's page
	for name, origin := range map[string]string{
		"another port of this machine": "http://127.0.0.1:" + port,
		"another name of this machine": "http://localhost:" + port,
		"another site":                 "http://evil.example:" + port,
	} {
		t.Run(name, func(t *testing.T) {
			mediatest.Open(t, tab, "about:blank")
			mediatest.Open(t, page.ctx, "about:blank") // the room's own page is quiet
			reached.Store(0)
			mediatest.Open(t, tab, origin+"/?room="+url.QueryEscape(folder))
			got := mediatest.Eval[map[string]string](t, tab, `attack()`)
			// What a page without rights sees of a no-cors answer is nothing, or that there was one.
			for _, attempt := range []string{"no-cors", "no-cors POST"} {
				if got[attempt] == "opaque" {
					got[attempt] = "refused"
				}
			}
			want := map[string]string{
				"img": "refused", "script": "refused", "fetch": "refused", "fetch PUT": "refused",
				"no-cors": "refused", "no-cors POST": "refused", "iframe": "refused",
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if n := reached.Load(); n > 0 {
				t.Errorf("%d requests were carried out", n)
			}
			if n := cookies.Load(); n > 0 {
				t.Errorf("%d cookies of the room came to %s", n, origin)
			}
		})
	}

	t.Run("rebinding", func(t *testing.T) {
		mediatest.Open(t, tab, strings.Replace(folder, "127.0.0.1", "rebound.example", 1)+"/room/state")
		if got := mediatest.Eval[string](t, tab, `document.body.innerText`); !strings.Contains(got, "not served by this name") {
			t.Errorf("the page is %q", got)
		}
	})

	t.Run("the person is still admitted", func(t *testing.T) {
		mediatest.Open(t, page.ctx, opened)
		page.await(`document.querySelectorAll(".tile").length > 0`)
	})
}

// Whatever a name holds, the page shows it as text.
func TestScriptInNamesIsText(t *testing.T) {
	mediatest.SkipInShort(t)
	const script = `<img src=x onerror="window.ran=1"><script>window.ran=1</script>"'&amp;{{x}}`
	now := "window.ran"
	status := &api.Pair{
		Name: script, Active: "Primary", OnAir: true, Reason: script, Select: script,
		LastSwitch: &api.Switch{From: script, To: script, Reason: script},
		Legs:       []api.Leg{{Role: "Primary", StreamID: script, Rank: script, Live: true, Warnings: []api.Warning{{Code: script, Message: script}}}},
	}
	age := int64(0)
	measures := &api.PairMeasures{Legs: []api.LegMeasures{{Role: "Primary", AgeMilliseconds: &age, Faults: []string{script}, Unwatched: script}}}
	room, base := startRoom(t, &fakeRoom{state: controlroom.State{Place: script, Pairs: []controlroom.Pair{{
		Name: script, Status: status, Measures: measures, Warnings: []string{script}, Credentials: []controlroom.Credential{{Name: script}},
	}}}})
	page := openRoom(t, room.URL(base))
	for _, selector := range []string{"#place", ".tile h2", ".why", ".id", ".state", ".faults", ".alarms", ".switches"} {
		page.await(fmt.Sprintf(`text(%q).toLowerCase().includes("onerror=")`, selector))
	}
	page.click(`[data-take="Primary"]`)
	page.await(`text(".answer").includes("<img src=x")`)
	if mediatest.Eval[bool](t, page.ctx, now+` !== undefined || document.querySelectorAll("img:not(.picture), .tile script").length > 0`) {
		t.Error("a name became markup")
	}
	refused := mediatest.Eval[string](t, page.ctx, `(() => { try { document.querySelector(".tile").innerHTML = "<b>x</b>"; return ""; } catch (e) { return e.name; } })()`)
	if refused != "TypeError" {
		t.Errorf("markup by script: %q, want a TypeError of trusted types", refused)
	}
}

// fakeRoom is a controlroom.Source. Its functions may be nil.
type fakeRoom struct {
	state  controlroom.State
	taken  func(selection string)
	looked func()
}

func (f *fakeRoom) State(context.Context) controlroom.State {
	if f.looked != nil {
		f.looked()
	}
	if len(f.state.Pairs) == 0 {
		return controlroom.State{Pairs: []controlroom.Pair{{Name: "sunday", Status: &api.Pair{Name: "sunday"}}}}
	}
	return f.state
}

func (f *fakeRoom) Thumbnail(context.Context, string, string) ([]byte, error) {
	if f.looked != nil {
		f.looked()
	}
	return []byte("\xff\xd8"), nil
}

func (f *fakeRoom) Take(_ context.Context, pair, selection string) error {
	if f.taken != nil {
		f.taken(selection)
	}
	return fmt.Errorf("%s cannot be taken", pair)
}

// startRoom serves a control room until the test ends.
func startRoom(t *testing.T, source controlroom.Source) (room *controlroom.Room, base string) {
	t.Helper()
	room = controlroom.New(controlroom.Config{Source: source})
	server := httptest.NewServer(room.Handler())
	t.Cleanup(server.Close)
	return room, server.URL
}
