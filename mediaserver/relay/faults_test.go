package relay

import (
	"testing"

	"github.com/streampair/streampair/mediaserver/stream"
)

func TestFaultsOfAPublicationAreRelayed(t *testing.T) {
	t.Parallel()
	there, here := newNode(t), newNode(t)
	here.follow(there.web.URL)
	e := &encoder{t: t, node: there, key: primaryKey, sps: sps240, format: noFormat}
	e.start()
	fault := stream.Fault{Code: "UnsupportedAudio", Message: "Set the encoder to AAC."}
	e.pub.SetFault(stream.Audio, &fault)
	relayed := func(n *node) *stream.Fault {
		snap := n.snapshot(primaryKey).Audio
		if snap.Fault != nil && !snap.Announced {
			t.Error("the sound does not count as announced")
		}
		return snap.Fault
	}
	e.playUntil("fault", func() bool { f := relayed(here); return f != nil && *f == fault })
	// A peer that connects later is told too.
	late := newNode(t)
	late.follow(there.web.URL)
	e.playUntil("fault at the one that is late", func() bool { f := relayed(late); return f != nil && *f == fault })
	e.pub.SetFault(stream.Audio, nil)
	e.playUntil("end of the fault", func() bool { return relayed(here) == nil && relayed(late) == nil })
	e.pub.SetFault(stream.Audio, &fault)
	e.playUntil("fault again", func() bool { return relayed(here) != nil })
	e.pub.End(stream.EndClosed)
	e.start()
	e.playUntil("another publication without one", func() bool {
		return here.snapshot(primaryKey).EntryPoint && relayed(here) == nil
	})
}

// The reader forgets a fault of the sound when it gets a configuration. So the configuration must
// not come after the fault.
func TestAFaultOfSoundThatHasAFormatIsRelayed(t *testing.T) {
	t.Parallel()
	there, here := newNode(t), newNode(t)
	e := &encoder{t: t, node: there, key: primaryKey, sps: sps240, format: aac48}
	e.start()
	fault := stream.Fault{Code: "NoAudioPackets", Message: "Check the encoder's audio source."}
	e.pub.SetFault(stream.Audio, &fault)
	here.follow(there.web.URL)
	relayed := func(want *stream.Fault, sampleRate int) func() bool {
		return func() bool {
			snap := here.snapshot(primaryKey).Audio
			isWanted := want == nil && snap.Fault == nil || want != nil && snap.Fault != nil && *snap.Fault == *want
			return snap.Format != nil && snap.Format.SampleRate == sampleRate && isWanted
		}
	}
	e.playUntil("fault", relayed(&fault, 48000))
	e.check(e.pub.SetAudioFormat(aac44))
	e.playUntil("fault of sound in another format", relayed(&fault, 44100))
	e.pub.SetFault(stream.Audio, nil)
	e.check(e.pub.SetAudioFormat(aac48))
	e.playUntil("end of the fault", relayed(nil, 48000))
}
