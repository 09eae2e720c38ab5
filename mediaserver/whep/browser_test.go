package whep

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/streampair/streampair/mediaserver/mediatest"
)

// offeringPage offers to receive H.264, and sound in PCMU only.
const offeringPage = `<!doctype html><script>
async function watch(endpoint) {
	const pc = window.pc = new RTCPeerConnection();
	const take = (kind, codec) => pc.addTransceiver(kind, {direction: 'recvonly'}).setCodecPreferences(
		RTCRtpReceiver.getCapabilities(kind).codecs.filter(c => c.mimeType === codec));
	take('audio', 'audio/PCMU');
	take('video', 'video/H264');
	pc.createDataChannel('x');
	await pc.setLocalDescription();
	const res = await fetch(endpoint, {method: 'POST', body: pc.localDescription.sdp, headers: {'Content-Type': 'application/sdp'}});
	const answer = await res.text();
	if (res.status !== 201) throw new Error(res.status + ' ' + answer);
	await pc.setRemoteDescription({type: 'answer', sdp: answer});
	return pc.getTransceivers().map(t => t.currentDirection).join();
}
</script>`

func TestBrowserTakesAnAnswerWithRejectedSections(t *testing.T) {
	s := newServer(t, nil)
	s.play()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(offeringPage))
	}))
	defer page.Close()
	tab := mediatest.Browser(t)
	mediatest.Open(t, tab, page.URL)
	if got := mediatest.Eval[string](t, tab, "watch('"+s.http.URL+"/live/whep/primary')"); got != "recvonly" {
		t.Errorf("the tracks are %s, want recvonly: that of the sound is gone", got)
	}
	mediatest.Await(t, tab, limit, "pc.connectionState === 'connected'", "pc.connectionState")
}
