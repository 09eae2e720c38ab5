package flv

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	sps = []byte{
		0x67, 0x42, 0xc0, 0x28, 0xd9, 0x00, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00, 0x00,
		0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc9, 0x20,
	}
	pps = []byte{0x68, 0xce, 0x3c, 0x80}
)

func cat(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			b = append(b, p...)
		case int:
			b = append(b, byte(p))
		case []byte:
			b = append(b, p...)
		}
	}
	return b
}

func TestParseVideo(t *testing.T) {
	for name, test := range map[string]struct {
		body  []byte
		want  VideoPacket
		codec string // of an UnsupportedCodecError
		fails bool
	}{
		"sequence header":                {body: cat(0x17, 0, 0, 0, 0, "config"), want: VideoPacket{Kind: SequenceHeader, Keyframe: true, Data: []byte("config")}},
		"key frame":                      {body: cat(0x17, 1, 0, 0, 80, "x"), want: VideoPacket{Kind: CodedFrames, Keyframe: true, CompositionTime: 80 * time.Millisecond, Data: []byte("x")}},
		"inter frame, negative time":     {body: cat(0x27, 1, 0xff, 0xff, 0xfe, "x"), want: VideoPacket{Kind: CodedFrames, CompositionTime: -2 * time.Millisecond, Data: []byte("x")}},
		"end of sequence":                {body: cat(0x17, 2, 0, 0, 0), want: VideoPacket{}},
		"command frame":                  {body: cat(0x57, 0), want: VideoPacket{}},
		"enhanced sequence start":        {body: cat(0x90, "avc1config"), want: VideoPacket{Kind: SequenceHeader, Keyframe: true, Data: []byte("config")}},
		"enhanced frames":                {body: cat(0xa1, "avc1", 0, 0, 40, "x"), want: VideoPacket{Kind: CodedFrames, CompositionTime: 40 * time.Millisecond, Data: []byte("x")}},
		"enhanced frames, no time":       {body: cat(0x93, "avc1x"), want: VideoPacket{Kind: CodedFrames, Keyframe: true, Data: []byte("x")}},
		"enhanced end":                   {body: cat(0x92, "avc1"), want: VideoPacket{}},
		"enhanced metadata":              {body: cat(0xd4, "avc1..."), want: VideoPacket{}},
		"enhanced command":               {body: cat(0xd0, 0), want: VideoPacket{}},
		"enhanced with nanoseconds":      {body: cat(0x97, 2, 0, 0, 7, 0x03, "avc1x"), want: VideoPacket{Kind: CodedFrames, Keyframe: true, Data: []byte("x")}},
		"enhanced with a long modifier":  {body: cat(0x97, 255, 0, 1, 1, 2, 0x03, "avc1x"), want: VideoPacket{Kind: CodedFrames, Keyframe: true, Data: []byte("x")}},
		"HEVC by fourcc":                 {body: cat(0x90, "hvc1config"), codec: "HEVC (H.265)"},
		"AV1 by fourcc":                  {body: cat(0x91, "av01config"), codec: "AV1"},
		"HEVC by number":                 {body: cat(0x1c, 0, 0, 0, 0), codec: "HEVC (H.265)"},
		"VP6":                            {body: cat(0x14, 0, 0, 0, 0), codec: "VP6"},
		"unknown fourcc":                 {body: cat(0x90, "\x00abc..."), codec: `"\x00abc"`},
		"one track of several":           {body: cat(0x96, 0x03, "avc1", 1, "x"), want: VideoPacket{Kind: CodedFrames, Track: 1, Multitrack: true, Keyframe: true, Data: []byte("x")}},
		"a foreign one of several":       {body: cat(0x96, 0x01, "hvc1", 1, "x"), want: VideoPacket{Track: 1, Multitrack: true}, codec: "HEVC (H.265)"},
		"the end of one of several":      {body: cat(0x96, 0x02, "avc1", 1), want: VideoPacket{Track: 1, Multitrack: true}},
		"a malformed one of several":     {body: cat(0x96, 0x01, "avc1", 1, 0), want: VideoPacket{Track: 1, Multitrack: true}, fails: true},
		"the lowest that is H.264":       {body: cat(0xa6, 0x23, "hvc1", 0, 0, 0, 1, "y", "avc1", 2, 0, 0, 1, "z", "avc1", 1, 0, 0, 1, "x"), want: VideoPacket{Kind: CodedFrames, Track: 1, Multitrack: true, Several: true, Data: []byte("x")}},
		"several, and none is H.264":     {body: cat(0xa6, 0x21, "hvc1", 2, 0, 0, 1, "y", "av01", 1, 0, 0, 1, "z"), want: VideoPacket{Track: 1, Multitrack: true, Several: true}, codec: "AV1"},
		"empty":                          {body: nil, fails: true},
		"cut off":                        {body: cat(0x17, 1, 0), fails: true},
		"fourcc cut off":                 {body: cat(0x90, "av"), fails: true},
		"enhanced time cut off":          {body: cat(0x91, "avc1", 0), fails: true},
		"modifier cut off":               {body: cat(0x97, 9, 0), fails: true},
		"endless modifiers":              {body: bytes.Repeat([]byte{0x97, 0, 7}, 50), fails: true},
		"unknown packet type":            {body: cat(0x17, 9, 0, 0, 0), fails: true},
		"unknown packet type, by fourcc": {body: cat(0x9f, "avc1"), fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseVideo(test.body)
			checkCodec(t, err, test.codec, test.fails)
			if diff := cmp.Diff(test.want, got, cmpEmpty); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// cmpEmpty treats an empty slice like nil.
var cmpEmpty = cmp.Comparer(func(a, b []byte) bool { return bytes.Equal(a, b) })

func checkCodec(t *testing.T, err error, codec string, fails bool) {
	t.Helper()
	var unsupported *UnsupportedCodecError
	switch {
	case codec != "":
		if !errors.As(err, &unsupported) || unsupported.Codec != codec {
			t.Errorf("error %v, want unsupported codec %s", err, codec)
		}
	case fails != (err != nil):
		t.Errorf("error %v", err)
	}
}

func TestParseAudio(t *testing.T) {
	for name, test := range map[string]struct {
		body  []byte
		want  AudioPacket
		codec string
		fails bool
	}{
		"AAC sequence header":       {body: cat(0xaf, 0, 0x11, 0x90), want: AudioPacket{Kind: SequenceHeader, Codec: AAC, Data: []byte{0x11, 0x90}}},
		"AAC frame":                 {body: cat(0xaf, 1, "x"), want: AudioPacket{Kind: CodedFrames, Codec: AAC, Data: []byte("x")}},
		"AAC without payload":       {body: cat(0xaf, 1), want: AudioPacket{}},
		"Opus sequence header":      {body: cat(0x90, "Opusx"), want: AudioPacket{Kind: SequenceHeader, Codec: Opus, Data: []byte("x")}},
		"Opus packet":               {body: cat(0x91, "Opusx"), want: AudioPacket{Kind: CodedFrames, Codec: Opus, Data: []byte("x")}},
		"AAC by fourcc":             {body: cat(0x91, "mp4ax"), want: AudioPacket{Kind: CodedFrames, Codec: AAC, Data: []byte("x")}},
		"enhanced end":              {body: cat(0x92, "mp4a"), want: AudioPacket{}},
		"MP3":                       {body: cat(0x2f, "x"), codec: "MP3"},
		"reserved":                  {body: cat(0xcf, "x"), codec: "number 12"},
		"AC-3 by fourcc":            {body: cat(0x90, "ac-3x"), codec: "AC-3"},
		"one track of several":      {body: cat(0x95, 0x01, "mp4a", 3, "x"), want: AudioPacket{Kind: CodedFrames, Codec: AAC, Track: 3, Multitrack: true, Data: []byte("x")}},
		"the lowest of several":     {body: cat(0x95, 0x11, "Opus", 2, 0, 0, 1, "y", 1, 0, 0, 2, "xx", 3, 0, 0, 0), want: AudioPacket{Kind: CodedFrames, Codec: Opus, Track: 1, Multitrack: true, Several: true, Data: []byte("xx")}},
		"several codecs":            {body: cat(0x95, 0x21, "fLaC", 1, 0, 0, 1, "y", "Opus", 0, 0, 0, 1, "x"), want: AudioPacket{Kind: CodedFrames, Codec: Opus, Multitrack: true, Several: true, Data: []byte("x")}},
		"the lowest is foreign":     {body: cat(0x95, 0x21, "fLaC", 0, 0, 0, 1, "y", "mp4a", 2, 0, 0, 1, "x"), want: AudioPacket{Kind: CodedFrames, Codec: AAC, Track: 2, Multitrack: true, Several: true, Data: []byte("x")}},
		"the end of one":            {body: cat(0x95, 0x02, "mp4a", 3), want: AudioPacket{Track: 3, Multitrack: true}},
		"one without payload":       {body: cat(0x95, 0x01, "mp4a", 3), want: AudioPacket{Track: 3, Multitrack: true}},
		"a foreign one":             {body: cat(0x95, 0x01, "fLaC", 4, "x"), want: AudioPacket{Track: 4, Multitrack: true}, codec: "FLAC"},
		"several, a size too large": {body: cat(0x95, 0x11, "Opus", 2, 0, 0, 9, "y"), fails: true},
		"several, cut off":          {body: cat(0x95, 0x11, "Opus", 2, 0), fails: true},
		"several, none":             {body: cat(0x95, 0x11, "Opus"), fails: true},
		"several of a type":         {body: cat(0x95, 0x31, "Opus", 0), fails: true},
		"empty":                     {fails: true},
		"cut off":                   {body: cat(0xaf), fails: true},
		"fourcc cut off":            {body: cat(0x91, "mp"), fails: true},
		"unknown packet type":       {body: cat(0xaf, 7), fails: true},
		"unknown type by fourcc":    {body: cat(0x9f, "mp4ax"), fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseAudio(test.body)
			checkCodec(t, err, test.codec, test.fails)
			if diff := cmp.Diff(test.want, got, cmpEmpty); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestAVCConfigRoundTrip(t *testing.T) {
	high := bytes.Clone(sps)
	high[1] = 100
	for name, want := range map[string]AVCConfig{
		"baseline":     {SPS: [][]byte{sps}, PPS: [][]byte{pps}, LengthSize: 4},
		"high":         {SPS: [][]byte{high}, PPS: [][]byte{pps}, LengthSize: 4},
		"several PPS":  {SPS: [][]byte{sps}, PPS: [][]byte{pps, {0x68, 0x5a}}, LengthSize: 4},
		"short length": {SPS: [][]byte{sps}, PPS: [][]byte{pps}, LengthSize: 2},
	} {
		b, err := want.Append(nil)
		if err != nil {
			t.Fatal(name, err)
		}
		got, err := ParseAVCConfig(b)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got)\n%s", name, err, diff)
		}
		for n := range b[:len(b)-4] { // the last four bytes are optional in High
			if _, err := ParseAVCConfig(b[:n]); err == nil {
				t.Errorf("%s: cut off after %d bytes, and no error", name, n)
			}
		}
	}
	if _, err := (AVCConfig{}).Append(nil); err == nil {
		t.Error("a configuration without parameter sets was written")
	}
}

func TestSplitAVCC(t *testing.T) {
	units := [][]byte{{0x65, 1, 2}, {0x41}}
	for name, test := range map[string]struct {
		in         []byte
		lengthSize int
		want       [][]byte
		fails      bool
	}{
		"four bytes":       {in: AppendAVCC(nil, units), lengthSize: 4, want: units},
		"two bytes":        {in: []byte{0, 3, 0x65, 1, 2, 0, 1, 0x41}, lengthSize: 2, want: units},
		"empty unit":       {in: []byte{0, 0, 1, 0x41}, lengthSize: 1, want: [][]byte{{0x41}}},
		"nothing":          {lengthSize: 4},
		"start codes":      {in: []byte{0, 0, 0, 1, 0x65, 1, 2, 0, 0, 1, 0x41, 0}, lengthSize: 4, want: units},
		"too long":         {in: []byte{0, 0, 0, 9, 0x65}, lengthSize: 4, fails: true},
		"length cut off":   {in: []byte{0, 0, 0}, lengthSize: 4, fails: true},
		"no length":        {in: []byte{0x65}, lengthSize: 0, fails: true},
		"far too long":     {in: []byte{0xff, 0xff, 0xff, 0xff, 0x65}, lengthSize: 4, fails: true},
		"too many":         {in: bytes.Repeat([]byte{1, 0x41}, maxNALUs+1), lengthSize: 1, fails: true},
		"many start codes": {in: bytes.Repeat([]byte{0, 0, 1, 0x41}, maxNALUs+1), lengthSize: 4, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := SplitAVCC(test.in, test.lengthSize)
			if test.fails != (err != nil) {
				t.Errorf("error %v", err)
			}
			if diff := cmp.Diff(test.want, got); !test.fails && diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestParseAudioConfig(t *testing.T) {
	for name, test := range map[string]struct {
		in      []byte
		want    AudioConfig
		variant string
		fails   bool
	}{
		"LC 48 kHz stereo":         {in: []byte{0x11, 0x90}, want: AudioConfig{ObjectType: 2, SampleRate: 48000, Channels: 2}},
		"LC 44.1 kHz mono":         {in: []byte{0x12, 0x08}, want: AudioConfig{ObjectType: 2, SampleRate: 44100, Channels: 1}},
		"ffmpeg's: no SBR":         {in: []byte{0x11, 0x90, 0x56, 0xe5, 0x00}, want: AudioConfig{ObjectType: 2, SampleRate: 48000, Channels: 2}},
		"explicit rate":            {in: []byte{0x17, 0x80, 0x5d, 0xc0, 0x10}, want: AudioConfig{ObjectType: 2, SampleRate: 48000, Channels: 2}},
		"HE-AAC, hierarchical":     {in: []byte{0x2b, 0x11, 0x88, 0x00}, want: AudioConfig{ObjectType: 2, SampleRate: 24000, Channels: 2, SBR: true}, variant: "HE-AAC"},
		"HE-AAC, backward":         {in: []byte{0x13, 0x10, 0x56, 0xe5, 0x98}, want: AudioConfig{ObjectType: 2, SampleRate: 24000, Channels: 2, SBR: true}, variant: "HE-AAC"},
		"5.1":                      {in: []byte{0x11, 0xb0}, want: AudioConfig{ObjectType: 2, SampleRate: 48000, Channels: 6}, variant: "AAC with 6 channels"},
		"7.1 as ffmpeg has it":     {in: []byte{0x11, 0x80, 0x04, 0xc8, 0x44, 0x00, 0x20, 0x00, 0xc4}, want: AudioConfig{ObjectType: 2, SampleRate: 48000}, variant: "AAC with a program config element"},
		"AAC Main":                 {in: []byte{0x09, 0x90}, want: AudioConfig{ObjectType: 1, SampleRate: 48000, Channels: 2}, variant: "AAC of object type 1"},
		"960 samples":              {in: []byte{0x11, 0x94}, want: AudioConfig{ObjectType: 2, SampleRate: 48000, Channels: 2, ShortFrames: true}, variant: "AAC with frames of 960 samples"},
		"reserved rate":            {in: []byte{0x16, 0x90}, fails: true},
		"reserved channels":        {in: []byte{0x11, 0xf8}, fails: true},
		"one byte":                 {in: []byte{0x11}, fails: true},
		"empty":                    {fails: true},
		"explicit rate, too high":  {in: []byte{0x17, 0xff, 0xff, 0xff, 0x90}, fails: true},
		"explicit rate, cut short": {in: []byte{0x17, 0x80}, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseAudioConfig(test.in)
			if test.fails != (err != nil) {
				t.Errorf("error %v", err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if !test.fails && got.Variant() != test.variant {
				t.Errorf("variant %q, want %q", got.Variant(), test.variant)
			}
		})
	}
}

func TestUnwrapper(t *testing.T) {
	const ms = time.Millisecond
	for name, test := range map[string]struct {
		in   []uint32
		want []time.Duration
	}{
		"goes on":                {[]uint32{0, 33, 67}, []time.Duration{0, 33 * ms, 67 * ms}},
		"starts late":            {[]uint32{20_000_000, 20_000_033}, []time.Duration{20_000_000 * ms, 20_000_033 * ms}},
		"small step back":        {[]uint32{100, 60, 120}, []time.Duration{100 * ms, 60 * ms, 120 * ms}},
		"back below zero":        {[]uint32{5, 0xfffffff6, 20}, []time.Duration{5 * ms, -10 * ms, 20 * ms}},
		"wraps at 32 bit":        {[]uint32{0xfffffff0, 0x10, 0xfffffffe, 0x20}, []time.Duration{0xfffffff0 * ms, (1<<32 + 0x10) * ms, 0xfffffffe * ms, (1<<32 + 0x20) * ms}},
		"passes 31 bit":          {[]uint32{0x7ffffff0, 0x80000010}, []time.Duration{0x7ffffff0 * ms, 0x80000010 * ms}},
		"wraps at 31 bit":        {[]uint32{0x7ffffff0, 0x10, 0x7fffffff, 0x20, 0x40}, []time.Duration{0x7ffffff0 * ms, 0x80000010 * ms, 0x7fffffff * ms, 0x80000020 * ms, 0x80000040 * ms}},
		"jumps ahead by an hour": {[]uint32{0, 3_600_000}, []time.Duration{0, time.Hour}},
		"jumps back by an hour":  {[]uint32{3_600_000, 0}, []time.Duration{time.Hour, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			var u Unwrapper
			var got []time.Duration
			for _, v := range test.in {
				got = append(got, u.Unwrap(v))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	// Against a hostile clock: the difference of any two times must not overflow either.
	var u Unwrapper
	for i := range uint32(20_000) {
		if d := u.Unwrap(i * 2_000_000_000); d > 1<<61 || d < -(1<<61) {
			t.Fatalf("step %d: %v", i, d)
		}
	}
}

func TestFileRoundTrip(t *testing.T) {
	var file bytes.Buffer
	w, err := NewWriter(&file, true, true)
	for _, step := range []func() error{
		func() error { return err },
		func() error { return w.WriteVideoConfig(0, sps, pps) },
		func() error { return w.WriteAudioConfig(0, AAC, []byte{0x11, 0x90}) },
		func() error {
			return w.WriteVideo(100*time.Millisecond, 180*time.Millisecond, true, [][]byte{{0x65, 1}})
		},
		func() error { return w.WriteAudio(5*time.Hour+time.Millisecond/2, AAC, []byte("frame")) },
		func() error { return w.WriteAudioConfig(0, Opus, []byte("OpusHead")) },
		func() error { return w.WriteAudio(-time.Millisecond, Opus, []byte("packet")) },
		func() error { return w.WriteTag(Tag{Type: ScriptTag, Timestamp: 7, Body: []byte("meta")}) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	r := NewReader(&file, 0)
	for {
		tag, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, describe(t, tag))
	}
	want := []string{
		"0 video config", "0 audio config 1 1190", "100 video 80ms 6501",
		"18000001 audio 1 6672616d65", "0 audio config 2 4f70757348656164", "4294967295 audio 2 7061636b6574", "7 script",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestReaderRefuses(t *testing.T) {
	header := cat("FLV", 1, 5, 0, 0, 0, 9, 0, 0, 0, 0)
	for name, test := range map[string]struct {
		in   []byte
		want string
	}{
		"nothing":         {nil, "EOF"},
		"another file":    {[]byte("RIFFxxxxWAVE"), "not an FLV"},
		"huge header":     {cat("FLV", 1, 5, 0xff, 0, 0, 9, 0), "header of"},
		"cut off header":  {header[:11], "unexpected EOF"},
		"empty":           {header, "EOF"},
		"cut off tag":     {cat(header, 9, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, "x"), "unexpected EOF"},
		"huge tag":        {cat(header, 9, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, "x"), "more than"},
		"unknown skipped": {cat(header, 77, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, "x", 0, 0, 0, 12), "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewReader(bytes.NewReader(test.in), 0).Next()
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}
