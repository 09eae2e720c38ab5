package relay

import (
	"encoding/binary"
	"math"
	"strings"
	"time"

	"github.com/streampair/streampair/mediaserver/flv"
)

// A note is a script tag of the relay's own: the name of a callback and a null, in AMF0
// (sections 2.4 and 2.7). What matters beside the name is the tag's timestamp: it is when
// the server sent it, on the clock of the tags that follow.
type note string

// The notes.
const (
	// notePublished: a publication begins. What follows with earlier times comes out of
	// the cache.
	notePublished note = "onPublished"
	// noteUnpublished: the publication has ended, or there is none.
	noteUnpublished note = "onUnpublished"
	// noteAlive: the server is there.
	noteAlive note = "onAlive"
	// noteLeaving: the server is about to end.
	noteLeaving note = "onLeaving"
)

// nameBegan is that of the note which comes before notePublished, and says when the
// publication began: a number instead of the null, milliseconds of the Unix epoch by the
// server's clock.
const nameBegan = "onBegan"

const (
	amfNumber = 0
	amfString = 2
	amfNull   = 5
)

// tag returns the note as a tag sent at that many milliseconds.
func (n note) tag(milliseconds uint32) flv.Tag {
	return flv.Tag{Type: flv.ScriptTag, Timestamp: milliseconds, Body: append(scriptName(string(n)), amfNull)}
}

func scriptName(name string) []byte {
	b := binary.BigEndian.AppendUint16([]byte{amfString}, uint16(len(name)))
	return append(b, name...)
}

// parseNote returns the note in the body of a script tag, or "" if it is none of ours.
func parseNote(body []byte) note {
	for _, n := range []note{notePublished, noteUnpublished, noteAlive, noteLeaving} {
		if string(n.tag(0).Body) == string(body) {
			return n
		}
	}
	return ""
}

// beganTag returns the note of when a publication began.
func beganTag(began time.Time) flv.Tag {
	b := append(scriptName(nameBegan), amfNumber)
	return flv.Tag{Type: flv.ScriptTag, Body: binary.BigEndian.AppendUint64(b, math.Float64bits(float64(began.UnixMilli())))}
}

// parseBegan reads what beganTag made; the zero time if it is something else.
func parseBegan(body []byte) time.Time {
	number, is := strings.CutPrefix(string(body), string(append(scriptName(nameBegan), amfNumber)))
	if !is || len(number) != 8 {
		return time.Time{}
	}
	milliseconds := math.Float64frombits(binary.BigEndian.Uint64([]byte(number)))
	if !(milliseconds > 0 && milliseconds < 1<<52) {
		return time.Time{}
	}
	return time.UnixMilli(int64(milliseconds))
}
