package gather_test

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	api "github.com/streampair/streampair/api/preflight"
	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/hack/seeded"
	"github.com/streampair/streampair/mediaserver/config"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/preflight"
	"github.com/streampair/streampair/mediaserver/preflight/gather"
	"github.com/streampair/streampair/mediaserver/server"
	"github.com/streampair/streampair/mediaserver/transcode"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startServer runs a whole media server until the test ends.
func startServer(t *testing.T) *server.Server {
	t.Helper()
	const free = "127.0.0.1:0"
	s, err := server.New(server.Config{
		Config: config.Config{
			RTMPAddress: free, SRTAddress: free, HTTPAddress: free, WebRTCAddress: free, ProbeAddress: free, ControlAddress: free, MaxViewers: 100,
		},
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the server ended: %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return s
}

const (
	programmeLength = 4 * time.Minute
	programmeRate   = 16000
)

// writeProgramme makes a WAVE file of speech of a kind: syllables of random length, pitch and loudness.
func writeProgramme(t *testing.T) string {
	t.Helper()
	r := seeded.Rand(t)
	var samples []byte
	for len(samples) < 2*programmeRate*int(programmeLength.Seconds()) {
		length, hz, loud := 0.06+0.2*r.Float64(), 150+700*r.Float64(), math.Pow(10, -0.8+0.6*r.Float64())
		n := int(length * programmeRate)
		for i := range n {
			fade := loud * (1 - float64(i)/float64(n))
			samples = binary.LittleEndian.AppendUint16(samples, uint16(int16(32000*fade*math.Sin(2*math.Pi*hz*float64(i)/programmeRate))))
		}
		samples = append(samples, make([]byte, 2*r.IntN(programmeRate/8))...)
	}
	header := []byte("RIFF\xff\xff\xff\xffWAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00")
	header = binary.LittleEndian.AppendUint32(header, programmeRate)
	header = binary.LittleEndian.AppendUint32(header, 2*programmeRate)
	header = append(header, "\x02\x00\x10\x00data\xff\xff\xff\xff"...)
	file := filepath.Join(t.TempDir(), "programme.wav")
	if err := os.WriteFile(file, append(header, samples...), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// atOnce is how many encoders run at a time: the machines are small.
const atOnce = 5

// docs are the settings of docs/encoders.md, as ffmpeg's arguments.
const (
	docsVideo = "-c:v libx264 -preset veryfast -tune zerolatency -pix_fmt yuv420p -bf 0 -force_key_frames expr:gte(t,n_forced*2)"
	docsSound = "-c:a aac -ar 48000 -ac 2"
)

// An encoder is a real ffmpeg that publishes a programme.
type encoder struct {
	// picture is the size and rate; default "s=320x180:r=25". skip is by how much the programme is
	// ahead; default 0.
	picture, skip string
	// video and sound are ffmpeg's arguments; default those of the docs. sound "none" is no sound.
	video, sound string
	// bySRT reports whether the encoder publishes by SRT. Default: by RTMP.
	bySRT bool
}

// start publishes until the test ends.
func (e encoder) start(t *testing.T, s *server.Server, programme, id string) *mediatest.Publisher {
	t.Helper()
	or := func(v, otherwise string) string {
		if v == "" {
			return otherwise
		}
		return v
	}
	args := []string{"-re", "-f", "lavfi", "-i", "testsrc2=" + or(e.picture, "s=320x180:r=25"), "-re", "-ss", or(e.skip, "0"), "-i", programme, "-map", "0:v"}
	args = append(args, strings.Fields(or(e.video, docsVideo))...)
	if e.sound != "none" {
		args = append(append(args, "-map", "1:a"), strings.Fields(or(e.sound, docsSound))...)
	}
	to := []string{"-f", "flv", "-flvflags", "no_duration_filesize", "rtmp://" + s.Addresses().RTMP + "/live/" + id}
	if e.bySRT {
		to = []string{"-f", "mpegts", "srt://" + s.Addresses().SRT + "?streamid=publish:live/" + id}
	}
	return mediatest.Start(t, append(args, to...)...)
}

// awaitStream waits until a stream can be played.
func awaitStream(t *testing.T, url string) {
	t.Helper()
	eventually.True(t, "the stream is published", func() bool {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// check watches streams and returns the codes of what is found, sorted.
func check(t *testing.T, watch time.Duration, urls ...string) []string {
	t.Helper()
	sources, err := gather.Sources(urls, "")
	if err != nil {
		t.Error(err)
		return nil
	}
	legs := gather.Run(t.Context(), gather.Config{For: watch, FFmpegPath: transcode.FindFFmpeg()}, sources)
	var found []api.Finding
	for i, leg := range legs {
		t.Logf("%s", sources[i].Summary(leg))
		found = append(found, preflight.Judge(leg, time.Now())...)
	}
	if len(legs) == 2 {
		found = append(found, preflight.JudgePair(legs[0], legs[1], preflight.EstimateStep(legs[0], legs[1]))...)
	}
	codes := []string{}
	for _, f := range found {
		t.Logf("%s: %s", f.Code, f.Message)
		codes = append(codes, f.Code)
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

// finds watches streams until what is found is enough. A machine that is busy may disturb a check, so a
// check is repeated within Patience.
func finds(t *testing.T, what string, watch time.Duration, enough func(codes []string) bool, urls ...string) {
	t.Helper()
	for began := time.Now(); ; {
		got := check(t, watch, urls...)
		if enough(got) {
			return
		}
		if time.Since(began) > eventually.Patience {
			t.Errorf("%s: found %q", what, got)
			return
		}
	}
}

// has returns a function that reports whether all of the codes are found.
func has(want ...string) func(codes []string) bool {
	return func(codes []string) bool {
		return !slices.ContainsFunc(want, func(code string) bool { return !slices.Contains(codes, code) })
	}
}

// Each wrong encoder gets its finding, from a server that has no ffmpeg, as our images have none.
func TestWrongEncodersAreFound(t *testing.T) {
	mediatest.SkipInShort(t)
	s, programme := startServer(t), writeProgramme(t)
	idOf := func(name string) string { return strings.NewReplacer(" ", "-", ",", "").Replace(name) }
	tests := map[string]struct {
		encoder encoder
		want    string
	}{
		"B-frames":              {encoder{video: "-c:v libx264 -preset veryfast -bf 2 -g 50"}, "BFrames"},
		"a key frame each 10 s": {encoder{video: "-c:v libx264 -preset veryfast -tune zerolatency -g 250"}, "KeyFrameInterval"},
		"HEVC":                  {encoder{video: "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=50", bySRT: true}, "UnsupportedVideo"},
		"10 bit":                {encoder{video: "-c:v libx264 -preset ultrafast -tune zerolatency -pix_fmt yuv420p10le -g 50"}, "LimitedVideo"},
		"intra refresh":         {encoder{video: "-c:v libx264 -preset veryfast -tune zerolatency -x264-params intra-refresh=1 -g 50"}, "NoIDR"},
		"one picture a second":  {encoder{picture: "s=320x180:r=1", video: "-c:v libx264 -preset veryfast -tune zerolatency -g 2"}, "LowFrameRate"},
		"no sound":              {encoder{sound: "none"}, "NoSound"},
		"silent sound":          {encoder{sound: "-af volume=0 " + docsSound}, "SilentSound"},
		"mono at some -50 LUFS": {encoder{sound: "-af volume=-33dB -c:a aac -ar 48000 -ac 1"}, "QuietSound"},
		"sound that clips":      {encoder{sound: "-af volume=24dB " + docsSound}, "ClippedSound"},
		"a dead channel":        {encoder{sound: "-af pan=stereo|c0=c0|c1=0*c0 -c:a aac -ar 48000"}, "DeadChannel"},
		"5.1":                   {encoder{sound: "-af pan=5.1|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0 -c:a aac -ar 48000"}, "ReencodedAudio"},
		"MP3":                   {encoder{sound: "-c:a libmp3lame -ar 44100 -ac 2"}, "UnsupportedAudio"},
	}
	for wave := range slices.Chunk(slices.Sorted(maps.Keys(tests)), atOnce) {
		var watching sync.WaitGroup
		var encoders []*mediatest.Publisher
		for _, name := range wave {
			encoders = append(encoders, tests[name].encoder.start(t, s, programme, idOf(name)))
		}
		for _, name := range wave {
			url := "http://" + s.Addresses().HTTP + "/live/" + idOf(name)
			awaitStream(t, url+".flv")
			watching.Go(func() { finds(t, name, 7*time.Second, has(tests[name].want), url) })
		}
		watching.Wait()
		for _, one := range encoders {
			one.Kill()
		}
	}
}

// The settings of the docs pass.
func TestTheSettingsOfTheDocsPass(t *testing.T) {
	mediatest.SkipInShort(t)
	t.Parallel()
	s, programme := startServer(t), writeProgramme(t)
	base := "http://" + s.Addresses().HTTP + "/live/"
	encoder{}.start(t, s, programme, "primary")
	encoder{}.start(t, s, programme, "backup")
	awaitStream(t, base+"primary.flv")
	awaitStream(t, base+"backup.flv")
	nothing := func(codes []string) bool { return len(codes) == 0 }
	finds(t, "two good encoders", 18*time.Second, nothing, base+"play.html?name=primary&backupStreamId=backup")
}

// What differs between two legs is found: time, size, rate and loudness.
func TestLegsThatDifferAreFound(t *testing.T) {
	mediatest.SkipInShort(t)
	t.Parallel()
	s, programme := startServer(t), writeProgramme(t)
	base := "http://" + s.Addresses().HTTP + "/live/"
	encoder{}.start(t, s, programme, "primary")
	encoder{skip: "5", picture: "s=640x360:r=30", sound: "-af volume=-12dB " + docsSound}.start(t, s, programme, "backup")
	awaitStream(t, base+"primary.flv")
	awaitStream(t, base+"backup.flv")
	want := has("LoudnessDiffers", "OutOfStep", "RateDiffers", "SizeDiffers")
	finds(t, "two encoders that differ", 24*time.Second, want, base+"primary.flv", base+"backup.flv")
}

// A file is read by ffmpeg, and a stream that is not there is a finding.
func TestOtherSources(t *testing.T) {
	mediatest.SkipInShort(t)
	t.Parallel()
	file, err := mediatest.Programme{Duration: 6 * time.Second}.File(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{}, check(t, 5*time.Second, file)); diff != "" {
		t.Errorf("a file (-want +got):\n%s", diff)
	}
	s := startServer(t)
	if diff := cmp.Diff([]string{"NotRead"}, check(t, 5*time.Second, "http://"+s.Addresses().HTTP+"/live/nobody.flv")); diff != "" {
		t.Errorf("a stream that nobody publishes (-want +got):\n%s", diff)
	}
}
