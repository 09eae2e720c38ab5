package flv

import "fmt"

// Types of multitrack bodies, Enhanced RTMP v2 (AvMultitrackType).
const (
	multitrackOne        = 0
	multitrackMany       = 1
	multitrackManyCodecs = 2
)

// lowestTrack reads a multitrack body: the multitrack type and the packet type, four bits
// each, the fourcc unless each track has its own, and the tracks. A track is its fourcc
// where it has its own, its number, its size in three bytes unless it is the only one, and
// its data. lowestTrack returns the track with the lowest number as the body of a single
// track: fourcc and data.
func lowestTrack(b []byte, short error) (packetType, number byte, body []byte, err error) {
	if len(b) < 1 {
		return 0, 0, nil, short
	}
	kind := b[0] >> 4
	packetType, b = b[0]&0x0f, b[1:]
	if kind > multitrackManyCodecs {
		return 0, 0, nil, fmt.Errorf("flv: multitrack type %d", kind)
	}
	var fourCC []byte
	if kind != multitrackManyCodecs {
		if len(b) < 4 {
			return 0, 0, nil, short
		}
		fourCC, b = b[:4], b[4:]
	}
	for first := true; len(b) > 0; first = false {
		if kind == multitrackManyCodecs {
			if len(b) < 4 {
				return 0, 0, nil, short
			}
			fourCC, b = b[:4], b[4:]
		}
		if len(b) < 1 {
			return 0, 0, nil, short
		}
		track, data := b[0], b[1:]
		b = nil
		if kind != multitrackOne {
			if len(data) < 3 {
				return 0, 0, nil, short
			}
			size := int(data[0])<<16 | int(data[1])<<8 | int(data[2])
			if data = data[3:]; len(data) < size {
				return 0, 0, nil, short
			}
			data, b = data[:size], data[size:]
		}
		if first || track < number {
			number = track
			body = append(append(make([]byte, 0, 4+len(data)), fourCC...), data...)
		}
	}
	if body == nil {
		return 0, 0, nil, short
	}
	return packetType, number, body, nil
}
