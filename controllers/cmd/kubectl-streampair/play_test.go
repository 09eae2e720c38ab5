package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/streampair/streampair/api/control"
)

// A viewer whose only way to a media server are two TCP ports of this machine, as kubectl
// forwards them, gets pictures.
func TestPlayByForwardedPorts(t *testing.T) {
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Fatal("install ffmpeg first (make test does)")
	}
	addresses := startMediaServer(t)
	startProgram(t, "ffmpeg", "-loglevel", "error", "-re", "-f", "lavfi", "-i", "testsrc=size=160x90:rate=15",
		"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "15", "-f", "flv",
		"rtmp://"+addresses.RTMP+"/live/primary")
	web, ice := forwardPort(t, addresses.HTTP), forwardPort(t, addresses.WebRTC)
	proxy := httptest.NewServer(newPlayProxy(localURL("http", web), ice))
	defer proxy.Close()

	settings := webrtc.SettingEngine{}
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeTCP4})
	settings.SetIncludeLoopbackCandidate(true)
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{})
	must(t, err)
	defer pc.Close()
	packets := make(chan struct{}, 1)
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			if _, _, err := track.ReadRTP(); err != nil {
				return
			}
			select {
			case packets <- struct{}{}:
			default:
			}
		}
	})
	_, err = pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
	must(t, err)
	offer, err := pc.CreateOffer(nil)
	must(t, err)
	must(t, pc.SetLocalDescription(offer))
	resp, err := http.Post(proxy.URL+"/live/whep/primary?backupStreamId=backup", "application/sdp", strings.NewReader(offer.SDP))
	must(t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	must(t, err)
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("WHEP: %s: %s", resp.Status, answer)
	}
	must(t, pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: string(answer)}))
	select {
	case <-packets:
	case <-time.After(time.Minute):
		t.Fatalf("no picture within a minute; the answer was\n%s", answer)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// startMediaServer runs the real media server, and returns where it listens.
func startMediaServer(t *testing.T) control.Addresses {
	t.Helper()
	path := filepath.Join(t.TempDir(), "streampair-mediaserver")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", path, "../../../mediaserver/cmd/streampair-mediaserver")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the media server: %v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	command := l.Addr().String()
	must(t, l.Close())
	startProgram(t, path, "--rtmp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--https-address=",
		"--webrtc-address=127.0.0.1:0", "--probe-address=127.0.0.1:0", "--control-address="+command)
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		resp, err := http.Get("http://" + command + "/v1/status")
		if err == nil {
			var status control.Status
			err = json.NewDecoder(resp.Body).Decode(&status)
			_ = resp.Body.Close()
			if err == nil {
				return status.Addresses
			}
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("the media server does not answer: %v", err)
		}
	}
}

// startProgram runs a program until the test ends.
func startProgram(t *testing.T, name string, args ...string) {
	t.Helper()
	var log bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &log, &log
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(name), log.String())
		}
	})
}

// forwardPort passes connections to a port of this machine on to an address, as a port
// that kubectl forwards, and returns the port.
func forwardPort(t *testing.T, to string) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			go pass(in, out)
			go pass(out, in)
		}
	}()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

func pass(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_ = to.Close()
	_ = from.Close()
}
