package conformance

import (
	"bytes"
	"context"
	_ "embed"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
)

// picture is a second of H.264 in the byte stream format (annex B): 25 pictures of 160×96 pixels in
// Constrained Baseline, an IDR first. Each picture is one NAL unit. It was made by x264.
//
//go:embed picture.h264
var picture []byte

const (
	pictureInterval = 40 * time.Millisecond
	frameInterval   = 20 * time.Millisecond
)

// sendMedia sends the picture, or silence, again and again until ctx ends.
func sendMedia(ctx context.Context, track *webrtc.TrackLocalStaticSample) {
	samples, interval := pictures(), pictureInterval
	if track.Kind() == webrtc.RTPCodecTypeAudio {
		samples, interval = [][]byte{{0xf8, 0xff, 0xfe}}, frameInterval // a silent frame of Opus, RFC 6716
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			// An error means that the connection is about to end.
			_ = track.WriteSample(media.Sample{Data: samples[i%len(samples)], Duration: interval})
		}
	}
}

// pictures returns the access units of picture.
func pictures() [][]byte {
	const nonIDR = 1 // nal_unit_type, H.264 section 7.4.1
	startCode := []byte{0, 0, 0, 1}
	var units [][]byte
	// x264 writes start codes of three bytes before all but the first NAL units of a picture.
	for _, nalu := range bytes.Split(bytes.ReplaceAll(picture, startCode, startCode[1:]), startCode[1:])[1:] {
		if len(units) == 0 || nalu[0]&0x1f == nonIDR {
			units = append(units, nil)
		}
		last := &units[len(units)-1]
		*last = append(append(*last, startCode...), nalu...)
	}
	return units
}
