package main

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/streampair/streampair/api/control"
)

const manifest = `apiVersion: media.streampair.dev/v1alpha1
kind: StreamPair
metadata: {name: bench}
spec:
  primary: {streamID: primary}
  backup: {streamID: backup}
  publish: {auth: None}
`

// inputLoss is the input loss time in the manifest, which is the default.
const inputLoss = time.Second

// A server is the process of the media server.
type server struct {
	*process
	control   string
	addresses control.Addresses
}

// startServer starts the media server with more flags, if there are any.
func startServer(t *scope, binary string, flags ...string) *server {
	dir, err := os.MkdirTemp("", "streampair-bench")
	t.must(err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	file := filepath.Join(dir, "pair.yaml")
	t.must(os.WriteFile(file, []byte(manifest), 0o600))
	// The command port reports the other addresses,
	// so only its own address must be chosen here.
	s := &server{control: freeAddress(t)}
	const free = "127.0.0.1:0"
	command := exec.Command(binary, append([]string{
		"--pair", file, "--log-level", "error", "--control-address", s.control,
		"--rtmp-address", free, "--http-address", free, "--https-address", free, "--webrtc-address", free, "--probe-address", free,
	}, flags...)...)
	command.Env = append(os.Environ(), "SRT_ADDRESS="+free) // servers of before know no such flag
	s.process = startProcess(t, command)
	t.until("the server answers", func() bool {
		st, err := s.status()
		s.addresses = st.Addresses
		return err == nil
	})
	return s
}

func (s *server) status() (control.Status, error) {
	var st control.Status
	answer, err := http.Get("http://" + s.control + "/v1/status")
	if err != nil {
		return st, err
	}
	defer func() { _ = answer.Body.Close() }()
	return st, json.NewDecoder(answer.Body).Decode(&st)
}

func (s *server) pair() control.Pair {
	st, err := s.status()
	s.t.must(err)
	for _, p := range st.Pairs {
		if p.Name == "bench" {
			return p
		}
	}
	return control.Pair{}
}

func (s *server) rtmp(streamID string) string {
	return "rtmp://" + s.addresses.RTMP + "/live/" + streamID
}

func (s *server) http(path string) string { return "http://" + s.addresses.HTTP + "/live/" + path }

const pairQuery = "?backupStreamId=backup"
