package icetcp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/streampair/streampair/hack/eventually"
)

// patience is how long a test waits for something that should take a moment.
const patience = eventually.Patience

// frame returns a packet with a number in it, after its length.
func frame(first, second byte, number, size int) []byte {
	packet := make([]byte, size)
	packet[0], packet[1] = first, second
	binary.BigEndian.PutUint32(packet[4:], uint32(number))
	return append(binary.BigEndian.AppendUint16(nil, uint16(size)), packet...)
}

func media(number int) []byte { return frame(0x80, 96, number, 1200) }

// check returns the answer to a connectivity check.
func check(number int) []byte { return frame(1, 1, number, 100) }

// fill writes media until there has been no room for some time.
func fill(t *testing.T, c *Conn, then func()) (frames int) {
	t.Helper()
	var full time.Time
	for full.IsZero() || time.Since(full) < 500*time.Millisecond {
		if !c.HasRoom(then) {
			if full.IsZero() {
				full = time.Now()
			}
			time.Sleep(time.Millisecond)
			continue
		}
		full = time.Time{}
		if _, err := c.Write(media(frames)); err != nil {
			t.Fatal(err)
		}
		frames++
	}
	return frames
}

func TestAPeerThatDoesNotReadHoldsLittle(t *testing.T) {
	s := newListenerTest(t, Config{Places: 4})
	c, client := s.connect()
	var room atomic.Int32
	frames := fill(t, c, func() { room.Add(1) })
	if _, err := c.Write(media(frames)); !errors.Is(err, errQueueFull) {
		t.Errorf("media without room: %v", err)
	}
	if _, err := c.Write(check(frames)); err != nil {
		t.Errorf("an answer to a check finds no room: %v", err)
	}
	c.mu.Lock()
	queued := cap(c.queue) + cap(c.spare)
	c.mu.Unlock()
	sent, written := s.limited(c).Sent()
	t.Logf("%d frames; %d bytes of memory, %d unsent in the kernel", frames, queued, written-sent)
	if queued > 3*(queueBytes+controlBytes) || written-sent > 4*int64(limits.UnsentBytes) {
		t.Errorf("%d bytes of memory, %d unsent in the kernel", queued, written-sent)
	}
	refused := 0
	for range 1000 {
		if _, err := c.Write(check(0)); errors.Is(err, errQueueFull) {
			refused++
		}
	}
	if refused < 900 {
		t.Errorf("%d of 1000 more answers were refused", refused)
	}
	eventually.True(t, "the oldest byte has waited for a second", func() bool { return c.Waiting() > time.Second })

	before := room.Load()
	for number := range frames {
		if got := receive(t, client); !bytes.Equal(got, media(number)[lengthBytes:]) {
			t.Fatalf("frame %d is another", number)
		}
	}
	if got := receive(t, client); !bytes.Equal(got, check(frames)[lengthBytes:]) {
		t.Error("the answer to the check does not follow")
	}
	go func() { _, _ = io.Copy(io.Discard, client) }()
	eventually.True(t, "nothing waits", func() bool { return c.Waiting() == 0 })
	if room.Load() == before || !c.HasRoom(nil) {
		t.Error("it is not told that there is room again")
	}
}

func TestWhatIsQueuedIsSentAfterClose(t *testing.T) {
	s := newListenerTest(t, Config{Places: 4})
	c, client := s.connect()
	const frames = 20
	for number := range frames {
		if _, err := c.Write(media(number)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for number := range frames {
		if got := receive(t, client); !bytes.Equal(got, media(number)[lengthBytes:]) {
			t.Fatalf("frame %d is another", number)
		}
	}
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("then comes %v", err)
	}
	if _, err := c.Write(media(0)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a write after Close: %v", err)
	}
}

func TestAStalledConnectionIsResetSoonAfterClose(t *testing.T) {
	s := newListenerTest(t, Config{Places: 4})
	c, client := s.connect()
	fill(t, c, nil)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "its place is free", func() bool { return s.listener.door.Taken() == 0 })
	if _, err := io.Copy(io.Discard, client); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client reads %v", err)
	}
}

// The mux sets deadlines after it has closed a connection, and waits for the reader.
func TestAReaderReturnsAfterCloseWhateverTheDeadline(t *testing.T) {
	s := newListenerTest(t, Config{Places: 4})
	c, _ := s.connect()
	fill(t, c, nil)
	read := make(chan error, 1)
	go func() {
		_, err := c.Read(make([]byte, 1))
		read <- err
	}()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Hour)
	for _, set := range []func(time.Time) error{c.SetReadDeadline, c.SetWriteDeadline, c.SetDeadline} {
		if err := set(later); err != nil {
			t.Error(err)
		}
	}
	select {
	case err := <-read:
		if !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, net.ErrClosed) {
			t.Errorf("the reader gets %v", err)
		}
	case <-time.After(patience):
		t.Fatal("the reader waits")
	}
}

func TestMediaIsToldFromTheRest(t *testing.T) {
	for name, tt := range map[string]struct {
		frame []byte
		want  bool
	}{
		"RTP":                      {frame(0x80, 96, 0, 20), true},
		"RTP with the marker":      {frame(0x90, 0x80|111, 0, 20), true},
		"a sender report":          {frame(0x80, 200, 0, 20), false},
		"a picture loss indicator": {frame(0x81, 206, 0, 20), false},
		"a check":                  {check(0), false},
		"DTLS":                     {frame(22, 254, 0, 20), false},
		"an empty frame":           {[]byte{0, 0}, false},
		"one byte":                 {[]byte{0, 1, 0x80}, false},
	} {
		if got := isMedia(tt.frame); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}
