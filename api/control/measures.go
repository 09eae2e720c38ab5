package control

import "time"

// MonitorPort is the TCP port of a media pod's loopback address where Status, Measures and thumbnails
// are read. A person reaches the port by kubectl port-forward.
const MonitorPort = 9094

// Measures is what is measured of the streams of all declared pairs. Measures change several times
// a second, so they are asked for and do not stand in Status.
type Measures struct {
	// Time is the server's clock when it answered.
	Time  time.Time      `json:"time"`
	Pairs []PairMeasures `json:"pairs"`
}

// PairMeasures is what is measured of a pair.
type PairMeasures struct {
	Name string        `json:"name"`
	Legs []LegMeasures `json:"legs"`
	// Offset is how far the legs are apart in the programme; nil: it is unknown.
	Offset *Offset `json:"offset,omitempty"`
	// OffsetDoubt says why Offset is unknown, or of a while ago: TooLittle, Flat, Different or Ambiguous.
	OffsetDoubt string `json:"offsetDoubt,omitempty"`
}

// Offset is how far the legs of a pair are apart in the programme.
type Offset struct {
	// Milliseconds is positive if the backup shows the programme later than the primary.
	Milliseconds float64 `json:"milliseconds"`
	// DriftPPM is by how much the offset grows, in millionths; nil: it is unknown.
	DriftPPM *float64 `json:"driftPPM,omitempty"`
}

// LegMeasures is what is measured of a leg, by this server or by the other leg's.
type LegMeasures struct {
	Role     string `json:"role"`
	App      string `json:"app"`
	StreamID string `json:"streamID"`
	// Local says that the stream is measured here. A server has thumbnails of such streams alone.
	Local bool `json:"local,omitempty"`
	// AgeMilliseconds is the time since the last measures; nil: there are none.
	AgeMilliseconds *int64 `json:"ageMilliseconds,omitempty"`
	// Sound and Rates are the last ones; nil: there are none.
	Sound *SoundLevels `json:"sound,omitempty"`
	Rates *Rates       `json:"rates,omitempty"`
	// SoundMeasured and PictureMeasured say whether sound and picture are measured now.
	SoundMeasured   bool `json:"soundMeasured"`
	PictureMeasured bool `json:"pictureMeasured"`
	// Unwatched says why the picture is not measured: NoFFmpeg, Full or Failed. Undecoded says that
	// the sound cannot be decoded.
	Unwatched string `json:"unwatched,omitempty"`
	Undecoded bool   `json:"undecoded,omitempty"`
	// Faults are those of the content: Black, Frozen, Silent, LowBitrate and LowFrameRate.
	// FaultsKnown says whether both legs are measured, so that a fault would be found.
	Faults      []string `json:"faults,omitempty"`
	FaultsKnown bool     `json:"faultsKnown"`
	// ThumbnailTime is when the thumbnail was made, by the clock of its server; nil: there is none.
	ThumbnailTime            *time.Time `json:"thumbnailTime,omitempty"`
	ThumbnailAgeMilliseconds int64      `json:"thumbnailAgeMilliseconds,omitempty"`
}

// SoundLevels is how loud the last 100 ms were. The lowest level stands for silence.
type SoundLevels struct {
	RMSDBFS  float64 `json:"rmsDBFS"`
	PeakDBFS float64 `json:"peakDBFS"`
	// MomentaryLUFS and ShortTermLUFS are the loudness of the last 400 ms and of the last 3 s.
	MomentaryLUFS float64 `json:"momentaryLUFS"`
	ShortTermLUFS float64 `json:"shortTermLUFS"`
}

// Rates are what an encoder sends.
type Rates struct {
	BitrateBPS int64 `json:"bitrateBPS"`
	// FrameRate and UsualFrameRate are in pictures a second; 0: there are none, or it is unknown.
	FrameRate      float64 `json:"frameRate"`
	UsualFrameRate float64 `json:"usualFrameRate"`
	// KeyFrameIntervalMilliseconds is the time between the last two key frames; 0: unknown.
	KeyFrameIntervalMilliseconds int64 `json:"keyFrameIntervalMilliseconds"`
	JitterMilliseconds           int64 `json:"jitterMilliseconds"`
	// Jumps counts how often the encoder's clock has jumped since it connected.
	Jumps int `json:"jumps"`
}
