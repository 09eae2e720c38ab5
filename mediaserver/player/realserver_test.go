package player_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/bits"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/config"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/server"
)

const everybody = `
apiVersion: media.streampair.dev/v1alpha1
kind: StreamPair
metadata: {name: sunday}
spec:
  primary: {streamID: primary}
  backup: {streamID: backup}
  publish: {auth: None}
`

const viewersKey = "0123456789abcdef0123456789abcdef"

// signed are the parts of a manifest by which viewers need a JSON Web Token as long as they watch.
const signed = `  playback: {auth: JWT, tokenSecretRef: {name: keys}, endSessionsAtExpiry: true}
---
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {jwtKey: ` + viewersKey + `}
`

// startServer runs a whole media server with that manifest until the test ends.
func startServer(t *testing.T, manifest string) *server.Server {
	t.Helper()
	m, err := config.ParseManifest(config.Manifest{}, config.Source{Name: "manifest", Content: []byte(manifest)})
	if err != nil {
		t.Fatal(err)
	}
	const free = "127.0.0.1:0"
	s, err := server.New(server.Config{
		Config: config.Config{
			Manifest: m, RTMPAddress: free, HTTPAddress: free, WebRTCAddress: free, ProbeAddress: free, ControlAddress: free,
			MaxViewers: 20, MaxTranscodes: 2,
		},
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the server ended: %v", err)
		}
	})
	return s
}

func viewersOf(s *server.Server) (viewers int) {
	for _, p := range s.Status().Pairs {
		viewers += p.Viewers
	}
	return viewers
}

// behindPrefix returns the address of a proxy that strips a prefix, which is the address's path.
func behindPrefix(t *testing.T, s *server.Server) string {
	t.Helper()
	const prefix = "/some/prefix"
	target := &url.URL{Scheme: "http", Host: s.Addresses().HTTP}
	proxy := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.URL.Path = strings.TrimPrefix(r.In.URL.Path, prefix)
		r.Out.Header.Set("X-Forwarded-Prefix", prefix)
	}}
	front := httptest.NewServer(http.StripPrefix("", proxy))
	t.Cleanup(func() {
		front.CloseClientConnections()
		front.Close()
	})
	return front.URL + prefix
}

// strict is the policy of a page that allows the player and nothing else. ORIGIN stands for the
// server's origin.
const strict = "default-src 'none'; script-src 'self' ORIGIN; connect-src ORIGIN; media-src blob:; base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

func TestElementThroughASwitchOfAServerBehindAPrefix(t *testing.T) {
	browser := mediatest.Browser(t)
	s := startServer(t, everybody)
	publish := func(id, color string) *mediatest.Publisher {
		file := mediatest.File(t, mediatest.Spec{Color: color})
		return mediatest.Publish(t, file, "rtmp://"+s.Addresses().RTMP+"/live/"+id, "-stream_loop", "-1")
	}
	base := behindPrefix(t, s)
	origin := strings.TrimSuffix(base, "/some/prefix")
	primary := publish("primary", "0xff0000")
	p := newSite(t, browser, base, strings.ReplaceAll(strict, "ORIGIN", origin), loading+element)
	p.await(`plays("red") && one.state.onAir`)
	publish("backup", "0x0000ff")
	p.await(`one.state.legs.every(leg => leg.live)`)
	p.run(`window.before = one.video; heard.length = 0`)
	primary.Kill()
	p.await(`plays("blue") && heard.some(e => e.type === "switched" && e.role === "Backup")`)
	p.await(`one.video === before && one.state.connectionsOpened === 1 && violations.length === 0 && !heard.some(e => e.type === "error")`)

	p.run(`one.playOrder = "hls"`)
	p.await(`plays("blue") && one.state.protocol === "hls" && violations.length === 0`)
	eventually.True(t, "the WebRTC session has ended", func() bool { return viewersOf(s) == 0 })
	p.run(`one.playOrder = "webrtc,hls"`)
	p.await(`plays("blue") && one.state.protocol === "webrtc"`)
	p.run(`one.remove()`)
	eventually.True(t, "no session is left", func() bool { return viewersOf(s) == 0 })
}

// TestPlaybackOutlivesAToken: a session of WebRTC is told the next token, and HLS asks with it for
// segments that a playlist names with the token before.
func TestPlaybackOutlivesAToken(t *testing.T) {
	t.Parallel() // it waits most of the time
	browser := mediatest.Browser(t)
	s := startServer(t, everybody+signed)
	mediatest.Publish(t, mediatest.File(t, mediatest.Spec{Color: "0xff0000"}), "rtmp://"+s.Addresses().RTMP+"/live/primary", "-stream_loop", "-1")
	token := func(expires time.Time) string {
		token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{Subject: "sunday", ExpiresAt: jwt.NewNumericDate(expires)}).SignedString([]byte(viewersKey))
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	expires := time.Now().Add(20 * time.Second)
	first := strings.Replace(element, "autoplay", `autoplay token="`+token(expires)+`"`, 1)
	p := newSite(t, browser, "http://"+s.Addresses().HTTP, "", loading+first+strings.NewReplacer("one", "two", `"webrtc"`, `"hls"`).Replace(first))
	p.await(`plays("red", one) && plays("red", two) && heard.filter(e => e.type === "tokenexpiring").length === 2`)
	p.run(`one.token = two.token = "` + token(expires.Add(time.Hour)) + `"; two.video.addEventListener("emptied", () => heard.push({type: "emptied"}))`)
	const leeway, window = 15 * time.Second, 10 * time.Second // more than the server's leeway, and some segments
	time.Sleep(time.Until(expires.Add(leeway + window)))
	p.run(`window.before = [one.video.currentTime, two.video.currentTime]`)
	p.await(`plays("red", one) && plays("red", two) && one.video.currentTime > before[0] + 3 && two.video.currentTime > before[1] + 3`)
	// A refused token would be an error, and would empty the element. A machine that is held up stalls HLS.
	p.await(`one.state.connectionsOpened === 1 && one.state.eventsConnected && !heard.some(e => ["emptied", "error"].includes(e.type))`)
}

// A browser shows no page what else is in a picture that comes by WebRTC.
func TestCaptionsAreShownByHLS(t *testing.T) {
	browser := mediatest.Browser(t)
	s := startServer(t, everybody)
	mediatest.Start(t, "-re", "-fflags", "+genpts", "-framerate", "30", "-f", "h264", "-i", captioned(t), "-c", "copy", "-f", "flv", "rtmp://"+s.Addresses().RTMP+"/live/primary")
	p := newSite(t, browser, "http://"+s.Addresses().HTTP, strings.ReplaceAll(strict, "ORIGIN", "SERVER"),
		loading+strings.Replace(element, ` play-order="webrtc"`, "", 1))
	p.await(`plays("red") && one.state.protocol === "webrtc" && !one.captions`)
	p.run(`window.before = one.video; part("captions").click()`)
	p.await(`plays("red") && one.state.protocol === "hls" && part("captions").getAttribute("aria-pressed") === "true"`)
	const shown = `[...one.video.textTracks].filter(t => t.mode === "showing").flatMap(t => [...(t.activeCues ?? [])]).map(c => c.text).join(" ")`
	p.await(`(` + shown + `).includes("HELLO") && violations.length === 0`)
	p.screenshot("captions")
	p.await(`before.srcObject.getTracks().every(t => t.readyState === "ended")`) // WebRTC has been stopped
	p.run(`one.captions = false`)
	p.await(`plays("red") && one.state.protocol === "webrtc" && part("captions").getAttribute("aria-pressed") === "false" && !heard.some(e => e.type === "error")`)
}

// captioned is a red programme of two minutes with captions by CEA-608 in its SEI.
func captioned(t *testing.T) string {
	t.Helper()
	plain := filepath.Join(t.TempDir(), "plain.h264")
	encode := exec.CommandContext(t.Context(), "ffmpeg", "-loglevel", "error", "-f", "lavfi", "-i", "color=c=0xff0000:s=320x180:r=30:d=120",
		"-c:v", "libx264", "-preset", "ultrafast", "-g", "30", "-bf", "0", "-x264-params", "slices=1:keyint=30:min-keyint=30:scenecut=0", "-f", "h264", plain)
	if out, err := encode.CombinedOutput(); err != nil {
		t.Fatalf("encode: %v: %s", err, out)
	}
	data, err := os.ReadFile(plain)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	picture := 0
	for _, nalu := range splitAnnexB(data) {
		if kind := nalu[0] & 0x1f; kind == 1 || kind == 5 {
			out.Write(captionSEI(rollUp(picture % 30)))
			picture++
		}
		out.Write([]byte{0, 0, 0, 1})
		out.Write(nalu)
	}
	name := filepath.Join(t.TempDir(), "captioned.h264")
	if err := os.WriteFile(name, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// rollUp returns the two bytes of CEA-608 that the picture n of a second has: the line "HELLO".
func rollUp(n int) [2]byte {
	const (
		rollUpTwoRows  = 0x25
		carriageReturn = 0x2d
		lastRow        = 0x70 // a preamble address code, which begins with 0x14 too
	)
	// Each command is sent twice.
	commands := [][2]byte{{0x14, rollUpTwoRows}, {0x14, rollUpTwoRows}, {0x14, carriageReturn}, {0x14, carriageReturn}, {0x14, lastRow}, {0x14, lastRow}, {'H', 'E'}, {'L', 'L'}, {'O', 0}}
	if n < len(commands) {
		return commands[n]
	}
	return [2]byte{}
}

// captionSEI is a SEI NAL unit with two bytes of CEA-608 (ANSI/SCTE 128 section 8.1).
func captionSEI(pair [2]byte) []byte {
	for i, b := range pair {
		if bits.OnesCount8(b)%2 == 0 {
			pair[i] |= 0x80 // odd parity
		}
	}
	payload := []byte{0xb5, 0x00, 0x31, 'G', 'A', '9', '4', 0x03, 0xc1, 0xff, 0xfc, pair[0], pair[1], 0xff}
	const userDataRegistered = 4
	sei := append([]byte{0, 0, 0, 1, 0x06, userDataRegistered, byte(len(payload))}, payload...)
	return append(sei, 0x80)
}
