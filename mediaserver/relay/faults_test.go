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
	// Whoever comes now is told too.
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
