package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/stream"
)

// An flvAnswer is the answer to a player of FLV.
type flvAnswer struct {
	*http.Response
	*flv.Reader
}

func (s *testServer) playFLV(path, bearer string) flvAnswer {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	s.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Addresses().HTTP+"/live/"+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = res.Body.Close() })
	return flvAnswer{res, flv.NewReader(res.Body, 0)}
}

// kinds reads n tags and counts them by kind. No tag may be a script tag.
func (a flvAnswer) kinds(t *testing.T, n int) (kinds map[string]int) {
	t.Helper()
	kinds = make(map[string]int)
	last := map[flv.TagType]uint32{}
	for range n {
		tag, err := a.Next()
		if err != nil {
			t.Fatal(err)
		}
		switch tag.Type {
		case flv.VideoTag:
			p, err := flv.ParseVideo(tag.Body)
			if err != nil {
				t.Fatal(err)
			}
			if kinds["picture"] == 0 && p.Kind == flv.CodedFrames && !p.Keyframe {
				t.Error("the first picture is no key frame")
			}
			if p.Kind == flv.CodedFrames {
				kinds["picture"]++
			} else {
				kinds["parameters"]++
			}
		case flv.AudioTag:
			p, err := flv.ParseAudio(tag.Body)
			if err != nil {
				t.Fatal(err)
			}
			codec := map[flv.AudioCodec]string{flv.AAC: "AAC", flv.Opus: "Opus"}[p.Codec]
			if p.Kind != flv.CodedFrames {
				codec += " configuration"
			}
			kinds[codec]++
		default:
			t.Fatalf("a tag of type %d: %q", tag.Type, tag.Body)
		}
		if tag.Timestamp < last[tag.Type] || tag.Timestamp > 60_000 {
			t.Errorf("type %d: %d ms after %d ms", tag.Type, tag.Timestamp, last[tag.Type])
		}
		last[tag.Type] = tag.Timestamp
	}
	return kinds
}

func TestAPlayerOfFLVPlaysAStream(t *testing.T) {
	t.Parallel()
	w := startRelayedPair(t, sticky)
	w.publish(0, 0)
	w.play(0, true, false)
	for i, s := range w.servers {
		t.Run("published at the "+legIDs[0]+"'s server, played at the "+legIDs[i]+"'s", func(t *testing.T) {
			url := "http://" + s.Addresses().HTTP + "/live/primary.flv"
			mediatest.RequireFFmpeg(t)
			ffprobe, err := exec.LookPath("ffprobe")
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			out, err := exec.CommandContext(t.Context(), ffprobe, "-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", url).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			t.Logf("ffprobe knew the streams after %v", time.Since(began).Round(ms))
			if diff := cmp.Diff([]string{"h264", "aac"}, strings.Fields(string(out))); diff != "" {
				t.Errorf("ffprobe (-want +got):\n%s", diff)
			}
			// Every complaint of the decoders is an error.
			out, err = exec.CommandContext(t.Context(), mediatest.RequireFFmpeg(t), "-v", "warning", "-nostdin", "-xerror",
				"-t", "3", "-i", url, "-fps_mode", "passthrough", "-enc_time_base:v", "1:1000", "-f", "null", "-").CombinedOutput()
			if err != nil || len(bytes.TrimSpace(out)) > 0 {
				t.Errorf("ffmpeg: %v\n%s", err, out)
			}
			kinds := s.playFLV("primary.flv", "").kinds(t, 200)
			if kinds["picture"] < 60 || kinds["AAC"] < 60 || kinds["parameters"] != 1 || kinds["AAC configuration"] != 1 {
				t.Errorf("got %v", kinds)
			}
		})
	}
}

func TestAPlayerOfFLVPlaysOpus(t *testing.T) {
	t.Parallel()
	s := startServer(t, sticky)
	p, err := s.registry.Publish(stream.PublishRequest{Key: stream.Key{App: "live", ID: "primary"}, Protocol: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.SetAudioFormat(stream.Format{Codec: stream.Opus, SampleRate: 48000, Channels: 2}); err != nil {
		t.Fatal(err)
	}
	go func() {
		for n := 0; t.Context().Err() == nil; n++ { // sound alone, from which a player may begin too
			_ = p.WriteAudio(time.Duration(n)*20*ms, []byte{0xfc, 0xff, 0xfe})
			time.Sleep(20 * ms)
		}
	}()
	eventually.True(t, "sound", func() bool { return p.Stream().Snapshot().Audio.Frames > 0 })
	kinds := s.playFLV("primary.flv", "").kinds(t, 50)
	if kinds["Opus"] != 49 || kinds["Opus configuration"] != 1 {
		t.Errorf("got %v", kinds)
	}
	p.End(stream.EndClosed)
}

func TestAPlayerOfFLVIsRefused(t *testing.T) {
	t.Parallel()
	const withToken = `
apiVersion: media.streampair.dev/v1alpha1
kind: StreamPair
metadata: {name: sunday}
spec:
  primary: {streamID: primary}
  backup: {streamID: backup}
  publish: {auth: None}
  playback: {auth: Token}
`
	const playToken = "play-token-of-sunday"
	s := startServer(t, withToken, func(c *Config) {
		c.MaxViewers = 1
		c.DrainTimeout = patience
		c.Manifest.Pairs[0].Keys.PlayToken = playToken
	})
	s.replay("primary", mediatest.Programme{}, mediatest.ReplayOptions{})
	s.onAir("primary", true, false)
	for _, tt := range []struct {
		name, path, bearer string
		want               int
	}{
		{"no token", "primary.flv", "", http.StatusUnauthorized},
		{"another token", "primary.flv?token=else", "", http.StatusUnauthorized},
		{"another token in the header", "primary.flv", "else", http.StatusUnauthorized},
		{"a stream of no pair", "other.flv?token=" + playToken, "", http.StatusNotFound},
		{"a stream that nobody publishes", "backup.flv?token=" + playToken, "", http.StatusNotFound},
		{"the token in the header", "primary.flv", playToken, http.StatusOK},
	} {
		answer := s.playFLV(tt.path, tt.bearer)
		if answer.StatusCode != tt.want {
			t.Errorf("%s: %s, want %d", tt.name, answer.Status, tt.want)
		}
		_ = answer.Body.Close()
	}
	eventually.True(t, "the player's place", func() bool { return s.relay.PlayerCount() == 0 })
	one := s.playFLV("primary.flv?token="+playToken, "")
	one.kinds(t, 30)
	if n := s.status().Viewers; n != 1 {
		t.Errorf("status tells of %d viewers", n)
	}
	if answer := s.playFLV("primary.flv?token="+playToken, ""); answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
		t.Errorf("one viewer too many: %s", answer.Status)
	}
	v, err := mediatest.WatchWHEP(t.Context(), s.url("whep/primary", "token", playToken), mediatest.WatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	eventually.True(t, "a viewer", func() bool { return s.whep.ViewerCount() == 1 })

	// The stream ends when a drain begins, because FLV has no other way to tell the player.
	s.end()
	told := time.Now()
	for {
		if _, err := one.Next(); err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Error(err)
			}
			break
		}
	}
	t.Logf("the player's answer ended %v after the server was told to end", time.Since(told).Round(ms))
	if answer := s.playFLV("primary.flv?token="+playToken, ""); answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("while it drains: %s", answer.Status)
	}
}

func TestAPlayerOfFLVStaysWhileItsEncoderComesAgain(t *testing.T) {
	t.Parallel()
	s := startServer(t, sticky)
	encoder := s.replay("primary", mediatest.Programme{}, mediatest.ReplayOptions{})
	s.onAir("primary", true, false)
	answer := s.playFLV("primary.flv", "")
	for n := range 2 {
		answer.kinds(t, 1) // the rest is of two publications, each with its own parameters
		published := s.registry.Stream(stream.Key{App: "live", ID: "primary"}).Snapshot().Publication.Since
		encoder.Kill()
		if n == 0 {
			time.Sleep(time.Second)
			encoder = s.replay("primary", mediatest.Programme{}, mediatest.ReplayOptions{})
			eventually.True(t, "the encoder", func() bool {
				p := s.registry.Stream(stream.Key{App: "live", ID: "primary"}).Snapshot()
				return p.EntryPoint && p.Publication.Since > published
			})
			time.Sleep(time.Second)
		}
	}
	parameters, pictures, ended := 0, 0, time.Now()
	for {
		tag, err := answer.Next()
		if err != nil {
			break
		}
		if tag.Type != flv.VideoTag {
			continue
		}
		if p, err := flv.ParseVideo(tag.Body); err == nil && p.Kind == flv.SequenceHeader {
			parameters++
		} else if parameters > 0 {
			pictures++
		}
	}
	t.Logf("%d pictures of the second publication; the answer ended %v after it", pictures, time.Since(ended).Round(ms))
	if parameters != 1 || pictures < fps/2 {
		t.Errorf("parameters came %d times, and then %d pictures", parameters, pictures)
	}
}
