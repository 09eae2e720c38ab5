package main

import (
	"bufio"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A fanoutServer is a server whose WebRTC is measured.
type fanoutServer struct {
	*process
	name       string
	publish    string // the WHIP URL
	play       string // the WHEP URL
	goroutines string // the URL of a text that tells their number; empty: nobody tells
}

// fanoutServers returns how to start each server that is measured.
func fanoutServers(o options) []func(*scope) fanoutServer {
	servers := []func(*scope) fanoutServer{func(t *scope) fanoutServer {
		s := startServer(t, o.server, append([]string{"--max-viewers", "0"}, strings.Fields(o.serverFlags)...)...)
		return fanoutServer{
			s.process, "Streampair", s.http("whip/primary"), s.http("whep/primary" + pairQuery),
			"http://" + s.addresses.Probe + "/metrics",
		}
	}}
	if o.mediaMTX != "" {
		servers = append(servers, func(t *scope) fanoutServer { return startMediaMTXFanout(t, o.mediaMTX) })
	}
	if o.other.pid != 0 {
		servers = append(servers, func(t *scope) fanoutServer {
			return fanoutServer{&process{t: t, pid: o.other.pid}, "the server with the pid " + strconv.Itoa(o.other.pid), o.other.publish, o.other.play, ""}
		})
	}
	return servers
}

// mediaMTXFanoutSettings is the default configuration but for the addresses and what is off.
const mediaMTXFanoutSettings = `
logLevel: error
rtsp: no
rtmp: no
hls: no
srt: no
pprof: yes
pprofAddress: PPROF
webrtcAddress: HTTP
webrtcLocalUDPAddress: MEDIA
webrtcIPsFromInterfacesList: [lo]
paths: {all_others: {}}
`

func startMediaMTXFanout(t *scope, binary string) fanoutServer {
	http, media, pprof := freeAddress(t), freeAddress(t), freeAddress(t)
	text := strings.NewReplacer("HTTP", http, "MEDIA", media, "PPROF", pprof).Replace(mediaMTXFanoutSettings)
	p := runMediaMTX(t, binary, text)
	t.until("MediaMTX answers", listens(http))
	return fanoutServer{
		p, "MediaMTX", "http://" + http + "/primary/whip", "http://" + http + "/primary/whep",
		"http://" + pprof + "/debug/pprof/goroutine?debug=1",
	}
}

// goroutineCount returns the number of the server's goroutines; 0: unknown.
func (s fanoutServer) goroutineCount() int {
	if s.goroutines == "" {
		return 0
	}
	client := http.Client{Timeout: 10 * time.Second}
	answer, err := client.Get(s.goroutines)
	s.t.must(err)
	defer func() { _ = answer.Body.Close() }()
	in := bufio.NewScanner(io.LimitReader(answer.Body, 1<<20))
	for in.Scan() {
		for _, name := range []string{"go_goroutines ", "goroutine profile: total "} {
			if value, ok := strings.CutPrefix(in.Text(), name); ok {
				n, err := strconv.Atoi(value)
				s.t.must(err)
				return n
			}
		}
	}
	s.t.Fatalf("%s does not tell its number of goroutines", s.goroutines)
	return 0
}
