package measure

import (
	"slices"
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// ratesEvery is how much media a Rates covers.
	ratesEvery = time.Second
	// bitrateOver is the time over which the bit rate is averaged: key frames are large.
	bitrateOver = 4 * time.Second
	// usualOver and usualLeast are from how many picture rates the usual one is taken.
	usualOver, usualLeast = 600, 10
	// leastUsual is the least share of the usual picture rate that counts for the usual one.
	leastUsual = 0.75
	// jump is how far apart two times of a track are if the encoder's clock has jumped.
	jump = 5 * time.Second
)

// Rates are what an encoder sends in one second of its own time.
type Rates struct {
	From time.Duration `json:"from"`
	To   time.Duration `json:"to"`
	// BitrateBPS is the mean over the last 4 s, of picture and sound.
	BitrateBPS int64 `json:"bitrateBPS"`
	// FrameRate and UsualFrameRate are in pictures a second; 0: there are none, or it is unknown.
	FrameRate      float64 `json:"frameRate,omitempty"`
	UsualFrameRate float64 `json:"usualFrameRate,omitempty"`
	// KeyFrameInterval is the time between the last two key frames; 0: unknown.
	KeyFrameInterval time.Duration `json:"keyFrameInterval,omitempty"`
	// Jitter is by how much the pictures and sounds of this second differ in how late they came.
	Jitter time.Duration `json:"jitter"`
	// Jumps counts how often the encoder's clock has jumped, since the publication began.
	Jumps int `json:"jumps,omitempty"`
}

// A RateMeter measures the rates of one publication. The zero value has measured nothing.
type RateMeter struct {
	begun    bool
	from     time.Duration
	pictures int
	bytes    int
	seconds  []int // bytes of the last seconds

	earliest, latest time.Duration // of the lateness
	lastKey          time.Duration
	keyInterval      time.Duration
	last             [2]time.Duration // the time of each track's last access unit
	jumps            int
	usual            []float64
}

// Add takes an access unit. It returns the rates of the second that has just ended; nil: none has.
func (m *RateMeter) Add(u *stream.AccessUnit) *Rates {
	if last := m.last[u.Kind]; last != 0 && (u.DTS-last).Abs() > jump {
		m.jumps++
		m.begun = false
	}
	m.last[u.Kind] = u.DTS
	if !m.begun {
		m.start(u.DTS)
		m.seconds = nil
	}
	var ended *Rates
	if u.DTS >= m.from+ratesEvery {
		ended = m.end()
		m.start(u.DTS)
	}
	m.bytes += u.Size()
	late := u.Arrival - u.DTS
	m.earliest, m.latest = min(m.earliest, late), max(m.latest, late)
	if u.Kind != stream.Video {
		return ended
	}
	m.pictures++
	if u.IDR || u.RecoveryPoint {
		if m.lastKey != 0 && u.DTS > m.lastKey {
			m.keyInterval = u.DTS - m.lastKey
		}
		m.lastKey = u.DTS
	}
	return ended
}

func (m *RateMeter) start(at time.Duration) {
	m.begun, m.from, m.pictures, m.bytes = true, at, 0, 0
	m.earliest, m.latest = time.Hour, -time.Hour
}

// end returns the rates since from.
func (m *RateMeter) end() *Rates {
	r := &Rates{From: m.from, To: m.from + ratesEvery, FrameRate: float64(m.pictures), KeyFrameInterval: m.keyInterval, Jumps: m.jumps}
	r.Jitter = max(m.latest-m.earliest, 0)
	m.seconds = append(m.seconds, m.bytes)
	if n := len(m.seconds) - int(bitrateOver/ratesEvery); n > 0 {
		m.seconds = m.seconds[n:]
	}
	for _, bytes := range m.seconds {
		r.BitrateBPS += int64(bytes) * 8 / int64(len(m.seconds))
	}
	r.UsualFrameRate = m.usualRate()
	// A rate that is low beside the usual one must not become the usual one.
	if m.last[stream.Video] != 0 && r.FrameRate >= r.UsualFrameRate*leastUsual {
		if m.usual = append(m.usual, r.FrameRate); len(m.usual) > usualOver {
			m.usual = m.usual[1:]
		}
	}
	return r
}

// usualRate returns the median of the picture rates before; 0: there are too few.
func (m *RateMeter) usualRate() float64 {
	if len(m.usual) < usualLeast {
		return 0
	}
	sorted := slices.Sorted(slices.Values(m.usual))
	return sorted[len(sorted)/2]
}
