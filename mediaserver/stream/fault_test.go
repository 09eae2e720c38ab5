package stream

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFaults(t *testing.T) {
	var logged bytes.Buffer
	r := NewRegistry(Config{Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	p := begin(t, r)
	defer p.End(EndClosed)
	fault := Fault{Code: "UnsupportedAudio", Message: "Set the encoder to AAC."}
	for range 2 {
		p.SetFault(Audio, &fault)
		p.SetFault(Audio, &Fault{Code: fault.Code, Message: fault.Message})
		snap := p.Stream().Snapshot()
		if !snap.Audio.Announced || snap.Audio.Fault == nil || *snap.Audio.Fault != fault || snap.Video.Announced {
			t.Fatalf("audio %+v, video %+v", snap.Audio, snap.Video)
		}
		if d := cmp.Diff([]Warning{{fault.Code, fault.Message}}, snap.Warnings); d != "" {
			t.Error(d)
		}
		p.SetFault(Audio, nil)
		if snap := p.Stream().Snapshot(); snap.Audio.Fault != nil || len(snap.Warnings) != 0 {
			t.Errorf("after the fault: %+v, %v", snap.Audio, snap.Warnings)
		}
	}
	if n := strings.Count(logged.String(), fault.Message); n != 1 {
		t.Errorf("the fault was logged %d times, want once", n)
	}
}

func TestAFaultIsThatOfThePublicationOnAir(t *testing.T) {
	r := NewRegistry(Config{})
	p := begin(t, r)
	writeIDR(t, p, 0)
	newcomer := begin(t, r)
	defer newcomer.End(EndClosed)
	newcomer.SetFault(Audio, &Fault{Code: "UnsupportedAudio", Message: "x"})
	newcomer.Warn("Multitrack", "y")
	if got := p.Stream().Snapshot(); len(got.Warnings) != 0 || got.Audio.Fault != nil {
		t.Errorf("the newcomer's fault is shown with the incumbent: %v", got.Warnings)
	}
	p.End(EndClosed)
	if d := cmp.Diff([]Warning{{"UnsupportedAudio", "x"}, {"Multitrack", "y"}}, p.Stream().Snapshot().Warnings); d != "" {
		t.Error(d)
	}
}

func TestADerivedStreamHasTheFaultOfItsParentsSound(t *testing.T) {
	r := NewRegistry(Config{})
	p := begin(t, r)
	defer p.End(EndClosed)
	derived := NewDerived(p.Stream())
	own, err := derived.Publish(PublishRequest{Key: keyLive, Authenticated: true, MadeOf: p})
	must(t, err)
	defer own.End(EndClosed)
	p.SetFault(Audio, &Fault{Code: "UnsupportedAudio", Message: "x"})
	p.SetFault(Video, &Fault{Code: "LimitedVideo", Message: "y", Limited: true})
	if snap := derived.Snapshot(); snap.Audio.Fault == nil || !snap.Audio.Announced || snap.Video.Fault != nil {
		t.Errorf("audio %+v, video %+v", snap.Audio, snap.Video)
	}
}

func TestAPictureThatCannotBeDecodedIsNoSignOfLife(t *testing.T) {
	p := begin(t, NewRegistry(Config{}))
	defer p.End(EndClosed)
	writeIDR(t, p, 0)
	shown := p.Stream().Snapshot().Video.LastArrival
	p.BreakGOP()
	writeInter(t, p, 40*ms)
	if got := p.Stream().Snapshot().Video; got.LastArrival != shown || got.Frames != 2 {
		t.Errorf("last arrival moved by %v, %d frames", got.LastArrival-shown, got.Frames)
	}
	writeIDR(t, p, 80*ms)
	if got := p.Stream().Snapshot().Video.LastArrival; got <= shown {
		t.Error("the next IDR is no sign of life")
	}
}

func TestADerivedStreamHasTheFaultOfAPictureThatDoesNotCome(t *testing.T) {
	r := NewRegistry(Config{})
	p := begin(t, r)
	defer p.End(EndClosed)
	derived := NewDerived(p.Stream())
	own, err := derived.Publish(PublishRequest{Key: keyLive, Authenticated: true, MadeOf: p})
	if err != nil {
		t.Fatal(err)
	}
	defer own.End(EndClosed)
	missing := Fault{Code: "NoVideoPackets", Message: "x"}
	p.SetFault(Video, &missing)
	if got := derived.Snapshot().Video; !got.Announced || got.Fault == nil || *got.Fault != missing {
		t.Errorf("the derived stream's video is %+v", got)
	}
	p.SetFault(Video, &Fault{Code: "HighBitDepth", Message: "y", Limited: true})
	if got := derived.Snapshot().Video; got.Fault != nil {
		t.Errorf("pictures that can be encoded again have the fault %+v in the derived stream", got.Fault)
	}
	p.SetFault(Video, nil)
	if got := derived.Snapshot().Video; got.Fault != nil {
		t.Errorf("after the fault: %+v", got.Fault)
	}
}
