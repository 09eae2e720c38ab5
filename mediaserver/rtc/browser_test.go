package rtc

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/stream"
)

// accessUnits returns an H.264 file as access units of one slice each.
func accessUnits(t *testing.T, spec mediatest.Spec) []*stream.AccessUnit {
	t.Helper()
	spec.Container, spec.NoAudio = "h264", true
	spec.VideoArgs = append(spec.VideoArgs, "-x264-params", "sliced-threads=0:slices=1")
	data, err := os.ReadFile(mediatest.File(t, spec))
	if err != nil {
		t.Fatal(err)
	}
	var units []*stream.AccessUnit
	var format *stream.Format
	for _, nalu := range bytes.Split(data, []byte{0, 0, 1}) {
		nalu = bytes.TrimRight(nalu, "\x00") // the zeros belong to the next start code
		if len(nalu) == 0 {
			continue
		}
		switch nalu[0] & naluTypeMask {
		case 7:
			format = &stream.Format{Codec: stream.H264, SPS: nalu}
		case 8:
			format.PPS = nalu
		case 1, 5:
			units = append(units, &stream.AccessUnit{Format: format, IDR: nalu[0]&naluTypeMask == 5, NALUs: [][]byte{nalu}})
		}
	}
	return units
}

// annexB returns the byte stream that a receiver of the packets gives to its decoder.
func annexB(t *testing.T, packets []rtp.Packet) []byte {
	t.Helper()
	var depacketizer codecs.H264Packet
	var out []byte
	for _, p := range packets {
		b, err := depacketizer.Unmarshal(p.Payload)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b...)
	}
	return out
}

// pictures decodes a byte stream and returns a checksum of every picture.
func pictures(t *testing.T, h264 []byte) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "in.h264")
	if err := os.WriteFile(path, h264, 0o600); err != nil {
		t.Fatal(err)
	}
	// Where the size changes, FFmpeg scales the pictures to the first one's size. It
	// does so alike for both streams.
	cmd := exec.Command(mediatest.RequireFFmpeg(t), "-v", "error", "-xerror", "-i", path, "-f", "framemd5", "-")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("ffmpeg: %v %s", err, stderr.String())
	}
	var sums []string
	for line := range strings.Lines(string(out)) {
		if fields := strings.Split(line, ","); len(fields) == 6 && !strings.HasPrefix(line, "#") {
			sums = append(sums, strings.TrimSpace(fields[5]))
		}
	}
	return sums
}

func TestEveryPictureSinceTheIDRDecodesAlsoAcrossAChangeOfParameters(t *testing.T) {
	first := accessUnits(t, mediatest.Spec{Duration: 4 * time.Second})
	second := accessUnits(t, mediatest.Spec{Duration: 2 * time.Second, Width: 640, Height: 360, VideoArgs: []string{"-profile:v", "high", "-preset", "fast"}})
	s := newLiveOutput(t, nil)
	write := func(u *stream.AccessUnit) {
		s.output.WriteVideo(s.now(), u, false)
		time.Sleep(2 * time.Millisecond)
	}
	for _, u := range first[:100] { // IDRs are 0 and 60
		write(u)
	}
	p := s.join(webrtc.SettingEngine{}, nil)
	p.wait(t, "the picture", func() bool { return len(p.video) > 0 })
	want := append(append([]*stream.AccessUnit{}, first[60:]...), second...)
	var expected []byte
	packets := 0
	for i, u := range want {
		payloads := appendH264Payloads(nil, u, defaultPacketSize-rtpHeaderSize)
		packets += len(payloads)
		list := make([]rtp.Packet, len(payloads))
		for i, payload := range payloads {
			list[i].Payload = payload
		}
		expected = append(expected, annexB(t, list)...)
		if i >= 40 {
			write(u)
		}
		if i >= 39 { // slowly enough that the client's socket never overflows
			p.wait(t, "the picture", func() bool { return len(p.video) >= packets })
		}
	}
	p.wait(t, "all packets", func() bool { return len(p.video) == packets })
	follows(t, p.video)
	got, reference := pictures(t, annexB(t, p.video)), pictures(t, expected)
	if len(got) != len(want) {
		t.Errorf("%d pictures decoded, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != reference[i] {
			t.Fatalf("picture %d differs", i)
		}
	}
}

const viewerPage = `<!doctype html><video id=v autoplay muted playsinline></video><script>
const v = document.getElementById('v'), pc = new RTCPeerConnection();
window.frames = []; window.firstFrame = 0; window.connected = 0;
pc.ontrack = e => { v.srcObject = e.streams[0]; };
pc.onconnectionstatechange = () => { if (pc.connectionState == 'connected') connected = performance.now(); };
const frame = (now, m) => { frames.push([performance.now(), m.rtpTimestamp]); v.requestVideoFrameCallback(frame); };
v.requestVideoFrameCallback(frame);
pc.addTransceiver('video', {direction: 'recvonly'}); pc.addTransceiver('audio', {direction: 'recvonly'});
(async () => {
  await pc.setLocalDescription(await pc.createOffer());
  const r = await fetch('/offer', {method: 'POST', body: pc.localDescription.sdp});
  await pc.setRemoteDescription({type: 'answer', sdp: await r.text()});
})();
async function stats() {
  const all = {};
  (await pc.getStats()).forEach(s => { if (s.type == 'inbound-rtp') all[s.kind] = s; });
  return {
    decoded: all.video.framesDecoded, dropped: all.video.framesDropped, lost: all.video.packetsLost + all.audio.packetsLost,
    freezes: all.video.freezeCount, freezeSeconds: all.video.totalFreezesDuration, nacks: all.video.nackCount, plis: all.video.pliCount,
    discarded: all.video.packetsDiscarded || 0, retransmitted: all.video.retransmittedPacketsReceived || 0, keyFrames: all.video.keyFramesDecoded,
    delay: all.video.jitterBufferDelay / all.video.jitterBufferEmittedCount,
    skew: all.video.estimatedPlayoutTimestamp - all.audio.estimatedPlayoutTimestamp, synced: !!all.video.estimatedPlayoutTimestamp && !!all.audio.estimatedPlayoutTimestamp,
  };
}
</script>`

// browserStats is what the page's stats() returns.
type browserStats struct {
	Decoded, Dropped, Lost, Freezes, Nacks, PLIs, Discarded, KeyFrames, Retransmitted int
	FreezeSeconds, Delay, Skew                                                        float64
	Synced                                                                            bool
}

// TestBrowserJoinsAndFollows shows that a real browser takes what only its decoder, clock and
// synchroniser can judge: the squeezed pictures of a join, a paced burst, the replay after a PLI,
// and sender reports.
func TestBrowserJoinsAndFollows(t *testing.T) {
	units := accessUnits(t, mediatest.Spec{Duration: 20 * time.Second, GOP: 4 * time.Second})
	s := newLiveOutput(t, nil)
	address, viewers := s.serveBrowser(func(*Viewer) {})
	page := mediatest.Browser(t)

	// 110 pictures come before the browser: 3.6 s after an IDR.
	joining := s.feed(units, 110)
	<-joining
	mediatest.Open(t, page, address)
	mediatest.Await(t, page, 5*testLimit, "frames.length > 0", "")
	v := <-viewers
	first := mediatest.Eval[float64](t, page, "frames[0][0] - connected")
	t.Logf("first picture %.0f ms after connected; server: %s", first, v.Stats().JoinDuration)

	mediatest.Await(t, page, 5*testLimit, "frames.length > 150", "")
	st := mediatest.Eval[browserStats](t, page, "stats()")
	t.Logf("after the join: %+v", st)
	if st.PLIs != 0 || st.Lost != 0 {
		t.Errorf("%d PLIs and %d packets lost on loopback", st.PLIs, st.Lost)
	}
	inStep(t, page)

	// A PLI leads to a replay while the source can't be asked.
	decoded, keys := st.Decoded, st.KeyFrames
	v.feedbackOn(v.video, &rtcp.PictureLossIndication{MediaSSRC: v.video.ssrc})
	count := mediatest.Eval[int](t, page, "frames.length")
	mediatest.Await(t, page, 5*testLimit, fmt.Sprintf("frames.length > %d", count+60), "frames.length")
	st = mediatest.Eval[browserStats](t, page, "stats()")
	gap := mediatest.Eval[float64](t, page, fmt.Sprintf("Math.max(...frames.slice(%d).map((f, i) => f[0] - frames[%d + i - 1][0]))", count, count))
	t.Logf("after the replay: %d pictures more, %d of them IDR; longest gap %.0f ms; %+v", st.Decoded-decoded, st.KeyFrames-keys, gap, st)
	if st.PLIs != 0 || st.Lost != 0 {
		t.Errorf("%d PLIs and %d packets lost after pictures were sent again", st.PLIs, st.Lost)
	}
	inStep(t, page)
}

// serveBrowser serves the page of a viewer. prepare is called before the viewer connects.
func (s *liveOutput) serveBrowser(prepare func(*Viewer)) (address string, viewers <-chan *Viewer) {
	s.t.Helper()
	made := make(chan *Viewer, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, viewerPage)
	})
	mux.HandleFunc("POST /offer", func(w http.ResponseWriter, r *http.Request) {
		offer, _ := io.ReadAll(r.Body)
		_, selection := selected(s.t, string(offer), webrtc.RTPTransceiverDirectionRecvonly)
		pc, err := s.engine.NewViewerConnection(selection)
		if err != nil {
			s.t.Error(err)
			return
		}
		v, err := s.output.AddViewer(pc, ViewerConfig{ID: "browser", Protocol: "test", Video: true, Audio: true})
		if err != nil {
			s.t.Error(err)
			return
		}
		prepare(v)
		answer, err := pc.Answer(Reach{})
		if err != nil {
			s.t.Error(err)
		}
		fmt.Fprint(w, answer)
		made <- v
	})
	web := httptest.NewServer(mux)
	s.t.Cleanup(web.Close)
	return web.URL, made
}

// feed writes 30 pictures a second, and sound, until the test ends. joining is closed when that
// many pictures have been written.
func (s *liveOutput) feed(units []*stream.AccessUnit, before int) (joining <-chan struct{}) {
	stop, ready := make(chan struct{}), make(chan struct{})
	var feeding sync.WaitGroup
	feeding.Go(func() {
		begin := s.now()
		for i := 0; ; i++ {
			at := begin + time.Duration(i)*frameInterval
			select {
			case <-stop:
				return
			case <-time.After(at - s.now()):
			}
			s.output.WriteVideo(at, units[i%len(units)], false)
			if i == before {
				close(ready)
			}
		}
	})
	encode := newTestEncoder(s.t)
	feeding.Go(func() {
		// Chromium tells no playout time of silence.
		for at := s.now(); ; at += 20 * time.Millisecond {
			select {
			case <-stop:
				return
			case <-time.After(at - s.now()):
				s.output.WriteOpus(at, 20*time.Millisecond, encode(buzz))
			}
		}
	})
	s.t.Cleanup(func() {
		close(stop)
		feeding.Wait()
	})
	return ready
}

// A lossyPeer loses packets at random, as a network does.
type lossyPeer struct {
	peer
	loss   func() float64 // 0 to 1
	random *rand.Rand
}

// WriteRTP implements peer.
func (l *lossyPeer) WriteRTP(h *rtp.Header, payload []byte) (int, error) {
	if l.random.Float64() < l.loss() {
		return len(payload), nil
	}
	return l.peer.WriteRTP(h, payload)
}

// TestBrowserRepairsLossByRTX shows that a real browser asks for lost packets, and finds them in the
// stream of retransmissions.
func TestBrowserRepairsLossByRTX(t *testing.T) {
	units := accessUnits(t, mediatest.Spec{Duration: 20 * time.Second, GOP: 4 * time.Second})
	s := newLiveOutput(t, nil)
	address, viewers := s.serveBrowser(func(v *Viewer) {
		v.peer = &lossyPeer{peer: v.peer, loss: func() float64 { return .05 }, random: rand.New(rand.NewPCG(1, 2))}
	})
	page := mediatest.Browser(t)
	<-s.feed(units, 10)
	mediatest.Open(t, page, address)
	mediatest.Await(t, page, 5*testLimit, "frames.length > 30", "")
	mediatest.Await(t, page, 5*testLimit, "stats().then(s => { window.last = s; }), window.last && last.decoded > 300 && last.retransmitted > 20", "window.last")
	viewer := <-viewers
	eventually.True(t, "the browser estimates what the way takes", func() bool { return viewer.Stats().EstimateBPS > 0 })
	st, v := mediatest.Eval[browserStats](t, page, "last"), viewer.Stats()
	t.Logf("with 5 %% lost: %+v; server: %+v", st, v)
	if v.Video.Resent < 20 {
		t.Errorf("%d packets sent again", v.Video.Resent)
	}
}

// TestBrowserPlaysIDRsOnlyWhileMuchIsLost shows that a real browser shows the pictures of a viewer that
// gets IDRs only, and plays on when the loss has ended.
func TestBrowserPlaysIDRsOnlyWhileMuchIsLost(t *testing.T) {
	units := accessUnits(t, mediatest.Spec{Duration: 20 * time.Second, GOP: 2 * time.Second})
	s := newLiveOutput(t, nil)
	var losing atomic.Bool
	address, viewers := s.serveBrowser(func(v *Viewer) {
		v.peer = &lossyPeer{peer: v.peer, random: rand.New(rand.NewPCG(3, 4)), loss: func() float64 {
			if losing.Load() {
				return .25
			}
			return 0
		}}
	})
	page := mediatest.Browser(t)
	<-s.feed(units, 10)
	mediatest.Open(t, page, address)
	mediatest.Await(t, page, 5*testLimit, "frames.length > 60", "")
	v := <-viewers
	// shows waits until the page has decoded that many IDRs more.
	keyFrames := 0
	shows := func(more int) browserStats {
		mediatest.Await(t, page, 5*testLimit, fmt.Sprintf("stats().then(s => { window.last = s; }), window.last && last.keyFrames >= %d", keyFrames+more), "window.last")
		st := mediatest.Eval[browserStats](t, page, "last")
		keyFrames = st.KeyFrames
		return st
	}

	losing.Store(true)
	began := time.Now()
	eventually.True(t, "the viewer gets IDRs only", func() bool { return v.Stats().Reduced })
	t.Logf("IDRs only after %s with 25 %%: %+v", time.Since(began).Round(time.Millisecond), shows(0))
	before := shows(2) // what was on its way has been shown by then
	after := shows(3)
	t.Logf("with IDRs only: %+v; server: %+v", after, v.Stats())
	if n := after.Decoded - before.Decoded; n != after.KeyFrames-before.KeyFrames {
		t.Errorf("%d pictures, %d of them IDRs", n, after.KeyFrames-before.KeyFrames)
	}

	losing.Store(false)
	ended := time.Now()
	eventually.True(t, "the viewer gets all pictures again", func() bool { return !v.Stats().Reduced })
	t.Logf("all pictures again %s after the loss has ended", time.Since(ended).Round(time.Millisecond))
	count := mediatest.Eval[int](t, page, "frames.length")
	mediatest.Await(t, page, 5*testLimit, fmt.Sprintf("frames.length > %d", count+100), "frames.length")
}

// inStep waits until the browser plays sound and picture in step. The browser moves the
// picture towards the sound by small steps. It does so only for tracks of one group, and only
// once it has their sender reports. The limit is generous, because on a busy machine the offset
// depends more on the machine than on the server.
func inStep(t *testing.T, page context.Context) {
	t.Helper()
	mediatest.Await(t, page, 5*testLimit, "stats().then(s => { window.last = s; }), window.last && last.synced && Math.abs(last.skew) <= 200", "last")
	t.Logf("A/V skew %.0f ms", mediatest.Eval[float64](t, page, "last.skew"))
}
