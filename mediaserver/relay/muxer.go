package relay

import (
	"bytes"
	"fmt"
	"time"

	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/flv/feed"
	"github.com/streampair/streampair/mediaserver/stream"
)

// A muxer writes access units as FLV, with the parameters that they need. It is for one
// goroutine. An error of its methods is one of the writer's.
type muxer struct {
	flv *flv.Writer
	// origin, on the media clock, is the zero of the times that are written. onward says
	// that those of a track only grow, as players want it, whatever happens to the mapping
	// of the encoder's clock; last are the last ones.
	origin time.Duration
	onward bool
	last   [2]time.Duration // by stream.Kind

	publication uint64 // being sent; 0: none
	seq         uint64 // of the last access unit that was sent
	timeline    timeline
	shift       time.Duration  // last sent, see shiftTag
	sps, pps    []byte         // last sent; nil: none of this publication
	audio       *stream.Format // last sent; nil: none of this publication
}

// turnTo begins with a publication.
func (m *muxer) turnTo(publication uint64) {
	m.publication, m.timeline, m.shift, m.sps, m.pps, m.audio = publication, timeline{}, 0, nil, nil, nil
}

func (m *muxer) write(u *stream.AccessUnit) error {
	if u.Seq <= m.seq {
		return nil // came out of the cache already
	}
	m.seq = u.Seq
	dts, pts, shift := m.timeline.place(u)
	dts, pts = max(dts-m.origin, 0), max(pts-m.origin, 0)
	if m.onward {
		dts = max(dts, m.last[u.Kind]+time.Millisecond)
		pts, m.last[u.Kind] = max(pts, dts), dts
	} else if shift != m.shift {
		m.shift = shift
		if err := m.flv.WriteTag(shiftTag(shift)); err != nil {
			return err
		}
	}
	if u.Kind == stream.Video {
		if err := m.videoConfig(dts, u.Format); err != nil {
			return err
		}
		return m.flv.WriteVideo(dts, pts, u.IDR, recognizable(u))
	}
	if err := m.audioConfig(pts, u.Format); err != nil {
		return err
	}
	return m.flv.WriteAudio(pts, audioCodec(u.Format), u.Frame)
}

// recognizable returns the NAL units of u such that a reader finds a recovery point in them.
// Where no SEI says that there is one, the parameter sets beside intra slices do.
func recognizable(u *stream.AccessUnit) [][]byte {
	if !u.RecoveryPoint || stream.IsRecoveryPoint(u.NALUs) {
		return u.NALUs
	}
	return append([][]byte{u.Format.SPS, u.Format.PPS}, u.NALUs...)
}

func (m *muxer) videoConfig(at time.Duration, f *stream.Format) error {
	if bytes.Equal(f.SPS, m.sps) && bytes.Equal(f.PPS, m.pps) {
		return nil
	}
	m.sps, m.pps = f.SPS, f.PPS
	if err := m.flv.WriteVideoConfig(at, f.SPS, f.PPS); err != nil {
		return fmt.Errorf("write parameter sets: %w", err)
	}
	return nil
}

func (m *muxer) audioConfig(at time.Duration, f *stream.Format) error {
	if f == m.audio {
		return nil
	}
	m.audio = f
	config := f.Config
	if f.Codec == stream.Opus {
		config = feed.OpusHead(f.Channels)
	}
	return m.flv.WriteAudioConfig(at, audioCodec(f), config)
}

func audioCodec(f *stream.Format) flv.AudioCodec {
	if f.Codec == stream.Opus {
		return flv.Opus
	}
	return flv.AAC
}
