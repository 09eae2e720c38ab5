package feed

import (
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// missingAfter is how long an encoder may send, but nothing of a track that it has begun,
	// before the fault is told. A leg without the track must not rank as whole.
	missingAfter = 5 * time.Second
	// longestPause is how much of a pause of all tags is counted. In a longer pause the
	// network is cut or the encoder is gone, and no track is missing.
	longestPause = 2 * time.Second
	// presenceTick is the least time between two checks for missing tracks.
	presenceTick = time.Second
)

var (
	faultNoVideo = stream.Fault{
		Code: "NoVideoPackets",
		Message: "The encoder announced video and sends none: there is no picture. " +
			"Check the encoder's video source, or publish without video.",
	}
	faultNoPicture = stream.Fault{
		Code: "NoPicture",
		Message: "The encoder sends video, but no picture that can be decoded. " +
			"Restart the encoder, and set its video to H.264 with a key frame every 2 seconds.",
	}
	faultNoAudio = stream.Fault{
		Code: "NoAudioPackets",
		Message: "The encoder announced audio and sends none: there is no sound. " +
			"Check the encoder's audio source, or publish without audio.",
	}
)

// A presence is how long the encoder has sent, without pauses.
type presence struct {
	sending            time.Duration
	lastTag, lastCheck time.Duration // when the last tag came, and when the last check was; 0: never
}

// A trackPresence is what has come of one track. Its times are values of presence.sending.
type trackPresence struct {
	began     bool          // a tag has come
	lastMedia time.Duration // when the last tag with media came
	arrival   time.Duration // when the last access unit came, on the media clock
	arrived   time.Duration // sending when that access unit was noticed
	missing   *stream.Fault // the fault that is shown; nil: none
}

// notice records a tag of kind k. media reports whether the tag has media; otherwise
// it is a configuration.
func (f *Feed) notice(k stream.Kind, media bool) {
	if f.publication.Relayed() {
		return // the server that has the publisher tells the fault
	}
	now, p, t := f.publication.Stream().Now(), &f.presence, &f.tracks[k].trackPresence
	if p.lastTag > 0 {
		p.sending += min(now-p.lastTag, longestPause)
	}
	p.lastTag = now
	if !t.began {
		t.began, t.lastMedia, t.arrived = true, p.sending, p.sending
	}
	if media {
		t.lastMedia = p.sending
	}
	if now-p.lastCheck < presenceTick {
		return
	}
	p.lastCheck = now
	for k := range f.tracks {
		f.checkTrack(stream.Kind(k))
	}
}

// checkTrack checks whether a track is missing.
func (f *Feed) checkTrack(k stream.Kind) {
	p, t := &f.presence, &f.tracks[k]
	snap := f.publication.Track(k)
	if snap.LastArrival > t.arrival {
		t.arrival, t.arrived = snap.LastArrival, p.sending
	}
	if fault := t.missingAt(k, p.sending, 3*snap.Interval); fault != t.missing {
		t.missing = fault
		f.show(k)
		t.arrival = f.publication.Track(k).LastArrival // the fault may have announced the track
	}
}

// missingAt returns the fault of a missing track, or nil if the track is not missing.
// sending is how long the encoder has sent. A track whose access units are far apart
// may pause for as long as pause. missingAt is pure.
func (t *trackPresence) missingAt(k stream.Kind, sending, pause time.Duration) *stream.Fault {
	limit := max(missingAfter, pause)
	switch {
	case !t.began || sending-t.arrived < limit:
		return nil
	case k == stream.Audio:
		return &faultNoAudio
	case sending-t.lastMedia < limit:
		return &faultNoPicture
	}
	return &faultNoVideo
}
