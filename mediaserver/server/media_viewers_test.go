package server

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

func TestAViewerSeesThePictureAtOnceThoughTheNextIDRIsFar(t *testing.T) {
	t.Parallel()
	s := startServer(t, sticky)
	const gop = 10 * time.Second
	r := s.replay("primary", mediatest.Programme{Duration: 40 * time.Second, GOP: gop}, mediatest.ReplayOptions{})
	s.onAir("primary", true, false)
	time.Sleep(time.Until(r.Epoch().Add(3 * time.Second)))

	joined := time.Now()
	v := s.watchPair()
	select {
	case <-v.Connected():
	case <-time.After(patience):
		t.Fatal("not connected")
	}
	connected := time.Now()
	first := v.sees(0, 1, joined)
	current := func(s mediatest.Sighting) time.Duration {
		return mediatest.Age(s, r.Epoch(), fps, 40*time.Second)
	}
	var at mediatest.Sighting
	eventually.True(t, "a current picture", func() (ok bool) {
		at, ok = mediatest.FirstCurrent(v.Sightings(), 0, joined, 300*ms, current)
		return ok
	})
	v.sees(0, 2*fps, joined)
	left := r.Epoch().Add(gop).Sub(at.Seen)
	if left < 0 {
		t.Fatalf("the first current picture came %v after the next IDR was due", -left)
	}
	t.Logf("connected after %v; first picture %v later, a current one %v later; next IDR in %v",
		connected.Sub(joined).Round(ms), first.Seen.Sub(connected).Round(ms), at.Seen.Sub(connected).Round(ms), left.Round(ms))
	if d := at.Seen.Sub(connected); d > 5*300*ms {
		t.Errorf("the first current picture came %v after the connection", d)
	}
	if pictures := v.Video().Pictures; !pictures[0].IDR || !pictures[0].Parameters {
		t.Error("the first picture is not an IDR with its parameter sets")
	}
	v.leaves().isContinuous()
}

func TestASessionOpenedBeforeAnythingIsLiveStartsByItself(t *testing.T) {
	t.Parallel()
	s := startServer(t, sticky)
	early, onDemand := s.watchPair(), s.watch(mediatest.WatchOptions{Decode: true}, "backup")
	for _, v := range []*viewer{early, onDemand} {
		select {
		case <-v.Connected():
		case <-time.After(patience):
			t.Fatal("not connected")
		}
	}
	time.Sleep(time.Second)
	started := time.Now()
	s.replay("backup", mediatest.Programme{Leg: 1}, mediatest.ReplayOptions{})
	for _, v := range []*viewer{early, onDemand} {
		first := v.sees(1, 2*fps, started)
		v.hears(time.Second, started)
		t.Logf("a picture %v after the publisher came", first.Seen.Sub(started).Round(ms))
		if d := first.Seen.Sub(started); d > 10*time.Second { // required: 2 s
			t.Errorf("the first picture came after %v", d)
		}
	}
	if n := s.status().Viewers; n != 2 {
		t.Errorf("%d viewers, want 2", n)
	}
	for _, v := range []*viewer{early, onDemand} {
		v.leaves().isContinuous()
	}
}

// This test is not parallel, because it counts goroutines.
func TestViewersLeaveNothingBehind(t *testing.T) {
	s := startServer(t, sticky)
	s.replay("primary", mediatest.Programme{}, mediatest.ReplayOptions{})
	s.onAir("primary", true, false)
	// One viewer came and left before the count, so that all that stays is there already.
	v := s.watch(mediatest.WatchOptions{}, "primary", "backupStreamId", "backup")
	v.hears(200*ms, time.Time{})
	v.Close()
	noneLeft := func() bool { return s.status().Viewers == 0 }
	eventually.True(t, "nobody watches", noneLeft)
	http.DefaultClient.CloseIdleConnections()
	before := runtime.NumGoroutine()

	var viewers []*viewer
	for n := range 8 {
		viewers = append(viewers, s.watch(mediatest.WatchOptions{TCP: n%4 > 1, NoAudio: n == 0}, "primary", "backupStreamId", "backup"))
	}
	for _, v := range viewers {
		eventually.True(t, "pictures", func() bool { return len(v.Video().Pictures) > fps })
	}
	if n := s.status().Viewers; n != len(viewers) {
		t.Errorf("%d viewers, want %d", n, len(viewers))
	}
	var leaving sync.WaitGroup
	for n, v := range viewers {
		leaving.Go(func() {
			if n%2 == 0 {
				v.Close()
			} else {
				v.Abandon()
			}
		})
	}
	leaving.Wait()
	eventually.True(t, "nobody watches", noneLeft)
	eventually.True(t, "less than a goroutine more a viewer", func() bool {
		http.DefaultClient.CloseIdleConnections()
		return runtime.NumGoroutine() < before+len(viewers)/2
	})
	t.Logf("%d goroutines before, %d after %d viewers", before, runtime.NumGoroutine(), len(viewers))
}

// A deafProxy forwards TCP connections until it is told to go deaf. From
// then on it reads nothing from the server, but keeps the connections open.
type deafProxy struct {
	net.Listener
	deaf  chan struct{}
	done  chan struct{}
	group sync.WaitGroup

	stopping sync.Once
}

func newDeafProxy(t *testing.T) *deafProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &deafProxy{Listener: l, deaf: make(chan struct{}), done: make(chan struct{})}
	t.Cleanup(p.stop)
	return p
}

// stop ends the proxy and its connections.
func (p *deafProxy) stop() {
	p.stopping.Do(func() {
		_ = p.Close()
		close(p.done)
		p.group.Wait()
	})
}

func (p *deafProxy) port() uint16 { return p.Addr().(*net.TCPAddr).AddrPort().Port() }

// passTo forwards connections to an address.
func (p *deafProxy) passTo(address string) {
	p.group.Go(func() {
		for {
			client, err := p.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", address)
			if err != nil {
				_ = client.Close()
				continue
			}
			_ = server.(*net.TCPConn).SetReadBuffer(128 << 10) // otherwise it would hold seconds of media
			p.group.Go(func() { _, _ = io.Copy(server, client) })
			p.group.Go(func() {
				buffer := make([]byte, 64<<10)
				for {
					n, err := server.Read(buffer)
					if err != nil {
						return
					}
					select {
					case <-p.deaf:
						<-p.done
						return
					default:
					}
					if _, err := client.Write(buffer[:n]); err != nil {
						return
					}
				}
			})
			p.group.Go(func() {
				<-p.done
				_, _ = client.Close(), server.Close()
			})
		}
	})
}

func TestViewersWhoStopReadingChangeNothingForOthers(t *testing.T) {
	t.Parallel()
	proxy := newDeafProxy(t)
	s := startServer(t, sticky, func(c *Config) {
		c.AdvertiseAddresses = []v1alpha1.MediaAddress{{IP: netip.MustParseAddr("127.0.0.1"), TCPPort: proxy.port()}}
	})
	proxy.passTo(s.Addresses().WebRTC)
	s.replay("primary", mediatest.Programme{BitrateBPS: 6_000_000}, mediatest.ReplayOptions{})
	s.onAir("primary", true, false)
	var deaf []*viewer
	for range 3 {
		v := s.watch(mediatest.WatchOptions{TCP: true}, "primary", "backupStreamId", "backup")
		eventually.True(t, "pictures over TCP", func() bool { return len(v.Video().Pictures) > 10 })
		deaf = append(deaf, v)
	}
	other := s.watchPair()
	other.sees(0, fps, time.Time{})

	stopped := time.Now()
	close(proxy.deaf)
	eventually.True(t, "those who read nothing are dropped", func() bool { return s.status().Viewers == 1 })
	dropped := time.Since(stopped)
	other.sees(0, fps, time.Now())
	watched := time.Now()
	r := other.leaves()
	r.isContinuous()
	r.hasSound(maxSilence, r.soundBegins())
	gap := mediatest.LongestGap(r.sightings, stopped, watched)
	t.Logf("%d viewers who stopped reading are dropped after %v; the other's longest gap meanwhile %v", len(deaf), dropped.Round(ms), gap.Round(ms))
	if gap > maxGap {
		t.Errorf("another viewer had no picture for %v", gap)
	}
	proxy.stop()
	for _, v := range deaf {
		v.Abandon() // the session is already gone
	}
}

func TestAViewerOverTCPSeesEverything(t *testing.T) {
	t.Parallel()
	s := startServer(t, sticky)
	primary := s.replay("primary", mediatest.Programme{}, mediatest.ReplayOptions{})
	s.onAir("primary", true, false)
	s.replay("backup", mediatest.Programme{Leg: 1}, mediatest.ReplayOptions{})
	s.onAir("primary", true, true)
	v := s.watch(mediatest.WatchOptions{Decode: true, TCP: true}, "primary", "backupStreamId", "backup")
	v.sees(0, 2*fps, time.Time{})
	killed := time.Now()
	primary.Kill()
	first := v.sees(1, 2*fps, killed)
	t.Logf("killed to the other leg's picture: %v", first.Seen.Sub(killed).Round(ms))
	r := v.leaves()
	r.isContinuous()
	r.isInSync(1, 300*ms, 300*ms)
	r.hasSound(maxSilence, r.soundBegins())
}
