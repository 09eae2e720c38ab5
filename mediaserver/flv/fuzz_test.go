package flv

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// describe returns a tag as one line.
func describe(t *testing.T, tag Tag) string {
	t.Helper()
	switch tag.Type {
	case VideoTag:
		p, err := ParseVideo(tag.Body)
		if err != nil {
			t.Fatal(err)
		}
		if p.Kind == SequenceHeader {
			return fmt.Sprintf("%d video config", tag.Timestamp)
		}
		nalus, err := SplitAVCC(p.Data, 4)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%d video %v %x", tag.Timestamp, p.CompositionTime, bytes.Join(nalus, nil))
	case AudioTag:
		p, err := ParseAudio(tag.Body)
		if err != nil {
			t.Fatal(err)
		}
		if p.Kind == SequenceHeader {
			return fmt.Sprintf("%d audio config %d %x", tag.Timestamp, p.Codec, p.Data)
		}
		return fmt.Sprintf("%d audio %d %x", tag.Timestamp, p.Codec, p.Data)
	}
	return fmt.Sprintf("%d script", tag.Timestamp)
}

// FuzzVideo checks that no video tag body panics. An accepted body survives a round trip.
func FuzzVideo(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := ParseVideo(body)
		if err != nil {
			return
		}
		switch p.Kind {
		case SequenceHeader:
			c, err := ParseAVCConfig(p.Data)
			if err != nil {
				return
			}
			again, err := AppendVideoConfig(nil, c)
			if err != nil {
				return // an SPS of less than four bytes, or too many sets
			}
			p, err := ParseVideo(again)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ParseAVCConfig(p.Data)
			if diff := cmp.Diff(c, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got)\n%s", err, diff)
			}
		case CodedFrames:
			if p.CompositionTime < -1<<23*time.Millisecond || p.CompositionTime >= 1<<23*time.Millisecond {
				t.Errorf("composition time %v", p.CompositionTime)
			}
			for size := range 6 {
				nalus, err := SplitAVCC(p.Data, size)
				if err != nil {
					continue
				}
				if len(nalus) > maxNALUs {
					t.Errorf("%d NAL units", len(nalus))
				}
				got, err := SplitAVCC(AppendAVCC(nil, nalus), 4)
				if diff := cmp.Diff(nalus, got); err != nil || diff != "" {
					t.Errorf("%v (-want +got)\n%s", err, diff)
				}
			}
		}
	})
}

// FuzzAudio checks that no audio tag body panics. An accepted body survives a round trip.
func FuzzAudio(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := ParseAudio(body)
		if err != nil || p.Kind == Ignorable {
			return
		}
		again := AppendAudio(nil, p.Codec, p.Data)
		if p.Kind == SequenceHeader {
			if c, err := ParseAudioConfig(p.Data); err == nil && c.Variant() == "" && (c.Channels < 1 || c.Channels > 2) {
				t.Errorf("every decoder plays %d channels", c.Channels)
			}
			again = AppendAudioConfig(nil, p.Codec, p.Data)
		}
		got, err := ParseAudio(again)
		p.Track, p.Multitrack, p.Several = 0, false, false // a written tag has one track
		if diff := cmp.Diff(p, got); err != nil || diff != "" {
			t.Errorf("%v (-want +got)\n%s", err, diff)
		}
	})
}

// FuzzReader checks that no file panics or makes the reader allocate beyond its bound.
// What is read can be written and read again.
func FuzzReader(f *testing.F) {
	const bound = 1 << 12
	f.Fuzz(func(t *testing.T, file []byte) {
		r := NewReader(bytes.NewReader(file), bound)
		var out bytes.Buffer
		w, err := NewWriter(&out, true, true)
		if err != nil {
			t.Fatal(err)
		}
		var tags []Tag
		for {
			tag, err := r.Next()
			if err != nil {
				break
			}
			if len(tag.Body) > bound {
				t.Fatalf("a body of %d bytes", len(tag.Body))
			}
			tags = append(tags, tag)
			if err := w.WriteTag(tag); err != nil {
				t.Fatal(err)
			}
		}
		r = NewReader(&out, bound)
		for _, want := range tags {
			got, err := r.Next()
			if err != nil || got.Type != want.Type || got.Timestamp != want.Timestamp || !bytes.Equal(got.Body, want.Body) {
				t.Fatalf("read %+v again as %+v, %v", want, got, err)
			}
		}
	})
}
