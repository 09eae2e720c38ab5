package server

import (
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// A firewall drops what comes into a namespace.
type firewall struct {
	t  *testing.T
	ns *mediatest.Namespace
}

func newFirewall(t *testing.T, ns *mediatest.Namespace) *firewall {
	f := &firewall{t, ns}
	f.nft("add table inet firewall")
	f.nft("add chain inet firewall input { type filter hook input priority 0; policy accept; }")
	return f
}

func (f *firewall) nft(command string) {
	f.t.Helper()
	if out, err := exec.Command("ip", "netns", "exec", f.ns.Name, "nft", command).CombinedOutput(); err != nil {
		f.t.Fatalf("nft %s: %v: %s", command, err, out)
	}
}

// drops makes the firewall drop the port of WebRTC, by these protocols alone.
func (f *firewall) drops(protocols ...string) {
	f.t.Helper()
	f.nft("flush chain inet firewall input")
	for _, protocol := range protocols {
		f.nft("add rule inet firewall input " + protocol + " dport 8189 drop")
	}
}

// startBinaryIn runs the media server as a process of its own in a namespace, with its usual ports.
func startBinaryIn(t *testing.T, ns *mediatest.Namespace) (base string) {
	t.Helper()
	folder := t.TempDir()
	binary, manifest := filepath.Join(folder, "streampair-mediaserver"), filepath.Join(folder, "pair.yaml")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", binary, "../cmd/streampair-mediaserver")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.WriteFile(manifest, []byte(sticky), 0o600); err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(t.Context(), "ip", "netns", "exec", ns.Name, binary, "--pair", manifest)
	run.Stdout, run.Stderr = t.Output(), t.Output()
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = run.Wait() }) // the context of the test has ended by then
	base = "http://" + ns.Inside.String() + ":5080"
	eventually.True(t, "the server answers", func() bool {
		res, err := http.Get(base + "/live/play.html")
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	return base
}

// transport is the protocol of the candidate pair that brings the page its media, or null.
const transport = `(async () => {
	const connection = streampair.connection();
	if (!connection) return null;
	const stats = [...(await connection.getStats()).values()];
	const chosen = stats.find((s) => s.type === "candidate-pair" && s.nominated && s.state === "succeeded");
	return chosen ? stats.find((s) => s.id === chosen.localCandidateId).protocol : null;
})()`

// Behind a firewall without UDP the page plays by WebRTC over TCP, where the browser offers TCP.
// Otherwise the page plays by HLS, and returns to WebRTC when the firewall lets WebRTC through.
func TestThePagePlaysBehindFirewalls(t *testing.T) {
	mediatest.SkipInShort(t)
	if !mediatest.CanMakeNamespaces() {
		t.Skip("this needs root on Linux, and iproute2")
	}
	ns := mediatest.NewNamespace(t)
	base := startBinaryIn(t, ns)
	f := newFirewall(t, ns)
	mediatest.Publish(t, file(t, mediatest.Programme{}), "rtmp://"+ns.Inside.String()+"/live/primary", "-stream_loop", "-1")
	// A page that may use the microphone must be of a trusted origin.
	page := &page{t, mediatest.Browser(t, chromedp.Flag("unsafely-treat-insecure-origin-as-secure", base))}
	open := func() time.Time {
		at := time.Now()
		page.do(chromedp.Navigate(base + "/live/play.html?" + url.Values{"name": {"primary"}, "backupStreamId": {"backup"}}.Encode()))
		return at
	}
	open()
	page.sees(0, "webrtc")

	f.drops("udp", "tcp")
	opened := open()
	page.sees(0, "hls")
	t.Logf("without UDP and without the port of WebRTC: HLS after %v", time.Since(opened).Round(ms))
	f.drops()
	lifted := time.Now()
	page.sees(0, "webrtc")
	t.Logf("without the firewall: WebRTC after %v", time.Since(lifted).Round(ms))

	// Chromium 156 offers TCP only for pages that may use the microphone.
	f.drops("udp")
	page.do(chromedp.Evaluate[chromedp.Void](`navigator.mediaDevices.getUserMedia({audio: true}).then(() => window.granted = true)`))
	eventually.True(t, "the page may use the microphone", func() bool { return evaluate[bool](page, `window.granted === true`) })
	opened = open()
	page.sees(0, "webrtc")
	t.Logf("without UDP: WebRTC after %v", time.Since(opened).Round(ms))
	eventually.True(t, "media by TCP", func() bool {
		return evaluate[string](page, `(`+transport+`.then(p => window.last = p), String(window.last))`) == "tcp"
	})
}
