package rtc

import "time"

const (
	// fullSilence is how long silence is sent in full before a pause. Missing sound is replaced late,
	// and until then receivers conceal the gap. They have caught up when the pause begins.
	fullSilence = 500 * time.Millisecond
	// pauseInterval is the time between two packets of a pause. It is that of libopus. libwebrtc
	// ends its comfort noise, and conceals, after 1 s without a packet.
	pauseInterval = 400 * time.Millisecond
)

// silence makes discontinuous transmission of the silence in a track (RFC 7587 section 3.1.3). Sound
// is never left out, however quiet.
type silence struct {
	lasts time.Duration // how much silence the track has had in a row
	due   time.Duration // when the next packet of the pause is due, on the media clock
}

// transmit returns what is sent of an Opus packet; nil: nothing. resumes reports whether the packet
// is the first one after a pause.
//
// In a pause a packet is sent that has its TOC byte and a frame without data. Decoders take it for
// the beginning of lost or discontinuous frames (RFC 6716 section 3.2.1), and libwebrtc
// plays comfort noise from there. That noise is silent too, since silence came before.
func (s *silence) transmit(at, duration time.Duration, opus []byte) (payload []byte, resumes bool) {
	if !isSilence(opus) {
		resumes = s.lasts > fullSilence
		*s = silence{}
		return opus, resumes
	}
	before := s.lasts
	s.lasts += duration
	switch {
	case s.lasts <= fullSilence:
		return opus, false
	case before > fullSilence && at < s.due:
		return nil, false
	}
	s.due = at + pauseInterval
	return opus[:1], false
}

// isSilence reports whether an Opus packet is one CELT frame with the silence flag set (RFC 6716
// sections 3.1 and 4.3). Its samples are all zero. The sound of quiet rooms is never coded so.
func isSilence(opus []byte) bool {
	const celt, oneFrame, codes = 0x80, 0, 0x03
	return len(opus) == 3 && opus[0]&celt != 0 && opus[0]&codes == oneFrame && opus[1] == 0xff && opus[2] == 0xfe
}
