package flv

import (
	"errors"
	"fmt"
)

// An AudioConfig is an AudioSpecificConfig, ISO/IEC 14496-3 section 1.6.2.1.
type AudioConfig struct {
	// ObjectType is the audio object type of the core: 2 is AAC-LC.
	ObjectType int
	// SampleRate is that of the core, in Hz. Channels is 0 when a program config
	// element in the stream has the number.
	SampleRate, Channels int
	// SBR reports whether the stream is HE-AAC. Half of such a stream is in extensions to the core.
	SBR bool
	// ShortFrames reports whether frames have 960 samples instead of 1024.
	ShortFrames bool
}

const (
	objectTypeLC     = 2
	objectTypeSBR    = 5
	objectTypePS     = 29
	objectTypeEscape = 31
	syncExtension    = 0x2b7
)

var aacSampleRates = [13]int{96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350}

// channelConfigurations are the numbers of channels of ISO/IEC 14496-3 table 1.19.
var channelConfigurations = [8]int{0, 1, 2, 3, 4, 5, 6, 8}

// ParseAudioConfig parses an AudioSpecificConfig.
func ParseAudioConfig(b []byte) (AudioConfig, error) {
	r := bitReader{b: b}
	var c AudioConfig
	c.ObjectType = r.objectType()
	c.SampleRate = r.sampleRate()
	channels := r.bits(4)
	if c.ObjectType == objectTypeSBR || c.ObjectType == objectTypePS {
		c.SBR = true
		r.sampleRate()
		c.ObjectType = r.objectType()
	}
	if c.ObjectType == objectTypeLC {
		c.ShortFrames = r.bits(1) == 1
		if r.bits(1) == 1 { // dependsOnCoreCoder
			r.bits(14)
		}
		r.bits(1) // extensionFlag
	}
	if r.short {
		return AudioConfig{}, errors.New("flv: AudioSpecificConfig is too short")
	}
	if c.SampleRate < 7350 || c.SampleRate > 96000 || channels >= uint32(len(channelConfigurations)) {
		return AudioConfig{}, fmt.Errorf("flv: AudioSpecificConfig with %d Hz and channel configuration %d", c.SampleRate, channels)
	}
	c.Channels = channelConfigurations[channels]
	// This is the backward compatible signalling of SBR, section 1.6.5.3. ffmpeg
	// always writes the extension, even when there is no SBR.
	if r.bits(11) == syncExtension && r.objectType() == objectTypeSBR && r.bits(1) == 1 && !r.short {
		c.SBR = true
	}
	return c, nil
}

// Variant returns the kind of AAC in a few words. It returns "" for AAC-LC in mono or
// stereo, which every AAC decoder plays in full.
func (c AudioConfig) Variant() string {
	switch {
	case c.SBR:
		return "HE-AAC"
	case c.ObjectType != objectTypeLC:
		return fmt.Sprintf("AAC of object type %d", c.ObjectType)
	case c.ShortFrames:
		return "AAC with frames of 960 samples"
	case c.Channels == 0:
		return "AAC with a program config element"
	case c.Channels > 2:
		return fmt.Sprintf("AAC with %d channels", c.Channels)
	}
	return ""
}

// A bitReader reads bits, most significant first. Past the end it reads zeros.
type bitReader struct {
	b     []byte
	pos   int
	short bool // a read went past the end
}

func (r *bitReader) bits(n int) uint32 {
	var v uint32
	for range n {
		v <<= 1
		if i := r.pos / 8; i < len(r.b) {
			v |= uint32(r.b[i]>>(7-r.pos%8)) & 1
		} else {
			r.short = true
		}
		r.pos++
	}
	return v
}

func (r *bitReader) objectType() int {
	t := int(r.bits(5))
	if t == objectTypeEscape {
		t = 32 + int(r.bits(6))
	}
	return t
}

func (r *bitReader) sampleRate() int {
	i := r.bits(4)
	if i == 15 {
		return int(r.bits(24))
	}
	if int(i) < len(aacSampleRates) {
		return aacSampleRates[i]
	}
	return 0
}
