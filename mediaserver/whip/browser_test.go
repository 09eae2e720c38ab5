package whip

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/stream"
)

// publishPage publishes the browser's (fake) camera and microphone from another
// origin, with trickled candidates. So does a page of another site.
const publishPage = `<!doctype html><script>
async function publish(endpoint) {
	const media = await navigator.mediaDevices.getUserMedia({video: {width: 640, height: 360, frameRate: 30}, audio: true});
	const pc = window.pc = new RTCPeerConnection();
	for (const track of media.getTracks()) pc.addTransceiver(track, {direction: 'sendonly', streams: [media]});
	const candidates = [];
	let send = c => candidates.push(c);
	pc.onicecandidate = e => e.candidate && send(e.candidate);
	await pc.setLocalDescription();
	const answer = await fetch(endpoint, {method: 'POST', body: pc.localDescription.sdp,
		headers: {'Content-Type': 'application/sdp', Authorization: 'Bearer secret'}});
	if (answer.status !== 201) throw new Error(answer.status + ' ' + await answer.text());
	window.session = new URL(answer.headers.get('Location'), endpoint).href;
	const etag = answer.headers.get('ETag');
	await pc.setRemoteDescription({type: 'answer', sdp: await answer.text()});
	const ufrag = /a=ice-ufrag:.*/.exec(pc.localDescription.sdp)[0], pwd = /a=ice-pwd:.*/.exec(pc.localDescription.sdp)[0];
	window.patched = [];
	send = async c => {
		const body = [ufrag, pwd, 'm=audio 9 UDP/TLS/RTP/SAVPF 0', 'a=mid:' + c.sdpMid, 'a=' + c.candidate, ''].join('\r\n');
		const res = await fetch(session, {method: 'PATCH', body, headers: {
			'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': etag, Authorization: 'Bearer secret'}});
		patched.push(res.status);
	};
	for (const c of candidates) await send(c);
	return true;
}
async function stop() {
	const res = await fetch(session, {method: 'DELETE', headers: {Authorization: 'Bearer secret'}});
	pc.close();
	return res.status;
}
</script>`

func TestBrowserPublishes(t *testing.T) {
	s := newTestServer(t, func(c *Config) {
		c.Authorize = func(_ stream.Key, token string) (bool, error) {
			if token != "secret" {
				return false, stream.ErrStreamInUse
			}
			return true, nil
		}
	})
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(publishPage))
	}))
	defer page.Close()
	got := collect(t, s.registry.Stream(primary))

	tab := mediatest.Browser(t)
	mediatest.Open(t, tab, page.URL)
	mediatest.Eval[bool](t, tab, "publish('"+s.URL+"/live/whip/primary')")
	eventually.True(t, "first picture", func() bool { return len(got.of(stream.Video)) > 0 })
	start := time.Now()
	// The time is long enough for sender reports of both tracks and three IDRs.
	eventually.True(t, "key frames", func() bool { return countIDR(got.of(stream.Video)) >= 4 })
	took := time.Since(start)

	video, audio := got.of(stream.Video), got.of(stream.Audio)
	f := video[0].Format
	t.Logf("%dx%d, %.1f pictures/s, %.1f audio packets/s, a key frame every %v; profile %x; PATCH %s; video arrives %v and audio %v after its time",
		f.Width, f.Height, float64(len(video))/took.Seconds(), float64(len(audio))/took.Seconds(),
		(took / 3).Round(ms), f.SPS[1:4], mediatest.Eval[string](t, tab, "JSON.stringify(patched)"), lateness(video), lateness(audio))
	if f.Width == 0 || f.Reordered {
		t.Errorf("format %+v", f)
	}
	if took > 30*time.Second || took < 3*keyframeInterval-time.Second {
		t.Errorf("three key frames took %v", took)
	}
	if len(audio) < 50 {
		t.Errorf("%d audio packets", len(audio))
	}
	if status := mediatest.Eval[int](t, tab, "stop()"); status != http.StatusOK {
		t.Errorf("DELETE: %d", status)
	}
	if s.registry.Stream(primary).Snapshot().Publication != nil {
		t.Error("still live after DELETE")
	}
}

func countIDR(units []*stream.AccessUnit) (n int) {
	for _, u := range units {
		if u.IDR {
			n++
		}
	}
	return n
}

// lateness returns the mean time from an access unit's time to its arrival, over the last 50.
func lateness(units []*stream.AccessUnit) time.Duration {
	units = units[max(0, len(units)-50):]
	var sum time.Duration
	for _, u := range units {
		sum += u.Arrival - u.PTS
	}
	return (sum / time.Duration(max(1, len(units)))).Round(ms)
}

// simulcastPage publishes the microphone, and the camera in two layers, the lower one
// first. Browsers' offers with layers name no SSRCs of either track.
const simulcastPage = `<!doctype html><script>
async function publish(endpoint) {
	const media = await navigator.mediaDevices.getUserMedia({video: {width: 640, height: 360, frameRate: 30}, audio: true});
	const pc = window.pc = new RTCPeerConnection({bundlePolicy: 'max-bundle'});
	pc.addTransceiver(media.getAudioTracks()[0], {direction: 'sendonly'});
	const video = window.video = pc.addTransceiver(media.getVideoTracks()[0], {direction: 'sendonly',
		sendEncodings: [{rid: 'l', scaleResolutionDownBy: 2}, {rid: 'h'}]});
	video.setCodecPreferences(RTCRtpReceiver.getCapabilities('video').codecs.filter(c => /H264/.test(c.mimeType)));
	await pc.setLocalDescription();
	const offer = pc.localDescription.sdp;
	const answer = await fetch(endpoint, {method: 'POST', body: offer, headers: {'Content-Type': 'application/sdp'}});
	const text = await answer.text();
	if (answer.status !== 201) throw new Error(answer.status + ' ' + text);
	await pc.setRemoteDescription({type: 'answer', sdp: text});
	return /a=ssrc:/.test(offer.split('m=video')[1]);
}
async function enable(rid, active) {
	const parameters = video.sender.getParameters();
	parameters.encodings.find(e => e.rid === rid).active = active;
	await video.sender.setParameters(parameters);
	return true;
}
</script>`

func TestBrowserPublishesInLayers(t *testing.T) {
	s := newTestServer(t, nil)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(simulcastPage))
	}))
	defer page.Close()
	got := collect(t, s.registry.Stream(primary))
	last := func(width int) func() bool {
		return func() bool {
			v := got.of(stream.Video)
			return len(v) > 0 && v[len(v)-1].Format.Width == width
		}
	}
	tab := mediatest.Browser(t)
	mediatest.Open(t, tab, page.URL)
	if mediatest.Eval[bool](t, tab, "publish('"+s.URL+"/live/whip/primary')") {
		t.Error("the browser names SSRCs, and this test is of those that do not")
	}
	eventually.True(t, "the higher layer", last(640))
	eventually.True(t, "sound", func() bool { return len(got.of(stream.Audio)) > 50 })
	eventually.True(t, "pictures", func() bool { return len(got.of(stream.Video)) > 100 })
	if w := widths(got.of(stream.Video)); w[len(w)-1] != 640 || len(w) > 2 {
		t.Errorf("pictures are %v wide", w)
	}
	mediatest.Eval[bool](t, tab, "enable('h', false)")
	eventually.True(t, "the lower layer", last(320))
	mediatest.Eval[bool](t, tab, "enable('h', true)")
	eventually.True(t, "the higher layer again", last(640))
	t.Logf("pictures are %v wide", widths(got.of(stream.Video)))
}
