package rtc

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/stream"
)

// lossyNamespace is set in the environment of a test that runs in a namespace of its own.
const lossyNamespace = "STREAMPAIR_LOSSY_NAMESPACE"

// inNamespace runs a test again as a process in a namespace of its own, in which it may make
// packets get lost. It reports whether this is that process.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(lossyNamespace) != "" {
		return true
	}
	mediatest.SkipInShort(t)
	if _, err := exec.LookPath("nft"); err != nil || !mediatest.CanMakeNamespaces() {
		t.Skip("this needs root on Linux, iproute2 and nft")
	}
	ns := mediatest.NewNamespace(t)
	run := exec.CommandContext(t.Context(), "ip", "netns", "exec", ns.Name, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	run.Env = append(os.Environ(), lossyNamespace+"=1")
	run.Stdout, run.Stderr = t.Output(), t.Output()
	if err := run.Run(); err != nil {
		t.Error(err)
	}
	return false
}

// losePackets makes the kernel lose that percentage of the packets from and to the engine, at random.
func (s *liveOutput) losePackets(t *testing.T, percent int) {
	t.Helper()
	for _, command := range []string{
		"add table inet loss", "add chain inet loss input { type filter hook input priority 0; policy accept; }", "flush chain inet loss input",
		fmt.Sprintf("add rule inet loss input udp sport %d numgen random mod 100 < %d drop", s.engine.Port(), percent),
		fmt.Sprintf("add rule inet loss input udp dport %d numgen random mod 100 < %d drop", s.engine.Port(), percent),
	} {
		if percent == 0 && strings.HasPrefix(command, "add rule") {
			return
		}
		if out, err := exec.Command("nft", command).CombinedOutput(); err != nil {
			t.Fatalf("nft %s: %v: %s", command, err, out)
		}
	}
}

// delay puts a proxy between one client and the engine, which holds each packet back for that long. It
// returns an edit of the answer that directs the client to the proxy.
func (s *liveOutput) delay(by time.Duration) func(answer string) string {
	s.t.Helper()
	local := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}
	front, err := net.ListenUDP("udp4", local)
	if err != nil {
		s.t.Fatal(err)
	}
	back, err := net.DialUDP("udp4", local, &net.UDPAddr{IP: local.IP, Port: int(s.engine.Port())})
	if err != nil {
		s.t.Fatal(err)
	}
	type held struct {
		data []byte
		due  time.Time
	}
	var client atomic.Pointer[net.UDPAddr]
	var running sync.WaitGroup
	line := func(from *net.UDPConn, send func([]byte)) {
		queue := make(chan held, 10_000)
		running.Go(func() {
			defer close(queue)
			buf := make([]byte, 2048)
			for {
				n, address, err := from.ReadFromUDP(buf)
				if err != nil {
					return
				}
				if from == front {
					client.Store(address)
				}
				queue <- held{slices.Clone(buf[:n]), time.Now().Add(by)}
			}
		})
		running.Go(func() {
			for packet := range queue {
				time.Sleep(time.Until(packet.due))
				send(packet.data)
			}
		})
	}
	line(front, func(b []byte) { _, _ = back.Write(b) })
	line(back, func(b []byte) { _, _ = front.WriteToUDP(b, client.Load()) })
	s.t.Cleanup(func() {
		_, _ = front.Close(), back.Close()
		running.Wait()
	})
	from, to := fmt.Sprintf(" %d typ host", s.engine.Port()), fmt.Sprintf(" %d typ host", front.LocalAddr().(*net.UDPAddr).Port)
	return func(answer string) string { return strings.ReplaceAll(answer, from, to) }
}

// asksAgain gives a client what browsers have: NACKs and reception reports.
func asksAgain(t *testing.T, registry *interceptor.Registry) {
	t.Helper()
	asking, err := nack.NewGeneratorInterceptor(nack.GeneratorInterval(30 * time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	reporting, err := report.NewReceiverInterceptor()
	if err != nil {
		t.Fatal(err)
	}
	registry.Add(asking)
	registry.Add(reporting)
}

// A received is what came of the pictures to a client.
type received struct{ whole, broken, entries int }

// pictures judges the pictures whose packets are in a list, in any order. The last one is left out,
// because it may not have ended.
func receivedPictures(packets []rtp.Packet) (r received) {
	packets = slices.Clone(packets)
	slices.SortFunc(packets, func(a, b rtp.Packet) int { return int(int16(a.SequenceNumber - b.SequenceNumber)) })
	packets = slices.CompactFunc(packets, func(a, b rtp.Packet) bool { return a.SequenceNumber == b.SequenceNumber })
	whole, entry := true, false
	for i := 1; i < len(packets); i++ {
		before, p := &packets[i-1], &packets[i]
		if p.SequenceNumber != before.SequenceNumber+1 {
			whole = false
		}
		if p.Timestamp == before.Timestamp {
			continue
		}
		// before ends a picture.
		switch {
		case !whole || !before.Marker:
			r.broken++
		default:
			r.whole++
		}
		if entry {
			r.entries++
		}
		whole, entry = true, startsPicture(*p)
	}
	return r
}

// Real loss on a path with a round trip of 60 ms: 2 % is repaired. With 20 % the viewer gets IDRs only, and it gets all pictures again when
// the loss ends.
func TestViewerOnALossyPath(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s := newLiveOutput(t, nil)
	s.alone = true
	s.interceptors = func(r *interceptor.Registry) { asksAgain(t, r) }
	units := make([]*stream.AccessUnit, 30) // 1 s, 1.3 Mbit/s
	for i := range units {
		units[i] = testPicture(i == 0, 5000)
	}
	units[0] = testPicture(true, 20_000)
	s.feed(units, 0)
	var settings webrtc.SettingEngine
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	p := s.join(settings, s.delay(30*time.Millisecond))
	p.wait(t, "pictures", func() bool { return len(p.video) > 300 })
	take := func() []rtp.Packet {
		p.mu.Lock()
		defer p.mu.Unlock()
		taken := p.video
		p.video = nil
		return taken
	}
	before := p.viewer.Stats()
	figures := func(what string, packets []rtp.Packet) received {
		r, now := receivedPictures(packets), p.viewer.Stats()
		t.Logf("%s: %+v; %d packets sent, %d asked for, %d sent again; loss %.2f, round trip %s",
			what, r, now.Video.Packets-before.Video.Packets, now.Video.Nacked-before.Video.Nacked, now.Video.Resent-before.Video.Resent,
			now.Video.FractionLost, now.RoundTrip)
		before = now
		return r
	}

	take()
	s.losePackets(t, 2)
	time.Sleep(10 * time.Second)
	s.losePackets(t, 0)
	time.Sleep(time.Second) // the last packets are repaired
	if r := figures("2 % for 10 s", take()); r.broken != 0 || r.whole < 100 {
		t.Errorf("%d of %d pictures are not whole", r.broken, r.broken+r.whole)
	}
	if p.viewer.Stats().Reduced {
		t.Error("the viewer gets IDRs only")
	}

	s.losePackets(t, 20)
	began := time.Now()
	eventually.True(t, "the viewer gets IDRs only", func() bool { return p.viewer.Stats().Reduced })
	t.Logf("IDRs only after %s with 20 %%", time.Since(began).Round(time.Millisecond))
	if r := figures("20 % until then", take()); r.broken == 0 {
		t.Error("all pictures are whole with 20 % lost")
	}
	time.Sleep(time.Until(began.Add(30 * time.Second)))
	if r := figures("20 % up to 30 s", take()); r.whole == 0 || r.whole > 60 {
		t.Errorf("%d whole pictures in the rest of 30 s, want some, and only IDRs", r.whole)
	}
	if !p.viewer.Stats().Reduced {
		t.Error("the viewer gets all pictures although 20 % are lost")
	}

	s.losePackets(t, 0)
	ended := time.Now()
	eventually.True(t, "the viewer gets all pictures again", func() bool { return !p.viewer.Stats().Reduced })
	t.Logf("all pictures again %s after the loss has ended", time.Since(ended).Round(time.Millisecond))
	time.Sleep(3 * time.Second) // the next IDR comes within one
	take()
	time.Sleep(5 * time.Second)
	if r := figures("then in 5 s", take()); r.broken != 0 || r.whole < 100 {
		t.Errorf("%d pictures, %d of them broken", r.broken+r.whole, r.broken)
	}
}
