package rtc

import (
	"testing"
	"time"

	"github.com/pion/rtcp"
)

// FuzzFeedback lets a viewer send any RTCP while it receives media.
func FuzzFeedback(f *testing.F) {
	add := func(packets ...rtcp.Packet) {
		b, err := rtcp.Marshal(packets)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	add(&rtcp.TransportLayerNack{MediaSSRC: videoSSRC, Nacks: []rtcp.NackPair{{PacketID: 0, LostPackets: 0xffff}, {PacketID: 65535, LostPackets: 0xffff}}})
	add(&rtcp.PictureLossIndication{MediaSSRC: videoSSRC}, &rtcp.FullIntraRequest{FIR: []rtcp.FIREntry{{SSRC: videoSSRC}}})
	add(&rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{{SSRC: videoSSRC, LastSenderReport: 1, Delay: 1 << 31}, {SSRC: audioSSRC}}})
	add(&rtcp.SenderReport{Reports: []rtcp.ReceptionReport{{SSRC: videoSSRC, LastSenderReport: 0xffffffff}}})
	add(&rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{
		{SSRC: videoSSRC, LastSequenceNumber: 1}, {SSRC: videoSSRC, LastSequenceNumber: 1 << 14, FractionLost: 255}, {SSRC: videoSSRC, FractionLost: 255},
	}}, &rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 1e9, SSRCs: []uint32{videoSSRC}})
	f.Fuzz(func(t *testing.T, input []byte) {
		packets, err := rtcp.Unmarshal(input)
		if err != nil {
			return
		}
		b := newOutputTest(t, nil)
		v, line := b.viewer()
		defer v.connectTimer.Stop()
		b.write(20, true, 3000)
		b.drain(v)
		line.take(videoSSRC)
		if input[len(input)-1]%2 == 1 { // both kinds of viewers
			takesRTX(v)
		}
		v.feedback(packets)
		resent := 0
		for _, p := range append(line.take(videoSSRC), line.take(rtxSSRC)...) {
			resent += len(p.Payload)
		}
		if resent > nackBurst+defaultPacketSize {
			t.Errorf("%d bytes are sent again at once", resent)
		}
		b.now += time.Second
		b.write(20, true, 3000)
		b.drain(v)
	})
}
