package player_test

import (
	"slices"
	"testing"
	"time"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

func TestPlaying(t *testing.T) {
	browser := mediatest.Browser(t)

	t.Run("plays with sound, and tells the page", func(t *testing.T) {
		d := newFakeServer(t)
		v := open(t, browser, d.url("play.html"+pair+"&token=secret&badge=1"))
		v.awaitPlaying(red)
		v.await(`streampair.stats().then && text("badge-text") === "Primary · primary"`)
		if s := v.state(); s.Muted || s.Active != "Primary" || s.ConnectionsOpened != 1 {
			t.Errorf("state %+v", s)
		}
		v.await(`(streampair.stats().then(s => window.last = s), window.last?.fps > 10 && window.last?.audio?.samples > 0 && window.last?.jitterBufferMs > 0)`)
		s := v.stats()
		t.Logf("%+v", s)
		if s.Width != 640 || s.VideoCodec != "H264" || s.AudioCodec != "opus" || s.BitrateBPS == 0 {
			t.Errorf("statistics %+v", s)
		}
		if got := get(d, func() string { return d.tokens[0] }); got != "Bearer secret" {
			t.Errorf("authorization %q", got)
		}
		v.await(`heard.some(e => e.type === "playing") || streampair.state().phase === "playing"`)
		eventually.True(t, "candidates are trickled", func() bool { return get(d, func() int { return d.patches }) > 0 })
		v.screenshot("playing")
		v.press("i")
		v.await(`text("stat-picture") === "640 × 360" && text("stat-fps").includes("frames/s") && text("stat-fps") !== "–" && text("stat-leg") === "Primary · primary"`)
		v.screenshot("statistics")
	})

	for name, old := range map[string]bool{
		"the events' URL has the name that the server gives the session": false,
		"with an older server the events' URL has the session's id":      true,
	} {
		t.Run(name, func(t *testing.T) {
			d := newFakeServer(t)
			d.locked(func() { d.namesByID = old })
			v := open(t, browser, d.url("play.html"+pair))
			v.awaitPlaying(red)
			v.await(`heard.some(e => e.type === "active" && e.streamId === "primary")`)
			want := "s1" + eventsSuffix
			if old {
				want = "s1"
			}
			for _, followed := range get(d, func() []string { return slices.Clone(d.followed) }) {
				if followed != want {
					t.Errorf("events of %q are asked for, want those of %q", followed, want)
				}
			}
			if got := d.offers(); got != 1 {
				t.Errorf("%d sessions were opened, want 1", got)
			}
		})
	}

	t.Run("a session opened before anything is live starts by itself", func(t *testing.T) {
		d := newFakeServer(t)
		d.setState(func(s *pairState) {
			s.Active, s.ActiveStreamID = "", "primary"
			s.setOnAir(false)
		})
		v := open(t, browser, d.url("play.html?name=primary"))
		v.await(`text("message") === "Waiting for the stream “primary” to start…" && streampair.state().phase === "waiting"`)
		v.screenshot("waiting")
		v.stays(6*time.Second, `streampair.state().phase === "waiting"`)
		d.setState(func(s *pairState) {
			s.Active = "Primary"
			s.setOnAir(true)
		})
		v.awaitPlaying(red)
		if got := d.offers(); got != 1 {
			t.Errorf("%d sessions were opened, want 1", got)
		}
		v.await(`heard.some(e => e.type === "playing" && e.role === "Primary") && heard.some(e => e.type === "active" && e.streamId === "primary")`)
	})

	t.Run("a switch changes nothing but the picture", func(t *testing.T) {
		d := newFakeServer(t)
		v := open(t, browser, d.url("play.html"+pair+"&badge"))
		v.awaitPlaying(red)
		v.eval(`(window.pc = streampair.connection(), watchPicture(), "")`)
		before := v.stats()
		d.switchTo("Backup", "backup", "PrimaryInputLost")
		v.awaitPlaying(blue)
		v.await(`text("badge-text") === "Backup · backup" && heard.some(e => e.type === "active" && e.role === "Backup" && e.reason === "PrimaryInputLost" && e.switches === 1)`)
		v.screenshot("backup")
		d.switchTo("Primary", "primary", "Selected")
		v.awaitPlaying(red)
		after := v.stats()
		if after.Video.SSRC != before.Video.SSRC || after.Session != before.Session || after.Connection != 1 {
			t.Errorf("before %+v, after %+v", before, after)
		}
		v.await(`window.pc === streampair.connection() && !colours.none`)
	})

	t.Run("both streams away: the last frame stays, the session too", func(t *testing.T) {
		d := newFakeServer(t)
		v := open(t, browser, d.url("play.html"+pair))
		v.awaitPlaying(red)
		v.eval(`(watchPicture(), "")`)
		d.setState(func(s *pairState) { s.setOnAir(false) })
		v.await(`text("message") === "Both streams are away." && streampair.state().phase === "waiting"`)
		v.screenshot("away")
		v.stays(8*time.Second, `streampair.state().phase === "waiting" && colour() === "red"`)
		d.switchTo("Backup", "backup", "PrimaryInputLost")
		v.awaitPlaying(blue)
		if got := d.offers(); got != 1 {
			t.Errorf("%d sessions were opened, want 1", got)
		}
		v.await(`!colours.none && !colours.other`)
	})

	t.Run("a leg that arrives and cannot be shown is not said to be away", func(t *testing.T) {
		d := newFakeServer(t)
		v := open(t, browser, d.url("play.html"+pair))
		v.awaitPlaying(red)
		d.setState(func(s *pairState) {
			s.setOnAir(false)
			s.Legs[1].Live = true
		})
		v.await(`text("message") === "The stream “backup” arrives, but nothing of it can be shown yet."`)
		v.screenshot("not-entered")
	})

	t.Run("a picture whose pixels are not square has its shape", func(t *testing.T) {
		d := newFakeServer(t)
		v := open(t, browser, d.url("play.html"+pair))
		v.awaitPlaying(red)
		shape := `(() => {
			const video = streampair.video(), style = getComputedStyle(video);
			const width = video.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
			const height = video.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom);
			return style.objectFit === "fill" ? width / height / (video.videoWidth / video.videoHeight) : 1;
		})()`
		v.await(shape + ` === 1`)
		d.setState(func(s *pairState) { s.Legs[1].SampleAspect = 1.5 })
		v.await(shape + ` === 1`)
		d.switchTo("Backup", "backup", "PrimaryInputLost")
		v.awaitPlaying(blue)
		v.await(`Math.abs(` + shape + ` - 1.5) < 0.01`)
		v.screenshot("stretched")
		d.setState(func(s *pairState) { s.Legs[0].SampleAspect = 0.5 })
		d.switchTo("Primary", "primary", "Selected")
		v.await(`Math.abs(` + shape + ` - 0.5) < 0.01`)
	})

	t.Run("the TURN servers that the answer recommends are used", func(t *testing.T) {
		d := newFakeServer(t)
		d.links = []string{
			`<stun://127.0.0.1>; rel="ice-server"`, // no browser understands these two
			`<turn:127.0.0.1:99999>; rel="ice-server"; username="user"; credential="wrong"; credential-type="password"`,
			`<stun:127.0.0.1:9>; rel="ice-server"`,
			`<turn:127.0.0.1:9?transport=tcp>; rel="ice-server"; username="user"; credential="pass,word"; credential-type="password"`,
		}
		v := open(t, browser, d.url("play.html"+pair))
		v.awaitPlaying(red)
		v.await(`(s => s.length === 2 && s[0].urls.includes("stun:127.0.0.1:9") && s[1].username === "user" && s[1].credential === "pass,word")(streampair.connection().getConfiguration().iceServers)`)
	})

	t.Run("sound without a picture plays, and a picture that comes later is shown", func(t *testing.T) {
		d := newFakeServer(t)
		d.locked(func() { d.silent = true })
		v := open(t, browser, d.url("play.html"+pair))
		v.await(`streampair.state().phase === "playing" && text("sound-only") === "Sound only"`)
		v.screenshot("sound-only")
		v.await(`streampair.video().currentTime > 0.5 && !streampair.video().paused && !streampair.video().muted`)
		d.locked(func() { d.silent = false })
		v.awaitPlaying(red)
		v.await(`text("sound-only") === ""`)
	})

	t.Run("a picture without sound plays", func(t *testing.T) {
		d := newFakeServer(t)
		d.locked(func() { d.mute = true })
		v := open(t, browser, d.url("play.html"+pair))
		v.awaitPlaying(red)
		v.stays(2*time.Second, `streampair.state().phase === "playing" && colour() === "red"`)
	})

	t.Run("leaving the page ends the session", func(t *testing.T) {
		d := newFakeServer(t)
		v := open(t, browser, d.url("play.html"+pair))
		v.awaitPlaying(red)
		mediatest.Open(t, v.ctx, "about:blank")
		eventually.True(t, "the session is deleted", func() bool { return get(d, func() int { return d.deletes }) == 1 })
	})
}
