package rtmp

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"testing"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/budget"
	"github.com/streampair/streampair/mediaserver/stream"
)

// Strangers begin messages and never finish them.
func TestMessagesUnderWayShareTheMemoryOfTheServer(t *testing.T) {
	memory := budget.New(8 << 20)
	h := start(t, func(cfg *Config) {
		cfg.Registry = stream.NewRegistry(stream.Config{Budget: memory, Logger: cfg.Logger, Metrics: cfg.Metrics})
		t.Cleanup(cfg.Registry.Close)
		cfg.Registry.Declare([]stream.Key{live})
	})
	begin := func(name string, megabytes byte) *client {
		c := h.dial()
		c.publish(name)
		c.setChunkSize(1 << 20)
		for id := byte(8); id < 8+megabytes; id++ {
			if !c.send(raw(id, typeVideo, 4<<20, make([]byte, 1<<20))) {
				break
			}
		}
		return c
	}
	declared := begin(live.ID, 2)
	const strangers = 6
	for i := range strangers {
		begin(fmt.Sprint("stranger", i), 3)
	}
	eventually.True(h, "strangers are refused, and the memory is theirs no more", func() bool {
		n := h.guardRefusals(ReasonMemory)
		return n > 0 && n < strangers && memory.Used(budget.Declared)+memory.Used(budget.Undeclared) <= memory.Limit()
	})
	declared.message(6, typeVideo, 1, 0, videoConfig())
	nalu := append([]byte{0x65, 0x88, 0x80}, bytes.Repeat([]byte{1}, 3<<20)...)
	declared.message(6, typeVideo, 1, 0, []byte{0x17, 1, 0, 0, 0}, binary.BigEndian.AppendUint32(nil, uint32(len(nalu))), nalu)
	eventually.True(h, "the declared stream has a picture", func() bool {
		return h.server.cfg.Registry.Stream(live).Snapshot().EntryPoint
	})
}

// A client begins a large message and drops it, on one chunk stream after another.
func TestDroppedMessagesHoldNoMemory(t *testing.T) {
	drops := map[string]func(chunkStream byte) []byte{
		"by Abort":        func(id byte) []byte { return raw(2, typeAbort, 4, []byte{0, 0, 0, id}) },
		"by a new header": func(id byte) []byte { return raw(id, typeAudio, 1, []byte{0xaf}) },
	}
	for name, drop := range drops {
		t.Run(name, func(t *testing.T) {
			var client bytes.Buffer
			client.Write(raw(2, typeSetChunkSize, 4, []byte{0, 0x3f, 0xff, 0xff}))
			const streams = 10
			for id := byte(8); id < 8+streams; id++ {
				client.Write(raw(id, typeVideo, 6<<20, make([]byte, 4<<20-1)))
				client.Write(drop(id))
			}
			limits := Limits{MaxVideoMessage: 8 << 20}.withDefaults()
			r, most := newChunkReader(bufio.NewReader(&client), limits), 0
			r.hasMemory = func(bytes int) bool {
				most = max(most, bytes)
				return true
			}
			for {
				if _, err := r.next(); err == io.EOF {
					break
				} else if err != nil {
					t.Fatal(err)
				}
			}
			held := 0
			for _, c := range r.streams {
				held += cap(c.buf)
			}
			if len(r.streams) < streams || held > (streams+1)*keptCapacity || most > limits.MaxUnfinished+streams*keptCapacity {
				t.Errorf("%d chunk streams hold %d bytes, and held %d", len(r.streams), held, most)
			}
		})
	}
}
