package hls

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/streampair/streampair/mediaserver/budget"
	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const playlistPath = "/live/streams/one.m3u8"

func TestALiveStreamIsHeldUntilItCanBePlayed(t *testing.T) {
	inBubble(t, func(r *rig) {
		defer r.publish("one")()
		time.Sleep(time.Second)
		began := time.Now()
		res := r.get(playlistPath)
		text := r.text(res, http.StatusOK)
		if waited := time.Since(began); waited > 2*time.Second {
			t.Errorf("it was held for %v", waited)
		}
		if got := res.Header.Get("Access-Control-Allow-Origin"); got != "*" {
			t.Errorf("CORS allows %q", got)
		}
		segments, parts, maps := uris(text, ""), uris(text, "#EXT-X-PART"), uris(text, "#EXT-X-MAP")
		if len(segments) != 1 || len(parts) < 2 || len(maps) != 1 {
			t.Fatalf("not what a live stream has:\n%s", text)
		}
		for _, name := range append(append(segments, parts...), maps...) {
			res := r.get("/live/streams/" + name)
			if body := r.text(res, http.StatusOK); len(body) == 0 {
				t.Errorf("%s is empty", name)
			}
			if cache := res.Header.Get("Cache-Control"); !strings.Contains(cache, "immutable") {
				t.Errorf("%s: %s", name, cache)
			}
		}
		if first := number(t, text, "#EXT-X-MEDIA-SEQUENCE"); first < began.Unix() {
			t.Errorf("the media sequence begins at %d, before %d", first, began.Unix())
		}
	})
}

func TestADarkStreamIsHeldAndThenNotFound(t *testing.T) {
	inBubble(t, func(r *rig) {
		for _, path := range []string{playlistPath, "/live/streams/one_adaptive.m3u8"} {
			began := time.Now()
			res := r.get(path)
			r.text(res, http.StatusNotFound)
			if waited := time.Since(began); waited != darkHold {
				t.Errorf("it was held for %v", waited)
			}
			if res.Header.Get("Retry-After") == "" || res.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%v", res.Header)
			}
		}
	})
}

func TestAStreamThatBeginsAnswersThoseWhoWait(t *testing.T) {
	inBubble(t, func(r *rig) {
		answered := make(chan int, 3)
		for range cap(answered) {
			go func() { answered <- r.get(playlistPath).StatusCode }()
		}
		time.Sleep(3 * time.Second)
		defer r.publish("one")()
		for range cap(answered) {
			if status := <-answered; status != http.StatusOK {
				t.Errorf("status %d", status)
			}
		}
	})
}

func TestABlockingReloadReturnsWithThePart(t *testing.T) {
	inBubble(t, func(r *rig) {
		stop := r.publish("one")
		time.Sleep(time.Second)
		text := r.text(r.get(playlistPath), http.StatusOK)
		newest := number(t, text, "#EXT-X-MEDIA-SEQUENCE") + int64(len(uris(text, ""))) - 1
		target := number(t, text, "#EXT-X-TARGETDURATION")
		for n := range int64(3) {
			for part := range 3 {
				text = r.text(r.get(fmt.Sprintf("%s?_HLS_msn=%d&_HLS_part=%d", playlistPath, newest+1+n, part)), http.StatusOK)
				if has := number(t, text, "#EXT-X-MEDIA-SEQUENCE") + int64(len(uris(text, ""))); has < newest+1+n {
					t.Errorf("the answer ends before segment %d", newest+1+n)
				}
			}
		}
		hint := uris(text, "#EXT-X-PRELOAD-HINT")
		if len(hint) != 1 {
			t.Fatalf("hints %v", hint)
		}
		r.text(r.get("/live/streams/"+hint[0]), http.StatusOK) // held until it is there

		stop()
		synctest.Wait()
		text = r.text(r.get(playlistPath), http.StatusOK) // the last window
		if hint := uris(text, "#EXT-X-PRELOAD-HINT"); len(hint) != 0 {
			t.Errorf("a dark stream announces %v", hint)
		}
		next := number(t, text, "#EXT-X-MEDIA-SEQUENCE") + int64(len(uris(text, "")))
		began := time.Now()
		res := r.get(fmt.Sprintf("%s?_HLS_msn=%d&_HLS_part=0", playlistPath, next))
		r.text(res, http.StatusServiceUnavailable)
		if waited := time.Since(began); waited != time.Duration(3*target)*time.Second || res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("held for %v, %v", waited, res.Header)
		}
		for _, query := range []string{fmt.Sprintf("?_HLS_msn=%d", next+2), "?_HLS_part=1", "?_HLS_msn=-1", "?_HLS_msn=x"} {
			r.text(r.get(playlistPath+query), http.StatusBadRequest)
		}
	})
}

func TestAHintThatWillNotComeIsNotFound(t *testing.T) {
	inBubble(t, func(r *rig) {
		stop := r.publish("one")
		time.Sleep(time.Second)
		hint := uris(r.text(r.get(playlistPath), http.StatusOK), "#EXT-X-PRELOAD-HINT")
		status := make(chan int)
		go func() { status <- r.get("/live/streams/" + hint[0]).StatusCode }()
		synctest.Wait()
		stop()
		// The last pictures may have made the part after all.
		if got := <-status; got != http.StatusNotFound && got != http.StatusOK {
			t.Errorf("status %d", got)
		}
		r.text(r.get("/live/streams/one/b00t-1-999-0.m4s"), http.StatusNotFound)
		r.text(r.get("/live/streams/other/"+strings.TrimPrefix(hint[0], "one/")), http.StatusNotFound)
	})
}

func TestAPublicationThatFollowsIsADiscontinuity(t *testing.T) {
	inBubble(t, func(r *rig) {
		stop := r.publish("one")
		time.Sleep(5 * time.Second)
		before := r.text(r.get(playlistPath), http.StatusOK)
		stop()
		time.Sleep(2 * time.Second)
		stop = r.publish("one")
		defer stop()
		time.Sleep(5 * time.Second)
		text := r.text(r.get(playlistPath), http.StatusOK)
		if strings.Count(text, "#EXT-X-DISCONTINUITY\n") != 1 || strings.Count(text, "#EXT-X-MAP") != 2 {
			t.Errorf("no discontinuity with a map:\n%s", text)
		}
		if number(t, text, "#EXT-X-DISCONTINUITY-SEQUENCE") != number(t, before, "#EXT-X-DISCONTINUITY-SEQUENCE") {
			t.Error("the discontinuity sequence counts a tag that is still there")
		}
	})
}

func TestHTTP(t *testing.T) {
	inBubble(t, func(r *rig) {
		defer r.publish("one")()
		time.Sleep(9 * time.Second)
		res := r.get(playlistPath)
		text := r.text(res, http.StatusOK)
		if got := r.text(r.get(playlistPath, "If-None-Match", res.Header.Get("ETag")), http.StatusNotModified); got != "" {
			t.Errorf("304 with %q", got)
		}
		if got := r.text(r.do(r.t.Context(), http.MethodHead, playlistPath), http.StatusOK); got != "" {
			t.Errorf("HEAD with %q", got)
		}
		zipped := r.get(playlistPath, "Accept-Encoding", "gzip, br")
		if r.text(zipped, http.StatusOK); zipped.Header.Get("Content-Encoding") != "gzip" || zipped.Header.Get("ETag") == res.Header.Get("ETag") {
			t.Errorf("%v", zipped.Header)
		}
		if cache := res.Header.Get("Cache-Control"); cache != "max-age=1" && cache != "max-age=2" {
			t.Errorf("a playlist is cached: %s", cache)
		}
		segment := "/live/streams/" + uris(text, "")[0]
		whole := r.text(r.get(segment), http.StatusOK)
		part := r.get(segment, "Range", "bytes=1000-1999")
		if got := r.text(part, http.StatusPartialContent); got != whole[1000:2000] {
			t.Errorf("%d bytes of a range differ", len(got))
		}
		r.text(r.get(segment, "If-None-Match", part.Header.Get("ETag")), http.StatusNotModified)
		preflight := r.do(r.t.Context(), http.MethodOptions, segment)
		if r.text(preflight, http.StatusNoContent); preflight.Header.Get("Access-Control-Allow-Methods") == "" {
			t.Error("no answer to a preflight")
		}
		multivariant := r.text(r.get("/live/streams/one_adaptive.m3u8"), http.StatusOK)
		if !strings.Contains(multivariant, `CODECS="avc1.42c028,mp4a.40.2",RESOLUTION=1920x1080,FRAME-RATE=`) || uris(multivariant, "")[0] != "one.m3u8" {
			t.Error(multivariant)
		}
		for path, status := range map[string]int{
			"/live/streams/one.txt": http.StatusNotFound, "/live/streams/.m3u8": http.StatusNotFound,
			playlistPath + "?backupStreamId=one": http.StatusNotFound,
		} {
			r.text(r.get(path), status)
		}
	})
}

func TestATokenIsCarriedByTheQueryOnly(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.token = "a b"
		end := r.publish("one")
		time.Sleep(5 * time.Second)
		for _, path := range []string{playlistPath, playlistPath + "?token=x", "/live/streams/one/b00t-1-0.m4s"} {
			res := r.get(path)
			if r.text(res, http.StatusUnauthorized); res.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%v", res.Header)
			}
		}
		r.text(r.get(playlistPath+"?token=a+b"), http.StatusOK)
		end() // so that the playlist does not change between two requests
		time.Sleep(time.Second)
		byQuery := r.get(playlistPath + "?token=a+b")
		byCookie := r.get(playlistPath, "Cookie", `streampair_token="a b"`)
		byHeader := r.get(playlistPath, "Authorization", "Bearer a b")
		if byQuery.Header.Get("ETag") != byCookie.Header.Get("ETag") {
			t.Error("the token changes the ETag")
		}
		for _, name := range uris(r.text(byQuery, http.StatusOK), "") {
			if !strings.HasSuffix(name, "?token=a+b") {
				t.Errorf("%s has no token", name)
			}
			r.text(r.get("/live/streams/"+name), http.StatusOK)
		}
		for _, res := range []*http.Response{byCookie, byHeader} {
			if text := r.text(res, http.StatusOK); strings.Contains(text, "token") {
				t.Error("a name carries the token")
			}
		}
		if got := uris(r.text(r.get("/live/streams/one_adaptive.m3u8?token=a+b"), http.StatusOK), ""); got[0] != "one.m3u8?token=a+b" {
			t.Error(got)
		}
	})
}

func TestAPlaylistEndsWhenNobodyAsksAndNumbersGoOn(t *testing.T) {
	inBubble(t, func(r *rig) {
		defer r.publish("one")()
		time.Sleep(5 * time.Second)
		first := r.text(r.get(playlistPath), http.StatusOK)
		time.Sleep(2 * leastLinger)
		r.mu.Lock()
		if len(r.all) != 0 || len(r.byStream) != 0 || r.making.Taken() != 0 {
			t.Error("the playlist goes on")
		}
		r.next = 1 << 40 // as if it had gone on for long
		r.mu.Unlock()
		second := r.text(r.get(playlistPath), http.StatusOK)
		if a, b := number(t, first, "#EXT-X-MEDIA-SEQUENCE"), number(t, second, "#EXT-X-MEDIA-SEQUENCE"); b != 1<<40 || b <= a {
			t.Errorf("%d after %d", b, a)
		}
		if a, b := uris(first, ""), uris(second, ""); a[0] == b[0] {
			t.Errorf("%s was used again", a[0])
		}
	})
}

func TestRequestsThatWaitAreBounded(t *testing.T) {
	inBubble(t, func(r *rig) {
		ctx, cancel := context.WithCancel(r.t.Context())
		const held, more = 4, 3
		answers := make(chan *http.Response, held+more)
		for range held + more {
			go func() { answers <- r.do(ctx, http.MethodGet, playlistPath) }()
		}
		synctest.Wait()
		if got := r.waiting.Taken(); got != held {
			t.Errorf("%d requests wait", got)
		}
		for range more { // the newest wait, and the others are told so at once
			res := <-answers
			if text := r.text(res, http.StatusServiceUnavailable); !strings.Contains(text, "place") || res.Header.Get("Retry-After") == "" {
				t.Errorf("%s %v", text, res.Header)
			}
		}
		for n := range 3 {
			go r.do(ctx, http.MethodGet, fmt.Sprintf("/live/streams/s%d.m3u8", n))
		}
		synctest.Wait()
		if got := r.making.Taken(); got > 3 {
			t.Errorf("%d programmes", got)
		}
		cancel()
		synctest.Wait()
		if got := r.waiting.Taken(); got != 0 {
			t.Errorf("%d requests wait", got)
		}
	}, func(c *Config) { c.Limits = &Limits{Programmes: 3, Waiting: 100, WaitingPerNetwork: 4} })
}

func TestTheWindowShrinksWhenMemoryIsShort(t *testing.T) {
	var small *budget.Budget
	inBubble(t, func(r *rig) {
		defer r.publish("one")()
		for range 40 {
			time.Sleep(time.Second)
			r.text(r.get(playlistPath), http.StatusOK)
		}
		text := r.text(r.get(playlistPath), http.StatusOK)
		if n := len(uris(text, "")); n < leastSegments-1 || n > 6 {
			t.Errorf("%d segments", n)
		}
		if used := small.Used(budget.Undeclared); used > small.Limit()+256<<10 {
			t.Errorf("%d bytes are held", used)
		}
	}, func(c *Config) {
		small = budget.New(192 << 10)
		c.Budget = small
	})
}

func TestPlansKeepTracksAndDurations(t *testing.T) {
	published := func(video, sound bool, interval, idr time.Duration) (s stream.Snapshot) {
		s.Publication = &stream.PublicationSnapshot{}
		if video {
			s.Video = stream.TrackSnapshot{Announced: true, Format: &stream.Format{Codec: stream.H264, SPS: sps, PPS: pps}, Interval: interval}
		}
		if sound {
			s.Audio = stream.TrackSnapshot{Announced: true, Format: &stream.Format{Codec: stream.Opus, SampleRate: 48000, Channels: 2}}
		}
		s.IDRInterval = idr
		return s
	}
	const frame = time.Second / 30
	for _, test := range []struct {
		name         string
		active       stream.Snapshot
		other        stream.Snapshot
		video, sound bool
		target, part time.Duration
		ok           bool
	}{
		{"both alike", published(true, true, frame, 2*time.Second), published(true, true, frame, 2013*ms), true, true, 2 * time.Second, 272 * ms, true},
		{"times in whole milliseconds", published(true, true, 33*ms, 2*time.Second), stream.Snapshot{}, true, true, 2 * time.Second, 269 * ms, true},
		{"longer GOPs of the other leg", published(true, true, frame, time.Second), published(true, true, frame, 4*time.Second), true, true, 4 * time.Second, 272 * ms, true},
		{"GOPs that do not divide", published(true, true, frame, 1500*ms), stream.Snapshot{}, true, true, 3 * time.Second, 272 * ms, true},
		{"GOPs above the bound", published(true, true, frame, time.Minute), stream.Snapshot{}, true, true, maxTarget, 272 * ms, true},
		{"GOPs that are unknown", published(true, true, frame, 0), stream.Snapshot{}, true, true, 4 * time.Second, 272 * ms, true},
		{"slow pictures", published(true, true, 200*ms, 2*time.Second), stream.Snapshot{}, true, true, 2 * time.Second, 402 * ms, true},
		{"the other leg has the sound", published(true, false, frame, 2*time.Second), published(true, true, frame, 2*time.Second), true, true, 2 * time.Second, 272 * ms, true},
		{"sound alone", published(false, true, 0, 0), stream.Snapshot{}, false, true, 2 * time.Second, 250 * ms, true},
		{"the other leg has the picture", published(false, true, 0, 0), published(true, true, frame, 0), true, true, 4 * time.Second, 272 * ms, false},
		{"nobody publishes", stream.Snapshot{}, stream.Snapshot{}, false, false, 0, 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, ok := makePlan(test.active, []stream.Snapshot{test.active, test.other}, DefaultSettings(), time.Hour)
			if ok != test.ok || p.Video != test.video || p.Sound != test.sound || p.Target != test.target || p.PartTarget != test.part || p.Sound && p.Silence == nil {
				t.Errorf("%v, %+v", ok, p)
			}
		})
	}
}

func TestContentIsSentWithoutABuffer(t *testing.T) {
	for ranges, want := range map[string]string{
		"": "abcdefghi", "bytes=0-0": "a", "bytes=2-3": "cd", "bytes=1-7": "bcdefgh", "bytes=-1": "i", "bytes=3-": "defghi",
	} {
		r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
		r.Header.Set("Range", ranges)
		w.Header().Set("Content-Type", mediaType)
		http.ServeContent(wholeWriter{w}, r, "", time.Time{}, newContent([][]byte{[]byte("abc"), {}, []byte("defgh"), []byte("i")}))
		if got := w.Body.String(); got != want {
			t.Errorf("%q: %q", ranges, got)
		}
	}
}

func TestContentIsReadInAnyPieces(t *testing.T) {
	c := newContent([][]byte{[]byte("abc"), {}, []byte("defgh"), []byte("i")})
	for _, size := range []int{1, 2, 4, 100} {
		for offset := range int64(10) {
			if _, err := c.Seek(offset, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			var got []byte
			for b := make([]byte, size); ; {
				n, err := c.Read(b)
				got = append(got, b[:n]...)
				if err == io.EOF {
					break
				}
			}
			if want := "abcdefghi"[offset:]; string(got) != want {
				t.Errorf("from %d by %d: %q", offset, size, got)
			}
		}
	}
}

func TestAPlaylistIsKept(t *testing.T) {
	key := failover.PairKey{App: "live", Primary: "primary"}
	inBubble(t, func(r *rig) {
		defer r.publish("primary")()
		r.Keep([]failover.PairKey{key})
		time.Sleep(5 * time.Minute)
		began := time.Now()
		text := r.text(r.get(alone), http.StatusOK)
		if held := time.Since(began); held > 0 || len(uris(text, "")) < 10 {
			t.Errorf("held for %v:\n%s", held, text)
		}
		r.Keep(nil)
		time.Sleep(time.Minute)
		if all := r.programmes(); len(all) > 0 {
			t.Errorf("%d playlists stay", len(all))
		}
	})
}

func TestAPlaylistThatIsTurnedOffEnds(t *testing.T) {
	var isOff atomic.Bool
	inBubble(t, func(r *rig) {
		defer r.publish("primary")()
		r.text(r.get(alone), http.StatusOK)
		isOff.Store(true)
		time.Sleep(time.Second)
		if all := r.programmes(); len(all) > 0 {
			t.Errorf("%d playlists go on", len(all))
		}
		if text := r.text(r.get(alone), http.StatusNotFound); !strings.Contains(text, "spec.playback.hls.mode") {
			t.Errorf("%s", text)
		}
	}, func(c *Config) {
		c.SettingsOf = func(failover.PairKey) Settings {
			settings := DefaultSettings()
			if isOff.Load() {
				settings.Mode = Off
			}
			return settings
		}
	})
}

func TestPagesOfOtherSites(t *testing.T) {
	const ours, theirs = "https://www.example.com", "https://other.example.com"
	withOrigins := func(c *Config) { c.Origins = func(string, string) []string { return []string{ours} } }
	inBubble(t, func(r *rig) {
		defer r.publish("primary")()
		for _, test := range []struct {
			what, method string
			headers      []string
			origin       string // that may read the answer
			credentials  string
		}{
			{"a page of an allowed origin", "GET", []string{"Origin", ours, "Cookie", "streampair_token=x"}, ours, "true"},
			{"another page with the cookie", "GET", []string{"Origin", theirs, "Cookie", "streampair_token=x"}, "", ""},
			{"another page without the cookie", "GET", []string{"Origin", theirs}, "*", ""},
			{"no page", "GET", nil, "*", ""},
			{"the question before a request", "OPTIONS", []string{"Origin", ours}, ours, "true"},
			{"the question of another page", "OPTIONS", []string{"Origin", theirs}, "*", ""},
		} {
			header := r.do(r.t.Context(), test.method, alone, test.headers...).Header
			if header.Get("Access-Control-Allow-Origin") != test.origin || header.Get("Access-Control-Allow-Credentials") != test.credentials || !slices.Contains(header.Values("Vary"), "Origin") {
				t.Errorf("%s: %v", test.what, header)
			}
		}
	}, withOrigins)
}

func TestADrainWaitsForPlayersButNotForLong(t *testing.T) {
	inBubble(t, func(r *rig) {
		defer r.publish("primary")()
		if r.IsNeeded() {
			t.Error("needed by nobody")
		}
		r.text(r.get(alone), http.StatusOK)
		r.Drain()
		if !r.IsNeeded() {
			t.Error("a player has just asked")
		}
		if res := r.get(alone); res.Header.Get("Connection") != "close" {
			t.Errorf("the player is not told to open another connection: %v", res.Header)
		}
		time.Sleep(goneAfter)
		if r.IsNeeded() {
			t.Error("the player has gone")
		}
		for range 30 {
			r.text(r.get(alone), http.StatusOK)
			time.Sleep(time.Second)
		}
		if r.text(r.get(alone), http.StatusOK); r.IsNeeded() {
			t.Error("a drain waits for longer than a window")
		}
	})
}
