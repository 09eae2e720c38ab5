package hls

import "fmt"

// warningMixedSound is the code of the warning for a backup whose sound has another codec than the
// primary's.
const warningMixedSound = "MixedSound"

// noteSound warns while the sounds of the legs have different codecs, and withdraws the warning.
func (p *programme) noteSound() {
	if len(p.source.streams) < 2 {
		return
	}
	primary, backup := p.source.streams[0], p.source.streams[1]
	a, b := primary.Snapshot().Audio.Format, backup.Snapshot().Audio.Format
	if a == nil || b == nil || a.Codec == b.Codec {
		p.endSound()
		return
	}
	p.mixedSound = true
	// The same warning again changes nothing. But it ends with each publication.
	backup.Warn(warningMixedSound, fmt.Sprintf("This encoder sends %s, and the primary's encoder sends %s: some players of HLS, such as Shaka Player, stop at a switch. "+
		"Let both encoders send the same: AAC by RTMP, or Opus by WHIP or Enhanced RTMP.", b.Codec, a.Codec))
}

// endSound withdraws the warning.
func (p *programme) endSound() {
	if p.mixedSound {
		p.source.streams[1].Unwarn(warningMixedSound)
		p.mixedSound = false
	}
}
