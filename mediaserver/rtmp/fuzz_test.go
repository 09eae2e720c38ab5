package rtmp

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	gortmp "github.com/yutopp/go-rtmp"

	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/stream"
)

// A script is a net.Conn that yields given bytes and accepts any.
type script struct {
	in     *bytes.Reader
	mu     sync.Mutex
	closed chan struct{}
}

func (s *script) Read(b []byte) (int, error)       { return s.in.Read(b) }
func (s *script) Write(b []byte) (int, error)      { return len(b), nil }
func (s *script) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *script) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1} }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

func (s *script) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.closed:
	default:
		close(s.closed)
	}
	return nil
}

// session returns the messages of an honest publisher after the handshake.
func session() [][]byte {
	say := func(chunkStream byte, typ messageType, streamID, timestamp uint32, payload []byte) []byte {
		return appendMessage(nil, chunkStream, 128, message{typ: typ, streamID: streamID, timestamp: timestamp, payload: payload})
	}
	return [][]byte{
		say(2, typeAckWindow, 0, 0, []byte{0, 0x26, 0x25, 0xa0}),
		say(3, typeCommand, 0, 0, connectCommand("live")),
		say(3, typeCommand, 0, 0, amf("releaseStream", 2.0, nil, "primary")),
		say(3, typeCommand, 0, 0, amf("FCPublish", 3.0, nil, "primary")),
		say(3, typeCommand, 0, 0, amf("createStream", 4.0, nil)),
		say(3, typeCommand, 1, 0, amf("publish", 5.0, nil, "primary?token=x", "live")),
		say(4, typeData, 1, 0, amf("@setDataFrame", "onMetaData", []property{{"encoder", "x"}})),
		say(6, typeVideo, 1, 0, videoConfig()),
		say(4, typeAudio, 1, 0, []byte{0xaf, 0, 0x11, 0x90}),
		say(6, typeVideo, 1, 0, picture(true, 300)),
		say(4, typeAudio, 1, 16_777_300, []byte{0xaf, 1, 0x21, 0x10}),
		say(6, typeAggregate, 1, 16_777_300, append([]byte{9, 0, 0, 15, 0, 0, 10, 0, 0, 0, 0}, append(picture(false, 6), 0, 0, 0, 26)...)),
		say(3, typeCommand, 0, 0, amf("FCUnpublish", 6.0, nil, "primary")),
		say(3, typeCommand, 0, 0, amf("deleteStream", 7.0, nil, 1.0)),
	}
}

// FuzzConnection sends any bytes through guard and go-rtmp to a publication. Nothing may
// panic. Nothing that the guard lets through may make go-rtmp fail.
func FuzzConnection(f *testing.F) {
	whole := bytes.Join(session(), nil)
	f.Add(whole, uint8(0))
	f.Add([]byte{}, uint8(14))
	for i, part := range session() {
		f.Add(part, uint8(i))
		f.Add(part[:len(part)/2], uint8(i))
	}
	f.Add(raw(9, typeVideo, 0xffffff, nil), uint8(8))
	f.Add([]byte{0xc9, 1, 2}, uint8(8))

	m := metrics.New(prometheus.NewRegistry())
	server := &Server{
		cfg: Config{
			Metrics: m, Limits: Limits{}.withDefaults(),
			Authorize: func(stream.Key, string) (bool, error) { return true, nil },
		},
		connections: newConnections(Limits{}.withDefaults(), nil),
	}
	server.log = slog.New(slog.DiscardHandler)
	server.refusals.logger = server.log
	admitted := newAdmittedListener()
	library := gortmp.NewServer(&gortmp.ServerConfig{OnConnect: onConnect(server.log)})
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = library.Serve(admitted) // ends when its listener is closed
	}()
	f.Cleanup(func() {
		_ = library.Close()
		_ = admitted.Close()
		<-served
	})

	f.Fuzz(func(t *testing.T, data []byte, prelude uint8) {
		server.cfg.Registry = stream.NewRegistry(stream.Config{Metrics: m})
		in := append([]byte{3}, make([]byte, 2*1536)...)
		for i, part := range session() {
			if i < int(prelude) {
				in = append(in, part...)
			}
		}
		in = append(in, data...)
		conn := &script{in: bytes.NewReader(in), closed: make(chan struct{})}
		c := server.newConnection(conn)
		server.connections.enter(c)
		server.open.Add(1)
		admitted.put(conn, c)
		server.open.Wait()
		<-conn.closed
		if c.failed == nil {
			t.Error("go-rtmp gave up on what the guard let through")
		}
		if n := testutil.ToFloat64(m.GuardRefusals.WithLabelValues(string(ReasonPanic))); n != 0 {
			t.Error("a panic was caught")
		}
		if len(server.cfg.Registry.Streams()) != 0 {
			t.Error("the publication outlived its connection")
		}
		server.cfg.Registry.Close()
	})
}

// FuzzCommand checks that the guard parses its own rendering of a command to the same command.
func FuzzCommand(f *testing.F) {
	f.Add(connectCommand("live", key("fourCcList"), []byte{amfStrictArray, 0, 0, 0, 1}, amf("av01")))
	f.Add(amf("publish", 5.0, nil, "primary", "live"))
	f.Add(amf("deleteStream", 5.0, nil, 1.0))
	f.Add([]byte{amfStrictArray, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, err := parseCommand(payload)
		if err != nil {
			return
		}
		first := appendCommand(nil, c)
		again, err := parseCommand(first)
		if err != nil {
			t.Fatalf("%x: %v", first, err)
		}
		if second := appendCommand(nil, again); !bytes.Equal(first, second) {
			t.Errorf("%x became %x", first, second)
		}
	})
}

// FuzzChunks checks that no chunk stream makes the reader hold more than its limits.
func FuzzChunks(f *testing.F) {
	f.Add(bytes.Join(session(), nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		l := Limits{MaxVideoMessage: 1000, MaxAudioMessage: 500, MaxCommandMessage: 500, MaxUnfinished: 1500, MaxChunkStreams: 4}.withDefaults()
		r := newTestChunkReader(data, l)
		for {
			m, err := r.next()
			if len(m.payload) > r.messageLimit(m.typ) {
				t.Fatalf("a message of %d bytes", len(m.payload))
			}
			held, unfinished := 0, 0
			for _, c := range r.streams {
				held += cap(c.buf)
				if c != r.delivered {
					unfinished += len(c.buf)
				}
			}
			if held > 4*1000 || unfinished > 1500 {
				t.Fatalf("%d bytes held, %d of them unfinished", held, unfinished)
			}
			if err != nil {
				return
			}
			if unfinished != r.unfinished {
				t.Fatalf("%d unfinished bytes counted as %d", unfinished, r.unfinished)
			}
		}
	})
}

var _ io.ReadWriteCloser = (*connection)(nil)
