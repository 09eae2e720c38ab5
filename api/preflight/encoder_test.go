package preflight

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Each code is in PascalCase, says what to set in both programs, and is in the docs.
func TestAdvices(t *testing.T) {
	pascal := regexp.MustCompile(`^([A-Z][a-z]*)+$`)
	var docs string
	for _, page := range []string{"preflight.md", "encoders.md"} {
		text, err := os.ReadFile("../../docs/" + page)
		if err != nil {
			t.Fatal(err)
		}
		docs += string(text)
	}
	for code, a := range advices {
		if !strings.Contains(docs, "`"+code+"`") {
			t.Errorf("%s is not in the docs", code)
		}
		if a.obs == "" || a.ffmpeg == "" || !pascal.MatchString(code) {
			t.Errorf("%s: %+v", code, a)
		}
	}
	if obs, ffmpeg := SettingsFor("SameZone"); obs != "" || ffmpeg != "" {
		t.Errorf("a zone is no setting of an encoder: %q, %q", obs, ffmpeg)
	}
}

func TestToken(t *testing.T) {
	goesOn := "the encoder goes on, but is refused when it connects again"
	for name, tt := range map[string]struct {
		token Token
		want  string // severity and message
	}{
		"none":                   {Token{Of: "the URL"}, ""},
		"more than a day":        {Token{Of: "the URL", Expires: now.Add(25 * time.Hour)}, ""},
		"an hour":                {Token{Of: "the URL", Expires: now.Add(time.Hour)}, "Warning: The token of the URL expires at 2026-11-22 19:00 UTC."},
		"now":                    {Token{Of: "the URL", Expires: now}, "Error: The token of the URL has expired at 2026-11-22 18:00 UTC."},
		"an hour, of an encoder": {Token{Of: "the encoder", Expires: now.Add(time.Hour), Effect: goesOn}, "Warning: The token of the encoder expires at 2026-11-22 19:00 UTC: " + goesOn + "."},
		"now, of an encoder":     {Token{Of: "the encoder", Expires: now, Effect: goesOn}, "Error: The token of the encoder has expired at 2026-11-22 18:00 UTC: " + goesOn + "."},
	} {
		t.Run(name, func(t *testing.T) {
			f := &Findings{Subject: "primary"}
			f.Token(tt.token, now)
			var got string
			for _, one := range f.All {
				got += string(one.Severity) + ": " + one.Message
				if one.Code != "TokenExpires" || one.Subject != "primary" || one.Remedy == "" {
					t.Errorf("found %+v", one)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A check of some seconds may see more by taking longer. A media pod compares all that can be compared.
func TestDifferentSound(t *testing.T) {
	for short, want := range map[bool]string{
		true:  "The legs have different sound, or are far apart: a longer check would tell.",
		false: "The legs have different sound, or are far apart.",
	} {
		f := &Findings{Subject: "both"}
		f.Step(Step{Doubt: DoubtDifferent, Short: short})
		if len(f.All) != 1 || f.All[0].Message != want {
			t.Errorf("short %v: got %+v, want %q", short, f.All, want)
		}
	}
}

// Who does not know the rates, the profile or the loudness leaves them out.
func TestEncoderSummary(t *testing.T) {
	lufs, ppm := -23.4, 100.0
	picture := &Picture{Width: 1920, Height: 1080}
	regular := &Picture{Profile: "Main", Width: 1920, Height: 1080, KeyFrames: KeyFrames{Interval: 2 * time.Second}}
	for want, got := range map[string]string{
		"no video; no sound":                             EncoderSummary(nil, nil, nil),
		"H.264 1920x1080; AAC, 48 kHz, several channels": EncoderSummary(picture, nil, &Sound{Codec: CodecAAC, SampleRate: 48000}),
		"H.264 Main 1920x1080, 30 pictures and 4.2 Mbit/s a second, a key frame each 2.0 s; Opus, 48 kHz, stereo, -23 LUFS": EncoderSummary(
			regular, &Rates{FrameRate: 30, BitrateBPS: 4_200_000}, &Sound{Codec: "Opus", SampleRate: 48000, Channels: 2, LUFS: &lufs}),
		"offset unknown (Flat)":                          Step{Doubt: DoubtFlat}.Summary(),
		"the backup is -0.2 s later, drift unknown":      Step{Offset: -200 * time.Millisecond}.Summary(),
		"the backup is 0.2 s later, drift 0.4 s an hour": Step{Offset: 200 * time.Millisecond, DriftPPM: &ppm}.Summary(),
	} {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}
