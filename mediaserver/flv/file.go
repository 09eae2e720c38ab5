package flv

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// A TagType is the type of a tag in an FLV file.
type TagType byte

// Types of tags, annex E.4.1. A Reader skips all others.
const (
	AudioTag  TagType = 8
	VideoTag  TagType = 9
	ScriptTag TagType = 18
)

const (
	headerSize    = 9
	tagHeaderSize = 11
	trailerSize   = 4 // size of the previous tag
	maxTagBody    = 1<<24 - 1
)

// A Tag is one tag of an FLV file.
type Tag struct {
	Type TagType
	// Timestamp is in milliseconds, modulo 2^32: see Unwrapper.
	Timestamp uint32
	// Body belongs to the reader of the tag.
	Body []byte
}

// A Reader reads the tags of an FLV file as they come.
type Reader struct {
	r       *bufio.Reader
	maxBody int
	started bool
}

// DefaultMaxBody is the largest tag body a Reader accepts unless told otherwise.
const DefaultMaxBody = 4 << 20

// NewReader returns a Reader that refuses tag bodies of more than maxBody bytes; 0
// means DefaultMaxBody.
func NewReader(r io.Reader, maxBody int) *Reader {
	if maxBody <= 0 {
		maxBody = DefaultMaxBody
	}
	return &Reader{r: bufio.NewReaderSize(r, 16<<10), maxBody: maxBody}
}

// Next returns the next audio, video or script tag. It returns io.EOF at the end of a
// file, and io.ErrUnexpectedEOF within a tag.
func (r *Reader) Next() (Tag, error) {
	if !r.started {
		if err := r.header(); err != nil {
			return Tag{}, err
		}
		r.started = true
	}
	for {
		var h [tagHeaderSize]byte
		if _, err := io.ReadFull(r.r, h[:]); err != nil {
			return Tag{}, err
		}
		size := int(h[1])<<16 | int(h[2])<<8 | int(h[3])
		tag := Tag{
			Type:      TagType(h[0]),
			Timestamp: uint32(h[7])<<24 | uint32(h[4])<<16 | uint32(h[5])<<8 | uint32(h[6]),
		}
		known := tag.Type == AudioTag || tag.Type == VideoTag || tag.Type == ScriptTag
		if !known {
			if _, err := r.r.Discard(size + trailerSize); err != nil {
				return Tag{}, unexpected(err)
			}
			continue
		}
		if size > r.maxBody {
			return Tag{}, fmt.Errorf("flv: tag of %d bytes, more than %d", size, r.maxBody)
		}
		tag.Body = make([]byte, size)
		if _, err := io.ReadFull(r.r, tag.Body); err != nil {
			return Tag{}, unexpected(err)
		}
		if _, err := r.r.Discard(trailerSize); err != nil {
			return Tag{}, unexpected(err)
		}
		return tag, nil
	}
}

func (r *Reader) header() error {
	var h [headerSize]byte
	if _, err := io.ReadFull(r.r, h[:]); err != nil {
		return err
	}
	if string(h[:3]) != "FLV" {
		return errors.New("flv: not an FLV file")
	}
	offset := binary.BigEndian.Uint32(h[5:])
	if offset < headerSize || offset > 1<<16 {
		return fmt.Errorf("flv: header of %d bytes", offset)
	}
	_, err := r.r.Discard(int(offset) - headerSize + trailerSize)
	return unexpected(err)
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// A Writer writes an FLV file. It writes each tag with one call of the underlying Write,
// so that the tag is sent at once. Times may be any time.Duration; they are written in
// whole milliseconds modulo 2^32. A Writer is for one goroutine.
type Writer struct {
	w   io.Writer
	buf []byte
}

// NewWriter writes the header of an FLV file, which lists the tracks to come. It
// returns a Writer for the tags.
func NewWriter(w io.Writer, video, audio bool) (*Writer, error) {
	var flags byte
	if audio {
		flags |= 4
	}
	if video {
		flags |= 1
	}
	h := []byte{'F', 'L', 'V', 1, flags, 0, 0, 0, headerSize, 0, 0, 0, 0}
	if _, err := w.Write(h); err != nil {
		return nil, fmt.Errorf("write FLV header: %w", err)
	}
	return &Writer{w: w}, nil
}

// WriteVideoConfig writes the parameter sets of the pictures to come.
func (w *Writer) WriteVideoConfig(dts time.Duration, sps, pps []byte) error {
	b, err := AppendVideoConfig(w.begin(VideoTag, dts), AVCConfig{SPS: [][]byte{sps}, PPS: [][]byte{pps}})
	if err != nil {
		return err
	}
	return w.finish(b)
}

// WriteVideo writes one picture.
func (w *Writer) WriteVideo(dts, pts time.Duration, keyframe bool, nalus [][]byte) error {
	// The difference is that of the rounded times. So a reader that adds it to the
	// rounded decoding time gets the rounded presentation time.
	composition := time.Duration(inMilliseconds(pts)-inMilliseconds(dts)) * time.Millisecond
	return w.finish(AppendVideo(w.begin(VideoTag, dts), keyframe, composition, nalus))
}

// WriteAudioConfig writes the configuration of the audio frames to come.
func (w *Writer) WriteAudioConfig(pts time.Duration, codec AudioCodec, config []byte) error {
	return w.finish(AppendAudioConfig(w.begin(AudioTag, pts), codec, config))
}

// WriteAudio writes one audio frame.
func (w *Writer) WriteAudio(pts time.Duration, codec AudioCodec, frame []byte) error {
	return w.finish(AppendAudio(w.begin(AudioTag, pts), codec, frame))
}

// WriteTag writes a tag unchanged.
func (w *Writer) WriteTag(t Tag) error {
	b := w.begin(t.Type, time.Duration(t.Timestamp)*time.Millisecond)
	return w.finish(append(b, t.Body...))
}

func (w *Writer) begin(t TagType, at time.Duration) []byte {
	ms := uint32(inMilliseconds(at))
	return append(w.buf[:0], byte(t), 0, 0, 0, byte(ms>>16), byte(ms>>8), byte(ms), byte(ms>>24), 0, 0, 0)
}

func (w *Writer) finish(b []byte) error {
	size := len(b) - tagHeaderSize
	if size > maxTagBody {
		return fmt.Errorf("flv: tag of %d bytes cannot be written", size)
	}
	b[1], b[2], b[3] = byte(size>>16), byte(size>>8), byte(size)
	b = binary.BigEndian.AppendUint32(b, uint32(len(b)))
	if w.buf = b; cap(b) > DefaultMaxBody {
		w.buf = nil // one huge picture must not take memory until the end
	}
	_, err := w.w.Write(b)
	return err
}
