package main

import (
	"bytes"
	"encoding/json"
	"errors"
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
	"github.com/streampair/streampair/controllers/publishtest"
	"github.com/streampair/streampair/hack/eventually"
)

// A viewer gets pictures even if two TCP ports of this machine,
// as kubectl forwards them, are its only way to a media server.
func TestPlayByForwardedPorts(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a program, which -short leaves out")
	}
	addresses := startMediaServer(t)
	publishtest.Start(t, "rtmp://"+addresses.RTMP+"/live/primary")
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

// startMediaServer runs the real media server, and returns its addresses.
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
	startProgram(t, path, "--rtmp-address=127.0.0.1:0", "--srt-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--https-address=",
		"--webrtc-address=127.0.0.1:0", "--probe-address=127.0.0.1:0", "--control-address="+command)
	var status control.Status
	eventually.Seen(t, eventually.Patience, "the media server answers", func() (any, bool) {
		resp, err := http.Get("http://" + command + "/v1/status")
		if err == nil {
			err = errors.Join(json.NewDecoder(resp.Body).Decode(&status), resp.Body.Close())
		}
		return err, err == nil
	})
	return status.Addresses
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

// forwardPort forwards a port of this machine to an
// address, as kubectl does, and returns the port.
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
