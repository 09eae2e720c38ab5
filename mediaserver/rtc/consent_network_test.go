package rtc

import (
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v3"
	"github.com/pion/webrtc/v4"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// A forger stands between one viewer and the engine. It has two addresses: the
// viewer's, and that of a victim, who has not asked for anything.
type forger struct {
	t              *testing.T
	viewer         *net.UDPConn // to the viewer
	own, victim    *net.UDPConn // to the engine
	forging        atomic.Bool  // replace the viewer's packets by forged ones
	ownGot, hisGot atomic.Int64 // bytes that the engine sent to each

	mu         sync.Mutex // guards nomination
	nomination []byte     // the viewer's last request that selects its address
}

func newForger(t *testing.T, engine *Engine) *forger {
	t.Helper()
	local := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}
	f := &forger{t: t}
	var err error
	if f.viewer, err = net.ListenUDP("udp4", local); err != nil {
		t.Fatal(err)
	}
	to := &net.UDPAddr{IP: local.IP, Port: int(engine.Port())}
	for _, conn := range []**net.UDPConn{&f.own, &f.victim} {
		if *conn, err = net.DialUDP("udp4", local, to); err != nil {
			t.Fatal(err)
		}
	}
	var running sync.WaitGroup
	var client atomic.Pointer[net.UDPAddr]
	running.Go(func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := f.viewer.ReadFromUDP(buf)
			if err != nil {
				return
			}
			client.Store(from)
			f.pass(buf[:n])
		}
	})
	receive := func(conn *net.UDPConn, got *atomic.Int64, deliver bool) {
		running.Go(func() {
			buf := make([]byte, 2048)
			for {
				n, err := conn.Read(buf)
				if err != nil {
					return
				}
				got.Add(int64(n))
				if to := client.Load(); deliver && to != nil {
					_, _ = f.viewer.WriteToUDP(buf[:n], to)
				}
			}
		})
	}
	receive(f.own, &f.ownGot, true)
	receive(f.victim, &f.hisGot, false)
	t.Cleanup(func() {
		for _, conn := range []*net.UDPConn{f.viewer, f.own, f.victim} {
			_ = conn.Close()
		}
		running.Wait()
	})
	return f
}

// pass passes a packet of the viewer on to the engine.
func (f *forger) pass(b []byte) {
	m := &stun.Message{Raw: b}
	if stun.IsMessage(b) && m.Decode() == nil && m.Contains(stun.AttrUseCandidate) {
		f.mu.Lock()
		f.nomination = append([]byte(nil), b...)
		f.mu.Unlock()
	}
	if !f.forging.Load() {
		_, _ = f.own.Write(b)
		return
	}
	// Both packets keep ICE from noticing that the viewer is gone: RTCP without a valid
	// tag, and a STUN indication, which has no integrity check.
	indication, _ := stun.Build(stun.TransactionID, stun.NewType(stun.MethodBinding, stun.ClassIndication), stun.Fingerprint)
	for _, forged := range [][]byte{append([]byte{0x80, 201, 0, 1}, make([]byte, 40)...), indication.Raw} {
		_, _ = f.own.Write(forged)
	}
}

// nominate sends the viewer's request that selects an address from one of the two sockets.
func (f *forger) nominate(from *net.UDPConn) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := from.Write(f.nomination); err != nil {
		f.t.Error(err)
	}
}

// candidate returns an edit of the answer that directs a viewer to the forger.
func (f *forger) candidate(engine *Engine) func(string) string {
	port := strconv.Itoa(f.viewer.LocalAddr().(*net.UDPAddr).Port)
	return func(answer string) string {
		return strings.ReplaceAll(answer, " "+strconv.Itoa(int(engine.Port()))+" typ host", " "+port+" typ host")
	}
}

// joinThrough connects a viewer through a forger, to a stream of 1.2 Mbit/s.
func joinThrough(t *testing.T) (*liveOutput, *pionClient, *forger) {
	t.Helper()
	s := newLiveOutput(t, nil)
	f := newForger(t, s.engine)
	stop, stopped := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop); <-stopped })
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(frameInterval)
		defer ticker.Stop()
		for n := 0; ; n++ {
			s.output.WriteVideo(s.now(), testPicture(n%30 == 0, 5000), false)
			select {
			case <-stop:
				return
			case <-ticker.C:
			}
		}
	}()
	var settings webrtc.SettingEngine
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	settings.SetICETimeouts(time.Hour, time.Hour, time.Second)
	p := s.join(settings, f.candidate(s.engine))
	p.wait(t, "pictures", func() bool { return len(p.video) > 50 })
	return s, p, f
}

// quiet waits until nothing has been sent for a second, and returns how long that took.
func quiet(t *testing.T, got *atomic.Int64) time.Duration {
	t.Helper()
	began := time.Now()
	for last, since := got.Load(), time.Now(); time.Since(since) < time.Second; time.Sleep(10 * time.Millisecond) {
		if n := got.Load(); n != last {
			last, since = n, time.Now()
		}
		if time.Since(began) > testLimit {
			t.Fatalf("sending goes on after %v", testLimit)
		}
	}
	return time.Since(began) - time.Second
}

func TestAViewerThatIsOnlyForgedIsPausedAndStays(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for seconds, which -short leaves out")
	}
	_, p, f := joinThrough(t)
	f.forging.Store(true)
	before := f.ownGot.Load()
	took := quiet(t, &f.ownGot)
	sent := f.ownGot.Load() - before
	t.Logf("paused after %v and %d bytes", took.Round(time.Millisecond), sent)
	// The limit is ten seconds of 150 kB, plus RTP, SRTP and an IDR.
	if took < 8*time.Second || sent > 2_500_000 {
		t.Errorf("%d bytes in %v", sent, took)
	}
	select {
	case <-p.viewer.Done():
		t.Fatal("the session ended")
	default:
	}
	p.mu.Lock()
	had := len(p.video)
	p.mu.Unlock()
	f.forging.Store(false)
	p.wait(t, "pictures again", func() bool { return len(p.video) > had+50 })
	p.mu.Lock()
	defer p.mu.Unlock()
	if !startsPicture(p.video[had]) {
		t.Error("what comes first begins no picture")
	}
}

func TestAnAddressThatNeverAnswersIsSentNoMedia(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for seconds, which -short leaves out")
	}
	s, p, f := joinThrough(t)
	p.mu.Lock()
	had := len(p.video)
	p.mu.Unlock()
	f.nominate(f.victim)
	quiet(t, &f.hisGot)
	// A response and a few checks, of some 100 bytes each.
	if n := f.hisGot.Load(); n == 0 || n > 2000 {
		t.Errorf("%d bytes went to it", n)
	}
	p.wait(t, "pictures at the viewer", func() bool { return len(p.video) > had+50 })
	if n := testutil.ToFloat64(s.output.cfg.Metrics.ViewerPauses); n != 0 {
		t.Errorf("the viewer was paused %v times", n)
	}
}

// pion's client renews consent every 2 s and, without interceptors, sends no RTCP.
func TestAViewerThatOnlyRenewsConsentIsNeverPaused(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for seconds, which -short leaves out")
	}
	s, p, _ := joinThrough(t)
	time.Sleep(15 * time.Second) // longer than any limit
	p.mu.Lock()
	had := len(p.video)
	p.mu.Unlock()
	p.wait(t, "more pictures", func() bool { return len(p.video) > had+10 })
	if n := testutil.ToFloat64(s.output.cfg.Metrics.ViewerPauses); n != 0 {
		t.Errorf("paused %v times", n)
	}
}

// attribute returns the value of the first such attribute of an SDP.
func attribute(t *testing.T, sdp, name string) string {
	t.Helper()
	for line := range strings.Lines(sdp) {
		if value, ok := strings.CutPrefix(line, "a="+name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	t.Fatalf("no a=%s", name)
	return ""
}

// A viewer's line has failed, and another one of lower priority takes its place.
func TestAViewerIsFollowedToAPairOfLowerPriority(t *testing.T) {
	_, p, f := joinThrough(t)
	offer := p.pc.LocalDescription().SDP
	user := attribute(t, p.answer, "ice-ufrag") + ":" + attribute(t, offer, "ice-ufrag")
	line, err := net.DialUDP("udp4", nil, f.own.RemoteAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = line.Close() }()
	send := func(what ...stun.Setter) {
		m, err := stun.Build(what...)
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = line.Write(m.Raw)
	}
	toServer := stun.NewShortTermIntegrity(attribute(t, p.answer, "ice-pwd"))
	fromViewer := stun.NewShortTermIntegrity(attribute(t, offer, "ice-pwd"))
	media := make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() {
		buf, got := make([]byte, 2048), 0
		for {
			n, err := line.Read(buf)
			if err != nil {
				return
			}
			check := &stun.Message{Raw: buf[:n]}
			switch {
			case !stun.IsMessage(buf[:n]):
				if got++; got == 100 {
					close(media)
				}
			case check.Decode() == nil && check.Type == stun.BindingRequest:
				from := line.RemoteAddr().(*net.UDPAddr)
				send(check, stun.BindingSuccess, &stun.XORMappedAddress{IP: from.IP, Port: from.Port}, fromViewer, stun.Fingerprint)
			}
		}
	})
	defer reading.Wait()
	defer func() { _ = line.Close() }()
	for deadline := time.Now().Add(testLimit); ; {
		send(stun.BindingRequest, stun.TransactionID, stun.NewUsername(user), ice.UseCandidate(), ice.AttrControlling(1), ice.PriorityAttr(1),
			toServer, stun.Fingerprint)
		select {
		case <-media:
			return
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("media do not follow")
		}
	}
}
