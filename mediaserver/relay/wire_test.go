package relay

import (
	"bytes"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/mediaserver/stream"
)

func TestNotesAreReadAsTheyAreWritten(t *testing.T) {
	for _, n := range []note{notePublished, noteUnpublished, noteAlive, noteLeaving} {
		if got := parseNote(n.tag(7).Body); got != n {
			t.Errorf("%s became %q", n, got)
		}
		if got := parseBegan(n.tag(7).Body); !got.IsZero() {
			t.Errorf("%s tells a time: %v", n, got)
		}
	}
	began := time.UnixMilli(1795373412345)
	if got := parseBegan(beganTag(began).Body); !got.Equal(began) {
		t.Errorf("%v became %v", began, got)
	}
	if got := parseNote(beganTag(began).Body); got != "" {
		t.Errorf("it became the note %q", got)
	}
	for _, want := range []time.Duration{0, -45 * time.Millisecond, time.Second, -time.Second} {
		tag := shiftTag(want)
		if got, is := parseShift(tag.Body); got != want || !is || !parseBegan(tag.Body).IsZero() || parseNote(tag.Body) != "" {
			t.Errorf("%v became %v, %v", want, got, is)
		}
	}
	for name, body := range map[string][]byte{
		"nothing": nil, "short": shiftTag(5).Body[:12], "another note": beganTag(began).Body,
		"too far": numberTag(nameShift, 1001).Body, "not a number": numberTag(nameShift, math.NaN()).Body,
	} {
		if got, is := parseShift(body); is {
			t.Errorf("%s: %v", name, got)
		}
	}
	for name, body := range map[string][]byte{
		"nothing": nil, "short": beganTag(began).Body[:12], "not a number": append(scriptName(nameBegan), amfNumber, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0),
		"infinite": append(scriptName(nameBegan), amfNumber, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0), "negative": beganTag(time.UnixMilli(-5)).Body,
	} {
		if got := parseBegan(body); !got.IsZero() {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestAFaultIsReadAsItIsWritten(t *testing.T) {
	fault := stream.Fault{Code: "UnsupportedAudio", Message: "Set “AAC”.", Limited: true}
	for _, k := range []stream.Kind{stream.Video, stream.Audio} {
		for _, want := range []*stream.Fault{nil, &fault} {
			tag := faultTag(k, want)
			kind, got, is := parseFault(tag.Body)
			if diff := cmp.Diff(want, got); diff != "" || kind != k || !is {
				t.Errorf("a fault of the %v became one of the %v, %v: %s", k, kind, is, diff)
			}
			// Versions before ignore this tag.
			if _, shift := parseShift(tag.Body); shift || parseNote(tag.Body) != "" || !parseBegan(tag.Body).IsZero() {
				t.Error("it is taken for another note")
			}
		}
	}
	body := faultTag(stream.Audio, &fault).Body
	for name, body := range map[string][]byte{
		"nothing": nil, "cut off": body[:len(body)-3], "no text": body[:len(nameFault)+4], "another note": shiftTag(5).Body,
		"another track": bytes.ReplaceAll(body, []byte("audio"), []byte("texts")),
		"too long":      append(body[:len(body):len(body)], bytes.Repeat([]byte(" "), maxFault)...),
	} {
		if _, got, is := parseFault(body); is {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// deadlines counts how often a reader is given more time.
type deadlines struct {
	*httptest.ResponseRecorder
	putOff, biggest int
}

func (d *deadlines) SetWriteDeadline(time.Time) error {
	d.putOff++
	return nil
}

func (d *deadlines) Write(b []byte) (int, error) {
	d.biggest = max(d.biggest, len(b))
	return d.ResponseRecorder.Write(b)
}

// A GOP of many megabytes goes to a reader on a slow line, which accepts it bit by bit.
func TestASlowReaderHasTimeForEachPart(t *testing.T) {
	d := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	a := newAnswer(t.Context(), http.ResponseWriter(d), "video/x-flv")
	const size = 10*writeChunk + 1
	err := a.sent(func() error {
		n, err := a.Write(make([]byte, size))
		if n != size {
			t.Errorf("%d bytes of %d", n, size)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if d.Body.Len() != size || d.biggest > writeChunk || d.putOff != 12 {
		t.Errorf("%d bytes, %d at most at once, %d times more time", d.Body.Len(), d.biggest, d.putOff)
	}
}
