package feed

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/opus"

	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/mpegts"
	"github.com/streampair/streampair/mediaserver/stream"
)

// WarningSeveralPrograms is the code of the warning about a transport stream of several programmes.
const WarningSeveralPrograms = "SeveralPrograms"

// A TransportStream writes an MPEG transport stream to a publication. It is for one goroutine.
type TransportStream struct {
	feed    *Feed
	demuxer *mpegts.Demuxer
	fatal   error // ends the publication; nil: it goes on
	packets int   // PES packets of the two tracks so far

	picture struct {
		dts, pts time.Duration // of the last PES packet
		known    bool          // dts and pts are set
	}
	adts  adtsSplitter
	sound struct {
		next  time.Duration // when the next frame begins
		known bool          // next is set
	}
}

// NewTransportStream returns a TransportStream of the publication.
func NewTransportStream(p *stream.Publication) *TransportStream {
	t := &TransportStream{feed: New(p)}
	t.demuxer = mpegts.NewDemuxer(mpegts.Config{OnTracks: t.setTracks, OnPES: t.pes, OnError: t.unusable})
	return t
}

// Held returns the size of what the TransportStream holds of media that is not complete, in bytes.
func (t *TransportStream) Held() int { return t.demuxer.Held() + t.feed.Held() + cap(t.adts.rest) }

// Packets returns how many PES packets of the two tracks have come so far.
func (t *TransportStream) Packets() int { return t.packets }

// Write takes the next bytes. They are not kept. Its errors are those of Feed.Video.
func (t *TransportStream) Write(b []byte) error {
	t.demuxer.Write(b)
	return t.fatal
}

// Lost notes that at most that many packets of the transport stream are missing here.
func (t *TransportStream) Lost(packets int) { t.demuxer.Lost(packets) }

// Flush writes what is held, because the stream ends here.
func (t *TransportStream) Flush() {
	t.demuxer.Flush()
	_ = t.feed.pictures.flush() // the publication is about to end
}

// setTracks takes the tracks of the programme.
func (t *TransportStream) setTracks(tracks mpegts.Tracks) {
	f := t.feed
	if tracks.SeveralPrograms {
		f.publication.Warn(WarningSeveralPrograms,
			"The encoder sends more than one programme: the first is played, the others are left out. Send one programme to save bandwidth.")
	}
	for k, track := range []mpegts.Track{stream.Video: tracks.Video, stream.Audio: tracks.Audio} {
		kind := stream.Kind(k)
		if (kind == stream.Video && tracks.SeveralVideo) || (kind == stream.Audio && tracks.SeveralAudio) {
			f.warnSeveral(kind)
		}
		var foreign *stream.Fault
		if track.Codec == mpegts.Unsupported {
			foreign = faultOf(kind, &flv.UnsupportedCodecError{Codec: track.Name})
		}
		f.tracks[k].foreign = foreign
		f.show(kind)
		if track.Codec != mpegts.None {
			f.notice(kind, false)
		}
	}
	t.adts.rest, t.sound.known, f.audioConfig = nil, false, nil
}

// kindOf returns the kind of a track.
func (t *TransportStream) kindOf(track mpegts.Track) stream.Kind {
	if track == t.demuxer.Tracks().Video {
		return stream.Video
	}
	return stream.Audio
}

// unusable takes an error of the demuxer.
func (t *TransportStream) unusable(track *mpegts.Track, err error) {
	p := t.feed.publication
	var tooLong *mpegts.TooLongError
	switch {
	case track == nil:
		err = p.Reject(err)
		if !t.feed.tracks[stream.Video].used && !t.feed.tracks[stream.Audio].used {
			t.judge(stream.Video, err) // perhaps this is no transport stream at all
		}
	case errors.As(err, &tooLong):
		t.feed.ReportDropped(t.kindOf(*track), tooLong.Limit+1, tooLong.Limit)
	case errors.Is(err, mpegts.ErrLost): // by the network, which is not the encoder's fault
		t.broken(t.kindOf(*track))
	default:
		t.broken(t.kindOf(*track))
		t.judge(t.kindOf(*track), p.Reject(err))
	}
}

// broken notes that data of a track is missing.
func (t *TransportStream) broken(k stream.Kind) {
	if k == stream.Video {
		t.feed.publication.BreakGOP()
	} else {
		t.adts.rest = nil
	}
}

func (t *TransportStream) judge(k stream.Kind, err error) {
	if err := t.feed.judge(k, err, true); err != nil && t.fatal == nil {
		t.fatal = err
	}
}

// pes takes a PES packet.
func (t *TransportStream) pes(p mpegts.PES) {
	k := t.kindOf(p.Track)
	t.feed.notice(k, true)
	t.packets++
	var err error
	switch p.Track.Codec {
	case mpegts.H264:
		err = t.video(p)
	case mpegts.ADTS:
		err = t.aac(p)
	case mpegts.Opus:
		err = t.opus(p)
	case mpegts.Unsupported:
		err = t.feed.publication.Reject(&flv.UnsupportedCodecError{Codec: p.Track.Name})
	}
	t.judge(k, err)
}

// video writes the pictures of a PES packet. A PES packet without a time continues the picture
// before.
func (t *TransportStream) video(p mpegts.PES) error {
	f := t.feed
	if p.HasTime {
		t.picture.dts, t.picture.pts, t.picture.known = p.DTS, p.PTS, true
	}
	if !t.picture.known {
		return f.publication.Reject(errNoTime)
	}
	nalus, err := flv.SplitAnnexB(p.Data)
	if err != nil {
		f.publication.BreakGOP()
		return f.publication.Reject(err)
	}
	nalus = slices.DeleteFunc(nalus, isPadding)
	if len(nalus) == 0 {
		return nil
	}
	return f.pictures.write(t.picture.dts, t.picture.pts, apart(nalus))
}

// apart returns the NAL units in a buffer of their own. The PES packet's buffer may be much larger, and
// caches count the NAL units alone.
func apart(nalus [][]byte) [][]byte {
	size := 0
	for _, nalu := range nalus {
		size += len(nalu)
	}
	buffer := make([]byte, 0, size)
	for i, nalu := range nalus {
		from := len(buffer)
		buffer = append(buffer, nalu...)
		nalus[i] = buffer[from:len(buffer):len(buffer)]
	}
	return nalus
}

var errNoTime = errors.New("media without a time")

// aac writes the AAC frames that end in a PES packet.
func (t *TransportStream) aac(p mpegts.PES) error {
	frames, begun, splitErr := t.adts.split(p.Data)
	if splitErr != nil {
		splitErr = t.feed.publication.Reject(splitErr)
	}
	for i, frame := range frames {
		if i == begun {
			t.soundBegins(p)
		}
		if err := t.setSound(flv.AAC, frame.config); err != nil {
			return err
		}
		config, err := flv.ParseAudioConfig(frame.config)
		if err != nil {
			return t.feed.publication.Reject(err)
		}
		if err := t.frame(frame.data, samplesPerFrame, config.SampleRate); err != nil {
			return err
		}
	}
	if begun >= len(frames) {
		t.soundBegins(p) // a frame begins here, and ends in a later PES packet
	}
	return splitErr
}

// opus writes the Opus packets of a PES packet.
func (t *TransportStream) opus(p mpegts.PES) error {
	packets, splitErr := mpegts.OpusPackets(p.Data)
	if splitErr != nil {
		splitErr = t.feed.publication.Reject(splitErr)
	}
	t.soundBegins(p)
	for _, packet := range packets {
		if len(packet) == 0 {
			continue
		}
		const stereo = 4 // in the table of contents, RFC 6716 section 3.1
		channels := 1
		if packet[0]&stereo != 0 {
			channels = 2
		}
		if err := t.setSound(flv.Opus, OpusHead(channels)); err != nil {
			return err
		}
		if err := t.frame(packet, int(opus.PacketDuration2(packet)), opusRate); err != nil {
			return err
		}
	}
	return splitErr
}

// soundBegins takes the time of the frame that comes next.
func (t *TransportStream) soundBegins(p mpegts.PES) {
	if p.HasTime {
		t.sound.next, t.sound.known = p.PTS, true
	}
}

// setSound sets the configuration of the sound that follows.
func (t *TransportStream) setSound(codec flv.AudioCodec, config []byte) error {
	f := t.feed
	if codec == f.audioCodec && bytes.Equal(config, f.audioConfig) {
		return nil
	}
	return f.setAudioConfig(codec, config)
}

// frame writes a frame of sound of that many samples.
func (t *TransportStream) frame(data []byte, samples, rate int) error {
	if !t.sound.known {
		return t.feed.publication.Reject(errNoTime)
	}
	at := t.sound.next
	t.sound.next += time.Duration(samples) * time.Second / time.Duration(rate)
	if err := t.feed.pictures.soundAt(at); err != nil {
		t.judge(stream.Video, err)
	}
	if t.feed.unsupportedAudio {
		return nil
	}
	return t.feed.publication.WriteAudio(at, bytes.Clone(data)) // the PES packet has other frames too
}
