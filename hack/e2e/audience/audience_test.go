package audience

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/streampair/streampair/hack/e2e/measure"
	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/config"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const manifest = `
apiVersion: media.streampair.dev/v1alpha1
kind: StreamPair
metadata: {name: sunday}
spec:
  primary: {streamID: primary}
  backup: {streamID: backup}
  publish: {auth: None}
`

// A testServer is a media server with an encoder for each leg.
type testServer struct {
	base     string
	encoders [2]*Encoder
	end      func() // ends the server, then the encoders
}

func newTestServer(t *testing.T) *testServer {
	t.Helper()
	m, err := config.ParseManifest(config.Manifest{}, config.Source{Name: "manifest", Content: []byte(manifest)})
	if err != nil {
		t.Fatal(err)
	}
	const free = "127.0.0.1:0"
	srv, err := server.New(server.Config{
		Config: config.Config{
			Manifest: m, RTMPAddress: free, HTTPAddress: free, WebRTCAddress: free, ProbeAddress: free, ControlAddress: free, MaxViewers: 100,
		},
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	addresses := srv.Addresses()
	s := &testServer{base: "http://" + addresses.HTTP}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 3)
	go func() { ended <- srv.Run(ctx) }()
	life, stop := context.WithCancel(context.Background())
	for i, id := range []string{"primary", "backup"} {
		file, err := mediatest.Programme{Leg: i, GOP: time.Second}.File(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.encoders[i] = NewEncoder(EncoderConfig{File: file, URL: "rtmp://" + addresses.RTMP + "/live/" + id, Log: t.Output()})
		go func() { ended <- s.encoders[i].Run(life) }()
	}
	running := true
	s.end = func() {
		if !running {
			return
		}
		running = false
		cancel()
		stop()
		for range 3 {
			if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
	}
	t.Cleanup(s.end)
	return s
}

// watch waits for both legs, so that there is a leg to switch to.
func watch(t *testing.T, s *testServer, others ...string) *Watcher {
	t.Helper()
	cfg := WatcherConfig{Base: s.base, Others: others, App: "live", StreamID: "primary", BackupStreamID: "backup", Logf: t.Logf}
	var w *Watcher
	eventually.True(t, "a picture", func() bool {
		var err error
		w, err = Watch(t.Context(), cfg)
		return err == nil
	})
	t.Cleanup(w.Close)
	time.Sleep(2 * time.Second)
	return w
}

func TestThePictureGoesOnWhenAnEncoderDies(t *testing.T) {
	s := newTestServer(t)
	w := watch(t, s)
	playURL := s.base + "/live/play.html?name=primary&backupStreamId=backup&playOrder=webrtc"
	page, element := OpenBrowser(t), OpenBrowser(t)
	if err := errors.Join(page.Open(playURL), element.OpenElement(playURL)); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the primary on screen", func() bool { return page.Leg() == 0 && element.Leg() == 0 })
	time.Sleep(2 * time.Second)

	fault := time.Now()
	if err := s.encoders[0].Kill(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * time.Second)
	now := time.Now()
	before := fault.Add(-time.Second)
	for name, viewer := range map[string]interface {
		Pictures() measure.Pictures
		Opened() int
	}{"pion": w, "page": page, "element": element} {
		pictures := viewer.Pictures()
		gap := pictures.LongestGap(fault, now).Length
		t.Logf("%s: %v without a picture, %v before", name, gap, pictures.LongestGap(before, fault).Length)
		if gap > time.Second || viewer.Opened() != 1 {
			t.Errorf("%s: %v without a picture, %d sessions", name, gap, viewer.Opened())
		}
	}
	if page.Leg() != 1 || element.Leg() != 1 {
		t.Errorf("page: leg %d, %+v; element: leg %d, %+v", page.Leg(), page.State(), element.Leg(), element.State())
	}
	if role := ServedBy(w.Session()); role != "s" {
		t.Errorf("session %s is served by %q", w.Session(), role)
	}
	eventually.True(t, "another encoder in its place", func() bool { return s.encoders[0].Starts() == 2 })
}

func TestAFrozenEncoderIsSilentUntilItIsKilled(t *testing.T) {
	s := newTestServer(t)
	w := watch(t, s)
	fault := time.Now()
	if err := s.encoders[0].Freeze(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * time.Second)
	gap := w.Pictures().LongestGap(fault, time.Now()).Length
	t.Logf("%v without a picture", gap)
	if gap < 500*time.Millisecond || gap > 4*time.Second {
		t.Errorf("%v without a picture, after a second of silence", gap)
	}
	if s.encoders[0].Starts() != 1 {
		t.Error("the frozen encoder was replaced")
	}
	if err := s.encoders[0].Kill(); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "another encoder in its place", func() bool { return s.encoders[0].Starts() == 2 })
}

func TestAWatcherFindsAnotherServer(t *testing.T) {
	a, b := newTestServer(t), newTestServer(t)
	w := watch(t, a)
	w.Learn(a.base, b.base)
	fault := time.Now()
	a.end()
	eventually.True(t, "a second session", func() bool { return w.Opened() == 2 })
	time.Sleep(time.Second)
	t.Logf("%v without a picture", w.Pictures().LongestGap(fault, time.Now()).Length)
	if frozen := w.Pictures().Frozen(time.Now().Add(-time.Second), time.Now(), 500*time.Millisecond); frozen > 0 {
		t.Errorf("the picture stands still at %s", w.Session())
	}
}

func TestOnlyTheHostsOwnCandidatesAreKept(t *testing.T) {
	const own, other = "a=candidate:1 1 udp 1 10.0.0.1 8189 typ host\r\n", "a=candidate:2 1 udp 1 10.0.0.11 8189 typ host\r\n"
	for base, want := range map[string]string{
		"http://10.0.0.1:5080": "v=0\r\n" + own,
		"http://10.0.0.9:5080": "v=0\r\n" + own + other,
		"http://example.com":   "v=0\r\n" + own + other,
	} {
		if diff := cmp.Diff(want, onlyHost("v=0\r\n"+own+other, base)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", base, diff)
		}
	}
}

const playlist = "/live/streams/primary.m3u8?backupStreamId=backup"

func TestAnHLSViewerReadsBothLegs(t *testing.T) {
	s := newTestServer(t)
	watch(t, s)
	v := WatchHLS(HLSConfig{
		// Nothing listens at the second address, where requests go in turn.
		Find: func(context.Context) []string { return []string{s.base, "http://127.0.0.1:1"} },
		Path: playlist, Logf: t.Logf,
	})
	t.Cleanup(v.Close)
	const parts = 10
	eventually.True(t, "parts of the primary", func() bool { return len(v.Growths()) > parts })
	if err := s.encoders[0].Kill(); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "parts of the backup", func() bool { return len(v.Stays()) == 2 && len(v.Stays()[1].Parts) > parts })
	stays := v.Stays()
	for leg, stay := range stays {
		name := filepath.Join(t.TempDir(), "stay.mp4")
		if err := os.WriteFile(name, stay.Media, 0o600); err != nil {
			t.Fatal(err)
		}
		pictures := 0
		err := mediatest.DecodeFile(t.Context(), name, 640, 360, func(m mediatest.Image) {
			if code, ok := m.TimeCode(); !ok || code.Leg != leg {
				t.Errorf("a picture of leg %d after discontinuity %d: %v", code.Leg, stay.Discontinuity, ok)
			}
			pictures++
		})
		if err != nil || pictures == 0 {
			t.Errorf("%d pictures after discontinuity %d: %v", pictures, stay.Discontinuity, err)
		}
		for i, part := range stay.Parts {
			if age := part.Read.Sub(part.End); age < -time.Minute || age > time.Minute || i > 0 && !part.End.After(stay.Parts[i-1].End) {
				t.Errorf("part %d ends at %v, and was read at %v", i, part.End, part.Read)
			}
		}
	}
	if len(v.Mistakes()) > 0 {
		t.Errorf("mistakes: %v", v.Mistakes())
	}
	if answers := v.Answers(); answers[s.base+" 200"] < 2*parts {
		t.Errorf("answers: %v", answers)
	}
}

func TestAnHLSViewerNotesWhatIsWrong(t *testing.T) {
	missing := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(missing.Close)
	v := WatchHLS(HLSConfig{
		Find: func(context.Context) []string { return []string{missing.URL} },
		Path: playlist,
	})
	t.Cleanup(v.Close)
	eventually.True(t, "a mistake", func() bool {
		mistakes := v.Mistakes()
		return len(mistakes) > 0 && strings.Contains(mistakes[0], "answers 404")
	})
}
