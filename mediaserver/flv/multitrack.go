package flv

import "fmt"

// Types of multitrack bodies, Enhanced RTMP v2 (AvMultitrackType).
const (
	multitrackOne        = 0
	multitrackMany       = 1
	multitrackManyCodecs = 2
)

// A multitrackBody is the rest of a multitrack body that is still to be read.
type multitrackBody struct {
	kind   byte
	fourCC []byte // of all tracks, unless each track has its own
	rest   []byte
}

// A trackBody is one track of a multitrack body.
type trackBody struct {
	number       byte
	fourCC, data []byte
	// several reports whether the multitrack body has other tracks too.
	several bool
}

// body returns the track as the body of a single track.
func (t trackBody) body() []byte {
	return append(append(make([]byte, 0, len(t.fourCC)+len(t.data)), t.fourCC...), t.data...)
}

// precedes reports whether t is to be played rather than other. A playable track comes before
// one that is not playable. Among equals the lower number comes first.
func (t trackBody) precedes(other trackBody, playable func(fourCC string) bool) bool {
	if is := playable(string(t.fourCC)); is != playable(string(other.fourCC)) {
		return is
	}
	return t.number < other.number
}

// chooseTrack reads a multitrack body. The body has the multitrack type and the packet
// type, four bits each, then the fourcc unless each track has its own, then the tracks.
// chooseTrack returns the track with the lowest number whose fourcc is playable. If no
// track is playable, it returns the track with the lowest number.
func chooseTrack(b []byte, playable func(fourCC string) bool, short error) (packetType byte, chosen trackBody, err error) {
	if len(b) < 1 {
		return 0, chosen, short
	}
	packetType = b[0] & 0x0f
	m := multitrackBody{kind: b[0] >> 4, rest: b[1:]}
	if m.kind > multitrackManyCodecs {
		return 0, chosen, fmt.Errorf("flv: multitrack type %d", m.kind)
	}
	if m.kind != multitrackManyCodecs && !m.readFourCC() {
		return 0, chosen, short
	}
	count := 0
	for ; len(m.rest) > 0; count++ {
		t, ok := m.next()
		if !ok {
			return 0, trackBody{}, short
		}
		if count == 0 || t.precedes(chosen, playable) {
			chosen = t
		}
	}
	if count == 0 {
		return 0, chosen, short
	}
	chosen.several = count > 1
	return packetType, chosen, nil
}

func (m *multitrackBody) readFourCC() bool {
	if len(m.rest) < 4 {
		return false
	}
	m.fourCC, m.rest = m.rest[:4], m.rest[4:]
	return true
}

// next reads a track: its fourcc if each track has its own, its number, its size in three bytes
// unless it is the only track, and its data. ok is false if the body ends before the track does.
func (m *multitrackBody) next() (t trackBody, ok bool) {
	if m.kind == multitrackManyCodecs && !m.readFourCC() || len(m.rest) < 1 {
		return t, false
	}
	t = trackBody{number: m.rest[0], fourCC: m.fourCC, data: m.rest[1:]}
	m.rest = nil
	if m.kind == multitrackOne {
		return t, true
	}
	if len(t.data) < 3 {
		return t, false
	}
	size := int(t.data[0])<<16 | int(t.data[1])<<8 | int(t.data[2])
	if t.data = t.data[3:]; len(t.data) < size {
		return t, false
	}
	t.data, m.rest = t.data[:size], t.data[size:]
	return t, true
}
