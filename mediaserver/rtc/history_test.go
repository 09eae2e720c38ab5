package rtc

import (
	"testing"

	"pgregory.net/rapid"
)

// picture makes the packets of one access unit.
func picture(frame uint64, timestamp int64, packets, size int, idr bool) []packet {
	list := make([]packet, packets)
	for i := range list {
		list[i] = packet{
			payload: make([]byte, size), timestamp: timestamp, frame: frame,
			marker: i == packets-1, entry: idr && i == 0,
		}
	}
	return list
}

func TestHistoryKeepsEverythingSinceTheLastIDR(t *testing.T) {
	h := newHistory(1000, 1<<20, 10)
	for i := range uint64(50) {
		h.add(picture(i, int64(i)*3, 2, 10, i == 3))
	}
	entry, ok := h.lastEntry()
	if !ok || entry.index != 6 || entry.frame != 3 || entry.timestamp != 9 {
		t.Fatalf("entry %+v %v, want packet 6, frame 3, time 9", entry, ok)
	}
	if h.first != 6 {
		t.Errorf("packets kept from %d, want from 6: those before the IDR are older than any NACK", h.first)
	}
	h.add(picture(50, 150, 2, 10, true))
	if h.first != 94 {
		t.Errorf("packets kept from %d, want from 94, 10 ticks back", h.first)
	}
}

func TestHistoryForgetsAnEntryPointThatIsTooOld(t *testing.T) {
	h := newHistory(100, 1<<20, 1<<40)
	h.add(picture(0, 0, 1, 10, true))
	for i := range uint64(100) {
		h.add(picture(i+1, int64(i)+1, 1, 10, false))
	}
	if _, ok := h.lastEntry(); ok {
		t.Error("an IDR that is no longer held is still offered to viewers")
	}
}

func TestHistoryIsBoundedAndGapless(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		maxPackets, maxBytes := rapid.IntRange(1, 200).Draw(t, "packets"), rapid.IntRange(100, 5000).Draw(t, "bytes")
		h := newHistory(maxPackets, maxBytes, rapid.Int64Range(0, 50).Draw(t, "nack"))
		var next uint64
		for frame := range uint64(rapid.IntRange(1, 300).Draw(t, "frames")) {
			n := rapid.IntRange(1, 8).Draw(t, "n")
			added := picture(frame, int64(frame), n, rapid.IntRange(1, 100).Draw(t, "size"), rapid.IntRange(0, 9).Draw(t, "idr") == 0)
			h.add(added)
			next += uint64(n)

			held := int(h.next - h.first)
			if h.next != next || held < 1 || held > maxPackets || (h.bytes > maxBytes && held > 1) {
				t.Fatalf("holds %d packets (%d..%d) of %d bytes; %d written, limits %d and %d",
					held, h.first, h.next, h.bytes, next, maxPackets, maxBytes)
			}
			buf := make([]packet, held+1)
			n, ok := h.read(h.first, buf)
			if !ok || n != held {
				t.Fatalf("read %d of %d, %v", n, held, ok)
			}
			bytes := 0
			for i, p := range buf[:n] {
				bytes += len(p.payload)
				if i > 0 && (p.frame < buf[i-1].frame || p.frame > buf[i-1].frame+1) {
					t.Fatalf("frame %d follows %d", p.frame, buf[i-1].frame)
				}
			}
			if bytes != h.bytes {
				t.Fatalf("counts %d bytes, holds %d", h.bytes, bytes)
			}
			if entry, ok := h.lastEntry(); ok && !buf[entry.index-h.first].entry {
				t.Fatalf("packet %d is no entry point", entry.index)
			}
			if h.first > 0 {
				if _, ok := h.read(h.first-1, buf); ok {
					t.Fatal("a forgotten packet was read")
				}
			}
			if n, ok := h.read(h.next, buf); n != 0 || !ok {
				t.Fatalf("read %d packets from the future, %v", n, ok)
			}
		}
	})
}
