package rtmp

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func newTestChunkReader(data []byte, l Limits) *chunkReader {
	return newChunkReader(bufio.NewReader(bytes.NewReader(data)), l)
}

// A got is a message as the test tables have it.
type got struct {
	Type      messageType
	Stream    uint32
	Timestamp uint32
	Payload   string
}

func TestChunkReader(t *testing.T) {
	for name, test := range map[string]struct {
		in     []byte
		want   []got
		reason Reason
	}{
		"one chunk": {
			in:   join("\x06\x00\x00\x05\x00\x00\x02\x09\x01\x00\x00\x00ab"),
			want: []got{{typeVideo, 1, 5, "ab"}},
		},
		"headers that leave out more and more": {
			in: join("\x06\x00\x00\x05\x00\x00\x02\x09\x01\x00\x00\x00ab",
				"\x46\x00\x00\x03\x00\x00\x01\x09c", "\x86\x00\x00\x02d", "\xc6e"),
			want: []got{{typeVideo, 1, 5, "ab"}, {typeVideo, 1, 8, "c"}, {typeVideo, 1, 10, "d"}, {typeVideo, 1, 12, "e"}},
		},
		"type 3 after type 0 adds the timestamp (section 5.3.1.2.4)": {
			in:   join("\x06\x00\x00\x05\x00\x00\x01\x09\x01\x00\x00\x00a", "\xc6b"),
			want: []got{{typeVideo, 1, 5, "a"}, {typeVideo, 1, 10, "b"}},
		},
		"interleaved chunk streams": {
			in: join("\x02\x00\x00\x00\x00\x00\x04\x01\x00\x00\x00\x00\x00\x00\x00\x02", // chunks of 2 bytes
				"\x06\x00\x00\x05\x00\x00\x05\x09\x01\x00\x00\x00ab", "\x04\x00\x00\x07\x00\x00\x03\x08\x01\x00\x00\x00xy", "\xc6cd", "\xc4z", "\xc6e"),
			want: []got{{typeAudio, 1, 7, "xyz"}, {typeVideo, 1, 5, "abcde"}},
		},
		"chunk stream ids of two and three bytes": {
			in: join("\x00\x00\x00\x00\x05\x00\x00\x01\x09\x01\x00\x00\x00a", "\x01\x00\x01\x00\x00\x06\x00\x00\x01\x09\x01\x00\x00\x00b",
				"\xc0\x00c", "\xc1\x00\x01d"),
			want: []got{{typeVideo, 1, 5, "a"}, {typeVideo, 1, 6, "b"}, {typeVideo, 1, 10, "c"}, {typeVideo, 1, 12, "d"}},
		},
		"extended timestamps, repeated in type 3 (section 5.3.1.3)": {
			in: join("\x02\x00\x00\x00\x00\x00\x04\x01\x00\x00\x00\x00\x00\x00\x00\x02",
				"\x06\xff\xff\xff\x00\x00\x05\x09\x01\x00\x00\x00\x01\x00\x00\x00ab", "\xc6\x01\x00\x00\x00cd", "\xc6\x01\x00\x00\x00e"),
			want: []got{{typeVideo, 1, 1 << 24, "abcde"}},
		},
		"extended timestamps, not repeated by old librtmp": {
			in: join("\x02\x00\x00\x00\x00\x00\x04\x01\x00\x00\x00\x00\x00\x00\x00\x02",
				"\x06\xff\xff\xff\x00\x00\x06\x09\x01\x00\x00\x00\x01\x00\x00\x00ab", "\xc6cd", "\xc6ef"),
			want: []got{{typeVideo, 1, 1 << 24, "abcdef"}},
		},
		"extended delta": {
			in:   join("\x06\x00\x00\x05\x00\x00\x01\x09\x01\x00\x00\x00a", "\x86\xff\xff\xff\x01\x00\x00\x00b", "\xc6\x01\x00\x00\x00c"),
			want: []got{{typeVideo, 1, 5, "a"}, {typeVideo, 1, 5 + 1<<24, "b"}, {typeVideo, 1, 5 + 2<<24, "c"}},
		},
		"a timestamp that wraps": {
			in:   join("\x06\xff\xff\xff\x00\x00\x01\x09\x01\x00\x00\x00\xff\xff\xff\xf0a", "\x86\x00\x00\x20b"),
			want: []got{{typeVideo, 1, 0xfffffff0, "a"}, {typeVideo, 1, 0x10, "b"}},
		},
		"a first header of type 1": {
			in:   join("\x43\x00\x00\x05\x00\x00\x01\x14a"),
			want: []got{{typeCommand, 0, 5, "a"}},
		},
		"an empty message": {
			in:   join("\x06\x00\x00\x05\x00\x00\x00\x09\x01\x00\x00\x00", "\xc6"),
			want: []got{{typeVideo, 1, 5, ""}, {typeVideo, 1, 10, ""}},
		},
		"abort": {
			in: join("\x02\x00\x00\x00\x00\x00\x04\x01\x00\x00\x00\x00\x00\x00\x00\x02", "\x06\x00\x00\x05\x00\x00\x05\x09\x01\x00\x00\x00ab",
				"\x02\x00\x00\x00\x00\x00\x04\x02\x00\x00\x00\x00\x00\x00", "\xc2\x00\x06", "\x06\x00\x00\x06\x00\x00\x01\x09\x01\x00\x00\x00z"),
			want: []got{{typeVideo, 1, 6, "z"}},
		},
		"a new header within a message": {
			in: join("\x02\x00\x00\x00\x00\x00\x04\x01\x00\x00\x00\x00\x00\x00\x00\x02", "\x06\x00\x00\x05\x00\x00\x05\x09\x01\x00\x00\x00ab",
				"\x06\x00\x00\x06\x00\x00\x01\x09\x01\x00\x00\x00z"),
			want: []got{{typeVideo, 1, 6, "z"}},
		},
		"no header at all":      {in: join("\xc6"), reason: ReasonChunkHeader},
		"too long":              {in: join("\x03\x00\x00\x05\x00\x03\xe9\x14\x01\x00\x00\x00"), reason: ReasonMessageSize},
		"type changed to audio": {in: join("\x06\x00\x00\x05\x00\x00\x01\x09\x01\x00\x00\x00a", "\x46\x00\x00\x00\x0f\xff\xff\x08"), want: []got{{typeVideo, 1, 5, "a"}}},
		"chunk size 0":          {in: join("\x02\x00\x00\x00\x00\x00\x04\x01\x00\x00\x00\x00\x00\x00\x00\x00"), reason: ReasonChunkSize},
		"short chunk size":      {in: join("\x02\x00\x00\x00\x00\x00\x02\x01\x00\x00\x00\x00\x00\x00"), reason: ReasonChunkSize},
	} {
		t.Run(name, func(t *testing.T) {
			r := newTestChunkReader(test.in, Limits{MaxCommandMessage: 1000}.withDefaults())
			var all []got
			for {
				m, err := r.next()
				if err != nil {
					var refused *refusal
					if errors.As(err, &refused) != (test.reason != "") || refused != nil && refused.reason != test.reason {
						t.Errorf("error %v, want %q", err, test.reason)
					}
					if refused == nil && err != io.EOF {
						t.Errorf("error %v: not all was read", err)
					}
					break
				}
				all = append(all, got{m.typ, m.streamID, m.timestamp, string(m.payload)})
			}
			if diff := cmp.Diff(test.want, all); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// A video message may have 1000 bytes at most. It comes in chunks of 128 bytes, with
// anything that may precede and separate NAL units.
func TestMessagesThatAreTooLong(t *testing.T) {
	nalu := func(first byte, length int) string {
		return string(binary.BigEndian.AppendUint32(nil, uint32(length))) + string([]byte{first}) + strings.Repeat("x", length-1)
	}
	const classic, enhanced = "\x17\x01\x00\x00\x00", "\x91avc1\x00\x00\x00"
	slice, small := nalu(0x65, 400), nalu(0x06, 9)
	for name, tt := range map[string]struct {
		typ     messageType
		payload string
		want    string // what is kept; "": the message is dropped
	}{
		"a picture":                       {typeVideo, classic + nalu(0x65, 2000), ""},
		"a picture and filler data":       {typeVideo, classic + slice + nalu(12, 5000), classic + slice},
		"filler data between slices":      {typeVideo, classic + nalu(12, 3000) + slice + nalu(12, 1) + small + nalu(12, 2000), classic + slice + small},
		"filler data in Enhanced RTMP":    {typeVideo, enhanced + slice + nalu(12, 5000), enhanced + slice},
		"filler data, and still too much": {typeVideo, classic + slice + nalu(12, 5000) + nalu(0x65, 700), ""},
		"an empty NAL unit among them":    {typeVideo, classic + "\x00\x00\x00\x00" + slice + nalu(12, 5000), classic + "\x00\x00\x00\x00" + slice},
		"lengths that lie":                {typeVideo, classic + "\xff\xff\xff\xff" + strings.Repeat("x", 3000), ""},
		"sound":                           {typeAudio, strings.Repeat("x", 3000), ""},
		"data":                            {typeData, strings.Repeat("x", 3000), ""},
		"an aggregate":                    {typeAggregate, strings.Repeat("x", 3000), ""},
	} {
		t.Run(name, func(t *testing.T) {
			stream := appendMessage(nil, 6, 128, message{typ: tt.typ, streamID: 1, timestamp: 5, payload: []byte(tt.payload)})
			stream = append(stream, appendMessage(nil, 6, 128, message{typ: typeVideo, streamID: 1, timestamp: 9, payload: []byte("next")})...)
			r := newTestChunkReader(stream, Limits{MaxVideoMessage: 1000, MaxAudioMessage: 1000, MaxCommandMessage: 1000}.withDefaults())
			m, err := r.next()
			if err != nil {
				t.Fatal(err)
			}
			if string(m.payload) != tt.want || (m.dropped > 0) != (tt.want == "") {
				t.Errorf("%d bytes are left, %d dropped; want %d", len(m.payload), m.dropped, len(tt.want))
			}
			if m.dropped > 0 && m.dropped != len(tt.payload) {
				t.Errorf("%d bytes dropped, want %d", m.dropped, len(tt.payload))
			}
			if m, err = r.next(); err != nil || string(m.payload) != "next" || m.dropped != 0 {
				t.Errorf("the next message is %q, %d dropped, error %v", m.payload, m.dropped, err)
			}
			if r.unfinished != 0 {
				t.Errorf("%d bytes count as unfinished", r.unfinished)
			}
		})
	}
}

func join(parts ...string) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func TestParseName(t *testing.T) {
	type result struct {
		Key   string
		Token string
		OK    bool
	}
	for name, test := range map[string]struct {
		app, tcURL, name string
		want             result
	}{
		"plain":                    {"live", "rtmp://h/live", "primary", result{"live/primary", "", true}},
		"token in the name":        {"live", "rtmp://h/live", "primary?token=x", result{"live/primary", "x", true}},
		"token among others":       {"live", "", "primary?a=b&token=x%2B&c", result{"live/primary", "x+", true}},
		"token in the app":         {"live?token=x", "", "primary", result{"live/primary", "x", true}},
		"token in the URL":         {"live", "rtmp://h/live?token=x", "primary", result{"live/primary", "x", true}},
		"the name's token wins":    {"live?token=b", "rtmp://h/live?token=c", "primary?token=a", result{"live/primary", "a", true}},
		"slashes":                  {"/live/", "", "/primary", result{"live/primary", "", true}},
		"all in the app":           {"live/primary?token=x", "", "", result{"live/primary", "x", true}},
		"no name":                  {"live", "", "", result{"live/", "", false}},
		"no app":                   {"", "", "primary", result{"primary/", "", false}},
		"three segments":           {"live", "", "a/b", result{"live/a/b", "", false}},
		"not a name":               {"live", "", "a b", result{"live/a b", "", false}},
		"nothing":                  {"", "", "", result{"/", "", false}},
		"a query that is not one":  {"live", "", "primary?%zz;&token=x", result{"live/primary", "x", true}},
		"a stream key with a dash": {"live", "", "cam-1.main_2", result{"live/cam-1.main_2", "", true}},
	} {
		t.Run(name, func(t *testing.T) {
			key, token, ok := parseName(test.app, test.tcURL, test.name)
			if diff := cmp.Diff(test.want, result{key.String(), token, ok}); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// The buffer of a message that was dropped is kept, and the chunk size changes in the middle of the
// next message.
func TestAKeptBufferGrowsWithALargerChunk(t *testing.T) {
	var client bytes.Buffer
	first, second := make([]byte, 200), bytes.Repeat([]byte{7}, 20_000)
	client.Write(raw(6, typeVideo, len(first), first[:128]))
	client.Write(append([]byte{3<<6 | 6}, first[128:]...))
	client.Write(raw(6, typeVideo, len(second), second[:128]))
	client.Write(raw(2, typeSetChunkSize, 4, []byte{0, 1, 0, 0}))
	client.Write(append([]byte{3<<6 | 6}, second[128:]...))
	r := newChunkReader(bufio.NewReader(&client), Limits{}.withDefaults())
	for _, want := range [][]byte{first, second} {
		m, err := r.next()
		if err != nil || !bytes.Equal(m.payload, want) {
			t.Fatalf("%d bytes, %v; want %d", len(m.payload), err, len(want))
		}
	}
}
