package relay

import (
	"bytes"
	"fmt"
	"time"

	"github.com/streampair/streampair/mediaserver/feed"
	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/stream"
)

// A muxer writes access units as FLV, with the parameters that they need. It is for one goroutine.
// Its methods return only errors of the writer.
type muxer struct {
	flv *flv.Writer
	// origin is the zero of the times that are written, on the media clock. monotonic reports whether
	// the times of a track only grow, as players need, whatever happens to the mapping of the
	// encoder's clock. last has the last time of each track.
	origin    time.Duration
	monotonic bool
	last      [2]time.Duration // by stream.Kind

	publication uint64 // the publication that is being sent; 0: none
	seq         uint64 // of the last access unit that was sent
	clock       sendClock
	shift       time.Duration  // last sent, see shiftTag
	sps, pps    []byte         // last sent; nil: none of this publication
	audio       *stream.Format // last sent; nil: none of this publication
}

// turnTo prepares the muxer for a new publication.
func (m *muxer) turnTo(publication uint64) {
	m.publication, m.clock, m.shift, m.sps, m.pps, m.audio = publication, sendClock{}, 0, nil, nil, nil
}

func (m *muxer) write(u *stream.AccessUnit) error {
	if u.Seq <= m.seq {
		return nil // this access unit was sent from the cache already
	}
	m.seq = u.Seq
	dts, pts, shift := m.clock.place(u)
	dts, pts = max(dts-m.origin, 0), max(pts-m.origin, 0)
	if m.monotonic {
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
		return m.flv.WriteVideo(dts, pts, u.IDR, withParameterSets(u))
	}
	if err := m.audioConfig(pts, u.Format); err != nil {
		return err
	}
	return m.flv.WriteAudio(pts, audioCodec(u.Format), u.Frame)
}

// withParameterSets returns the NAL units of u in a form in which a reader recognizes a recovery
// point.
// If no SEI marks the recovery point, the parameter sets beside intra slices do.
func withParameterSets(u *stream.AccessUnit) [][]byte {
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
