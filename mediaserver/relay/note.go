package relay

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"strings"
	"time"

	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/stream"
)

// A note is a script tag that only relays use: the name of a callback and a null, in AMF0 (sections
// 2.4 and 2.7). The tag's timestamp is when the server sent the note, on the clock of the tags that
// follow.
type note string

// The notes.
const (
	// notePublished: a publication begins. Later tags with earlier times come out of the cache.
	notePublished note = "onPublished"
	// noteUnpublished: the publication has ended, or there is none.
	noteUnpublished note = "onUnpublished"
	// noteAlive: the server is there. It is the heartbeat.
	noteAlive note = "onAlive"
	// noteLeaving: the server is about to end.
	noteLeaving note = "onLeaving"
)

// Two more notes have a number in place of the null, and one has a string.
const (
	// nameBegan comes before notePublished. It tells when the publication began, in milliseconds of
	// the Unix epoch by the server's clock.
	nameBegan = "onBegan"
	// nameShift tells how many milliseconds to add to the times that follow, to get times on the
	// server's media clock. For each publication it is 0 until told.
	nameShift = "onShift"
	// nameFault tells why viewers cannot play a track of the publication, as the JSON of a
	// wireFault. A track that cannot be played is not relayed. Without this note, the reader would
	// assume that the track was never announced.
	nameFault = "onFault"
)

// maxFault bounds how many bytes of a fault are read.
const maxFault = 2 << 10

// wireFault is a stream.Fault in JSON. Without a code, the track has no fault.
type wireFault struct {
	Track   string `json:"track"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
	Limited bool   `json:"limited,omitempty"`
}

const (
	amfNumber = 0
	amfString = 2
	amfNull   = 5
)

// tag returns the note as a tag that is sent at so many milliseconds.
func (n note) tag(milliseconds uint32) flv.Tag {
	return flv.Tag{Type: flv.ScriptTag, Timestamp: milliseconds, Body: append(scriptName(string(n)), amfNull)}
}

func scriptName(name string) []byte {
	b := binary.BigEndian.AppendUint16([]byte{amfString}, uint16(len(name)))
	return append(b, name...)
}

// parseNote returns the note in the body of a script tag; "": it is none of the notes without a
// value.
func parseNote(body []byte) note {
	for _, n := range []note{notePublished, noteUnpublished, noteAlive, noteLeaving} {
		if string(n.tag(0).Body) == string(body) {
			return n
		}
	}
	return ""
}

// numberTag returns a note that has a number.
func numberTag(name string, number float64) flv.Tag {
	b := append(scriptName(name), amfNumber)
	return flv.Tag{Type: flv.ScriptTag, Body: binary.BigEndian.AppendUint64(b, math.Float64bits(number))}
}

// parseNumber reads the number of a note made by numberTag; NaN: it is another tag.
func parseNumber(name string, body []byte) float64 {
	number, is := strings.CutPrefix(string(body), string(append(scriptName(name), amfNumber)))
	if !is || len(number) != 8 {
		return math.NaN()
	}
	return math.Float64frombits(binary.BigEndian.Uint64([]byte(number)))
}

// beganTag returns the note that tells when a publication began.
func beganTag(began time.Time) flv.Tag { return numberTag(nameBegan, float64(began.UnixMilli())) }

// parseBegan reads the time of a note made by beganTag; zero: it is another tag.
func parseBegan(body []byte) time.Time {
	milliseconds := parseNumber(nameBegan, body)
	if !(milliseconds > 0 && milliseconds < 1<<52) {
		return time.Time{}
	}
	return time.UnixMilli(int64(milliseconds))
}

// shiftTag returns the note that tells what to add to the times that follow.
func shiftTag(shift time.Duration) flv.Tag {
	return numberTag(nameShift, float64(shift.Milliseconds()))
}

// parseShift reads the shift of a note made by shiftTag. It reports whether the tag is such a note.
func parseShift(body []byte) (time.Duration, bool) {
	milliseconds := parseNumber(nameShift, body)
	if !(math.Abs(milliseconds) <= float64(stream.MaxDeparture.Milliseconds())) {
		return 0, false
	}
	return time.Duration(milliseconds) * time.Millisecond, true
}

// faultTag returns the note that tells the fault of a track; nil: the track has none.
func faultTag(k stream.Kind, f *stream.Fault) flv.Tag {
	w := wireFault{Track: k.String()}
	if f != nil {
		w.Code, w.Message, w.Limited = f.Code, f.Message, f.Limited
	}
	text, err := json.Marshal(w)
	if err != nil {
		panic(err) // strings and a bool
	}
	b := append(scriptName(nameFault), amfString)
	b = binary.BigEndian.AppendUint16(b, uint16(len(text)))
	return flv.Tag{Type: flv.ScriptTag, Body: append(b, text...)}
}

// parseFault reads the fault of a note made by faultTag. is reports whether the tag is such a note.
func parseFault(body []byte) (k stream.Kind, f *stream.Fault, is bool) {
	text, is := bytes.CutPrefix(body, append(scriptName(nameFault), amfString))
	var w wireFault
	if !is || len(text) < 2 || len(text) > maxFault || json.Unmarshal(text[2:], &w) != nil {
		return 0, nil, false
	}
	switch w.Track {
	case stream.Video.String():
		k = stream.Video
	case stream.Audio.String():
		k = stream.Audio
	default:
		return 0, nil, false
	}
	if w.Code != "" {
		f = &stream.Fault{Code: w.Code, Message: w.Message, Limited: w.Limited}
	}
	return k, f, true
}
