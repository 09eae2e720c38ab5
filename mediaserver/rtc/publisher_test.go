package rtc

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/rtcp"
	"github.com/pion/transport/v4/packetio"
)

func TestPublisherHasABoundOnStreams(t *testing.T) {
	tooMany := make(chan struct{}, 10)
	s := &streamBuffers{cfg: PublisherConfig{OnTooManyStreams: func() { tooMany <- struct{}{} }}}
	packet := make([]byte, 1200)
	held := 0
	for ssrc := range uint32(maxStreams) {
		b := s.open(packetio.RTPBufferPacket, ssrc)
		for range 2000 { // nobody reads
			n, err := b.Write(packet)
			if err != nil {
				break
			}
			held += n
		}
	}
	if limit := fullBuffers*rtpBuffer + maxStreams*laterRTPBuffer; held > limit {
		t.Errorf("%d bytes are held, want at most %d", held, limit)
	}
	select {
	case <-tooMany:
		t.Fatal("told too early")
	default:
	}
	for ssrc := range uint32(100) {
		if _, err := s.open(packetio.RTPBufferPacket, maxStreams+ssrc).Write(packet); err == nil {
			t.Fatal("a stream beyond the bound is held")
		}
	}
	select {
	case <-tooMany:
	case <-time.After(20 * time.Second):
		t.Fatal("not told")
	}
	select {
	case <-tooMany:
		t.Error("told twice")
	default:
	}
}

func TestSenderReportsAreShownOfStreamsWithoutPackets(t *testing.T) {
	var got []uint32
	s := &streamBuffers{cfg: PublisherConfig{OnSenderReport: func(sr *rtcp.SenderReport) { got = append(got, sr.SSRC) }}}
	b := s.open(packetio.RTCPBufferPacket, 7)
	for _, packets := range [][]rtcp.Packet{
		{&rtcp.SenderReport{SSRC: 7, NTPTime: 1, RTPTime: 2}},
		{&rtcp.SenderReport{SSRC: 8, Reports: []rtcp.ReceptionReport{{SSRC: 7}}}}, // passed to this buffer because of its reception report
		{&rtcp.ReceiverReport{SSRC: 7}, &rtcp.SourceDescription{}, &rtcp.SenderReport{SSRC: 7}},
	} {
		raw, err := rtcp.Marshal(packets)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Write(raw); err != nil {
			t.Fatal(err)
		}
		read := make([]byte, 1500)
		if n, err := b.Read(read); err != nil || cmp.Diff(raw, read[:n]) != "" {
			t.Errorf("pion reads %x, %v; want %x", read[:n], err, raw)
		}
	}
	if diff := cmp.Diff([]uint32{7, 7}, got); diff != "" {
		t.Error(diff)
	}
	if _, err := b.Write([]byte{0x80}); err != nil {
		t.Errorf("what is no RTCP: %v", err)
	}
}
