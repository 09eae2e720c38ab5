package server

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// antMediaPlayer opens the unmodified web player of Ant Media Server, in a page of these pages.
func (s *testServer) antMediaPlayer(pages, order string, query ...string) screen {
	s.t.Helper()
	values := url.Values{"id": {"primary"}, "backupStreamId": {"backup"}, "playOrder": {order}, "server": {strings.TrimSuffix(s.url(""), "?")}}
	for i := 0; i < len(query); i += 2 {
		values.Set(query[i], query[i+1])
	}
	player := screen{&page{s.t, mediatest.Browser(s.t)}, "the player of Ant Media Server", `(document.querySelector("video") ?? document.createElement("video"))`}
	player.do(chromedp.Navigate(pages + "play.html?" + values.Encode()))
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("the player said %q", evaluate[[]string](player.page, "window.said"))
		}
	})
	return player
}

// Their player does nothing about a switch: the server switches for it.
func TestThePlayerOfAntMediaServerGoesThroughSwitches(t *testing.T) {
	s := startServer(t, sticky)
	files := [2]string{file(t, mediatest.Programme{}), file(t, mediatest.Programme{Leg: 1})}
	publish := func(leg int) *mediatest.Publisher {
		return mediatest.Publish(t, files[leg], s.publishURL(legIDs[leg]), "-stream_loop", "-1")
	}
	encoders := [2]*mediatest.Publisher{publish(0)}
	s.onAir("primary", true, false)
	encoders[1] = publish(1)
	s.onAir("primary", true, true)
	player := s.antMediaPlayer(mediatest.AntMediaPages(t), "webrtc")
	player.sees(0)
	player.record()
	for n, fail := range []struct {
		name  string
		makes func(*mediatest.Publisher)
		limit time.Duration
	}{
		{"killed", (*mediatest.Publisher).Kill, maxGap},
		{"frozen", (*mediatest.Publisher).Pause, time.Second + maxGap},
		{"stopped", (*mediatest.Publisher).Stop, maxGap},
	} {
		active := n % 2
		time.Sleep(time.Second)
		player.longest()
		fail.makes(encoders[active])
		player.sees(1 - active)
		longest := player.longest()
		t.Logf("%s: no new picture for %v", fail.name, longest)
		if longest > fail.limit {
			t.Errorf("%s: no new picture for %v", fail.name, longest)
		}
		encoders[active].Kill()
		encoders[active] = publish(active)
		s.onAir(legIDs[1-active], true, true)
	}
	const blip = 500 * ms // shorter than the input loss time
	player.longest()
	encoders[1].Pause()
	time.Sleep(blip)
	encoders[1].Resume()
	time.Sleep(2 * time.Second)
	player.sees(1)
	longest := player.longest()
	t.Logf("silent for %v: no new picture for %v", blip, longest)
	if longest > blip+maxGap {
		t.Errorf("silent for %v: no new picture for %v", blip, longest)
	}
	if p := s.pair("sunday"); p.Switches != 3 {
		t.Errorf("%d switches", p.Switches)
	}
	if hidden := evaluate[int](player.page, "window.hidden"); hidden > 0 {
		t.Errorf("the player was hidden %d times", hidden)
	}
	if n := s.whep.ViewerCount(); n != 1 {
		t.Errorf("%d sessions", n)
	}
}

// A player that comes before its stream waits. It needs the viewers' token.
func TestThePlayerOfAntMediaServerWaitsForTheStream(t *testing.T) {
	s := startServer(t, guarded)
	player := s.antMediaPlayer(mediatest.AntMediaPages(t), "webrtc", "token", "watch-me-1")
	time.Sleep(3 * time.Second)
	mediatest.Publish(t, file(t, mediatest.Programme{Leg: 1}), s.publishURL("backup?token=publish-me-1"), "-stream_loop", "-1")
	player.sees(1)
}

// The player sends cookies with its requests for HLS, which asks for a page that is allowed to.
func TestTheHLSOfThePlayerOfAntMediaServerGoesThroughSwitches(t *testing.T) {
	pages := mediatest.AntMediaPages(t)
	s := startServer(t, sticky+"  playback: {allowedOrigins: ["+strings.TrimSuffix(pages, "/")+"]}\n")
	files := [2]string{file(t, mediatest.Programme{}), file(t, mediatest.Programme{Leg: 1})}
	first := mediatest.Publish(t, files[0], s.publishURL("primary"), "-stream_loop", "-1")
	s.onAir("primary", true, false)
	mediatest.Publish(t, files[1], s.publishURL("backup"), "-stream_loop", "-1")
	s.onAir("primary", true, true)
	player := s.antMediaPlayer(pages, "hls")
	player.sees(0)
	player.record()
	first.Kill()
	player.sees(1)
	longest := player.longest()
	t.Logf("no new picture for %v", longest)
	if longest > 15*time.Second {
		t.Errorf("no new picture for %v", longest)
	}
	if hidden := evaluate[int](player.page, "window.hidden"); hidden > 0 {
		t.Errorf("the player was hidden %d times", hidden)
	}
}

func TestTheAdaptorOfAntMediaServerPublishesAndPlays(t *testing.T) {
	s := startServer(t, guarded)
	pages := mediatest.AntMediaPages(t)
	open := func(query url.Values) *page {
		query.Set("socket", "ws"+s.url("websocket")[len("http"):])
		p := &page{t, mediatest.Browser(t)}
		p.do(chromedp.Navigate(pages + "adaptor.html?" + query.Encode()))
		return p
	}
	told := func(p *page, what string) func() bool {
		return func() bool {
			return evaluate[bool](p, `(window.told ?? []).some((info) => info.includes("`+what+`"))`)
		}
	}
	refused := open(url.Values{"id": {"primary"}, "publish": {""}, "token": {"watch-me-1"}})
	eventually.True(t, "a viewer's token does not publish", told(refused, "error: unauthorized_access"))
	publisher := open(url.Values{"id": {"primary"}, "publish": {""}, "token": {"publish-me-1"}})
	eventually.True(t, "the adaptor publishes", told(publisher, "publish_started"))
	s.onAir("primary", true, false)
	viewer := open(url.Values{"id": {"backup"}, "token": {"watch-me-1"}}) // a viewer of either stream gets the pair
	eventually.True(t, "the adaptor plays", told(viewer, "play_started"))
	eventually.True(t, "pictures", func() bool {
		return evaluate[float64](viewer, `document.getElementById("video").getVideoPlaybackQuality().totalVideoFrames`) > 30
	})
	evaluate[any](publisher, `adaptor.stop("primary")`)
	eventually.True(t, "the stream has ended", func() bool { return !s.stream("primary").Publishing })
}

// A pod that drains asks clients of its socket to begin anew, at the other pod. Until then they have
// their pictures.
func TestAViewerByTheAdaptorMovesWhenAPodDrains(t *testing.T) {
	w := startRelayedPair(t, sticky, drainsFor(patience))
	w.publishBoth()
	front := newFront(t, w)
	player := screen{&page{t, mediatest.Browser(t)}, "the adaptor of Ant Media Server", `document.getElementById("video")`}
	player.do(chromedp.Navigate(mediatest.AntMediaPages(t) + "adaptor.html?" + url.Values{
		"id": {"primary"}, "socket": {"ws" + front.URL[len("http"):] + "/live/websocket"},
	}.Encode()))
	player.sees(0)
	pod := 0
	if w.servers[1].whep.ViewerCount() > 0 {
		pod = 1
	}
	player.record()
	time.Sleep(time.Second)
	player.longest()
	front.over.Store(true) // a pod that has ended answers nobody
	w.servers[pod].end()
	took := w.hasEnded(pod, patience)
	eventually.True(t, "the viewer is at the other pod", func() bool { return w.servers[1-pod].whep.ViewerCount() == 1 })
	player.sees(1 - pod) // the leg of the pod that is left
	longest := player.longest()
	t.Logf("the %s's pod has ended after %v; no new picture for %v", legIDs[pod], took.Round(ms), longest)
	if longest > 5*time.Second {
		t.Errorf("no new picture for %v", longest)
	}
}

func TestTheRESTOfAntMediaServer(t *testing.T) {
	s := startServer(t, guarded)
	s.replay("primary?token=publish-me-1", mediatest.Programme{}, mediatest.ReplayOptions{})
	s.onAir("primary", true, false)
	get := func(path, token string, into any) int {
		answer, body := s.do(http.MethodGet, s.url("rest/v2/broadcasts/"+path), "", "Authorization", "Bearer "+token)
		if answer.StatusCode == http.StatusOK {
			if err := json.Unmarshal([]byte(body), into); err != nil {
				t.Errorf("%s: %v: %s", path, err, body)
			}
		}
		return answer.StatusCode
	}
	type broadcast struct {
		StreamID, Status, PublishType string
		Width                         int
	}
	var one broadcast
	if code := get("primary", "watch-me-1", &one); code != http.StatusOK || one.Status != "broadcasting" || one.PublishType != "RTMP" || one.Width == 0 {
		t.Errorf("%d: %+v", code, one)
	}
	if code := get("backup", "watch-me-1", &one); code != http.StatusOK || one.Status != "created" {
		t.Errorf("%d: %+v", code, one)
	}
	for path, want := range map[string]int{"primary": http.StatusUnauthorized, "other": http.StatusNotFound} {
		if code := get(path, "wrong", &one); code != want {
			t.Errorf("%s with a wrong token: %d", path, code)
		}
	}
	var list []broadcast
	var count struct{ Number int }
	if get("list/0/10", "watch-me-1", &list); len(list) != 2 {
		t.Errorf("list: %+v", list)
	}
	if get("list/1/10", "watch-me-1", &list); len(list) != 1 || list[0].StreamID != "primary" {
		t.Errorf("the rest of the list: %+v", list)
	}
	if get("list/0/10", "wrong", &list); len(list) != 0 {
		t.Errorf("without a token: %+v", list)
	}
	if get("count", "watch-me-1", &count); count.Number != 2 {
		t.Errorf("count: %+v", count)
	}
	if code := get("list/x/10", "watch-me-1", &list); code != http.StatusBadRequest {
		t.Errorf("a list that begins nowhere: %d", code)
	}
}
