package preflight

import (
	"slices"
	"time"

	"github.com/streampair/streampair/api/preflight"
	"github.com/streampair/streampair/mediaserver/stream"
)

// findings collects what is wrong with one subject. What no other command sees is judged here.
type findings struct{ preflight.Findings }

func about(subject string) *findings { return &findings{preflight.Findings{Subject: subject}} }

// Judge returns what is wrong with one leg at now.
func Judge(l Leg, now time.Time) []preflight.Finding {
	f := about(l.Name)
	f.Token(preflight.Token{Of: "the URL", Expires: l.TokenExpires}, now)
	if l.Unread != "" {
		f.All = append(f.All, preflight.Finding{
			Severity: preflight.Error, Code: "NotRead", Subject: l.Name, Message: "The stream cannot be read: " + l.Unread + ".",
			Remedy: "Start the encoder, and correct the URL or the token.",
		})
		return f.All
	}
	if l.Ended {
		f.Add(preflight.Error, "StreamEnded", "The stream ended while it was watched.")
	}
	warned := codesOf(l.Warnings)
	if l.Video != nil {
		f.video(*l.Video)
		f.Rates(l.Rates, l.Video.Height)
	} else {
		f.NoVideo(warned)
	}
	if l.Sound != nil {
		f.sound(*l.Sound)
	} else {
		f.NoSound(warned)
	}
	f.Arrival(l.Rates)
	f.warnings(l)
	return f.All
}

func codesOf(warnings []stream.Warning) []string {
	var codes []string
	for _, w := range warnings {
		codes = append(codes, w.Code)
	}
	return codes
}

func (f *findings) video(v Video) {
	if v.Limitation != "" {
		f.Add(preflight.Error, "LimitedVideo", "The video is %s, which some players cannot show.", v.Limitation)
	}
	if v.Reordered {
		f.Add(preflight.Error, "BFrames", "The video has B-frames, which WebRTC cannot carry.")
	}
	f.Size(v.Width, v.Height)
	if v.SampleAspect != 0 && v.SampleAspect != 1 {
		f.Add(preflight.Warning, "NonSquarePixels", "The pixels are not square: some players show the picture too wide or too narrow.")
	}
	f.KeyFrames(v.KeyFrames)
}

// grave are the warnings of a media server with which viewers miss something.
var grave = []string{
	"BFrames", "LimitedVideo", "MalformedAudio", "MalformedVideo", "MissingVideo", "NoAudioPackets", "NoEntryPoint", "NoIDR",
	"NoPicture", "NoVideoPackets", "PublisherExpelled", "TranscodeFailed", "TranscodesFull", "UndeclaredStream",
	"UnsupportedAudio", "UnsupportedVideo",
}

// warnings adds what the media server warns of, unless it has been said.
func (f *findings) warnings(l Leg) {
	for _, w := range l.Warnings {
		if f.Has(w.Code) {
			continue
		}
		severity := preflight.Warning
		if slices.Contains(grave, w.Code) {
			severity = preflight.Error
		}
		f.Add(severity, w.Code, "%s", w.Message)
	}
}
