package whip

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/stream"
)

// A checkedPublication checks what a receiver writes, and passes it on.
type checkedPublication struct {
	*stream.Publication
	t    *testing.T
	last time.Duration
}

func (p *checkedPublication) WriteVideo(dts, pts time.Duration, nalus [][]byte) error {
	if dts <= p.last {
		p.t.Fatalf("a picture is decoded at %v, after one at %v", dts, p.last)
	}
	p.last = dts
	for _, nalu := range nalus {
		if len(nalu) == 0 {
			p.t.Fatal("an empty NAL unit")
		}
	}
	return p.Publication.WriteVideo(dts, pts, nalus)
}

// FuzzReceiver sends any RTP packets and sender reports of a connected session through
// all parts of a receiver. An input has one record per packet. The record is: kind,
// SSRC, layer and marker in one byte; sequence number; timestamp; milliseconds since
// the packet before; one byte of length; payload.
func FuzzReceiver(f *testing.F) {
	const video, audio, report, marked = 0, 1, 2, 0x80
	record := func(what byte, seq uint16, timestamp uint32, step byte, payload ...byte) []byte {
		b := binary.BigEndian.AppendUint16([]byte{what}, seq)
		b = binary.BigEndian.AppendUint32(b, timestamp)
		return append(append(b, step, byte(len(payload))), payload...)
	}
	join := func(records ...[]byte) (all []byte) {
		for _, r := range records {
			all = append(all, r...)
		}
		return all
	}
	sps := []byte{0x67, 0x4d, 0x40, 0x0d, 0xda, 0x05, 0x07, 0xec, 0x04, 0x40, 0, 0, 3, 0, 0x40, 0, 0, 0x0c, 0x83, 0xc5, 0x0a, 0xa8}
	pps := []byte{0x68, 0xef, 0x0f, 0xcb}
	beginning := join(record(video, 1, 0, 1, sps...), record(video, 2, 0, 0, pps...), record(video|marked, 3, 0, 0, 0x65, 0x88, 0x84, 0, 1))
	f.Add(join(record(video, 5, 0, 1, 0x65, 1), record(video, 60000, 0, 1, 0x65, 1)))
	f.Add(join(beginning, record(video|marked, 4, 9000, 40, 0x41, 0x9a, 0x24), record(video|marked, 5, 3000, 40, 0x01, 0x9e, 0x41), record(video|marked, 6, 12000, 40, 0x65, 0x88, 0x84)))
	f.Add(join(beginning, record(audio, 1, 0, 0, 0xfc, 0xff, 0xfe), record(report, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 1), record(report, 1, 90, 0, 0, 0, 0, 0, 0, 0, 0, 1)))
	f.Add(join(record(video, 1, 0, 1, 0x7c, 0x85, 1), record(video, 2, 0, 1, 0x7c, 0x45, 1), record(video, 3, 0, 1, 24, 0, 2, 0x65, 1, 0, 9, 1)))
	f.Add(join(beginning, record(video|marked, 4, 1<<31, 255, 0x41, 0x9a), record(video|marked, 5, 1<<31-1, 0, 0x41, 0x9a), record(video|marked, 6, 0, 0, 0x65, 0x88)))
	f.Fuzz(func(t *testing.T, input []byte) {
		registry := stream.NewRegistry(stream.Config{})
		publication, err := registry.Publish(stream.PublishRequest{Key: stream.Key{App: "live", ID: "a"}})
		if err != nil {
			t.Fatal(err)
		}
		defer publication.End(stream.EndClosed)
		r := newReceiver(&checkedPublication{Publication: publication, t: t}, metrics.New(prometheus.NewRegistry()), tracks{
			video: true, audio: true, rids: []string{"hi", "lo"}, ridExtension: 1,
		})
		r.arrivals.connect(time.Second)
		now := time.Second
		for len(input) >= 9 {
			what, seq, timestamp := input[0], binary.BigEndian.Uint16(input[1:]), binary.BigEndian.Uint32(input[3:])
			now += time.Duration(input[7]) * time.Millisecond
			n := min(int(input[8]), len(input)-9)
			payload := input[9 : 9+n : 9+n]
			input = input[9+n:]
			kind := stream.Kind(what & audio)
			if what&report != 0 {
				r.report(uint32(seq), binary.BigEndian.Uint64(append(payload, make([]byte, 8)...)), timestamp, now)
				continue
			}
			// Two bits of the first byte select the packet's SSRC, and two its RID.
			ssrc, rid := 1+uint32(kind)*4+uint32(what>>2&3), int(what>>4&3)-1
			err := r.packet(kind, ssrc, rid, &packet{seq: seq, timestamp: timestamp, marker: what&marked != 0, payload: payload, arrival: now})
			if err == nil {
				_, err = r.tick(now)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}
