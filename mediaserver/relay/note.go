package relay

import (
	"encoding/binary"

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
)

const (
	amfString = 2
	amfNull   = 5
)

// tag returns the note as a tag sent at that many milliseconds.
func (n note) tag(milliseconds uint32) flv.Tag {
	b := binary.BigEndian.AppendUint16([]byte{amfString}, uint16(len(n)))
	return flv.Tag{Type: flv.ScriptTag, Timestamp: milliseconds, Body: append(append(b, n...), amfNull)}
}

// parseNote returns the note in the body of a script tag, or "" if it is none of ours.
func parseNote(body []byte) note {
	for _, n := range []note{notePublished, noteUnpublished, noteAlive} {
		if string(n.tag(0).Body) == string(body) {
			return n
		}
	}
	return ""
}
