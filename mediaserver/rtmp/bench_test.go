package rtmp

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	gortmp "github.com/yutopp/go-rtmp"

	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/stream"
)

// BenchmarkIngest measures one second of a publisher, from its bytes to the stream: 30
// pictures and 47 audio frames, 2.5 Mbit/s, in chunks like ffmpeg's.
func BenchmarkIngest(b *testing.B) {
	m := metrics.New(prometheus.NewRegistry())
	limits := Limits{}.withDefaults()
	server := &Server{cfg: Config{Metrics: m, Limits: limits}, connections: newConnections(limits, m), log: slog.New(slog.DiscardHandler)}
	server.refusals.logger = server.log
	server.cfg.Authorize = func(stream.Key, string) (bool, error) { return true, nil }
	server.cfg.Registry = stream.NewRegistry(stream.Config{Metrics: m})
	admitted := newAdmittedListener()
	library := gortmp.NewServer(&gortmp.ServerConfig{OnConnect: onConnect(server.log)})
	go func() { _ = library.Serve(admitted) }()
	defer func() { _ = library.Close(); _ = admitted.Close() }()

	const perSecond = 30
	in := append([]byte{3}, make([]byte, 2*1536)...)
	for _, part := range session()[:9] {
		in = append(in, part...)
	}
	in = appendMessage(in, 2, 128, message{typ: typeSetChunkSize, payload: []byte{0, 0, 0xea, 0x60}})
	for i := range b.N {
		for f := range perSecond {
			at := uint32(i*1000 + f*33)
			in = appendMessage(in, 6, 60000, message{typ: typeVideo, streamID: 1, timestamp: at, payload: picture(f == 0, 10_000)})
			in = appendMessage(in, 4, 60000, message{typ: typeAudio, streamID: 1, timestamp: at, payload: append([]byte{0xaf, 1}, make([]byte, 250)...)})
		}
	}
	b.SetBytes(int64(len(in) / b.N))
	b.ReportAllocs()
	b.ResetTimer()
	conn := &script{in: bytes.NewReader(in), closed: make(chan struct{})}
	c := server.newConnection(conn)
	server.connections.enter(c)
	server.open.Add(1)
	admitted.put(conn, c)
	server.open.Wait()
	b.StopTimer()
	if c.failed == nil {
		b.Error("the connection did not read to its end")
	}
}
