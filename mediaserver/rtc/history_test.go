package rtc

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/streampair/streampair/mediaserver/budget"
)

// picture returns the packets of one access unit.
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

// newTestHistory returns a history without a budget.
func newTestHistory(maxPackets, maxBytes int, nackTicks int64) *history {
	return newHistory(maxPackets, maxBytes, nackTicks, budget.New(budget.Unlimited), func() budget.Class { return budget.Histories })
}

func TestAHistoryGivesWayWhenMemoryIsShort(t *testing.T) {
	const mib = 1 << 20
	memory := budget.New(20 * mib)
	class := budget.Histories
	h := newHistory(16384, 16*mib, 1<<40, memory, func() budget.Class { return class })
	write := func(from, to uint64) {
		for i := from; i < to; i++ {
			h.add(picture(i, int64(i), 8, 1<<13, i == 0)) // 64 KiB
		}
	}
	write(0, 160) // 10 MiB
	if _, ok := h.lastEntry(); !ok {
		t.Fatal("no entry point although there is memory")
	}
	leg := memory.Open(budget.Declared, func() {})
	leg.Set(15 * mib)
	write(160, 161)
	if _, ok := h.lastEntry(); ok || h.bytes > leanBytes {
		t.Errorf("holds %d bytes, entry point %t, while a declared leg needs the memory", h.bytes, ok)
	}
	if n, ok := h.read(h.next-8, make([]packet, 8)); n != 8 || !ok {
		t.Error("the newest picture is not there")
	}
	if used := memory.Used(budget.Histories); used > 3*mib {
		t.Errorf("%d bytes are charged", used)
	}

	leg.Close()
	h.add(picture(161, 161, 1, 100, true))
	write(162, 260)
	if entry, ok := h.lastEntry(); !ok || entry.frame != 161 {
		t.Errorf("entry point %+v, %t, when there is memory again", entry, ok)
	}
	class = budget.Undeclared
	write(260, 261)
	if memory.Used(budget.Histories) != 0 || memory.Used(budget.Undeclared) == 0 {
		t.Error("what an output plays is not declared any more, and it is charged as if it were")
	}
	h.close()
	if memory.Used(budget.Undeclared) != 0 {
		t.Error("a closed history is charged")
	}
}

func TestHistoryKeepsEverythingSinceTheLastIDR(t *testing.T) {
	h := newTestHistory(1000, 1<<20, 10)
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
	h := newTestHistory(100, 1<<20, 1<<40)
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
		h := newTestHistory(maxPackets, maxBytes, rapid.Int64Range(0, 50).Draw(t, "nack"))
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
