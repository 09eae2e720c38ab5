package gather

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/mediaserver/preflight"
	"github.com/streampair/streampair/mediaserver/stream"
)

func TestSources(t *testing.T) {
	for name, tt := range map[string]struct {
		urls  []string
		token string
		want  []Source
		wrong string
	}{
		"the page of a pair": {
			urls: []string{"https://h:5443/live/play.html?name=a&backupStreamId=b&playOrder=webrtc&token=t"},
			want: []Source{
				{Name: "primary", URL: "https://h:5443/live/a.flv", Events: "https://h:5443/live/events/a", Token: "t"},
				{Name: "backup", URL: "https://h:5443/live/b.flv", Events: "https://h:5443/live/events/b", Token: "t"},
			},
		},
		"the page of one stream": {
			urls: []string{"http://h/x/live/play.html?id=a"},
			want: []Source{{Name: "stream", URL: "http://h/x/live/a.flv", Events: "http://h/x/live/events/a"}},
		},
		"two streams, and a token for one": {
			urls: []string{"http://h/live/a.flv?token=1", "http://h/live/b"}, token: "2",
			want: []Source{
				{Name: "primary", URL: "http://h/live/a.flv", Events: "http://h/live/events/a", Token: "1"},
				{Name: "backup", URL: "http://h/live/b.flv", Events: "http://h/live/events/b", Token: "2"},
			},
		},
		"an id with a dot": {
			urls: []string{"http://h/live/cam.2"},
			want: []Source{{Name: "stream", URL: "http://h/live/cam.2.flv", Events: "http://h/live/events/cam.2"}},
		},
		"what ffmpeg opens": {
			urls: []string{"rtmp://h/live/a?token=1", "http://h/live/a.m3u8"},
			want: []Source{{Name: "primary", URL: "rtmp://h/live/a?token=1", ByFFmpeg: true}, {Name: "backup", URL: "http://h/live/a.m3u8", ByFFmpeg: true}},
		},
		"a file":                {urls: []string{"a.mp4"}, want: []Source{{Name: "stream", URL: "a.mp4", ByFFmpeg: true}}},
		"three streams":         {urls: []string{"a", "b", "c"}, wrong: "not of 3"},
		"a page without a name": {urls: []string{"http://h/live/play.html"}, wrong: "name="},
		"no host":               {urls: []string{"http:///live/a"}, wrong: "no host"},
		"no URL":                {urls: []string{"http://h:port/a"}, wrong: "no URL"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Sources(tt.urls, tt.token)
			if tt.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wrong) {
					t.Errorf("got %v, want %q", err, tt.wrong)
				}
				return
			}
			if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// Neither what is printed nor an error has a token.
func TestTokensAreNotTold(t *testing.T) {
	source := Source{URL: "rtmp://user:pass@h/live/a?token=s3cret", ByFFmpeg: true}
	err := withoutSecrets(errors.New("cannot open "+source.URL), source.URL)
	for _, said := range []string{source.Summary(preflight.Leg{Unread: "x"}), err.Error()} {
		if strings.Contains(said, "s3cret") || strings.Contains(said, "pass") || !strings.Contains(said, "h/live/a") {
			t.Errorf("said %q", said)
		}
	}
}

func TestWarningsOfAServer(t *testing.T) {
	const beat = "event: heartbeat\ndata: {\"now\":\"2026-11-22T18:00:00Z\"}\n\n"
	state := func(warnings string) string {
		return `event: state` + "\n" + `data: {"legs":[{"role":"Primary"}],"warnings":[` + warnings + "]}\n\n"
	}
	const mp3 = `{"role":"Primary","code":"UnsupportedAudio","message":"MP3"}`
	for name, tt := range map[string]struct {
		events string
		want   []stream.Warning
	}{
		"the second state counts":              {state("") + state(mp3) + beat + beat, []stream.Warning{{Code: "UnsupportedAudio", Message: "MP3"}}},
		"what comes after the second beat not": {state("") + beat + beat + state(mp3), nil},
		"a warning that has ended":             {state(mp3) + beat + state("") + beat, nil},
		"a message is bounded":                 {state(strings.Replace(mp3, "MP3", strings.Repeat("x", 900), 1)), []stream.Warning{{Code: "UnsupportedAudio", Message: strings.Repeat("x", 500)}}},
		"the connection ends":                  {state(mp3), []stream.Warning{{Code: "UnsupportedAudio", Message: "MP3"}}},
		"something else":                       {"<html>\ndata: 1\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, parseWarnings(strings.NewReader(tt.events))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhenATokenExpires(t *testing.T) {
	end := time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC)
	signed := func(c jwt.RegisteredClaims) string {
		token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString([]byte("key"))
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	for token, want := range map[string]time.Time{
		"": {}, "opaque": {}, "a.b.c": {}, signed(jwt.RegisteredClaims{}): {},
		signed(jwt.RegisteredClaims{ExpiresAt: jwt.NewNumericDate(end)}): end,
	} {
		if got := expiryOf(token); !got.Equal(want) {
			t.Errorf("%.20q expires at %s, want %s", token, got, want)
		}
	}
}
