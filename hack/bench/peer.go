package main

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// An origin is a server that is measured, and where it has the stream of the encoder.
type origin struct {
	*process
	name     string
	rtmp     string // where the encoder publishes
	playlist string // the multivariant playlist
}

// hlsOrigin returns the media server as the origin of the pair.
func (s *server) hlsOrigin() origin {
	return origin{s.process, "Streampair", s.rtmp("primary"), s.http("streams/primary_adaptive.m3u8" + pairQuery)}
}

// mediaMTXSettings is the configuration of MediaMTX, with the words that are replaced. It is the default
// but for the addresses, what is off, and what a measurement sets.
const mediaMTXSettings = `
logLevel: error
rtsp: no
webrtc: no
srt: no
rtmpAddress: RTMP
hlsAddress: HTTP
SETTINGS
paths: {all_others: {}}
`

// startMediaMTX starts MediaMTX, which is measured beside the media server. settings are lines of its
// configuration.
func startMediaMTX(t *scope, binary string, settings ...string) origin {
	publishing, playing := freeAddress(t), freeAddress(t)
	text := strings.NewReplacer("RTMP", publishing, "HTTP", playing, "SETTINGS", strings.Join(settings, "\n")).Replace(mediaMTXSettings)
	o := origin{
		runMediaMTX(t, binary, text), "MediaMTX",
		"rtmp://" + publishing + "/live/primary", "http://" + playing + "/live/primary/index.m3u8",
	}
	t.until("MediaMTX answers", listens(playing))
	return o
}

// runMediaMTX starts MediaMTX with a configuration, in a folder of its own: it may write a certificate
// there.
func runMediaMTX(t *scope, binary, configuration string) *process {
	binary, err := filepath.Abs(binary)
	t.must(err)
	file := filepath.Join(t.TempDir(), "mediamtx.yml")
	t.must(os.WriteFile(file, []byte(configuration), 0o600))
	command := exec.Command(binary, file)
	command.Dir = filepath.Dir(file)
	return startProcess(t, command)
}

// listens returns a condition, which holds when somebody listens on the address.
func listens(address string) func() bool {
	return func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}
}

// freeAddress returns an address on which nobody listens.
func freeAddress(t *scope) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	t.must(err)
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// isPlayable reports whether the playlist can be had.
func (o origin) isPlayable() bool {
	answer, err := http.Get(o.playlist)
	if err != nil {
		return false
	}
	_ = answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}
