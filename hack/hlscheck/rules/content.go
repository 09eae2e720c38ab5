package rules

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"
)

// Content is a segment or a part with its bytes, which are fragmented MP4 (3.1.2).
type Content struct {
	// Name says what it is in breaches, such as "Segment 7".
	Name string
	// Listed is the duration that the playlist gives.
	Listed time.Duration
	// Discontinuity is its Discontinuity Sequence Number.
	Discontinuity uint64
	// Part and Independent are true for a part, and for a part that is INDEPENDENT.
	Part, Independent bool
	Bytes             []byte
}

// A Timeline checks successive segments, or successive parts, of one playlist. Segments and parts
// need a Timeline each. The zero value is ready.
type Timeline struct {
	init          *fmp4.Init
	discontinuity uint64
	tracks        map[int]trackTime
}

// A trackTime is where a track is, in the track's time scale.
type trackTime struct{ base, end uint64 }

func departs(advice bool, rule, section, format string, args ...any) Breach {
	return Breach{Rule: rule, Section: section, Advice: advice, Text: fmt.Sprintf(format, args...)}
}

// ParseInit reads a Media Initialization Section.
func ParseInit(data []byte) (*fmp4.Init, []Breach) {
	var init fmp4.Init
	if err := init.Unmarshal(bytes.NewReader(data)); err != nil {
		return nil, []Breach{departs(must, "init", "3.1.2", "A Media Initialization Section cannot be read: %v.", err)}
	}
	return &init, nil
}

// Next checks what comes next, to which a Media Initialization Section applies. Gaps between
// segments are allowed, because segments may have been missed.
func (t *Timeline) Next(init *fmp4.Init, c Content) []Breach {
	var found []Breach
	if c.Discontinuity != t.discontinuity {
		t.tracks = nil
	} else if t.init != nil && t.tracks != nil && !sameTracks(t.init, init) {
		found = append(found, departs(must, "tracks-change", "4.4.4.3", "%s has other tracks without EXT-X-DISCONTINUITY.", c.Name))
	}
	if t.tracks == nil {
		t.tracks = make(map[int]trackTime)
	}
	t.init, t.discontinuity = init, c.Discontinuity
	var parts fmp4.Parts
	if err := parts.Unmarshal(c.Bytes); err != nil {
		return append(found, departs(must, "media", "3.1.2", "%s cannot be read: %v.", c.Name, err))
	}
	if len(parts) == 0 {
		return append(found, departs(must, "media", "3.1.2", "%s has no movie fragment.", c.Name))
	}
	found = append(found, t.times(c, parts)...)
	lead := leadTrack(init)
	if lead == nil {
		return found
	}
	if d, frame := length(parts, lead); d > 0 && (d-c.Listed).Abs() > frame+time.Millisecond {
		section := "4.4.4.1"
		if c.Part {
			section = "4.4.4.9"
		}
		found = append(found, departs(must, "media-duration", section, "%s lasts %v, and the playlist says %v.", c.Name, d.Round(time.Microsecond), c.Listed))
	}
	if c.Part && lead.Codec.IsVideo() {
		switch marked, sync := hasSync(parts, lead); {
		case c.Independent && !marked && !sync:
			found = append(found, departs(must, "independent", "4.4.4.9", "%s is INDEPENDENT and has no independent frame.", c.Name))
		case !c.Independent && sync:
			found = append(found, departs(should, "independent-unmarked", "4.4.4.9", "%s has an independent frame and is not INDEPENDENT.", c.Name))
		}
	}
	return found
}

// times checks that no track goes back by more than one frame: the duration of a last sample may
// be a guess.
func (t *Timeline) times(c Content, parts fmp4.Parts) []Breach {
	var found []Breach
	for _, p := range parts {
		for _, track := range p.Tracks {
			at := slices.IndexFunc(t.init.Tracks, func(i *fmp4.InitTrack) bool { return i.ID == track.ID })
			if at < 0 {
				found = append(found, departs(must, "track-unknown", "3.1.2", "%s has the track %d, which its EXT-X-MAP has not.", c.Name, track.ID))
				continue
			}
			now, frame := trackTime{track.BaseTime, track.BaseTime}, uint64(0)
			for _, s := range track.Samples {
				now.end += uint64(s.Duration)
				frame = max(frame, uint64(s.Duration))
			}
			before, ok := t.tracks[track.ID]
			if ok && (now.base < before.base || now.base+frame < before.end) {
				found = append(found, departs(must, "tfdt-back", "3", "%s starts at %d in track %d, and what precedes it ends at %d (time scale %d).",
					c.Name, now.base, track.ID, before.end, t.init.Tracks[at].TimeScale))
			}
			t.tracks[track.ID] = now
		}
	}
	return found
}

// sameTracks reports whether number, identifiers and types of tracks are equal.
func sameTracks(a, b *fmp4.Init) bool {
	return slices.EqualFunc(a.Tracks, b.Tracks, func(a, b *fmp4.InitTrack) bool {
		return a.ID == b.ID && a.TimeScale == b.TimeScale && reflect.TypeOf(a.Codec) == reflect.TypeOf(b.Codec)
	})
}

// leadTrack is the track whose duration counts: video before audio (3).
func leadTrack(init *fmp4.Init) *fmp4.InitTrack {
	for _, t := range init.Tracks {
		if t.Codec.IsVideo() {
			return t
		}
	}
	if len(init.Tracks) > 0 {
		return init.Tracks[0]
	}
	return nil
}

// length returns the duration of a track, and its longest sample.
func length(parts fmp4.Parts, lead *fmp4.InitTrack) (total, frame time.Duration) {
	for _, p := range parts {
		for _, t := range p.Tracks {
			if t.ID != lead.ID || lead.TimeScale == 0 {
				continue
			}
			for _, s := range t.Samples {
				d := time.Duration(float64(s.Duration) / float64(lead.TimeScale) * float64(time.Second))
				total, frame = total+d, max(frame, d)
			}
		}
	}
	return total, frame
}

// hasSync reports whether a part has a sample that is marked as independent, and one that is.
// Some muxers mark samples in fields that the parser does not read, so that H.264 and H.265 are
// looked into.
func hasSync(parts fmp4.Parts, lead *fmp4.InitTrack) (marked, sync bool) {
	for _, p := range parts {
		for _, t := range p.Tracks {
			for _, s := range t.Samples {
				if t.ID == lead.ID {
					marked, sync = marked || !s.IsNonSyncSample, sync || isSync(s, lead)
				}
			}
		}
	}
	return marked, sync
}

func isSync(s *fmp4.Sample, lead *fmp4.InitTrack) bool {
	switch lead.Codec.(type) {
	case *codecs.H264:
		units, err := s.GetH264()
		return err == nil && h264.IsRandomAccess(units)
	case *codecs.H265:
		units, err := s.GetH265()
		return err == nil && h265.IsRandomAccess(units)
	}
	return !s.IsNonSyncSample
}

// A timedSample is a sample of a track at its time.
type timedSample struct {
	track   int
	dts     uint64
	content fmp4.Sample
}

// CheckParts compares a segment with its parts: their samples must be equal (3.2). That their
// bytes are equal is advice, because boxes may differ.
func CheckParts(name string, segment []byte, parts [][]byte) []Breach {
	joined := slices.Concat(parts...)
	if bytes.Equal(joined, segment) {
		return nil
	}
	a, errA := samples(segment)
	b, errB := samples(joined)
	if errA != nil || errB != nil || !reflect.DeepEqual(a, b) {
		return []Breach{departs(must, "parts-samples", "3.2", "%s has other samples than its %d parts.", name, len(parts))}
	}
	return []Breach{departs(should, "parts-bytes", "3.2", "%s has the samples of its %d parts, and other bytes.", name, len(parts))}
}

// samples returns all samples in the order of their tracks and times.
func samples(data []byte) ([]timedSample, error) {
	var parts fmp4.Parts
	if err := parts.Unmarshal(data); err != nil {
		return nil, err
	}
	var found []timedSample
	for _, p := range parts {
		for _, t := range p.Tracks {
			dts := t.BaseTime
			for _, s := range t.Samples {
				found = append(found, timedSample{t.ID, dts, *s})
				dts += uint64(s.Duration)
			}
		}
	}
	slices.SortStableFunc(found, func(a, b timedSample) int { return a.track - b.track })
	return found, nil
}
