package feed

import (
	"errors"
	"testing"

	"github.com/streampair/streampair/mediaserver/flv"
)

// Each frame in a cache keeps its configuration. A new configuration with each frame,
// as long as a message may be, would fill the memory.
func TestAConfigurationOfSoundIsShort(t *testing.T) {
	for length, taken := range map[int]bool{maxAudioConfig: true, maxAudioConfig + 1: false, 64 << 10: false} {
		f, _ := newFeed(t)
		config := make([]byte, length)
		copy(config, []byte{0x11, 0x90})
		if err := f.setAudioConfig(flv.AAC, config); errors.Is(err, errLongConfig) == taken {
			t.Errorf("%d bytes: %v", length, err)
		}
	}
}
