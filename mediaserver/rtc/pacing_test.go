package rtc

import (
	"math"
	"testing"
	"time"
)

func TestBurstIsPacedPerViewer(t *testing.T) {
	b := newOutputTest(t, func(cfg *OutputConfig) { cfg.ViewerBPS = 8_000_000 }) // 1 MB/s
	b.write(60, true, 5000)                                                      // 300 kB
	v, w := b.viewer()
	b.serve(v)
	packets, bytes := w.take(videoSSRC), 0
	for _, p := range packets {
		bytes += p.MarshalSize()
	}
	if bytes > viewerBurst+1200 {
		t.Errorf("%d bytes at once, limit %d", bytes, viewerBurst)
	}
	took := b.drain(v)
	if want := (300_000 - viewerBurst) * time.Microsecond; took < want*9/10 || took > want*11/10 {
		t.Errorf("the rest took %s, want about %s", took, want)
	}
	follows(t, append(packets, w.take(videoSSRC)...))
}

func TestSoundIsNotHeldBackByABurst(t *testing.T) {
	b := newOutputTest(t, func(cfg *OutputConfig) { cfg.ViewerBPS = 8_000_000 })
	b.write(60, true, 5000)
	v, w := b.viewer()
	b.serve(v)
	b.o.WriteOpus(b.now, 20*time.Millisecond, []byte{1})
	b.serve(v)
	if got := w.take(audioSSRC); len(got) != 1 {
		t.Errorf("%d audio packets while the video is paced, want 1", len(got))
	}
}

func TestBurstsShareTheEgressAndLiveMediaDoNotWait(t *testing.T) {
	egress := NewEgress(80_000_000) // 10 MB/s
	b := newOutputTest(t, func(cfg *OutputConfig) { cfg.Egress = egress })
	b.write(1, true, 1000)
	watching, wire := b.viewer()
	b.serve(watching)
	wire.take(videoSSRC)

	// A splice of 1 MB goes to a viewer that watches and to one that joins.
	joining, joiningWire := b.viewer()
	for i := range 200 {
		b.at += time.Millisecond
		b.o.WriteVideo(b.at, testPicture(i == 0, 5000), true)
	}
	from := b.now
	waits := [2]time.Duration{-1, -1}
	viewers := []*Viewer{watching, joining}
	for turn := range 10_000 {
		for k := range viewers {
			i := (k + turn) % 2 // the order of fanout
			if b.serve(viewers[i]) > pacingInterval && waits[i] < 0 {
				waits[i] = b.now - from
			}
		}
		if waits[0] >= 0 && waits[1] >= 0 {
			break
		}
		b.now += pacingInterval
	}
	for i, wait := range waits {
		if wait < 170*time.Millisecond || wait > 230*time.Millisecond {
			t.Errorf("viewer %d was done after %s, want about 200 ms: 2 MB at 10 MB/s", i, wait)
		}
	}
	follows(t, wire.take(videoSSRC))
	follows(t, joiningWire.take(videoSSRC))

	// Without any egress left, live pictures still go out.
	for egress.take(100_000, b.now) {
	}
	b.at = b.now
	b.o.WriteVideo(b.at, testPicture(false, 5000), false)
	b.serve(watching)
	if got := wire.take(videoSSRC); len(got) != 5 {
		t.Errorf("%d packets of the live picture, want 5", len(got))
	}
}

// Also at a low rate, where a packet takes long.
func TestLiveMediaLeaveBurstsAShare(t *testing.T) {
	for _, test := range []struct{ bytesPerMS, packet int }{{1000, 100}, {125, 1200}} {
		e := NewEgress(int64(test.bytesPerMS) * 8000)
		granted := 0
		for ms := range 10_000 {
			now := time.Duration(ms) * time.Millisecond
			e.live(test.bytesPerMS, now) // all of it
			for e.take(test.packet, now) {
				granted += test.packet
			}
		}
		if share := 10_000 * test.bytesPerMS / burstShare; granted < share*8/10 || granted > share*12/10 {
			t.Errorf("%d bytes each ms, full of live media: bursts got %d bytes in 10 s, want %d", test.bytesPerMS, granted, share)
		}
	}
}

// Live media that exceed the rate for a moment leave less to the bursts that follow.
func TestBurstsMakeRoomForALiveIDR(t *testing.T) {
	e := NewEgress(8_000_000) // 1 MB/s
	e.live(200_000, 0)        // an IDR for many viewers
	granted := 0
	for ms := range 1000 {
		now := time.Duration(ms) * time.Millisecond
		for e.take(100, now) {
			granted += 100
		}
		if ms == 150 && granted > 150*150 {
			t.Errorf("bursts got %d bytes in the first %d ms, want an eighth of the rate", granted, ms)
		}
	}
	if granted < 780_000 || granted > 830_000 {
		t.Errorf("bursts got %d bytes in a second of 1 MB that began with 200 kB of live media", granted)
	}
}

// What live media leave decides whether a burst is sooner than the next IDR.
func TestLiveMediaLeaveLessToBursts(t *testing.T) {
	for _, test := range []struct{ live, left int }{{0, 1000}, {625, 375}, {2000, 125}} { // bytes each millisecond
		e := NewEgress(8_000_000) // 1000 bytes each millisecond
		for ms := range 5000 {
			e.live(test.live, time.Duration(ms)*time.Millisecond)
		}
		if got := e.left() / 8000; math.Abs(got-float64(test.left)) > 5 {
			t.Errorf("live media of %d bytes each ms leave %.0f, want %d", test.live, got, test.left)
		}
	}
}

func TestNewerIDROvertakesABacklog(t *testing.T) {
	b := newOutputTest(t, func(cfg *OutputConfig) { cfg.ViewerBPS = 8_000_000 })
	b.write(1, true, 100)
	v, w := b.viewer()
	b.serve(v)
	for i := range 60 { // one splice
		b.at += time.Millisecond
		b.o.WriteVideo(b.at, testPicture(i == 0, 5000), true)
	}
	b.serve(v)
	for i := range 5 { // and the next
		b.at += time.Millisecond
		b.o.WriteVideo(b.at, testPicture(i == 0, 5000), true)
	}
	if took := b.drain(v); took > 60*time.Millisecond {
		t.Errorf("current after %s: the first splice's pictures were sent before the second's", took)
	}
	packets := w.take(videoSSRC)
	if got, want := packets[len(packets)-1].Timestamp, uint32(ticks(b.at, videoClockRate)); got != want {
		t.Errorf("ends at %d, want %d", got, want)
	}
	for i := 1; i < len(packets); i++ {
		if packets[i].SequenceNumber != packets[i-1].SequenceNumber+1 || int32(packets[i].Timestamp-packets[i-1].Timestamp) < 0 {
			t.Errorf("packet %d does not follow", i)
		}
	}
}

func TestViewerOverrunByTheHistoryResumesAtAnIDR(t *testing.T) {
	b := newOutputTest(t, func(cfg *OutputConfig) {
		cfg.ViewerBPS, cfg.HistoryPackets = 800_000, 100
	})
	b.write(1, true, 100)
	v, w := b.viewer()
	b.serve(v)
	b.write(80, false, 5000) // a GOP that the history can't hold, faster than the viewer's rate
	b.serve(v)
	w.take(videoSSRC)
	b.write(1, true, 100)
	b.now += time.Second
	b.drain(v)
	packets := w.take(videoSSRC)
	if len(packets) != 2 || !startsPicture(packets[0]) {
		t.Errorf("%d packets, want parameter sets and the IDR", len(packets))
	}
}

func TestBurstDuration(t *testing.T) {
	b := newOutputTest(t, nil)
	if got := b.o.BurstDuration(1 << 20); got != 0 {
		t.Errorf("%s without viewers, want 0", got)
	}
	for range 100 {
		b.viewer()
	}
	got := b.o.BurstDuration(1_250_000)
	if want := 990 * time.Millisecond; got != want { // 125 MB at 1 Gbit/s, less egressBurst
		t.Errorf("%s for 1.25 MB to 100 viewers, want %s", got, want)
	}
}
