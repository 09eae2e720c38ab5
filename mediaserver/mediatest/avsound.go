package mediatest

import (
	"fmt"
	"time"

	"github.com/thesyncim/gopus"
)

// opusRate is the rate of Opus's RTP timestamps, RFC 7587 section 4.1.
const opusRate = 48000

// Sound decodes the Opus packets of an audio recording. A gap in the timestamps becomes silence,
// which a viewer's player would have to conceal. Without a sender report, times are arrival times.
func (r *Recording) Sound() (Sound, error) {
	decoder, err := gopus.NewDecoder(gopus.DefaultDecoderConfig(opusRate, 2))
	if err != nil {
		return Sound{}, fmt.Errorf("make Opus decoder: %w", err)
	}
	var order reorderer
	var samples []float32
	var first, end uint32
	pcm := make([]float32, 2*5760) // 120 ms, the longest packet
	// Lost packets need no wait here, because the timestamps show them.
	for _, p := range r.inOrder(&order) {
		if len(p.Payload) == 0 {
			continue
		}
		n, err := decoder.Decode(p.Payload, pcm)
		if err != nil {
			return Sound{}, fmt.Errorf("decode Opus at %d: %w", p.Timestamp, err)
		}
		if samples == nil {
			first, end = p.Timestamp, p.Timestamp
		}
		if hole := int32(p.Timestamp - end); hole > 0 && hole < 600*opusRate {
			samples = append(samples, make([]float32, hole)...)
		}
		for i := range n {
			samples = append(samples, (pcm[2*i]+pcm[2*i+1])/2)
		}
		end = p.Timestamp + uint32(n)
	}
	at := func(i int) time.Time {
		t, ok := r.Presentation(first + uint32(i))
		if !ok && len(r.Packets) > 0 {
			t = r.Packets[0].Arrival.Add(time.Duration(i) * time.Second / opusRate)
		}
		return t
	}
	return Sound{Rate: opusRate, Samples: samples, Time: at}, nil
}

// inOrder returns the packets in the order of their sequence numbers.
func (r *Recording) inOrder(order *reorderer) []Packet {
	var out []Packet
	for _, p := range r.Packets {
		out = append(out, order.add(p)...)
	}
	return out
}
