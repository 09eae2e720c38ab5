package relay

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/pairtls"
	"github.com/streampair/streampair/mediaserver/peer"
	"github.com/streampair/streampair/mediaserver/stream"
)

// BenchmarkRelayedStream measures what a relayed stream of 5 Mbit/s and 30 pictures a second costs,
// both ends together, in clear and over TLS. One operation is a second of eight such streams. The
// figure to compare is the share of a core that one stream takes.
func BenchmarkRelayedStream(b *testing.B) {
	for _, overTLS := range []bool{false, true} {
		b.Run(fmt.Sprintf("tls=%v", overTLS), func(b *testing.B) {
			const pairs = 4
			m := metrics.New(prometheus.NewRegistry())
			there, here := stream.NewRegistry(stream.Config{Metrics: m}), stream.NewRegistry(stream.Config{Metrics: m})
			pair := (&node{registry: there}).sharedPair().Pair
			handler := NewHandler(HandlerConfig{Registry: there, Metrics: m})
			standings := peer.NewStandingHandler(peer.StandingHandlerConfig{
				Pair: func(failover.PairKey) *failover.Pair { return pair }, Epoch: there.Epoch(),
			})
			mux := http.NewServeMux()
			handler.RegisterPeers(mux)
			standings.RegisterPeers(mux)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			base, identity := "http://"+l.Addr().String(), newIdentity(b)
			if overTLS {
				base = "https://" + l.Addr().String()
				l = pairtls.Listen(l, pairtls.ListenerConfig{TLS: identity.ServerConfig("Primary")})
			}
			web := &http.Server{Handler: mux}
			served := make(chan struct{})
			go func() {
				defer close(served)
				_ = web.Serve(l)
			}()
			c := peer.NewClient(peer.ClientConfig{
				Peers: bases{base}, TLS: identity.ClientConfig("Primary"), Token: func() string { return token },
				Epoch: here.Epoch(), Pull: Pull(here, func() <-chan struct{} { return nil }), Metrics: m,
			})
			ctx, stop := context.WithCancel(context.Background())
			done := make(chan struct{})
			go func() {
				defer close(done)
				_ = c.Run(ctx)
			}()
			defer func() {
				stop()
				<-done
				there.Close()
				here.Close()
				handler.Close()
				standings.Close()
				_ = web.Close()
				<-served
			}()
			var shared []peer.SharedPair
			var publications []*stream.Publication
			var keys []stream.Key
			for i := range pairs {
				n := &node{registry: here}
				t := n.sharedPair()
				t.Primary, t.Backup = fmt.Sprintf("p%d", i), fmt.Sprintf("b%d", i)
				shared = append(shared, t)
				for _, id := range []string{t.Primary, t.Backup} {
					key := stream.Key{App: "live", ID: id}
					keys = append(keys, key)
					p, err := there.Publish(stream.PublishRequest{Key: key, Authenticated: true, Protocol: "test"})
					if err != nil {
						b.Fatal(err)
					}
					if err := p.SetVideoParameters(sps240, pps0); err != nil {
						b.Fatal(err)
					}
					publications = append(publications, p)
				}
			}
			c.Follow(shared)
			const interval = time.Second / 30
			picture := make([]byte, 5_000_000/8/30)
			frames := 0
			second := func() {
				for range 30 {
					began := time.Now()
					for _, p := range publications {
						slice := append([]byte{0x41}, picture...)
						nalus := [][]byte{slice}
						if frames%30 == 0 {
							slice[0] = 0x65
							nalus = [][]byte{sps240, pps0, slice}
						}
						if err := p.WriteVideo(time.Duration(frames)*interval, time.Duration(frames)*interval, nalus); err != nil {
							b.Fatal(err)
						}
					}
					frames++
					time.Sleep(time.Until(began.Add(interval)))
				}
			}
			second() // until all are connected
			second()
			before, began, bytes := cpu(b), time.Now(), 0
			for b.Loop() {
				second()
				bytes += 30 * len(picture) * len(publications)
			}
			took := time.Since(began)
			used := cpu(b) - before
			for _, key := range keys {
				s := here.Stream(key).Snapshot()
				if s.Publication == nil || here.Now()-s.Video.LastArrival > time.Second {
					b.Errorf("%v is not relayed", key)
				}
			}
			b.ReportMetric(100*used.Seconds()/took.Seconds()/float64(len(publications)), "%core/stream")
			b.ReportMetric(float64(bytes)*8/took.Seconds()/float64(len(publications))/1e6, "Mbit/s/stream")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// cpu returns the CPU time that the process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func newIdentity(b *testing.B) *pairtls.Identity {
	b.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		b.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		b.Fatal(err)
	}
	i := pairtls.NewIdentity()
	i.Set(&tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, leaf)
	return i
}
