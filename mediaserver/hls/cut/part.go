package cut

import (
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

// A Run is a stretch of a publication with one initialization section and one timeline. Between
// two runs there is a discontinuity. A Run is not changed once it is made.
type Run struct {
	// Map is the name of the initialization section, and Init its bytes.
	Map  Name
	Init []byte
	// Video and Sound are the formats of the tracks; nil: the run has no such track.
	Video, Sound *stream.Format
	// Epoch is the zero of the media clock of the run, as time of day.
	Epoch time.Time
}

// A Part is a partial segment (draft-pantos-hls-rfc8216bis section 4.4.4.9): one moof and one mdat.
// A Part is not changed once it is made.
type Part struct {
	Name Name
	Run  *Run
	// Data is the part. The parts of a segment, one after the other, are the segment.
	Data []byte
	// Start is when the part begins, on the media clock.
	Start, Duration time.Duration
	// Independent reports whether the part has a picture at which decoding can begin, or no
	// picture is to be expected.
	Independent bool
	// Pictures is the number of pictures in the part.
	Pictures int
	// Last reports whether the part is known to be the last of its segment.
	Last bool
}
