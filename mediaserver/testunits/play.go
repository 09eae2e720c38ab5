package testunits

import (
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

// Play publishes units in real time, again and again, until quit is closed or the publication ends.
func Play(p *stream.Publication, units []*stream.AccessUnit, quit <-chan struct{}) {
	start, span := time.Now(), units[len(units)-1].DTS+33*time.Millisecond
	var format *stream.Format
	for loop := 0; ; loop++ {
		shift := time.Duration(loop) * span
		for _, u := range units {
			select {
			case <-time.After(time.Until(start.Add(u.DTS + shift))):
			case <-quit:
				return
			case <-p.Done():
				return
			}
			if u.Kind == stream.Audio {
				_ = p.SetAudioFormat(*u.Format)
				_ = p.WriteAudio(u.PTS+shift, u.Frame)
				continue
			}
			if format != u.Format {
				format = u.Format
				_ = p.SetVideoParameters(u.Format.SPS, u.Format.PPS)
			}
			nalus := u.NALUs
			if u.IDR {
				nalus = append([][]byte{u.Format.SPS, u.Format.PPS}, nalus...)
			}
			_ = p.WriteVideo(u.DTS+shift, u.PTS+shift, nalus)
		}
	}
}
