package preflight

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/api/preflight"
	"github.com/streampair/streampair/mediaserver/measure/sound"
	"github.com/streampair/streampair/mediaserver/measure/step"
	"github.com/streampair/streampair/mediaserver/stream"
)

var now = time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC)

// good is what an encoder with the settings of docs/encoders.md sends.
func good() Leg {
	return Leg{
		Name: "primary",
		Video: &Video{
			Profile: "High", Width: 1280, Height: 720, SampleAspect: 1,
			KeyFrames: KeyFrames{IDRs: 10, Interval: 2 * time.Second},
		},
		Sound: &Sound{Codec: stream.AAC, SampleRate: 48000, Channels: 2, Blocks: tone(-20, -20, 200)},
		Rates: Rates{BitrateBPS: 2_500_000, FrameRate: 29.97, SlowestFrameRate: 29, Jitter: 30 * time.Millisecond},
	}
}

// tone returns n blocks of sound at the levels of both channels, in dBFS.
func tone(left, right float32, n int) []sound.Block {
	blocks := make([]sound.Block, n)
	for i := range blocks {
		b := &blocks[i]
		b.At, b.Channels = time.Duration(i)*sound.BlockLength, 2
		b.Peaks[0], b.Peaks[1] = left, right
		b.Peak = math.Max(float64(left), float64(right))
		b.Momentary = b.Peak
	}
	return blocks
}

func TestJudge(t *testing.T) {
	const millisecond = time.Millisecond
	for name, tt := range map[string]struct {
		change func(*Leg)
		want   string // severity and code of each finding
	}{
		"the settings of the docs":      {func(*Leg) {}, ""},
		"Opus":                          {func(l *Leg) { l.Sound.Codec = stream.Opus }, ""},
		"mono":                          {func(l *Leg) { l.Sound.Channels = 1 }, ""},
		"60 pictures a second":          {func(l *Leg) { l.Rates.FrameRate, l.Rates.SlowestFrameRate = 60, 59 }, ""},
		"a scene cut between two IDRs":  {func(l *Leg) { l.Video.KeyFrames.IDRs = 30 }, ""},
		"the URL cannot be read":        {func(l *Leg) { l.Unread = "no route" }, "Error NotRead"},
		"the encoder stops":             {func(l *Leg) { l.Ended = true }, "Error StreamEnded"},
		"B-frames":                      {func(l *Leg) { l.Video.Reordered = true }, "Error BFrames"},
		"10 bit":                        {func(l *Leg) { l.Video.Limitation = "10-bit" }, "Error LimitedVideo"},
		"a key frame each 3 s":          {func(l *Leg) { l.Video.KeyFrames.Interval = 3 * time.Second }, "Warning KeyFrameInterval"},
		"a key frame each 10 s":         {func(l *Leg) { l.Video.KeyFrames.Interval = 10 * time.Second }, "Error KeyFrameInterval"},
		"intra refresh":                 {func(l *Leg) { l.Video.KeyFrames = KeyFrames{IDRs: 1, RecoveryPoints: 9, Interval: 20 * time.Second} }, "Error NoIDR"},
		"2160 lines":                    {func(l *Leg) { l.Video.Width, l.Video.Height = 3840, 2160 }, "Info LargePicture"},
		"wide pixels":                   {func(l *Leg) { l.Video.SampleAspect = 4.0 / 3 }, "Warning NonSquarePixels"},
		"no video":                      {func(l *Leg) { l.Video = nil }, "Error NoVideo"},
		"HEVC":                          {func(l *Leg) { l.Video, l.Warnings = nil, []stream.Warning{{Code: "UnsupportedVideo"}} }, "Error UnsupportedVideo"},
		"15 pictures a second":          {func(l *Leg) { l.Rates.FrameRate, l.Rates.SlowestFrameRate = 15, 15 }, "Warning LowFrameRate"},
		"a slide show":                  {func(l *Leg) { l.Rates.FrameRate, l.Rates.SlowestFrameRate = 1, 1 }, "Error LowFrameRate"},
		"a second of few pictures":      {func(l *Leg) { l.Rates.SlowestFrameRate = 20 }, "Warning UnsteadyFrameRate"},
		"a low bit rate":                {func(l *Leg) { l.Rates.BitrateBPS = 100_000 }, "Warning LowBitrate"},
		"a low bit rate of a thumbnail": {func(l *Leg) { l.Rates.BitrateBPS, l.Video.Height = 100_000, 180 }, ""},
		"a high bit rate":               {func(l *Leg) { l.Rates.BitrateBPS = 50_000_000 }, "Warning HighBitrate"},
		"jitter":                        {func(l *Leg) { l.Rates.Jitter = 800 * millisecond }, "Warning BurstyInput"},
		"a clock that jumps":            {func(l *Leg) { l.Rates.Jumps = 1 }, "Warning ClockJumps"},
		"no sound":                      {func(l *Leg) { l.Sound = nil }, "Error NoSound"},
		"a sound track without packets": {func(l *Leg) { l.Sound, l.Warnings = nil, []stream.Warning{{Code: "NoAudioPackets"}} }, "Error NoAudioPackets"},
		"HE-AAC":                        {func(l *Leg) { l.Sound.Variant = "HE-AAC" }, "Warning ReencodedAudio"},
		"5.1": {func(l *Leg) {
			*l.Sound = Sound{Codec: stream.AAC, Variant: "AAC with 6 channels", Channels: 6, SampleRate: 48000}
		}, "Error ReencodedAudio"},
		"44.1 kHz":              {func(l *Leg) { l.Sound.SampleRate = 44100 }, "Info ResampledSound"},
		"silence":               {func(l *Leg) { l.Sound.Blocks = tone(-90, -90, 200) }, "Error SilentSound"},
		"too little to judge":   {func(l *Leg) { l.Sound.Blocks = tone(-90, -90, 20) }, "Warning SoundNotMeasured"},
		"quiet sound":           {func(l *Leg) { l.Sound.Blocks = tone(-50, -50, 200) }, "Warning QuietSound"},
		"loud sound":            {func(l *Leg) { l.Sound.Blocks = tone(-4, -4, 200) }, "Warning LoudSound"},
		"the left channel dead": {func(l *Leg) { l.Sound.Blocks = tone(-80, -20, 200) }, "Warning DeadChannel"},
		"clipping now and then": {func(l *Leg) { l.Sound.Blocks[7].Clipped = 3 }, ""},
		"clipping": {func(l *Leg) {
			for i := range 40 {
				l.Sound.Blocks[5*i].Clipped = 3
			}
		}, "Warning ClippedSound"},
		"a warning of the server":               {func(l *Leg) { l.Warnings = []stream.Warning{{Code: "Multitrack", Message: "two"}} }, "Warning Multitrack"},
		"a grave warning of the server":         {func(l *Leg) { l.Warnings = []stream.Warning{{Code: "NoEntryPoint"}} }, "Error NoEntryPoint"},
		"what the server says and we":           {func(l *Leg) { l.Video.Reordered, l.Warnings = true, []stream.Warning{{Code: "BFrames"}} }, "Error BFrames"},
		"a token that lasts":                    {func(l *Leg) { l.TokenExpires = now.Add(48 * time.Hour) }, ""},
		"a token that ends during a day":        {func(l *Leg) { l.TokenExpires = now.Add(time.Hour) }, "Warning TokenExpires"},
		"a token that has ended":                {func(l *Leg) { l.TokenExpires, l.Unread = now, "401" }, "Error TokenExpires, Error NotRead"},
		"several mistakes in one encoder":       {func(l *Leg) { l.Video.Reordered, l.Video.Limitation, l.Sound = true, "10-bit", nil }, "Error LimitedVideo, Error BFrames, Error NoSound"},
		"a slide show waits in x264, no jitter": {func(l *Leg) { l.Rates = Rates{FrameRate: 1, SlowestFrameRate: 1, Jitter: time.Second} }, "Error LowFrameRate"},
	} {
		t.Run(name, func(t *testing.T) {
			leg := good()
			tt.change(&leg)
			found := Judge(leg, now)
			if diff := cmp.Diff(tt.want, codes(found)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for _, f := range found {
				if f.Subject != "primary" || f.OBS == "" && f.FFmpeg == "" && f.Remedy == "" {
					t.Errorf("%+v says not what to set, or where", f)
				}
			}
		})
	}
}

// codes returns the severity and code of findings.
func codes(found []preflight.Finding) string {
	var all []string
	for _, f := range found {
		all = append(all, string(f.Severity)+" "+f.Code)
	}
	return strings.Join(all, ", ")
}

func TestJudgePair(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(backup *Leg)
		want   string
	}{
		"alike":               {func(*Leg) {}, ""},
		"29.97 and 30":        {func(b *Leg) { b.Rates.FrameRate = 30 }, ""},
		"another size":        {func(b *Leg) { b.Video.Width, b.Video.Height = 1920, 1080 }, "Warning SizeDiffers"},
		"another rate":        {func(b *Leg) { b.Rates.FrameRate = 25 }, "Warning RateDiffers"},
		"Opus beside AAC":     {func(b *Leg) { b.Sound.Codec = stream.Opus }, "Warning MixedSound"},
		"mono beside stereo":  {func(b *Leg) { b.Sound.Channels = 1 }, "Info ChannelsDiffer"},
		"8 LU louder":         {func(b *Leg) { b.Sound.Blocks = tone(-12, -12, 200) }, "Warning LoudnessDiffers"},
		"no picture":          {func(b *Leg) { b.Video = nil }, ""},
		"it cannot be read":   {func(b *Leg) { b.Unread, b.Rates.FrameRate = "gone", 25 }, ""},
		"silent, so no level": {func(b *Leg) { b.Sound.Blocks = tone(-90, -90, 200) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			backup := good()
			tt.change(&backup)
			found := JudgePair(good(), backup, step.Estimate{})
			if diff := cmp.Diff(tt.want, codes(found)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// varied returns 22 s of sound that changes by no pattern, on a clock that is late by some time.
func varied(late time.Duration) Sound {
	s := Sound{Codec: stream.AAC, SampleRate: 48000, Channels: 2, Blocks: tone(-20, -20, 220)}
	state := uint64(1)
	for i := range s.Blocks {
		s.Blocks[i].At += late
		for band := range s.Blocks[i].Print {
			for bin := range s.Blocks[i].Print[band] {
				state = state*6364136223846793005 + 1442695040888963407
				s.Blocks[i].Print[band][bin] = byte(state>>33)%100 + 50
			}
		}
	}
	return s
}

func TestJudgeStep(t *testing.T) {
	for name, tt := range map[string]struct {
		offset step.Estimate
		want   string
	}{
		"in step":               {step.Estimate{Offset: 900 * time.Millisecond}, ""},
		"a second":              {step.Estimate{Offset: -time.Second}, "Warning OutOfStep"},
		"a drift":               {step.Estimate{DriftPPM: -200, DriftConfidence: 0.9}, "Warning Drift"},
		"a drift that is vague": {step.Estimate{DriftPPM: 200, DriftConfidence: 0.1}, ""},
		"too little":            {step.Estimate{Doubt: step.TooLittle}, ""},
		"silence":               {step.Estimate{Doubt: step.Flat}, ""},
		"another commentary":    {step.Estimate{Doubt: step.Different}, "Warning DifferentSound"},
		"a loop":                {step.Estimate{Doubt: step.Ambiguous}, "Info StepUnknown"},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, codes(JudgePair(good(), good(), tt.offset))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestLegsOutOfStep(t *testing.T) {
	for name, tt := range map[string]struct {
		late          time.Duration
		want, summary string
	}{
		"in step":       {0, "", "the backup is 0.0 s later"},
		"half a second": {500 * time.Millisecond, "", "the backup is 0.5 s later"},
		"5 s later":     {5 * time.Second, "The backup is 5.0 s behind", "the backup is 5.0 s later"},
		"5 s earlier":   {-5 * time.Second, "The primary is 5.0 s behind", "the backup is -5.0 s later"},
	} {
		t.Run(name, func(t *testing.T) {
			primary, backup := good(), good()
			*primary.Sound, *backup.Sound = varied(time.Minute), varied(time.Minute+tt.late)
			offset := EstimateStep(primary, backup)
			var said string
			for _, f := range JudgePair(primary, backup, offset) {
				said += f.Message
			}
			if tt.want == "" && said != "" || !strings.Contains(said, tt.want) {
				t.Errorf("got %q, want %q", said, tt.want)
			}
			if diff := cmp.Diff(tt.summary+", drift unknown", StepSummary(offset)); diff != "" {
				t.Errorf("summary (-want +got):\n%s", diff)
			}
		})
	}
	if diff := cmp.Diff("offset unknown (TooLittle)", StepSummary(EstimateStep(Leg{}, good()))); diff != "" {
		t.Errorf("no sound (-want +got):\n%s", diff)
	}
}

// Each grave warning says what to set, apart from those that no encoder's setting mends.
func TestGraveWarningsSayWhatToSet(t *testing.T) {
	for _, code := range grave {
		obs, ffmpeg := preflight.SettingsFor(code)
		if (obs == "" || ffmpeg == "") && !slices.Contains([]string{"PublisherExpelled", "UndeclaredStream"}, code) {
			t.Errorf("nothing to set for %s", code)
		}
	}
}

func TestSummary(t *testing.T) {
	leg := good()
	want := "H.264 High 1280x720, 30 pictures and 2.5 Mbit/s a second, a key frame each 2.0 s; AAC, 48 kHz, stereo, -20 LUFS"
	if diff := cmp.Diff(want, leg.Summary()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff("no video; no sound", (Leg{}).Summary()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
