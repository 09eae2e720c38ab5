package cut

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"pgregory.net/rapid"

	"github.com/streampair/streampair/mediaserver/stream"
)

const ms = time.Millisecond

// sps is a sequence parameter set of 1920x1080.
var sps = []byte{
	0x67, 0x42, 0xc0, 0x28, 0xd9, 0x00, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00,
	0xf0, 0x3c, 0x60, 0xc9, 0x20,
}

func pictureFormat() *stream.Format {
	return &stream.Format{Codec: stream.H264, SPS: sps, PPS: []byte{0x68, 0xcb, 0x83, 0xcb, 0x20}, Width: 1920, Height: 1080}
}

func soundFormat() *stream.Format {
	return &stream.Format{Codec: stream.AAC, Config: []byte{0x11, 0x90}, SampleRate: 48000, Channels: 2}
}

func config() Config {
	return Config{
		Boot: "b00t", Publication: 3, Segment: 2 * time.Second, Target: 2 * time.Second, PartTarget: 268 * ms,
		Video: true, Sound: true, Silence: soundFormat(),
	}
}

// A feed makes the access units of a publication.
type feed struct {
	picture, sound *stream.Format
	offset         time.Duration
	seq            uint64
}

func (f *feed) pictureAt(raw, delay time.Duration, idr bool) *stream.AccessUnit {
	f.seq++
	nalu := []byte{0x41, byte(f.seq >> 8), byte(f.seq)}
	if idr {
		nalu[0] = 0x65
	}
	return &stream.AccessUnit{
		Kind: stream.Video, DTS: raw + f.offset, PTS: raw + delay + f.offset, Offset: f.offset, Seq: f.seq, Format: f.picture, IDR: idr,
		NALUs: [][]byte{nalu},
	}
}

func (f *feed) frameAt(raw time.Duration) *stream.AccessUnit {
	f.seq++
	return &stream.AccessUnit{
		Kind: stream.Audio, DTS: raw + f.offset, PTS: raw + f.offset, Offset: f.offset, Seq: f.seq, Format: f.sound,
		Frame: []byte{0x21, byte(f.seq >> 8), byte(f.seq)},
	}
}

// tracks returns the tracks of a part, by id.
func tracks(t rapid.TB, p Part) map[int]*fmp4.PartTrack {
	var parts fmp4.Parts
	if err := parts.Unmarshal(p.Data); err != nil || len(parts) != 1 {
		t.Fatalf("%v: %d fragments, %v", p.Name, len(parts), err)
	}
	out := make(map[int]*fmp4.PartTrack)
	for _, track := range parts[0].Tracks {
		out[track.ID] = track
	}
	return out
}

// A checker checks the parts of one publication as they come.
type checker struct {
	t        rapid.TB
	cfg      Config
	last     *Part
	names    map[Name]bool
	maps     map[Name][]byte
	segment  time.Duration
	dts, end int64 // of the last picture; where the sound ends
	sounding *Run  // of the last sound
	pictures int
	runs     int
	silent   int
}

func newChecker(t rapid.TB, cfg Config) *checker {
	return &checker{t: t, cfg: cfg, names: make(map[Name]bool), maps: make(map[Name][]byte), dts: -1, end: -1}
}

func (c *checker) add(parts ...Part) {
	for _, p := range parts {
		c.check(p)
	}
}

func (c *checker) check(p Part) {
	t := c.t
	if c.names[p.Name] {
		t.Fatalf("%v comes twice", p.Name)
	}
	c.names[p.Name] = true
	if known, ok := c.maps[p.Run.Map]; ok && !bytes.Equal(known, p.Run.Init) {
		t.Fatalf("%v has two contents", p.Run.Map)
	}
	c.maps[p.Run.Map] = p.Run.Init
	newRun := c.last == nil || c.last.Run != p.Run
	if newRun {
		c.runs++
	}
	if c.last == nil && p.Start < c.cfg.After {
		t.Fatalf("the first part begins at %v, and the playlist ends at %v", p.Start, c.cfg.After)
	}
	if l := c.last; l != nil {
		wantSegment, wantPart := l.Name.Segment, l.Name.Part+1
		if l.Last || p.Name.Part == 0 {
			wantSegment, wantPart, c.segment = wantSegment+1, 0, 0
		}
		if p.Name.Segment != wantSegment || p.Name.Part != wantPart {
			t.Fatalf("%v after %v", p.Name, l.Name)
		}
		if newRun && p.Name.Part != 0 {
			t.Fatal("a run ends within a segment")
		}
		if ends := ticks(l.Start+l.Duration, 48000); newRun && c.end < ends {
			t.Fatalf("%d samples of sound are missing at the end of a run", ends-c.end)
		}
		// Where a picture is shown for long, a moment between two parts may hold no sound either.
		if hole := p.Start - l.Start - l.Duration; !newRun && (hole < 0 || hole > 65*ms) || p.Start < l.Start {
			t.Fatalf("%v begins at %v, and its predecessor ends at %v", p.Name, p.Start, l.Start+l.Duration)
		}
	}
	if c.segment += p.Duration; c.segment >= c.cfg.Target+500*ms {
		t.Fatalf("%v: the segment lasts %v", p.Name, c.segment)
	}
	if p.Duration <= 0 || p.Duration > c.cfg.PartTarget {
		t.Fatalf("%v lasts %v", p.Name, p.Duration)
	}
	found := tracks(t, p)
	independent := !c.cfg.Video
	if v := found[videoTrackID]; v != nil {
		at := int64(v.BaseTime)
		for _, s := range v.Samples {
			if at <= c.dts {
				t.Fatalf("%v: DTS %d after %d", p.Name, at, c.dts)
			}
			c.dts, at = at, at+int64(s.Duration)
			independent = independent || !s.IsNonSyncSample
			if nalus, err := s.GetH264(); err != nil || !s.IsNonSyncSample && (len(nalus) != 3 || !bytes.Equal(nalus[0], sps)) {
				t.Fatalf("a picture has %d NAL units, %v", len(nalus), err)
			}
			c.pictures++
		}
		if len(v.Samples) != p.Pictures {
			t.Fatalf("%d pictures, but %d are told", len(v.Samples), p.Pictures)
		}
	} else if p.Pictures != 0 {
		t.Fatal("pictures are told and missing")
	}
	if p.Independent != independent {
		t.Fatalf("%v: independent is %v", p.Name, p.Independent)
	}
	if a := found[soundTrackID]; a != nil {
		// The last frame of a run may reach into the next run.
		if begins := int64(a.BaseTime); c.end > 0 && (begins < c.end && c.sounding == p.Run || begins <= c.end-1024) {
			t.Fatalf("%v: sound begins at %d, but it ended at %d", p.Name, begins, c.end)
		}
		c.end, c.sounding = int64(a.BaseTime), p.Run
		for _, s := range a.Samples {
			c.end += int64(s.Duration)
			if len(s.Payload) == 7 {
				c.silent++
			}
		}
		if !newRun || p.Duration > 100*ms {
			// Sound lies in the part in which it begins.
			if late := ticks(p.Start+p.Duration, 48000) - c.end; late > 3*1024 {
				t.Fatalf("%v: the sound ends %d samples early", p.Name, late)
			}
		}
	}
	c.last = &p
}

// Any publication is cut by the rules, whatever its frame rate, order, gaps and clock are.
func TestAnyPublicationIsCutByTheRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := config()
		cfg.Target = time.Duration(rapid.IntRange(2, 6).Draw(t, "target")) * time.Second
		mute := rapid.Bool().Draw(t, "mute")
		cfg.Mute = mute
		cfg.After = time.Duration(rapid.IntRange(0, 10_000).Draw(t, "after")) * ms
		c, k := New(cfg), newChecker(t, cfg)
		f := &feed{picture: pictureFormat(), sound: soundFormat(), offset: 5 * time.Second}
		fps := rapid.SampledFrom([]int{5, 15, 24, 25, 30, 50, 60}).Draw(t, "fps")
		gop := rapid.IntRange(1, 300).Draw(t, "gop")
		delay := time.Duration(rapid.IntRange(0, 3).Draw(t, "reordering")) * time.Second / time.Duration(fps)
		soundLate := time.Duration(rapid.IntRange(0, 400).Draw(t, "late")) * ms
		sent, runs, frames := 0, 1, 0
		pause := time.Duration(0)
		for n := range rapid.IntRange(1, 900).Draw(t, "pictures") {
			raw := (time.Duration(n)*time.Second/time.Duration(fps) + pause).Truncate(ms)
			switch rapid.IntRange(0, 200).Draw(t, "event") {
			case 0: // the mapping follows the clock
				f.offset += time.Duration(rapid.IntRange(-900, 1).Draw(t, "drift")) * ms
			case 1: // the clock is anchored anew
				if sent > 0 {
					runs++
				}
				f.offset += time.Duration(rapid.IntRange(1100, 5000).Draw(t, "jump")) * ms
			case 2: // pictures are shown for longer
				pause += time.Duration(rapid.IntRange(0, 3000).Draw(t, "pause")) * ms
				raw = (time.Duration(n)*time.Second/time.Duration(fps) + pause).Truncate(ms)
			}
			idr := n%gop == 0
			order := delay * time.Duration(n%3) / 2
			if idr {
				order = delay
			}
			k.add(c.Add(f.pictureAt(raw, order, idr))...)
			sent++
			for !mute && time.Duration(frames)*1024*time.Second/48000 <= raw-soundLate {
				at := time.Duration(frames) * 1024 * time.Second / 48000
				frames++
				if lost := frames%97 < 5; !lost {
					k.add(c.Add(f.frameAt(at.Truncate(ms)))...)
				}
			}
		}
		k.add(c.End()...)
		if ends := ticks(k.last.Start+k.last.Duration, 48000); k.end < ends {
			t.Fatalf("%d samples of sound are missing at the end", ends-k.end)
		}
		if k.pictures != sent {
			t.Fatalf("%d pictures came out, of %d", k.pictures, sent)
		}
		if k.runs > runs {
			t.Fatalf("%d runs, want at most %d", k.runs, runs)
		}
		if mute && sent > 30 && k.silent == 0 {
			t.Fatal("missing sound is not filled")
		}
	})
}

// play feeds seconds of a regular publication, and returns its parts.
func play(cfg Config, length time.Duration, gop time.Duration, skip func(u *stream.AccessUnit) bool) (parts []Part) {
	c, f := New(cfg), &feed{picture: pictureFormat(), sound: soundFormat(), offset: time.Second}
	for n := time.Duration(0); n*40*ms < length; n++ {
		add := func(u *stream.AccessUnit) {
			if skip == nil || !skip(u) {
				parts = append(parts, c.Add(u)...)
			}
		}
		add(f.pictureAt(n*40*ms, 0, n*40*ms%gop == 0))
		for i := range 2 {
			add(f.frameAt(n*40*ms + time.Duration(i)*20*ms))
		}
	}
	return append(parts, c.End()...)
}

func segments(parts []Part) (durations []time.Duration) {
	for _, p := range parts {
		if int(p.Name.Segment) == len(durations) {
			durations = append(durations, 0)
		}
		durations[p.Name.Segment] += p.Duration
	}
	return durations
}

func TestASegmentEndsAtAnIDRAndByTheTargetDuration(t *testing.T) {
	for _, test := range []struct {
		name   string
		target time.Duration
		gop    time.Duration
		want   string
	}{
		{"an IDR each 2 s", 2 * time.Second, 2 * time.Second, "[2s 2s 2s 2s 2s 2s]"},
		{"an IDR each 0.4 s", 2 * time.Second, 400 * ms, "[2s 2s 2s 2s 2s 2s]"},
		{"an IDR each 3 s; the first segment does not wait", 3 * time.Second, 3 * time.Second, "[2.16s 840ms 3s 3s 3s]"},
		{"no second IDR", 4 * time.Second, time.Hour, "[2.16s 4.32s 4.32s 1.2s]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := config()
			cfg.Target = test.target
			if got := fmt.Sprint(segments(play(cfg, 12*time.Second, test.gop, nil))); got != test.want {
				t.Errorf("segments of %v, want %v", got, test.want)
			}
		})
	}
}

// A switch begins with an IDR that is older than the end of the playlist.
func TestPicturesWhoseTimeHasPassedAreShownQuickly(t *testing.T) {
	cfg := config()
	cfg.After = 2900 * ms // the first picture was taken at 1 s
	parts := play(cfg, 6*time.Second, 2*time.Second, nil)
	first := parts[0]
	if first.Start != cfg.After || !first.Independent {
		t.Errorf("the first part begins at %v, independent: %v", first.Start, first.Independent)
	}
	found := tracks(t, first)
	at, quick := int64(found[videoTrackID].BaseTime), 0
	for _, s := range found[videoTrackID].Samples {
		if at < ticks(cfg.After+5*ms, videoScale) {
			quick++
		}
		at += int64(s.Duration)
	}
	if quick != 48 { // 1.9 s at 25 pictures a second
		t.Errorf("%d pictures are shown within 5 ms", quick)
	}
	if got := int64(found[soundTrackID].BaseTime); got != ticks(cfg.After, 48000) {
		t.Errorf("the sound begins at %d", got)
	}
	last := parts[len(parts)-1]
	if end := last.Start + last.Duration; end != 7*time.Second {
		t.Errorf("the last part ends at %v, want the publication's end", end)
	}
}

func TestParsesItsOwnNamesOnly(t *testing.T) {
	for _, n := range []Name{{"b00t", 1, 2, 3}, {"b00t", 1, 2, WholeSegment}, {"b00t", 0, 0, Initialization}} {
		if got, ok := ParseName(n.String()); !ok || got != n {
			t.Errorf("%v became %v", n, got)
		}
	}
	for _, text := range []string{"", "a.m4s", "b-1-2-3-4.m4s", "b-1-02.m4s", "b-1-2--1.m4s", "b-1-2-3.mp4", "b-1-2", "b-1-2.m4s?x"} {
		if n, ok := ParseName(text); ok {
			t.Errorf("%q became %v", text, n)
		}
	}
}
