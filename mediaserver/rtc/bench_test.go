package rtc

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/streampair/streampair/mediaserver/metrics"
)

// discard is the far end of a viewer. It drops all packets, without a network.
type discard struct{}

func (discard) WriteRTP(_ *rtp.Header, payload []byte) (int, error) { return len(payload), nil }
func (discard) Flush() int                                          { return 0 }
func (discard) WriteRTCP([]rtcp.Packet) error                       { return nil }
func (discard) Close() error                                        { return nil }

// BenchmarkFanOut sends one picture of ten packets to all viewers, without encryption and system
// calls. It measures what Streampair adds to those. It must not allocate per viewer.
func BenchmarkFanOut(b *testing.B) {
	for _, viewers := range []int{1, 50, 200} {
		b.Run(fmt.Sprintf("viewers=%d", viewers), func(b *testing.B) {
			var now time.Duration
			o := NewOutput(OutputConfig{
				Now: func() time.Duration { return now }, Logger: slog.New(slog.DiscardHandler),
				Metrics: metrics.New(prometheus.NewRegistry()), Egress: NewEgress(1 << 50), ViewerBPS: 1 << 50,
			})
			var list []*Viewer
			for range viewers {
				v := &Viewer{output: o, cfg: ViewerConfig{Protocol: "bench"}, log: o.log, peer: discard{}, path: newPath(overUDP), done: make(chan struct{})}
				v.connectTimer = time.AfterFunc(time.Hour, func() {})
				v.video = o.newTrack(v, webrtc.RTPCodecTypeVideo)
				if err := o.attach(v); err != nil {
					b.Fatal(err)
				}
				v.connect()
				v.nextReport = 1 << 62
				v.path.heardAt.Store(1 << 62)
				list = append(list, v)
			}
			idr, picture := testPicture(true, 11_000), testPicture(false, 11_800)
			scratch := make([]packet, 32)
			frame := 0
			b.ReportAllocs()
			for b.Loop() {
				u := picture
				if frame%60 == 0 {
					u = idr
				}
				frame++
				now += frameInterval
				o.WriteVideo(now, u, false)
				for _, v := range list {
					v.serve(now, scratch)
				}
			}
			if sent := list[0].video.stats.Packets; sent < uint64(10*frame) {
				b.Fatalf("%d packets sent of %d pictures", sent, frame)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10/float64(viewers), "ns/packet/viewer")
		})
	}
}

// BenchmarkFanOutOverUDP measures the same for real viewers on loopback, with encryption, system
// calls and pion's layers. The clients receive in the same process. Their cost is not in the
// figure but disturbs it. Senders is the number of goroutines that share the work.
func BenchmarkFanOutOverUDP(b *testing.B) {
	for _, senders := range []int{1, 2, 4} {
		b.Run(fmt.Sprintf("senders=%d", senders), func(b *testing.B) {
			benchmarkOverUDP(b, senders)
		})
	}
}

func benchmarkOverUDP(b *testing.B, senders int) {
	const viewers = 20
	engine, err := NewEngine(EngineConfig{
		Address: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler), Metrics: metrics.New(prometheus.NewRegistry()),
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(engine.Close)
	s := &liveOutput{t: b, engine: engine, started: time.Now()}
	s.run(func(cfg *OutputConfig) { cfg.Senders, cfg.ViewerBPS = senders, 1<<50 })
	var all []*pionClient
	for range viewers {
		p := s.join(webrtc.SettingEngine{}, nil)
		p.pc.OnTrack(func(*webrtc.TrackRemote, *webrtc.RTPReceiver) {}) // nobody reads
		all = append(all, p)
	}
	for _, p := range all {
		for !p.viewer.Connected() {
			time.Sleep(time.Millisecond)
		}
	}
	count := func() (n uint64) {
		for _, p := range all {
			n += p.viewer.Stats().Video.Packets
		}
		return n
	}
	frame := 0
	write := func(idr bool) {
		s.output.WriteVideo(s.now(), testPicture(idr, 11_800), false)
		frame++
	}
	write(true)
	for count() < viewers {
		time.Sleep(time.Millisecond)
	}
	b.ReportAllocs()
	from := count()
	for b.Loop() {
		before := count()
		write(frame%60 == 0)
		for count() < before+10*viewers {
			time.Sleep(50 * time.Microsecond)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(count()-from), "ns/packet/viewer")
}
