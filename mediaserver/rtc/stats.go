package rtc

import "time"

// TrackStats describe one track of a viewer since it came.
type TrackStats struct {
	Packets, Bytes uint64
	// Dropped packets could not be written; Skipped ones were left out until the
	// next IDR after that.
	Dropped, Skipped uint64
	// Nacked packets were asked for again, Resent ones were.
	Nacked, Resent uint64
	// FractionLost (0 to 1) and Jitter are the viewer's own last report.
	FractionLost float64
	Jitter       time.Duration
}

// ViewerStats describe a viewer.
type ViewerStats struct {
	ID, Protocol string
	Since        time.Time
	Connected    bool
	// JoinDuration is from connected to the first picture sent; 0 until then.
	JoinDuration time.Duration
	RoundTrip    time.Duration
	PLIs         uint64
	Video, Audio TrackStats
}

// Stats describes the viewer now.
func (v *Viewer) Stats() ViewerStats {
	v.mu.Lock()
	defer v.mu.Unlock()
	return ViewerStats{
		ID: v.cfg.ID, Protocol: v.cfg.Protocol, Since: v.since,
		Connected: v.connected, JoinDuration: v.joined, RoundTrip: v.roundTrip, PLIs: v.plis,
		Video: v.video.stats(videoClockRate), Audio: v.audio.stats(audioClockRate),
	}
}

func (t *viewerTrack) stats(rate int64) TrackStats {
	if t == nil {
		return TrackStats{}
	}
	return TrackStats{
		Packets: t.packets, Bytes: t.octets,
		Dropped: t.dropped, Skipped: t.skipped,
		Nacked: t.nacked, Resent: t.resent,
		FractionLost: float64(t.fractionLost) / 256,
		Jitter:       time.Duration(t.jitter) * time.Second / time.Duration(rate),
	}
}
