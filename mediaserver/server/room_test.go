package server

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/mediaserver/mediatest"
)

// A local user without the key sees no page, no picture and no measures, and takes nothing by the
// page's address. The commands of before are taken as before.
func TestTheRoomOnTheCommandPort(t *testing.T) {
	s := startServer(t, sticky, watching)
	opened := s.RoomURL()
	u, err := url.Parse(opened)
	if err != nil || u.Host != s.Addresses().Control {
		t.Fatalf("the URL is %q, %v; the command port is %s", opened, err, s.Addresses().Control)
	}
	base := "http://" + u.Host
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	person := &http.Client{Jar: jar}
	t.Cleanup(person.CloseIdleConnections)
	answer, err := person.Get(opened)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	folder := answer.Request.URL.Path
	if got := answer.Request.URL; got.RawQuery != "" || len(folder) < 26 || answer.StatusCode != http.StatusOK {
		t.Errorf("the key led to %s: %s", got, answer.Status)
	}
	for path, want := range map[string][2]int{ // with the cookie, and without
		folder + "room/state":                        {200, 401},
		folder + "room/pairs/sunday/Primary/picture": {404, 401},
		"/room/state":                                {401, 401}, // the cookie is for the folder
		"/v1/measures":                               {401, 401},
		"/v1/thumbnails/live/primary":                {401, 401},
		"/v1/status":                                 {200, 200},
		"/v2":                                        {401, 401},
	} {
		var got [2]int
		for i, client := range []*http.Client{person, http.DefaultClient} {
			answer, err := client.Get(base + path)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			got[i] = answer.StatusCode
		}
		if got != want {
			t.Errorf("%s: %v with the cookie and without, want %v", path, got, want)
		}
	}
}

// A media pod has no room on its command port: kubectl streampair monitor serves it.
func TestAMediaPodHasNoRoom(t *testing.T) {
	s := startServer(t, sticky, watching, func(c *Config) { c.Role = "Primary" })
	if got := s.RoomURL(); got != "" {
		t.Errorf("the URL is %q", got)
	}
	s.ask("http://"+s.Addresses().Control+"/", http.StatusNotFound)
}

// The person on duty sees both legs, takes the backup, and returns to the primary by the keyboard.
func TestTheControlRoomInChromium(t *testing.T) {
	mediatest.SkipInShort(t)
	s := startServer(t, sticky, watching)
	s.encode("primary", "null", "anull")
	s.encode("backup", "hue=h=90", "anull")
	s.onAir("primary", true, true)
	page := openRoom(t, s.RoomURL())
	page.await(`location.search === "" && text(".headline") === "Primary on air"`)
	page.await(`[...document.querySelectorAll(".picture")].every(i => i.naturalWidth > 0 && !i.hidden)`)
	page.await(`[...document.querySelectorAll(".state")].every(e => e.textContent === "live") && [...document.querySelectorAll(".loudness")].every(e => e.textContent.endsWith("LUFS"))`)
	page.await(`[...document.querySelectorAll(".leg .figures")].every(e => e.textContent.includes("25 fps") && e.textContent.includes("key frame 2.0 s"))`)
	mediatest.Screenshot(t, page.ctx, "control-room")

	// The page says how old a picture is that is older than 3 s. Encoders send a key frame every 2 s.
	for range 3 {
		page.do(chromedp.Evaluate[chromedp.Void](`window.shown = [...document.querySelectorAll(".picture")].map(i => i.src)`))
		page.await(`[...document.querySelectorAll(".picture")].every((i, n) => i.complete && i.src !== shown[n]) && [...document.querySelectorAll(".note")].every(n => n.textContent === "")`)
		t.Logf("a new picture of both legs, the older one of %.0f ms ago", evaluate[float64](&page.page,
			`Math.max(...[...document.querySelectorAll(".picture")].map(i => Date.now() - Number(new URL(i.src).searchParams.get("at"))))`))
	}

	page.click(`[data-take="Backup"]`)
	began := time.Now()
	page.await(`text(".answer").startsWith("Backup: accepted")`)
	t.Logf("accepted after %v", time.Since(began).Round(ms))
	page.await(`text(".headline") === "Backup on air" && document.querySelector('[data-take="Backup"]').ariaPressed === "true"`)
	t.Logf("on air after %v, with a key frame every 2 s", time.Since(began).Round(ms))
	page.await(`text(".switches").includes("to backup: it was selected")`)

	page.press("p")
	page.await(`text(".headline") === "Primary on air"`)
	page.press("a")
	page.await(`document.querySelector('[data-take="Auto"]').ariaPressed === "true"`)
	if got := s.pair("sunday").Select; got != "Auto" {
		t.Errorf("select is %s", got)
	}
}

// A server that has gone leaves a stale tile without a Take.
func TestAControlRoomWithoutNewsTakesNothing(t *testing.T) {
	mediatest.SkipInShort(t)
	s := startServer(t, sticky, watching)
	page := openRoom(t, s.RoomURL())
	page.await(`document.querySelector(".tile").dataset.stale === "false" && document.querySelectorAll(".take:not(:disabled)").length === 3`)
	s.end()
	page.await(`document.querySelector(".tile").dataset.stale === "true" && text(".stale").startsWith("no news for")`)
	page.await(`document.querySelectorAll(".take:disabled").length === 3 && text("#notice") !== ""`)
	mediatest.Screenshot(t, page.ctx, "control-room-stale")
}

// wallOf returns a manifest with n pairs.
func wallOf(n int) string {
	var documents []string
	for i := range n {
		name := string(rune('a' + i))
		documents = append(documents, strings.NewReplacer("name: sunday", "name: studio-"+name, "streamID: primary", "streamID: "+name+"1", "streamID: backup", "streamID: "+name+"2").Replace(sticky))
	}
	return strings.Join(documents, "\n---\n")
}

// Encoders of all pairs but the last two legs send one programme.
func TestAWallOfTwelve(t *testing.T) {
	mediatest.SkipInShort(t)
	s := startServer(t, wallOf(12), func(c *Config) { c.MaxAnalysers = 24 })
	programme := contentFile(t, 20)
	for i := range 12 {
		name := string(rune('a' + i))
		if i < 11 {
			mediatest.Publish(t, programme, s.publishURL(name+"1"), "-stream_loop", "-1")
			mediatest.Publish(t, programme, s.publishURL(name+"2"), "-stream_loop", "-1")
		}
	}
	page := openRoom(t, s.RoomURL())
	page.resize(1920, 1080)
	page.await(`document.querySelectorAll(".tile").length === 12 && document.querySelectorAll('[data-onair="none"].tile').length === 1`)
	page.await(`[...document.querySelectorAll(".picture")].filter(i => !i.hidden && i.naturalWidth > 0).length === 22 && [...document.querySelectorAll(".state")].filter(e => e.textContent === "live").length === 22`)
	mediatest.Screenshot(t, page.ctx, "control-room-wall")
	page.await(`wall.scrollHeight <= wall.clientHeight && document.documentElement.scrollHeight <= innerHeight && [...document.querySelectorAll(".tile")].every(t => t.scrollHeight <= t.clientHeight)`)

	var got [][2]string
	page.press(kb.ArrowRight)
	for _, key := range []string{kb.ArrowRight, kb.ArrowDown, kb.ArrowLeft, kb.ArrowUp} {
		page.press(key)
		got = append(got, [2]string{key, mediatest.Eval[string](t, page.ctx, `document.activeElement.dataset.pair`)})
	}
	want := [][2]string{{kb.ArrowRight, "studio-b"}, {kb.ArrowDown, "studio-f"}, {kb.ArrowLeft, "studio-e"}, {kb.ArrowUp, "studio-a"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	page.press("\r")
	page.await(`document.querySelectorAll(".tile").length === 1 && text(".tile h2") === "studio-a"`)
	page.press(kb.Escape)
	page.await(`document.querySelectorAll(".tile").length === 12`)

	page.resize(820, 1180) // a tablet
	page.await(`document.documentElement.scrollWidth <= innerWidth && [...document.querySelectorAll(".take")].every(b => b.getBoundingClientRect().height >= 44)`)
	mediatest.Screenshot(t, page.ctx, "control-room-tablet")
}
