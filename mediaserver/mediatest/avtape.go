package mediatest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/streampair/streampair/mediaserver/flv"
)

// A Tape is an FLV file in memory, to replay.
type Tape struct {
	// Duration is the length of the programme, after which a loop begins again.
	Duration time.Duration

	// headers are sent before the media. media is in decoding order.
	headers, media []tapeTag
	// zero is the presentation time of the first picture, or of the first sound if
	// there is no picture.
	zero time.Duration
}

// A tapeTag is one FLV tag with its time in the file.
type tapeTag struct {
	tag      flv.TagType
	at       time.Duration
	key      bool
	sequence bool // decoder configuration
	body     []byte
}

// Load reads an FLV file with a programme of the given length; 0 means up to the last picture.
func Load(path string, duration time.Duration) (*Tape, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("load tape: %w", err)
	}
	defer f.Close()
	t, err := readTape(f, duration)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", path, err)
	}
	return t, nil
}

// Tape returns the programme as a Tape for Replay.
func (p Programme) Tape(ctx context.Context) (*Tape, error) {
	path, err := p.File(ctx)
	if err != nil {
		return nil, err
	}
	return Load(path, p.withDefaults().Duration)
}

func readTape(r io.Reader, duration time.Duration) (*Tape, error) {
	t := &Tape{Duration: duration, zero: -1}
	in := flv.NewReader(r, 0)
	var first, last time.Duration
	pictures := 0
	for {
		tag, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		unit := tapeTag{tag: tag.Type, at: time.Duration(tag.Timestamp) * time.Millisecond, body: tag.Body}
		var kind flv.PacketKind
		switch tag.Type {
		case flv.VideoTag:
			p, err := flv.ParseVideo(tag.Body)
			if err != nil {
				return nil, err
			}
			kind, unit.key = p.Kind, p.Keyframe
			if kind == flv.CodedFrames {
				if pictures == 0 {
					first, t.zero = unit.at, unit.at+p.CompositionTime
				}
				last = unit.at
				pictures++
			}
		case flv.AudioTag:
			p, err := flv.ParseAudio(tag.Body)
			if err != nil {
				return nil, err
			}
			kind = p.Kind
		default:
			continue
		}
		switch kind {
		case flv.SequenceHeader:
			unit.sequence = true
			t.headers = append(t.headers, unit)
		case flv.CodedFrames:
			t.media = append(t.media, unit)
		}
	}
	if len(t.media) == 0 {
		return nil, errors.New("no media")
	}
	if pictures == 0 {
		t.zero, first, last = t.media[0].at, t.media[0].at, t.media[len(t.media)-1].at
	}
	if t.Duration == 0 {
		t.Duration = last - first
		if pictures > 1 {
			t.Duration += (last - first) / time.Duration(pictures-1)
		}
	}
	t.trim()
	return t, nil
}

// trim removes what the audio encoder added after the end. It would overlap the next
// turn of a loop.
func (t *Tape) trim() {
	var within []tapeTag
	begin := time.Duration(-1)
	for _, m := range t.media {
		if m.tag == flv.AudioTag {
			if begin < 0 {
				begin = m.at
			}
			if m.at >= begin+t.Duration {
				continue
			}
		}
		within = append(within, m)
	}
	t.media = within
}

// track returns the media of one track.
func (t *Tape) track(of flv.TagType) []tapeTag {
	var out []tapeTag
	for _, m := range t.media {
		if m.tag == of {
			out = append(out, m)
		}
	}
	return out
}
